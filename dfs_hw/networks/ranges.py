"""Whether the quantisers of a network have seen a tensor: before that, what they give is NaN."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from accel_models.errors import InputError
from dfs_hw.quantize.layers import QuantizedConv2d, QuantizedLinear


def require_ranges(name: str, model: nn.Module, x: Tensor) -> None:
    """Refuse to let gates decide by NaN.

    Args:
        name: of the network.
        model: its layers, in evaluation.
        x: what it is called with; a tensor without contents may be anything.

    Raises:
        InputError: if no layer has seen any input, at any of its precisions.
    """
    if torch.compiler.is_compiling() or x.is_meta:
        return
    quantised = False
    for module in model.modules():
        if isinstance(module, QuantizedConv2d | QuantizedLinear):
            if module.has_begun():  # as the first has, of every network in use
                return
            quantised = True
    if quantised:
        raise InputError(
            f"{name} cannot be evaluated, as its quantisers have not seen an "
            "input yet: call calibrate([images]), train it, or load a checkpoint"
        )
