"""Family "normal": the step of least squared error on a normal distribution.

It needs no learning, fits every width from 1 bit up, and follows its tensor when the width of the
layer changes from input to input.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dfs_hw.quantize.observer import moving_average
from dfs_hw.quantize.operands import MagnitudeQuantizer, WeightQuantizer
from dfs_hw.quantize.rounding import (
    Levels,
    at_least_float32,
    mean_magnitude,
    quantize,
    step_of,
)


class NormalWeights(WeightQuantizer):
    """Symmetric integers; the step follows the mean |w| of the tensor at hand.

    Args:
        bits: the widths, in the order of the layer's precisions.
        weight: disregarded.
    """

    def __init__(self, bits: tuple[int, ...], weight: Tensor) -> None:
        super().__init__()
        self.levels = [Levels.signed(b) for b in bits]

    def forward(self, weight: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Integers and step of `weight` at width number `index`."""
        weight, levels = at_least_float32(weight), self.levels[index]
        step = step_of(mean_magnitude(weight.detach()), levels)
        return quantize(weight, step, levels), step


class NormalActivations(MagnitudeQuantizer):
    """Integers whose step follows, for each width, a moving average of mean |x|.

    Args:
        bits: the widths, in the order of the layer's precisions.
        signed: False for inputs that are never negative, such as those after a ReLU.
    """

    def __init__(self, bits: tuple[int, ...], signed: bool) -> None:
        super().__init__(len(bits))
        self.levels = [Levels.signed(b) if signed else Levels.unsigned(b) for b in bits]

    def forward(self, x: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Integers and step of `x` [N, ...] at width number `index`."""
        x, levels = at_least_float32(x), self.levels[index]
        step = step_of(self.magnitude_for(x, index), levels)
        return quantize(x, step, levels), step

    def grid(self, index: int) -> tuple[Tensor, Tensor]:
        """Offset 0 and the step of width number `index`."""
        step = step_of(self.magnitude[index], self.levels[index])
        return torch.zeros_like(step), step

    def moved(self, batch: Tensor, share: Tensor) -> Tensor:
        """The moving average of mean |x|."""
        return moving_average(self.magnitude, batch, share)
