"""The gate that goes by an estimate of the error: an input runs narrower where that would change
little of what the network says of it.

How far a choice moves the prediction from that of the highest precision is taken for a power of how
large the unit's input is, fitted to what was measured on held-out inputs. So no gradient teaches
it, and one price of cost settles all units at once (`dfs_hw.budgets.error_prices`). The idea is
that of DP-LLM (Kwon et al., arXiv 2508.06041), which sets the widths of a language model's layers,
token by token, by an estimate of the error and thresholds. There it is the error of the layer's
own output; on the degraded digits the prediction hardly moved with that (rank correlations of -0.6
to 0.5 over inputs), but fell with the size of the input (-0.4 to -0.7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from accel_models.precision import Precision
from dfs_hw.gates.gate import State, pooled
from dfs_hw.gates.table import TableGate

SAMPLED = 8
"""Rows, and columns, of a map whose size is taken, at most: of 16 channels, a thousand elements."""
BEYOND = 1e30
"""Charge that nothing is worth: what is written to a checkpoint has to be finite."""
UNCHANGED = -1e3
"""Level of a choice that changes nothing: its exponential is 0."""
SMALLEST = 1e-12
"""Size that an input of nothing but zeros counts as: its logarithm has to be a number."""


def strides(size: Sequence[int], most: int = SAMPLED) -> tuple[int, ...]:
    """Steps along each axis of a map by which at most so many places are looked at."""
    return tuple(-(-side // most) for side in size)


def sizes(features: Tensor) -> Tensor:
    """Root mean square [N], float64, of the places of a unit's input [N, C, H, W] looked at."""
    rows, columns = strides(features.shape[2:])
    seen = features.detach()[:, :, ::rows, ::columns].float()
    return pooled(seen.square()).double().mean(1).sqrt().clamp_min(SMALLEST)


class ErrorGate(TableGate):
    """Takes the choice of least expected error and price together.

    Choice k of unit u, in place of the highest precision, is expected to move the prediction by
    ``exp(level + slope log s)`` nat (Kullback-Leibler divergence), s being the size of the unit's
    input (`sizes`). The rows of the table (`TableGate`) are what is charged for each choice
    [units, K], in nat, too: a price times a relative cost, and `BEYOND` for what is out of the
    question.

    On hardware the elements that are looked at are read, squared and added up, which is charged:
    a 1x1 convolution to one channel at these places. At one point of the table the choice changes
    at a few sums of squares alone, so that what is left are comparisons with those: like the
    last sums over places, they are not charged.

    Args:
        channels: of the input of each unit; only their number counts.
        choices: number of choices of a unit, K.
        precision: not used: the estimate is made in floating point.
        signed: not used.
        knob: not supported: its table is its knob.
    """

    always: ClassVar[float] = 0.0
    unset: ClassVar[float] = BEYOND
    sampled: ClassVar[int] = SAMPLED
    level: Tensor
    slope: Tensor

    def __init__(
        self,
        channels: Sequence[int],
        choices: int,
        precision: Precision,
        *,
        signed: bool = False,
        knob: bool = False,
    ) -> None:
        super().__init__(len(channels), choices, knob)

    def _beside(self, units: int) -> dict[str, Tensor]:
        return {
            "level": torch.full((units, self.choices), UNCHANGED),
            "slope": torch.zeros(units, self.choices),
        }

    @torch.no_grad()
    def know(self, level: Tensor, slope: Tensor) -> None:
        """Take over what was fitted.

        Args:
            level: of the logarithm of the error, at inputs of size 1 [units, K]; `UNCHANGED` for a
                choice that changes nothing.
            slope: by which it grows with the logarithm of the size [units, K].
        """
        self.level.copy_(level)
        self.slope.copy_(slope)

    def error(self, unit: int, features: Tensor) -> Tensor:
        """Error that each choice of a unit is expected to make, in nat, float64 [N, K]."""
        grown = self.slope[unit].double() * sizes(features).log()[:, None]
        return (self.level[unit].double() + grown).exp()

    def forward(
        self, unit: int, features: Tensor, state: State, belief: Tensor | None = None
    ) -> tuple[Tensor, State]:
        total = self.error(unit, features) + self.table[self.point, unit].double()
        # From the least on: in single precision, close ones would be the same otherwise.
        return (total.amin(1, keepdim=True) - total).float(), state


__all__ = ["BEYOND", "SAMPLED", "UNCHANGED", "ErrorGate", "sizes", "strides"]
