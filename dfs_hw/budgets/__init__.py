"""Budgets in joules, seconds or BitOps, and how training is held to them."""
