"""Networks that choose their precision per input, trained at the price a real machine charges.

``import dfs_hw`` is cheap: PyTorch is loaded when one of the names below is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfs_hw.budgets.budget import Budget
    from dfs_hw.budgets.hardware_cost import BlockCost, HardwareCost
    from dfs_hw.budgets.meet_budget import meet_budget
    from dfs_hw.bundle import export_bundle
    from dfs_hw.cascade import record_cascade
    from dfs_hw.data import load_dataset
    from dfs_hw.experiment import run_experiment
    from dfs_hw.fixed_widths import accuracy_of, at_widths, train_further
    from dfs_hw.logs import LightningLog, Log, TensorBoardLog
    from dfs_hw.networks import build_network, make_dynamic, register_network
    from dfs_hw.networks.checkpoint import load_checkpoint, save_checkpoint
    from dfs_hw.networks.workload_of import workload_of
    from dfs_hw.recording import evaluate, record
    from dfs_hw.training.config import TrainConfig
    from dfs_hw.training.recipes import recipe
    from dfs_hw.training.run import train, train_static

__all__ = [
    "BlockCost",
    "Budget",
    "HardwareCost",
    "LightningLog",
    "Log",
    "TensorBoardLog",
    "TrainConfig",
    "accuracy_of",
    "at_widths",
    "build_network",
    "evaluate",
    "export_bundle",
    "load_checkpoint",
    "load_dataset",
    "make_dynamic",
    "meet_budget",
    "recipe",
    "record",
    "record_cascade",
    "register_network",
    "run_experiment",
    "save_checkpoint",
    "train",
    "train_further",
    "train_static",
    "workload_of",
]

_HOME = {
    "BlockCost": "dfs_hw.budgets.hardware_cost",
    "Budget": "dfs_hw.budgets.budget",
    "HardwareCost": "dfs_hw.budgets.hardware_cost",
    "LightningLog": "dfs_hw.logs",
    "Log": "dfs_hw.logs",
    "TensorBoardLog": "dfs_hw.logs",
    "TrainConfig": "dfs_hw.training.config",
    "accuracy_of": "dfs_hw.fixed_widths",
    "at_widths": "dfs_hw.fixed_widths",
    "build_network": "dfs_hw.networks",
    "evaluate": "dfs_hw.recording",
    "export_bundle": "dfs_hw.bundle",
    "load_checkpoint": "dfs_hw.networks.checkpoint",
    "load_dataset": "dfs_hw.data",
    "make_dynamic": "dfs_hw.networks",
    "meet_budget": "dfs_hw.budgets.meet_budget",
    "recipe": "dfs_hw.training.recipes",
    "record": "dfs_hw.recording",
    "record_cascade": "dfs_hw.cascade",
    "register_network": "dfs_hw.networks",
    "run_experiment": "dfs_hw.experiment",
    "save_checkpoint": "dfs_hw.networks.checkpoint",
    "train": "dfs_hw.training.run",
    "train_further": "dfs_hw.fixed_widths",
    "train_static": "dfs_hw.training.run",
    "workload_of": "dfs_hw.networks.workload_of",
}
"""Module of each name."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
