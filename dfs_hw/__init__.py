"""Networks that choose their precision per input, trained at the price a real machine charges.

``import dfs_hw`` is cheap: PyTorch is loaded when one of the names below is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "BlockCost": "dfs_hw.budgets.hardware_cost",
    "Budget": "dfs_hw.budgets.budget",
    "HardwareCost": "dfs_hw.budgets.hardware_cost",
    "TrainConfig": "dfs_hw.training.config",
    "build_network": "dfs_hw.networks",
    "evaluate": "dfs_hw.recording",
    "load_checkpoint": "dfs_hw.networks.checkpoint",
    "load_dataset": "dfs_hw.data",
    "make_dynamic": "dfs_hw.networks",
    "meet_budget": "dfs_hw.budgets.meet_budget",
    "recipe": "dfs_hw.training.config",
    "record": "dfs_hw.recording",
    "register_network": "dfs_hw.networks",
    "run_experiment": "dfs_hw.experiment",
    "save_checkpoint": "dfs_hw.networks.checkpoint",
    "train": "dfs_hw.training.run",
    "train_static": "dfs_hw.training.run",
    "workload_of": "dfs_hw.networks.workload_of",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'dfs_hw' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
