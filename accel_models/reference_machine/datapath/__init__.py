"""A layer computed bit by bit, as the array would."""
