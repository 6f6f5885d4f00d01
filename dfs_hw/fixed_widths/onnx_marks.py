"""A network at fixed widths exported as ONNX, with a mark where operands are rounded.

What stands for such a mark in the end, `onnx_nodes` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map, tree_map_only

from accel_models.errors import InputError
from dfs_hw.fixed_widths.network import FixedWidths
from dfs_hw.fixed_widths.products import Multiplication, ProductCall, Products, Work
from dfs_hw.fixed_widths.rounding import RoundedProduct
from dfs_hw.networks.tracing.capture import arguments_of
from dfs_hw.onnx_export import exported, mark
from dfs_hw.quantize.operands import ActivationQuantizer, WeightQuantizer

if TYPE_CHECKING:
    from onnx import ModelProto

OPERAND = "Operand"
"""Name of the marks' nodes."""
BATCH = "batch"
"""Name of the size of a batch, where a file leaves it open."""


@dataclass(frozen=True)
class OperandGrid:
    """How an operand of a layer is rounded: to whole numbers from `low` to `high`, times `step`."""

    layer: str
    bits: int
    low: int
    high: int
    step: float
    values: np.ndarray | None = None
    """The whole numbers themselves, of weights."""
    has_zero: bool = True

    @property
    def signed(self) -> bool:
        """Whether it has negative levels."""
        return self.low < 0


class _Marked(nn.Module):
    """The network with a mark at both operands of each product.

    Args:
        network: whose products are marked.
        grids: of what is rounded, by layer and place.
    """

    def __init__(self, network: FixedWidths, grids: Mapping[tuple[str, int], OperandGrid]) -> None:
        super().__init__()
        self.model, self.layers = network.model, network.layers
        self.grids = grids

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        out = Products(self.model, self._computed).run(*args, **kwargs)
        return out if isinstance(out, Tensor) else out.logits

    def _computed(self, call: ProductCall, product: Multiplication) -> Tensor | None:
        names = self.layers.get(call)
        if names is None or not any(names):
            return None
        by_work = dict(zip(product.works, names, strict=True))

        def marked(work: Work, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, float]:
            name = by_work[work]
            return self._mark(name, 0, left), self._mark(name, 1, right), 1.0

        return product.computed(marked)

    def _mark(self, layer: str, place: int, operand: Tensor) -> Tensor:
        if place and (layer, place) not in self.grids:
            return operand
        return mark(OPERAND, operand, layer=layer, place=place)


def grids_of(network: FixedWidths) -> dict[tuple[str, int], OperandGrid]:
    """How each operand that is rounded is, by the name of its layer and its place, 0 or 1.

    Raises:
        InputError: if levels have no zero among them, as those of "minmax".
    """
    found: dict[tuple[str, int], OperandGrid] = {}

    def look(call: ProductCall, product: Multiplication) -> Tensor | None:
        names = network.layers.get(call, ())
        by_work = dict(zip(product.works, names, strict=False))

        def note(work: Work, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, float]:
            name = by_work.get(work, "")
            one = network.rounded_as(name)
            if one is not None:
                found.update(_grids(name, one, (left, right)))
            return left, right, 1.0

        return product.computed(note) if names else None

    args, kwargs = arguments_of(network.example)
    with torch.no_grad():
        Products(network.model, look).run(*args, **kwargs)
    return found


def _grids(
    layer: str, rounded: RoundedProduct, operands: tuple[Tensor, Tensor]
) -> dict[tuple[str, int], OperandGrid]:
    found = {}
    for place, quantizer in enumerate((rounded.left, rounded.right)):
        if quantizer is None:
            continue
        if not (quantizer.scaled and hasattr(quantizer, "levels")):
            raise InputError(
                "minmax and nested round to levels around which ONNX has no quantiser, as zero is "
                f"none of them: give layer '{layer}' the quantiser normal or lsq"
            )
        low, high, has_zero = rounded.levels(place)
        bits = rounded.bits(place)
        if isinstance(quantizer, WeightQuantizer):
            values, step = quantizer(operands[place], 0)
            held = values.to(torch.int32).cpu().numpy()
            found[layer, place] = OperandGrid(layer, bits, low, high, float(step), held, has_zero)
        elif isinstance(quantizer, ActivationQuantizer):
            _, step = quantizer.grid(0)
            found[layer, place] = OperandGrid(layer, bits, low, high, float(step), None, has_zero)
    return found


def exported_with_marks(
    network: FixedWidths,
    grids: Mapping[tuple[str, int], OperandGrid],
    path: Path,
    opset: int,
    any_batch: bool,
) -> ModelProto:
    """The file that PyTorch makes of a network with marks in it, of one input or of any number.

    Raises:
        InputError: if the exporter is missing, or cannot export the model: with its own reason.
    """
    args, kwargs = arguments_of(network.example)
    sizes = None
    if any_batch:
        # Of one input alone, PyTorch takes the size for a part of the model.
        args, kwargs = tree_map_only(Tensor, lambda x: torch.cat([x, x]), (args, kwargs))
        axes = tree_map(lambda x: {0: BATCH} if isinstance(x, Tensor) else None, (args, kwargs))
        sizes = {name: of for name, of in zip(("args", "kwargs"), axes, strict=True) if of}
    marked = _Marked(network, grids)
    return exported(marked, args, kwargs, network.workload.name, path, opset, sizes)


__all__ = ["OPERAND", "OperandGrid", "exported_with_marks", "grids_of"]
