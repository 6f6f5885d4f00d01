"""Gates that no gradient teaches: they keep a table of settings, from cheap to dear.

One training serves every budget: which row of the table is in use is what a run time can change.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from accel_models.errors import InputError
from dfs_hw.gates.gate import Gate
from dfs_hw.quantize.layers import QuantizedLinear

POINTS = 33
"""Settings that a gate keeps, from the cheapest to the dearest."""


class TableGate(Gate):
    """Decides by a number for each choice of each unit, and keeps several such settings.

    Each setting has what it costs and how accurate it is on the inputs it was settled on (`adopt`);
    `point` says which is in use. A family says what its numbers mean, and what else it keeps.

    Args:
        units: that it decides.
        choices: number of choices of a unit, K.
        knob: not supported: the table is the knob.

    Raises:
        InputError: if a knob is asked for.
    """

    learned: ClassVar[bool] = False
    always: ClassVar[float]
    """Number of a choice that all inputs make where the others are `unset`."""
    unset: ClassVar[float]
    """Number of a choice that no input makes."""
    table: Tensor
    cost: Tensor
    accuracy: Tensor
    point: Tensor

    def __init__(self, units: int, choices: int, knob: bool) -> None:
        super().__init__(choices, knob)
        if knob:
            raise InputError("a gate that keeps a table has no knob for a price: its table is")
        self.register_buffer("table", torch.full((POINTS, units, choices), self.unset))
        for name, kept in self._beside(units).items():
            self.register_buffer(name, kept)
        self.register_buffer("cost", torch.zeros(POINTS))
        self.register_buffer("accuracy", torch.zeros(POINTS))
        self.register_buffer("point", torch.zeros((), dtype=torch.int64))

    @abstractmethod
    def _beside(self, units: int) -> Mapping[str, Tensor]:
        """What the family keeps beside its table, by name, as it starts."""

    def fix(self, assignment: Tensor) -> None:
        """Choose the same for all inputs [units], at every point of the table."""
        self.table.fill_(self.unset)
        self.table[:, torch.arange(len(assignment)), assignment.cpu()] = self.always

    @torch.no_grad()
    def adopt(self, rows: Tensor, cost: Tensor, accuracy: Tensor) -> None:
        """Take over a table of settings.

        Args:
            rows: [POINTS, units, K].
            cost: of each setting [POINTS], not falling.
            accuracy: of each [POINTS], not falling: what costs more is better, or is left out.

        Raises:
            InputError: if one of both falls.
        """
        if bool((cost.diff() < 0).any()) or bool((accuracy.diff() < 0).any()):
            raise InputError("the settings of a gate go from cheap to dear, and from bad to good")
        self.table.copy_(rows)
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


__all__ = ["POINTS", "TableGate"]
