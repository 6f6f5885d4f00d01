"""Which parameters a stage trains, at which rate, and which of them decay."""

from __future__ import annotations

from typing import Any

from torch import nn

from dfs_hw.networks import DynamicNetwork
from dfs_hw.quantize.layers import PrecisionNorm
from dfs_hw.training.setup import SgdOptions

Group = dict[str, Any]
"""Parameters (``params``), the learning rate they start from (``initial_lr``) and perhaps their
``weight_decay``, as an optimiser of PyTorch takes them."""


def weight_groups(network: DynamicNetwork, lr: float, sgd: SgdOptions) -> list[Group]:
    """Parameters beside the gates; weights of convolutions and linear layers decay, or all do.

    Batch norm makes the scale of a convolution's output its own, so decay of its parameters and of
    biases only pulls towards zero.

    Args:
        lr: learning rate to start from.
    """
    decaying: list[nn.Parameter] = []
    other: list[nn.Parameter] = []
    for module in network.model.modules():
        for parameter in module.parameters(recurse=False):
            weighs = parameter.ndim > 1 and not isinstance(module, PrecisionNorm)
            (decaying if weighs or sgd.decay_all else other).append(parameter)
    groups = [
        {"params": decaying, "initial_lr": lr, "weight_decay": sgd.weight_decay},
        {"params": other, "initial_lr": lr},
    ]
    return [group for group in groups if group["params"]]


def gate_group(network: DynamicNetwork, lr: float, sgd: SgdOptions) -> Group:
    """Parameters of the gates; they decay only where all do: it pulls decisions towards a tie."""
    decay = sgd.weight_decay if sgd.decay_all else 0.0
    return {
        "params": list(network.gate.parameters()),
        "initial_lr": lr,
        "weight_decay": decay,
    }
