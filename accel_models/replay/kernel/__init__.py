"""The compiled walk of inputs through a network."""
