"""Copies of networks for the shapes of their tensors alone, which are had at next to no cost."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

from accel_models.precision import FULL
from dfs_hw.quantize.layers import QuantizedConv2d, QuantizedLinear

Module = TypeVar("Module", bound=nn.Module)


def shadow_of(module: Module) -> Module:
    """A copy without contents, on the device "meta"; contents are not copied on the way.

    Its layers do not quantise: that changes no shape, and is most of what there is to run.
    """
    made = {
        id(parameter): nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
        for parameter in module.parameters()
    }
    buffers = {id(buffer): buffer.to("meta") for buffer in module.buffers()}
    # What `deepcopy` is told it has copied before, it leaves alone.
    shadow = copy.deepcopy(module, {**made, **buffers})
    for layer in shadow.modules():
        if isinstance(layer, QuantizedConv2d | QuantizedLinear):
            layer.precisions = (FULL,) * len(layer.precisions)
    return shadow
