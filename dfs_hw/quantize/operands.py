"""What every family of quantisers provides: one object for the weights of a layer, one for its
input, each able to round to any of several widths.

Both return a pair ``(values, scale)`` whose product stands for the tensor. A layer multiplies the
values and scales the sum once; its result depends on values and scales through that product alone,
so a family may send the whole gradient through either of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dfs_hw.quantize.observer import Observer, means
from dfs_hw.quantize.rounding import Levels, mean_magnitude


class WeightQuantizer(nn.Module):
    """Rounds the weights of one layer to any of several widths.

    Built as ``Quantizer(bits, weight)``, with the widths in the order of the layer's precisions
    and the weight as the layer starts with it.
    """

    scaled = True
    """Whether the scale may differ from 1, so that results have to be multiplied by it."""

    def initialize(self, weight: Tensor) -> None:
        """Start anew from `weight`, for families that keep something; call it when weights were
        replaced from outside."""

    def forward(self, weight: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Values of `weight` (same shape) and their scale (scalar), at width number `index`."""
        raise NotImplementedError


class ActivationQuantizer(Observer):
    """Rounds the input of one layer to any of several widths.

    Built as ``Quantizer(bits, signed)``, with the widths in the order of the layer's precisions;
    unsigned inputs are never negative, such as those after a ReLU.
    """

    scaled = True
    """Whether the scale may differ from 1, so that results have to be multiplied by it."""

    levels: list[Levels]
    """Levels of each width."""

    def forward(self, x: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Values of `x` [N, ...] (same shape) and their scale (scalar), at width `index`."""
        raise NotImplementedError

    def grid(self, index: int) -> tuple[Tensor, Tensor]:
        """Value of level 0 and step (scalars) at width `index`, as evaluation has them; NaN if
        nothing was seen at it."""
        raise NotImplementedError


class MagnitudeQuantizer(ActivationQuantizer):
    """Base of the families that scale a width by the mean |x| of what ran at it."""

    magnitude: Tensor
    """[widths] mean |x|; NaN where nothing was seen, so an untrained width yields NaN."""

    def __init__(self, widths: int) -> None:
        super().__init__(widths, sums=1)
        self.register_buffer("magnitude", torch.full((widths,), math.nan))

    def magnitude_for(self, x: Tensor, index: int) -> Tensor:
        """Mean |x| to scale `x` [N, ...] by; notes that of `x` itself if it is `observing`.

        In training, a width that nothing was seen at yet goes by the tensor at hand.
        """
        known = self.magnitude[index]
        if not self.training:
            return known
        if not self.observing and self.settled(index, known):
            return known
        at_hand = mean_magnitude(x.detach())
        if self.observing:
            self.observe(index, len(x), len(x) * at_hand)
        return torch.where(known.isnan(), at_hand, known)

    def absorb(self, pending: Tensor, share: Tensor) -> None:
        """Move the magnitudes by a training step; see `Observer`."""
        self.magnitude.copy_(self.moved(means(pending)[:, 0], share))

    def moved(self, batch: Tensor, share: Tensor) -> Tensor:
        """Magnitudes [widths] after a step in which `batch` was seen by `share` of its inputs."""
        raise NotImplementedError
