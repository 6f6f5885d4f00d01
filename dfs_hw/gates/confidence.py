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

from accel_models.errors import InputError
from accel_models.precision import Precision
from dfs_hw.gates.gate import Gate, State
from dfs_hw.quantize.layers import QuantizedLinear

POINTS = 33
"""Settings that a gate keeps, from the cheapest to the dearest."""
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


class ConfidenceGate(Gate):
    """Takes the choice of the highest threshold that the confidence of the last exit reaches.

    Before its first exit an input has none, which reaches no threshold but `ALWAYS`.
    The gate keeps a table of settings (`adopt`), each of thresholds [units, K] with what it costs
    and how accurate it is on the inputs it was settled on; `point` says which it goes by.

    Args:
        channels: of the input of each unit; only their number counts.
        choices: number of choices of a unit, K.
        precision: not used: comparing takes no multiplication.
        signed: not used.
        knob: not supported: its table is its knob.
        measure: of confidence, one of `MEASURES`.
    """

    learned: ClassVar[bool] = False
    table: Tensor
    temperature: Tensor
    cost: Tensor
    accuracy: Tensor
    point: Tensor

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
        super().__init__(choices, knob)
        if knob:
            raise InputError("a gate that goes by confidence has no knob for a price: its table is")
        self.measure, units = measure, len(channels)
        self.register_buffer("table", torch.full((POINTS, units, choices), NEVER_SURE))
        self.register_buffer("temperature", torch.ones(units))
        self.register_buffer("cost", torch.zeros(POINTS))
        self.register_buffer("accuracy", torch.zeros(POINTS))
        self.register_buffer("point", torch.zeros((), dtype=torch.int64))

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

    def fix(self, assignment: Tensor) -> None:
        """Choose the same for all inputs [units], at every point of the table."""
        self.table.fill_(NEVER_SURE)
        units = torch.arange(len(assignment))
        self.table[:, units, assignment.cpu()] = ALWAYS

    @torch.no_grad()
    def adopt(self, thresholds: Tensor, cost: Tensor, accuracy: Tensor) -> None:
        """Take over a table of settings.

        Args:
            thresholds: [POINTS, units, K].
            cost: of each setting [POINTS], not falling.
            accuracy: of each [POINTS], not falling: what costs more is better, or is left out.
        """
        if bool((cost.diff() < 0).any()) or bool((accuracy.diff() < 0).any()):
            raise InputError("the settings of a gate go from cheap to dear, and from bad to good")
        self.table.copy_(thresholds)
        self.cost.copy_(cost)
        self.accuracy.copy_(accuracy)

    def within(self, budget: float) -> int:
        """The dearest point whose cost is within a budget, both relative to the highest precision.

        Raises:
            InputError: if there is none: says what the cheapest costs.
        """
        fits = (self.cost <= budget).nonzero()
        if not len(fits):
            raise InputError(
                f"no setting costs at most {budget:.3g} of the highest precision: the cheapest "
                f"costs {float(self.cost[0]):.3g}"
            )
        return int(fits[-1])

    def as_accurate_as(self, floor: float) -> int:
        """The cheapest point that is accurate enough on the inputs it was settled on.

        Raises:
            InputError: if there is none: says how accurate the best is.
        """
        fits = (self.accuracy >= floor).nonzero()
        if not len(fits):
            raise InputError(
                f"no setting reaches an accuracy of {floor:.1%}: the best there is has "
                f"{float(self.accuracy[-1]):.1%}"
            )
        return int(fits[0])

    def layers(self, unit: int) -> list[tuple[str, QuantizedLinear]]:
        return []

    def heads(self) -> list[QuantizedLinear]:
        return []

    def _know(self, features: Tensor, price: Tensor | None) -> tuple[Tensor, ...]:
        return (features.new_full((len(features),), NO_EXIT_YET, dtype=torch.float32),)


__all__ = ["ALWAYS", "MEASURES", "NEVER_SURE", "POINTS", "ConfidenceGate"]
