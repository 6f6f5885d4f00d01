"""Networks that choose their precision per input, trained at the price a real machine charges.

``import dfs_hw`` is cheap: PyTorch is loaded when one of the names below is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Budget": "dfs_hw.budget",
    "HardwareCost": "dfs_hw.hardware_cost",
    "TrainConfig": "dfs_hw.train",
    "build_network": "dfs_hw.networks",
    "evaluate": "dfs_hw.record",
    "load_checkpoint": "dfs_hw.checkpoint",
    "load_dataset": "dfs_hw.data",
    "record": "dfs_hw.record",
    "train": "dfs_hw.train",
    "workload_of": "dfs_hw.workload",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dfs_hw' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
