"""Networks at widths that are fixed, layer by layer: their accuracy beside their price."""

from __future__ import annotations

from dfs_hw.fixed_widths.comparison import PricedAccuracy, compare_policies
from dfs_hw.fixed_widths.evaluation import accuracy_of, train_further
from dfs_hw.fixed_widths.network import FixedWidths, at_widths

__all__ = [
    "FixedWidths",
    "PricedAccuracy",
    "accuracy_of",
    "at_widths",
    "compare_policies",
    "train_further",
]
