"""Family "lsq": steps are learned by gradient descent (Esser et al., "Learned step size
quantization", ICLR 2020, arXiv 1902.08153).

The parameter of a width is not the step itself but its ratio to the step of family "normal" at the
start: then it begins at 1 everywhere, also where no input was seen yet, and descent moves it by the
same proportion however small the tensor's numbers are. Steps of 8 bits are tiny next to those of 2:
moved by absolute amounts, as in the paper, they jump below zero at rates that suit 2 bits.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from dfs_hw.quantize.operands import MagnitudeQuantizer, WeightQuantizer
from dfs_hw.quantize.rounding import (
    Levels,
    at_least_float32,
    mean_magnitude,
    nearest,
    step_of,
)

SMALLEST_RATIO = 1e-3
"""Ratio of a step to its start, at least: steps stay above zero, however far the parameter is
pushed."""


class LearnedStepWeights(WeightQuantizer):
    """Symmetric integers with a learned step for each width.

    Args:
        bits: the widths, in the order of the layer's precisions.
        weight: gives the steps to start from.
    """

    magnitude: Tensor

    def __init__(self, bits: tuple[int, ...], weight: Tensor) -> None:
        super().__init__()
        self.levels = [Levels.signed(b) for b in bits]
        self.ratio = nn.Parameter(torch.ones(len(bits), device=weight.device))
        self.register_buffer("magnitude", mean_magnitude(at_least_float32(weight.detach())))

    @torch.no_grad()
    def initialize(self, weight: Tensor) -> None:
        """Start anew from the best steps for `weight`."""
        self.magnitude.copy_(mean_magnitude(at_least_float32(weight)))
        self.ratio.fill_(1)

    def forward(self, weight: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Integers and step of `weight` at width number `index`."""
        levels = self.levels[index]
        start = step_of(self.magnitude, levels)
        return round_by_learned_step(weight, self.ratio[index], start, levels, weight.numel())


class LearnedStepActivations(MagnitudeQuantizer):
    """Integers with a learned step for each width, which starts from the first batch seen at it.

    Args:
        bits: the widths, in the order of the layer's precisions.
        signed: False for inputs that are never negative, such as those after a ReLU.
    """

    def __init__(self, bits: tuple[int, ...], signed: bool) -> None:
        super().__init__(len(bits))
        self.levels = [Levels.signed(b) if signed else Levels.unsigned(b) for b in bits]
        self.ratio = nn.Parameter(torch.ones(len(bits)))

    def forward(self, x: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Integers and step of `x` [N, ...] at width number `index`."""
        x, levels = at_least_float32(x), self.levels[index]
        start = step_of(self.magnitude_for(x, index), levels)
        # Features of one input, as in the paper: the gradient of an input must not depend on how
        # many others go through with it.
        features = math.prod(x.shape[1:])
        return round_by_learned_step(x, self.ratio[index], start, levels, features)

    def grid(self, index: int) -> tuple[Tensor, Tensor]:
        """Offset 0 and the learned step of width number `index`."""
        start = step_of(self.magnitude[index], self.levels[index])
        step = positive(self.ratio[index].detach()) * start
        return torch.zeros_like(step), step

    def moved(self, batch: Tensor, share: Tensor) -> Tensor:
        """What was known before, and the batch's values where nothing was."""
        return torch.where(self.magnitude.isnan() & (share > 0), batch, self.magnitude)


def round_by_learned_step(
    x: Tensor, ratio: Tensor, start: Tensor, levels: Levels, features: int
) -> tuple[Tensor, Tensor]:
    """Integers nearest to x / s with s = ratio * start, and s.

    The gradient of values * s with respect to s, equation 3 of the paper, is::

        round(x / s) - x / s    between the outer levels,
        low or high             beyond them,

    scaled by 1 / sqrt(features * high), section 2.2. All of it goes through the values, so s is
    returned detached: as a sum of two parts, through values and s, it would cancel badly in the
    16-bit floats of mixed precision.

    Args:
        x: any shape.
        ratio: scalar parameter.
        start: scalar > 0, no gradient.
        levels: the integers to round to.
        features: weights of the layer, or features of one input.
    """
    step = positive(ratio) * start
    gain = 1 / math.sqrt(max(1, features) * levels.high)
    values = _RoundByLearnedStep.apply(at_least_float32(x), step, gain, levels)
    return cast(Tensor, values), step.detach()


def positive(ratio: Tensor) -> Tensor:
    """A ratio held above zero, with the gradient passed on, so that it can find its way back."""
    return ratio + (ratio.detach().clamp_min(SMALLEST_RATIO) - ratio.detach())


class _RoundByLearnedStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, gain: float, levels: Levels) -> Tensor:
        ctx.save_for_backward(x, step)
        ctx.gain, ctx.levels = gain, levels
        return nearest(x, step, levels)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, step = ctx.saved_tensors
        low, high, _ = ctx.levels
        grad = grads[0] / step  # of values * step
        position = x / step
        to_x = torch.ops.aten.hardtanh_backward(grad, position, low, high)
        # The part through x / s is -x / s inside the range and nothing beyond it.
        to_step = (grad * nearest(x, step, ctx.levels) - to_x * position).sum()
        return to_x, to_step * ctx.gain, None, None
