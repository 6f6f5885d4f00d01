"""Published results, recomputed and compared."""
