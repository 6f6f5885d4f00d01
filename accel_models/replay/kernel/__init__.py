"""The compiled walk of inputs through a network, and its look-ups."""
