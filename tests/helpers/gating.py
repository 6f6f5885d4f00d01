"""Features for gates to look at, and what gates make of them."""

from __future__ import annotations

import torch
from torch import Tensor

from dfs_hw.gates import GATES, Gate

CHANNELS = (3, 3, 5)
"""Of the three units that most gates here decide about."""
LEARNED = tuple(name for name in GATES if not name.startswith(("confidence", "error")))
"""Families that gradients teach."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def features_of(inputs: int, seed: int = 0) -> list[Tensor]:
    """What each of the units of `CHANNELS` reads."""
    drawn = generator(seed)
    return [torch.rand(inputs, width, 4, 4, generator=drawn) * 3 for width in CHANNELS]


def logits_of(gate: Gate, features: list[Tensor], price: Tensor | None = None) -> Tensor:
    """[N, units, K]."""
    state, logits = gate.begin(features[0], price), []
    for unit, x in enumerate(features):
        made, state = gate(unit, x, state)
        logits.append(made)
    return torch.stack(logits, 1)
