"""Modes of a model's modules, which whoever only looks at it leaves as they were."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def kept_modes(model: nn.Module) -> Iterator[None]:
    """Leave all modules in the modes they were in, whatever becomes of them and of this."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Have a model in evaluation, its attention operator by operator; all modules are left in the
    modes they were in."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operator for a whole encoder layer
    try:
        with kept_modes(model):
            model.eval()
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
