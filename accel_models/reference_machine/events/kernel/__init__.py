"""The compiled timeline of one layer."""
