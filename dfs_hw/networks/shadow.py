"""Networks for the shapes of their tensors alone, which are had at next to no cost."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn

from accel_models.precision import FULL
from dfs_hw.quantize.activation_products import ProductQuantizers
from dfs_hw.quantize.layers import PrecisionNorm, QuantizedConv2d, QuantizedLinear

Module = TypeVar("Module", bound=nn.Module)


def shadow_of(module: Module, *, norms: bool = False) -> Module:
    """A copy without contents; the contents are not copied on the way.

    Args:
        module: to copy.
        norms: whether batch norms of the copy normalise.
    """
    places: dict[int, object] = {
        id(parameter): nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
        for parameter in module.parameters()
    }
    places |= {id(buffer): buffer.to("meta") for buffer in module.buffers()}
    # What `deepcopy` is told it has copied before, it leaves alone.
    return without_contents(copy.deepcopy(module, places), norms=norms)


def without_contents(module: Module, *, norms: bool = False) -> Module:
    """The module itself on the device "meta", for shapes alone."""
    return for_shapes(module, norms=norms).to("meta")


def for_shapes(module: Module, *, norms: bool = False) -> Module:
    """The module itself, of which only the shapes count from now on.

    Its layers do not quantise and its batch norms, unless asked to, do not normalise: neither
    changes a shape, and together they are most of what there is to run.
    """
    for part in list(module.modules()):
        for name, child in part.named_children():
            if norms and isinstance(child, PrecisionNorm):
                plain = nn.BatchNorm2d(child.weight.shape[1], device=child.weight.device)
                setattr(part, name, plain.train(child.training))
        if isinstance(part, QuantizedConv2d | QuantizedLinear | ProductQuantizers):
            part.precisions = (FULL,) * len(part.precisions)
        elif not norms and type(part) in (nn.BatchNorm2d, PrecisionNorm):
            part.forward = Tensor.clone  # of another tensor, as a norm's output is
    return module
