"""The best static assignment of precisions to decision units, found exactly."""
