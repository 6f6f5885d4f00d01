"""Family "nested": the low-bit weights of a layer are a prefix of its high-bit ones.

One integer q of B bits is stored for each weight, B being the widest the layer knows. At b bits
only the b leading bits are read, p = q >> (B - b), and stand for the odd number 2 p + 1: the middle
of the cell of width 2 that they leave open (mid-rise). So every width from 1 bit (-1 or 1) up comes
from the same memory, dropped bits are never fetched, and nothing is quantised anew.

An integer machine sums p * x as it would any signed b-bit weight, and adds a term that is the same
for all outputs of a position: sum((2 p + 1) * x) = 2 * sum(p * x) + sum(x).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import optimize
from torch import Tensor

from dfs_hw.quantize.operands import WeightQuantizer
from dfs_hw.quantize.rounding import (
    SMALLEST_STEP,
    at_least_float32,
    check_width,
    mean_magnitude,
    straight_through,
)


class NestedWeights(WeightQuantizer):
    """Odd integers given by the leading bits of one stored integer.

    Args:
        bits: the widths, in the order of the layer's precisions.
        weight: disregarded; range and scales follow the mean |w| of the tensor at hand.

    Raises:
        InputError: if there is no operand of such a width.
    """

    def __init__(self, bits: tuple[int, ...], weight: Tensor) -> None:
        super().__init__()
        for b in bits:
            check_width(b)
        self.bits, self.stored_bits = bits, max(bits)

    def forward(self, weight: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Odd integers and the size of one, at width number `index`.

        The gradient is that of ``weight / scale`` within the range, and zero beyond it.
        """
        weight = at_least_float32(weight)
        magnitude = _magnitude(weight)
        fit = normal_fit(self.bits)
        scale = fit.scales[index] * magnitude
        outermost = fit.limit / fit.scales[index]
        inside = (weight / scale).clamp(-outermost, outermost)
        return straight_through(self.decode(self.stored(weight), index), inside), scale

    @torch.no_grad()
    def stored(self, weight: Tensor) -> Tensor:
        """The integers in memory, -2**(B-1) to 2**(B-1) - 1, in a float type."""
        weight = at_least_float32(weight)
        half = 2 ** (self.stored_bits - 1)
        cell = normal_fit(self.bits).limit / half * _magnitude(weight)
        return (weight / cell).floor_().clamp_(-half, half - 1)

    @torch.no_grad()
    def decode(self, stored: Tensor, index: int) -> Tensor:
        """The odd integers that the leading bits of `stored` stand for at width `index`."""
        dropped = self.stored_bits - self.bits[index]
        return (stored / 2**dropped).floor_() * 2 + 1


class NestedFit(NamedTuple):
    """How a layer's cells lie on its weights, in multiples of their mean magnitude."""

    limit: float
    """Cells of equal size fill the range from -limit to limit."""
    scales: tuple[float, ...]
    """Size of an odd integer 1, for each width."""


@cache
def normal_fit(bits: tuple[int, ...]) -> NestedFit:
    """Range and scales that suit normal numbers.

    The widths share one range, so it is a compromise: the one whose root-mean-square errors, added
    up over the widths, are least. A wide width wants a wide range, but a poor one hurts the narrow
    widths most. Each width's scale is then its own, of least squared error: it costs no bit of
    memory, and at 1 bit it is the mean magnitude.

    Args:
        bits: the widths.
    """
    points = 20_000
    x = (np.arange(points) + 0.5) * 9 / points
    density = np.exp(-(x**2) / 2)
    density /= density.sum()

    def odd(limit: float, width: int) -> NDArray[np.float64]:
        half = 2 ** (width - 1)
        return 2 * np.clip(np.floor(x / limit * half), 0, half - 1) + 1

    def scale(limit: float, width: int) -> float:
        values = odd(limit, width)
        return float((density * x * values).sum() / (density * values**2).sum())

    def error(limit: float) -> float:
        rounded = (scale(limit, width) * odd(limit, width) for width in sorted(set(bits)))
        return float(sum(np.sqrt((density * (values - x) ** 2).sum()) for values in rounded))

    limit = float(optimize.minimize_scalar(error, bounds=(0.5, 8), method="bounded").x)
    magnitude = float((density * x).sum())
    return NestedFit(limit / magnitude, tuple(scale(limit, width) / magnitude for width in bits))


def _magnitude(weight: Tensor) -> Tensor:
    return mean_magnitude(weight.detach()).clamp_min(SMALLEST_STEP)
