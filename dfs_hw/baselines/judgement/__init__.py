"""What the figures of a comparison allow to be said: differences with intervals, and verdicts."""
