"""Training: settings, the loop that all stages share, and what the stages do."""
