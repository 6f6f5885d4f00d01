"""The reference machine: it computes what the closed forms only count."""
