"""The best that networks do which do the same for all inputs, at every cost.

Such networks are points, so what can be had within a budget is a staircase: the best of those that
cost no more. The validation split says which is best; nothing is put between two points.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from dfs_hw.baselines.contenders import Contender
from dfs_hw.baselines.records import AS_TRAINED, MET, Record

AS_ACCURATE = 0.003
"""Accuracy, 0 to 1, by which a static network may be below another and still count as accurate."""


@dataclass(frozen=True)
class Stair:
    """A static network, over all seeds."""

    contender: Contender
    share: float
    """Mean cost over the study's budget."""
    dearest: float
    """Cost over the study's budget of the seed that costs most."""
    validation_accuracy: float
    """Mean accuracy on the validation split, 0 to 1."""


@dataclass(frozen=True)
class Frontier:
    """All static networks of a comparison."""

    networks: tuple[Stair, ...]

    @classmethod
    def of(cls, records: Iterable[Record], contenders: Iterable[Contender]) -> Frontier:
        """Gather the static networks among contenders, as training left them."""
        seen: dict[str, list[Record]] = {}
        for record in records:
            if record.variant == AS_TRAINED:
                seen.setdefault(record.contender, []).append(record)
        return cls(
            tuple(
                _step(one, seen[one.name])
                for one in contenders
                if not one.adaptive and one.name in seen
            )
        )

    def best_within(self, allowed: float) -> Stair | None:
        """The static network of the highest mean validation accuracy, of those that in no seed
        spend more than is allowed; of equals, the cheapest. None if there is none.

        Without a budget, of widths alone, `dfs_hw.experiment.best_static_width` chooses.

        Args:
            allowed: cost over the study's budget; `MET` on top passes.
        """
        within = [one for one in self.networks if one.dearest <= allowed * (1 + MET)]
        return max(within, key=lambda one: (one.validation_accuracy, -one.share), default=None)

    def cheapest_with(self, validation_accuracy: float) -> Stair | None:
        """The cheapest static network that is as accurate on the validation split, within
        `AS_ACCURATE`; None if none is."""
        least = validation_accuracy - AS_ACCURATE
        good = [one for one in self.networks if one.validation_accuracy >= least]
        return min(good, key=lambda one: (one.share, -one.validation_accuracy), default=None)

    def stairs(self) -> list[Stair]:
        """The networks that are best within what they cost, from the cheapest on."""
        best: Mapping[str, Stair | None] = {
            one.contender.name: self.best_within(one.dearest) for one in self.networks
        }
        steps = [one for one in self.networks if best[one.contender.name] is one]
        return sorted(steps, key=lambda one: one.share)


def _step(contender: Contender, records: list[Record]) -> Stair:
    accuracies = [r.validation_accuracy for r in records if r.validation_accuracy is not None]
    shares = [record.share for record in records]
    return Stair(contender, fmean(shares), max(shares), fmean(accuracies))
