"""The compiled array."""
