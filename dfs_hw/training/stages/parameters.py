"""Which parameters a stage trains, at which rate, and which of them decay."""

from __future__ import annotations

from typing import Any

from torch import nn

from dfs_hw.networks import DynamicNetwork
from dfs_hw.quantize.layers import PrecisionNorm
from dfs_hw.training.config import TrainConfig

Group = dict[str, Any]


def weight_groups(network: DynamicNetwork, lr: float, config: TrainConfig) -> list[Group]:
    """All but the gates; only weights of convolutions and linear layers decay, if not all do.

    Batch norm makes the scale of a convolution's output its own, so decay of its parameters and of
    biases only pulls towards zero.
    """
    decaying: list[nn.Parameter] = []
    other: list[nn.Parameter] = []
    for module in network.model.modules():
        for parameter in module.parameters(recurse=False):
            weighs = parameter.ndim > 1 and not isinstance(module, PrecisionNorm)
            (decaying if weighs or config.decay_all else other).append(parameter)
    groups = [
        {"params": decaying, "initial_lr": lr, "weight_decay": config.weight_decay},
        {"params": other, "initial_lr": lr},
    ]
    return [group for group in groups if group["params"]]


def gate_group(network: DynamicNetwork, config: TrainConfig) -> Group:
    """The gates, without decay if not all decays: it would pull every decision towards a tie."""
    decay = config.weight_decay if config.decay_all else 0.0
    return {
        "params": list(network.gate.parameters()),
        "initial_lr": config.gate_lr,
        "weight_decay": decay,
    }
