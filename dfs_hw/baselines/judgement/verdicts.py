"""What can be said of every contender that decides: both ways round, and whether by chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from dfs_hw.baselines.contenders import Contender, LineUp
from dfs_hw.baselines.judgement.frontier import Frontier, Stair
from dfs_hw.baselines.judgement.resampling import Interval, Resampling
from dfs_hw.baselines.judgement.robustness import (
    DrawnCosts,
    DrawnFrontiers,
    Rival,
    Robustness,
    RunKey,
)
from dfs_hw.baselines.records import AS_TRAINED, ROUNDING, SHUFFLED, WITHIN, Run

Seeds = Mapping[int, Run]
"""Runs of one contender in one way, by seed."""


@dataclass(frozen=True)
class Difference:
    """Accuracy of a contender less another's, 0 to 1, paired by input and seed."""

    than: str
    """The other, or ``shuffled`` for its own decisions dealt to other inputs."""
    points: Interval


@dataclass(frozen=True)
class Saving:
    """What a contender spares of a static network's cost; in a verdict, of the cheapest that is as
    accurate."""

    than: str
    share: Interval
    """Share of that network's cost, in the study's metric and statistic."""
    points: Interval
    """Accuracy less that network's, 0 to 1: how equal the accuracies are on the test split."""


@dataclass(frozen=True)
class Verdict:
    """Whether deciding per input earned its keep, for one contender and budget."""

    contender: str
    target: float
    """Budget over the study's that it was trained for, or set to afterwards."""
    as_trained: bool
    """Whether it is as training left it."""
    share: float
    """Cost over the study's budget, mean over seeds."""
    accuracy: float
    """Accuracy, mean over seeds, 0 to 1."""
    against_static: Difference | None
    """Difference to the best static network that costs no more; None if there is none."""
    against_shuffled: Difference
    saving: Saving | None
    """Cost spared at equal accuracy; None if no static network is as accurate on the validation
    split."""
    earned: bool | None
    """Whether it earned its keep; None if it cannot be told."""
    robustness: Robustness | None = None
    """Whether that holds within the ranges of the machine's constants; None where what it would
    spend is not known."""


def verdicts(
    runs: Iterable[Run], field: LineUp, drawn: DrawnCosts | None = None
) -> tuple[Verdict, ...]:
    """What the runs say of every contender that decides, at every budget it was run within.

    Args:
        drawn: what contenders would spend if the machine's constants were others.
    """
    evidence = Evidence(runs, field, drawn)
    return tuple(
        evidence.verdict(contender, variant, target)
        for contender in field.contenders
        if contender.adaptive
        for variant, target in evidence.points(contender)
    )


class Evidence:
    """All runs of a comparison, to judge by.

    Args:
        runs: of all contenders and seeds.
        field: who took part.
        drawn: what they would spend if the machine's constants were others.
        resampling: of the same test inputs, where they have been drawn already.
    """

    def __init__(
        self,
        runs: Iterable[Run],
        field: LineUp,
        drawn: DrawnCosts | None = None,
        resampling: Resampling | None = None,
    ) -> None:
        self.field = field
        self._runs: dict[RunKey, dict[int, Run]] = {}
        self._sources: dict[int, np.ndarray] = {}
        for run in runs:
            one = run.record
            key = (one.contender, one.variant, one.target)
            self._runs.setdefault(key, {})[one.seed] = run
            self._sources[one.seed] = run.source
        records = (run.record for seeds in self._runs.values() for run in seeds.values())
        self.frontier = Frontier.of(records, field.contenders)
        self.drawn = None if drawn is None else DrawnFrontiers(drawn, self.frontier, field.budget)
        self.resampling = resampling or Resampling(self._sources)

    def points(self, contender: Contender) -> Iterator[tuple[str, float]]:
        """Variant and target of what is judged of a contender, from the lowest target on."""
        seeds = len(self._sources)
        found = [key for key in self._runs if key[0] == contender.name]
        for _, variant, target in sorted(found, key=lambda key: key[2]):
            everywhere = len(self._runs[contender.name, variant, target]) == seeds
            if variant in (AS_TRAINED, WITHIN) and everywhere:
                yield variant, target

    def verdict(self, contender: Contender, variant: str, target: float) -> Verdict:
        """What can be said of one point of one contender."""
        key = contender.name, variant, target
        own = self._runs[key]
        share = fmean(run.record.share for run in own.values())
        allowed = max(target, share)
        step = self.frontier.best_within(allowed)
        equal = self.frontier.cheapest_with(_validation_accuracy(own))
        dealt = self._difference(own, SHUFFLED, self._runs[contender.name, SHUFFLED, target])
        fixed = None
        if step is not None:
            fixed = self._difference(own, step.contender.name, self._static(step))
        return Verdict(
            contender=contender.name,
            target=target,
            as_trained=variant == AS_TRAINED,
            share=share,
            accuracy=fmean(run.record.accuracy for run in own.values()),
            against_static=fixed,
            against_shuffled=dealt,
            saving=None if equal is None else self.saving(key, equal),
            earned=_earned(fixed, dealt, len(own)),
            robustness=self._robustness(key, allowed / share, dealt),
        )

    def _robustness(self, key: RunKey, allowance: float, dealt: Difference) -> Robustness | None:
        """What becomes of the verdict when constants are drawn; None if it is not known.

        Args:
            allowance: the cost that static networks may have over its own.
            dealt: the difference to itself shuffled, which costs the same.
        """
        energies = None if self.drawn is None else self.drawn.energies(key)
        if self.drawn is None or energies is None:
            return None
        own, by_name = self._runs[key], {one.contender.name: one for one in self.frontier.networks}
        rivals = []
        for name, draws in self.drawn.rivals(energies, allowance).most_common():
            fixed = self._difference(own, name, self._static(by_name[name]))
            rivals.append(Rival(name, draws, fixed.points, _earned(fixed, dealt, len(own))))
        spared = self.drawn.spared(energies, _validation_accuracy(own))
        return Robustness(
            draws=self.drawn.drawn.draws,
            rivals=tuple(rivals),
            cheaper=0 if spared is None else sum(one > 0 for one in spared),
            spared=None if spared is None else (min(spared), max(spared)),
        )

    def _static(self, step: Stair) -> Seeds:
        return self._runs[step.contender.name, AS_TRAINED, step.contender.target]

    def saving(self, key: RunKey, step: Stair) -> Saving:
        """What a contender at one point spares of the cost of a static network.

        Args:
            key: contender, variant and target.
        """
        own, static = self._runs[key], self._static(step)
        share = self.resampling.saving(_costs(own), _costs(static), self.field.statistic)
        points = self.resampling.difference(_correct(own), _correct(static))
        return Saving(step.contender.name, share, points)

    def _difference(self, own: Seeds, than: str, other: Seeds) -> Difference:
        return Difference(than, self.resampling.difference(_correct(own), _correct(other)))


def _validation_accuracy(runs: Seeds) -> float:
    """Mean over seeds, 0 to 1."""
    accuracies = [run.record.validation_accuracy for run in runs.values()]
    return fmean(accuracy for accuracy in accuracies if accuracy is not None)


def _correct(runs: Seeds) -> dict[int, np.ndarray]:
    return {seed: run.correct for seed, run in runs.items()}


def _costs(runs: Seeds) -> dict[int, np.ndarray]:
    return {seed: run.cost for seed, run in runs.items()}


def _earned(fixed: Difference | None, dealt: Difference, seeds: int) -> bool | None:
    """Whether it is more accurate than both, by more than chance; None if that cannot be told."""
    if fixed is None:
        return None
    both = (fixed.points, dealt.points)
    if min(one.mean for one in both) < ROUNDING:
        return False
    return True if seeds > 1 and all(one.side > 0 for one in both) else None
