"""Family "minmax": uniform affine quantisation between the extremes of a tensor, as in DFS (Fu et
al., "Fractional skipping", AAAI 2020, arXiv 2001.00705, and its released code).

With q of b bits, s = (max - min) / (2**b - 1), and q = round((x - min) / s) within 0 to 2**b - 1, a
tensor becomes q s + min. Zero need not lie on that grid, while the zeros that pad a convolution
stay exact: so the layers compute on the values, not on q, and the scale is 1. The gradient passes
unchanged, also beyond the range.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dfs_hw.quantize.observer import EMA_MOMENTUM, means, moving_average
from dfs_hw.quantize.operands import ActivationQuantizer, WeightQuantizer
from dfs_hw.quantize.rounding import (
    SMALLEST_STEP,
    Levels,
    at_least_float32,
    flat,
    straight_through,
)

FAULTS = {
    "stochastic-activations": "activations are rounded after adding noise of up to half a step, "
    "in training and in evaluation, which doubles the squared error",
    "inverted-ema": "activation ranges keep 0.1 of the old value and take 0.9 of the new, at every "
    "pass of every width, so they are practically those of the last batch at the last width",
    "untrained-ranges": "activation ranges start at zero, so evaluating before any quantised "
    "training shrinks all activations to about nothing",
}
"""What the released code does against its evident intent."""


class MinMaxWeights(WeightQuantizer):
    """Values on a grid between the extremes of the tensor at hand.

    Args:
        bits: the widths, in the order of the layer's precisions.
        weight: disregarded.
    """

    scaled = False

    def __init__(self, bits: tuple[int, ...], weight: Tensor) -> None:
        super().__init__()
        self.levels = [Levels.unsigned(b) for b in bits]

    def forward(self, weight: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Rounded `weight` at width number `index`, and 1."""
        weight = at_least_float32(weight)
        low, high = weight.detach().aminmax()
        return round_between(weight, low, high, self.levels[index]), weight.new_ones(())


class MinMaxActivations(ActivationQuantizer):
    """Values on a grid between the mean extremes of the inputs of a batch.

    The range is the mean over a batch of each input's minimum and maximum, which clips outliers. In
    training the batch's own range is used; evaluation goes by its moving average, which all widths
    share. So does training that is not `by_batch`: there an input's result must not depend on the
    others. Where widths saw the same inputs in one step, they move the average once: the released
    code moves it at every pass.

    Args:
        bits: the widths, in the order of the layer's precisions.
        signed: disregarded, the range takes care of it.
        faults: names out of `FAULTS`.
    """

    scaled = False
    range: Tensor
    """[1, 2] minimum and maximum; NaN where nothing was seen, so an untrained layer yields NaN."""

    def __init__(
        self, bits: tuple[int, ...], signed: bool, faults: frozenset[str] = frozenset()
    ) -> None:
        super().__init__(len(bits), sums=2)
        self.levels = [Levels.unsigned(b) for b in bits]
        self.by_batch = True
        self.stochastic = "stochastic-activations" in faults
        self.inverted = "inverted-ema" in faults
        start = 0.0 if "untrained-ranges" in faults else math.nan
        self.register_buffer("range", torch.full((1, 2), start))

    def forward(self, x: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Rounded `x` [N, ...] at width number `index`, and 1."""
        x = at_least_float32(x)
        low, high = self._range_for(x.detach(), index)
        values = round_between(x, low, high, self.levels[index], dither=self.stochastic)
        return values, x.new_ones(())

    def grid(self, index: int) -> tuple[Tensor, Tensor]:
        """Minimum and step of width number `index`."""
        low, high = self.range[0]
        return low, step_between(low, high, self.levels[index])

    def _range_for(self, x: Tensor, index: int) -> tuple[Tensor, Tensor]:
        if not self.training:
            return self.range[0, 0], self.range[0, 1]
        if not (self.observing or self.by_batch) and self.settled(index, self.range):
            return self.range[0, 0], self.range[0, 1]
        inputs = len(x)
        low, high = flat(x).aminmax(dim=1)
        sums = torch.stack([low.sum(), high.sum()])
        if self.observing:
            self.observe(index, inputs, sums)
        at_hand, known = sums / max(1, inputs), self.range[0]
        if not self.by_batch:
            at_hand = torch.where(known.isnan(), at_hand, known)
        return at_hand[0], at_hand[1]

    def absorb(self, pending: Tensor, share: Tensor) -> None:
        """Move the range by a training step; see `Observer`."""
        if self.inverted:
            for row, seen in zip(means(pending).split(1), share.split(1), strict=True):
                self.range.copy_(moving_average(self.range, row, seen, 1 - EMA_MOMENTUM))
            return
        batch = means(pending.sum(0, keepdim=True))
        self.range.copy_(moving_average(self.range, batch, share.sum().clamp(max=1)[None]))


def step_between(low: Tensor, high: Tensor, levels: Levels) -> Tensor:
    """Step from one level to the next."""
    return ((high - low) / levels.high).clamp_min(SMALLEST_STEP)


def round_between(
    x: Tensor, low: Tensor, high: Tensor, levels: Levels, *, dither: bool = False
) -> Tensor:
    """`x` on a grid from `low` to `high`, with the gradient of `x`.

    Args:
        x: any shape.
        low: scalar, value of the lowest level.
        high: scalar, value of the highest.
        levels: unsigned.
        dither: add noise of up to half a step before rounding.
    """
    with torch.no_grad():
        step = step_between(low, high, levels)
        position = (x - low).div_(step)
        if dither:
            position += torch.rand_like(x) - 0.5
        rounded = position.round_().clamp_(0, levels.high).mul_(step).add_(low)
    return straight_through(rounded, x)
