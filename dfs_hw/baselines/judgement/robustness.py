"""What becomes of a verdict when the machine's constants are drawn from their ranges.

Which of two networks costs less may change with the constants. So at every draw the staircase of
static networks is built anew, and a contender is held against the best of those that cost no more
*there*: the same rule as at nominal constants, with other costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from accel_models.documents import CLOSED
from accel_models.errors import InputError
from dfs_hw.baselines.judgement.frontier import Frontier, Stair
from dfs_hw.baselines.judgement.resampling import Interval
from dfs_hw.baselines.records import AS_TRAINED, ROUNDING

RunKey = tuple[str, str, float]
"""Contender, variant and target: what the runs of all seeds have in common."""


@dataclass(frozen=True)
class DrawnCosts:
    """What contenders would spend at many draws of the machine's constants."""

    constants: tuple[str, ...]
    """Paths of the constants that are drawn."""
    not_drawn: tuple[str, ...]
    """Paths of constants that are known within a range and stay as they are."""
    draws: int
    """How many there are."""
    energies: Mapping[RunKey, Mapping[int, np.ndarray]]
    """Energy of an input in J at every draw [draws], by seed; of those of whose every seed it is
    known."""
    reproduced: frozenset[tuple[str, int]] = frozenset()
    """Contenders and seeds whose energy, as training left them, is what the machine and the cost
    models of now make of it."""


@dataclass(frozen=True)
class Rival:
    """A static network that was the best of those that cost no more, in some draws."""

    __pydantic_config__ = CLOSED
    than: str
    """Name of the network."""
    draws: int
    """Draws in which it was."""
    points: Interval
    """Accuracy of the contender less its own, 0 to 1."""
    earned: bool | None
    """Whether the contender earns its keep beside it; None if that cannot be told."""


@dataclass(frozen=True)
class Robustness:
    """A verdict at many draws of the constants from their ranges.

    Raises:
        InputError: if its numbers cannot be.
    """

    __pydantic_config__ = CLOSED
    draws: int
    """How many there are. In those that no rival has, no static network costs as little."""
    rivals: tuple[Rival, ...]
    """Whom it is held against, most often first."""
    cheaper: int
    """Draws in which it spends less than the cheapest static network that is as accurate; 0 if none
    is."""
    spared: tuple[float, float] | None
    """Share of that network's cost that it spares, the least and the most of all draws; None if
    none is as accurate."""

    def __post_init__(self) -> None:
        held = [one.draws for one in self.rivals]
        if not (all(one > 0 for one in held) and 0 < self.draws >= sum(held)):
            raise InputError(
                f"rivals of {held} draws must be of some of {self.draws}, at least one"
            )
        if not 0 <= self.cheaper <= self.draws:
            raise InputError(f"cheaper must be some of {self.draws} draws, got {self.cheaper}")
        if self.spared is not None and not self.spared[0] <= self.spared[1] <= 1:
            raise InputError(f"spared must rise to at most 1, got {list(self.spared)}")

    @property
    def alone(self) -> int:
        """Draws in which no static network costs as little."""
        return self.draws - sum(one.draws for one in self.rivals)

    @property
    def ahead(self) -> int:
        """Draws in which it is more accurate than its rival, be it by chance."""
        return sum(one.draws for one in self.rivals if one.points.mean > ROUNDING)

    @property
    def earned(self) -> int:
        """Draws in which it earns its keep."""
        return sum(one.draws for one in self.rivals if one.earned)

    @property
    def points(self) -> tuple[float, float] | None:
        """Accuracy less the rival's, 0 to 1, the least and the most of all draws; None if it has
        no rival in any."""
        means = [one.points.mean for one in self.rivals]
        return (min(means), max(means)) if means else None


class DrawnFrontiers:
    """The staircase of static networks at every draw.

    Args:
        drawn: what everybody spends there.
        frontier: the staircase at nominal constants.
        budget: of the study, in J.
    """

    def __init__(self, drawn: DrawnCosts, frontier: Frontier, budget: float) -> None:
        self.drawn, self.budget = drawn, budget
        self._static = {
            one.contender.name: drawn.energies.get(
                (one.contender.name, AS_TRAINED, one.contender.target)
            )
            for one in frontier.networks
        }
        self.complete = all(self._static.values())
        """Whether all static networks are known; without one of them nobody can be judged."""
        self._frontiers = [
            Frontier(tuple(self._at(draw, one) for one in frontier.networks))
            for draw in range(drawn.draws if self.complete else 0)
        ]

    def energies(self, own: RunKey) -> Mapping[int, np.ndarray] | None:
        """What a contender spends in J at every draw [draws], by seed; None if it is not known, or
        not of all static networks."""
        return self.drawn.energies.get(own) if self.complete else None

    def rivals(self, own: Mapping[int, np.ndarray], allowance: float) -> Counter[str]:
        """Static networks that are the best of those that cost no more, by name, and in how many
        draws.

        Args:
            own: what a contender spends in J at every draw [draws], by seed.
            allowance: the cost that static networks may have over its own: 1, or what it left of
                its budget.
        """
        shares = np.mean(list(own.values()), axis=0) / self.budget
        steps = (
            frontier.best_within(allowance * share)
            for frontier, share in zip(self._frontiers, shares.tolist(), strict=True)
        )
        return Counter(step.contender.name for step in steps if step is not None)

    def spared(
        self, own: Mapping[int, np.ndarray], validation_accuracy: float
    ) -> list[float] | None:
        """Share, at every draw, by which a contender is below the cheapest static network that is
        as accurate there, mean over seeds; None if none is as accurate."""
        found = []
        for draw, frontier in enumerate(self._frontiers):
            step = frontier.cheapest_with(validation_accuracy)
            if step is None:
                return None
            than = self._of(step)
            found.append(fmean(1 - float(own[seed][draw] / than[seed][draw]) for seed in own))
        return found

    def _at(self, draw: int, nominal: Stair) -> Stair:
        shares = [float(costs[draw]) / self.budget for costs in self._of(nominal).values()]
        return replace(nominal, share=fmean(shares), dearest=max(shares))

    def _of(self, step: Stair) -> Mapping[int, np.ndarray]:
        found = self._static[step.contender.name]
        assert found is not None  # as `complete` says
        return found


__all__ = ["DrawnCosts", "DrawnFrontiers", "Rival", "Robustness", "RunKey"]
