"""The gate that goes by confidence: what an input's last exit believes says what is worth spending.

Nothing is learned for it. An input of which a head is sure leaves, or goes on at few bits; one of
which it is not gets more. Where the line lies is a matter of held-out inputs and of what a machine
charges (`dfs_hw.budgets.thresholds`), so one training serves all budgets and all machines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from accel_models.precision import Precision
from dfs_hw.gates.gate import State
from dfs_hw.gates.table import TableGate

ALWAYS, NEVER_SURE = -1.0, 2.0
"""Thresholds below and above every confidence."""
NO_EXIT_YET = -0.5
"""Confidence before the first exit: `ALWAYS` alone is below it."""


def maximum(likely: Tensor) -> Tensor:
    """Probability of the likeliest class."""
    return likely.amax(-1)


def margin(likely: Tensor) -> Tensor:
    """Probability by which the likeliest class is ahead of the next."""
    first, second = likely.topk(2, -1).values.unbind(-1)
    return first - second


def certainty(likely: Tensor) -> Tensor:
    """Entropy that is not there, as a share of the largest: 1 where one class is certain, 0 where
    all are alike."""
    entropy = -torch.special.xlogy(likely, likely).sum(-1)
    return 1 - entropy / torch.log(torch.tensor(float(likely.shape[-1])))


MEASURES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "maximum": maximum,
    "margin": margin,
    "entropy": certainty,
}
"""Confidence from 0 to 1 in probabilities [N, classes], by name."""


class ConfidenceGate(TableGate):
    """Takes the choice of the highest threshold that the confidence of the last exit reaches.

    Before its first exit an input has none, which reaches no threshold but `ALWAYS`. The rows of
    its table (`TableGate`) are thresholds [units, K].

    Args:
        channels: of the input of each unit; only their number counts.
        choices: number of choices of a unit, K.
        precision: not used: comparing takes no multiplication.
        signed: not used.
        knob: not supported: its table is its knob.
        measure: of confidence, one of `MEASURES`.
    """

    always: ClassVar[float] = ALWAYS
    unset: ClassVar[float] = NEVER_SURE
    temperature: Tensor

    def __init__(
        self,
        channels: Sequence[int],
        choices: int,
        precision: Precision,
        *,
        signed: bool = False,
        knob: bool = False,
        measure: str = "maximum",
    ) -> None:
        super().__init__(len(channels), choices, knob)
        self.measure = measure

    def _beside(self, units: int) -> dict[str, Tensor]:
        return {"temperature": torch.ones(units)}

    def confidence(self, unit: int, belief: Tensor) -> Tensor:
        """Confidence [N], 0 to 1, in what the exit before a unit predicts [N, classes]."""
        likely = (belief.detach().float() / self.temperature[unit].to(belief.device)).softmax(-1)
        return MEASURES[self.measure](likely)

    def forward(
        self, unit: int, features: Tensor, state: State, belief: Tensor | None = None
    ) -> tuple[Tensor, State]:
        if belief is not None:
            state = State((self.confidence(unit, belief),))
        (sure,) = state.known
        thresholds = self.table[self.point, unit]
        return torch.where(sure[:, None] >= thresholds, thresholds, 2 * ALWAYS), state

    def _know(self, features: Tensor, price: Tensor | None) -> tuple[Tensor, ...]:
        return (features.new_full((len(features),), NO_EXIT_YET, dtype=torch.float32),)


__all__ = ["ALWAYS", "MEASURES", "NEVER_SURE", "ConfidenceGate"]
