"""Both operands of one product, rounded to widths of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from accel_models.precision import Precision
from accel_models.workloads.layer import Layer
from accel_models.workloads.operators import MATMUL
from dfs_hw.quantize.operands import ActivationQuantizer, WeightQuantizer
from dfs_hw.quantize.quantizers import Family
from dfs_hw.quantize.rounding import MAX_EXACT_BITS, Levels


class Operand(NamedTuple):
    """What is known of one operand before it is rounded."""

    bits: int
    """Width; more than `MAX_EXACT_BITS` leave it as it is."""
    weight: Tensor | None
    """Contents, if no input changes them."""
    signed: bool
    """Whether it was negative anywhere."""
    device: torch.device


class RoundedProduct(nn.Module):
    """Rounds the two operands of a product: weights by themselves, activations as calibrated.

    Args:
        operands: the two, in the order in which the product has them.
        quantizers: how each is rounded.
    """

    left: WeightQuantizer | ActivationQuantizer | None
    right: WeightQuantizer | ActivationQuantizer | None

    def __init__(self, operands: Iterable[Operand], quantizers: Family) -> None:
        super().__init__()
        operands = tuple(operands)
        self._bits = tuple(one.bits for one in operands)
        self.left, self.right = (_quantizer(one, quantizers) for one in operands)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor | float]:
        """Values of both operands, and the scale that their product is to be multiplied by."""
        (left, one), (right, other) = _rounded(self.left, left), _rounded(self.right, right)
        return left, right, one * other

    def watch(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor | float]:
        """What `forward` gives, noting what activations are like."""
        for quantizer in self.activations():
            quantizer.train()
        try:
            with torch.enable_grad():
                left, right, scale = self(left.detach(), right.detach())
        finally:
            for quantizer in self.activations():
                quantizer.eval()
        return left.detach(), right.detach(), scale

    @torch.no_grad()
    def settle(self) -> None:
        """Take over what was noted since the last time; see `dfs_hw.quantize.Observer`."""
        for quantizer in self.activations():
            seen = quantizer.pending[:, 0] > 0
            quantizer.absorb(quantizer.pending, seen.to(quantizer.pending))
            quantizer.pending.zero_()

    def bits(self, place: int) -> int:
        """Width of one operand, 0 or 1."""
        return self._bits[place]

    def levels(self, place: int) -> Levels:
        """Whole numbers that one operand is rounded to."""
        quantizer = (self.left, self.right)[place]
        if isinstance(quantizer, ActivationQuantizer):
            return quantizer.levels[0]
        return Levels.signed(self._bits[place])

    def activations(self) -> Iterator[ActivationQuantizer]:
        """Quantisers of the operands that are activations."""
        for quantizer in (self.left, self.right):
            if isinstance(quantizer, ActivationQuantizer):
                yield quantizer


def operand_bits(layer: Layer, from_input: tuple[bool, bool]) -> tuple[int, int]:
    """Width of each operand of a layer's product, in bits.

    Args:
        layer: with widths.
        from_input: whether each operand depends on the network's input.
    """
    widths = layer.widths
    assert widths is not None
    as_is = MAX_EXACT_BITS + 1
    if widths.full:
        return as_is, as_is
    if layer.operator == MATMUL:
        return widths.activation_bits, widths.activation_bits
    # A kernel that the network computes stands where weights would.
    if from_input == (False, True):
        return widths.weight_bits, widths.activation_bits
    return widths.activation_bits, widths.weight_bits


def computes_as_is(widths: Precision | None) -> bool:
    """Whether nothing is rounded at these widths."""
    if widths is None or widths.full:
        return True
    return min(widths.weight_bits, widths.activation_bits) > MAX_EXACT_BITS


def _quantizer(
    operand: Operand, quantizers: Family
) -> WeightQuantizer | ActivationQuantizer | None:
    if operand.bits > MAX_EXACT_BITS:
        return None
    if operand.weight is not None:
        return quantizers.weights((operand.bits,), operand.weight.detach())
    return quantizers.activations((operand.bits,), operand.signed).to(operand.device)


def _rounded(
    quantizer: WeightQuantizer | ActivationQuantizer | None, operand: Tensor
) -> tuple[Tensor, Tensor | float]:
    if quantizer is None:
        return operand, 1.0
    values, scale = quantizer(operand, 0)
    return values, scale


__all__ = ["Operand", "RoundedProduct", "computes_as_is", "operand_bits"]
