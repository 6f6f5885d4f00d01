"""The one metric that no machine charges; training can be told of it without loading PyTorch."""

PAPER = "paper"
"""What DFS counts: the metric of `hardware_cost.BlockCost`, beside those of `metrics.budgeted`."""
