"""Which of the branches that an input did not choose are tried, for its gates to learn from.

The gradient of choice k is the inner product <g, f_k> of what arrives at the unit with branch k's
output. To have it for every k takes every branch of every input; but it teaches a gate only through
its probability p_k, so what is unlikely need not be tried often. Here branch k runs with the
chance ``min(1, t p_k)``, on average at most t beside the chosen one c; the gradient is ::

    <g, f_c> + w_k (<g, f_k> - <g, f_c>),    w_k = 1 / chance if it was tried, else 0

Its mean over the draws is <g, f_k>, whatever t is. Measured from the chosen branch, whose output is
there anyway, a branch that does about as well adds little noise; and a chance in proportion to p_k
makes those rare whose weight is large (importance sampling with a control variate: Owen, "Monte
Carlo theory, methods and examples", 2013, chapters 8 and 9).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SMALLEST_CHANCE = 2.0**-24
"""The finest that draws in float32 tell from 0; what is rarer could weigh beyond all numbers."""


class Trials(NamedTuple):
    """How branches are drawn in one step."""

    tries: float
    """Branches tried per input and unit beside the chosen one, on average at most."""
    draws: Tensor
    """Uniform in [0, 1): [N, units, K]."""

    def weights(self, unit: int, probabilities: Tensor) -> Tensor:
        """The weight w of each branch of a unit [N, K], 0 where it is not tried.

        Args:
            unit: its number.
            probabilities: of its choices [N, K].
        """
        chance = (self.tries * probabilities).clamp_max(1)
        tried = (self.draws[:, unit] < chance) & (chance >= SMALLEST_CHANCE)
        return torch.where(tried, 1 / chance, 0.0)


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Numbers in [0, 1) from a generator of the CPU, so that a seed means the same everywhere."""
    return torch.rand(shape, generator=generator)
