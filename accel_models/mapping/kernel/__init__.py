"""The compiled mapping search: all of it, and nothing else."""
