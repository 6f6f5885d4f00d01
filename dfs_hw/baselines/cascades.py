"""Two static networks in a row: the dearer one runs only where the cheaper one is not sure.

What a cascade is: `dfs_hw.cascade`. Here pairs are weighed by what was measured of each network.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import permutations
from statistics import fmean

import numpy as np

from dfs_hw.baselines.bench import correlation, deciding_units
from dfs_hw.baselines.contenders import AT_BUDGET, LineUp
from dfs_hw.baselines.records import AS_TRAINED, SHUFFLED, WITHIN, Answers, Record, Run
from dfs_hw.baselines.study import Study
from dfs_hw.budgets.budget import statistic_of
from dfs_hw.cascade import threshold_passing

Static = dict[str, dict[int, Run]]
"""Static networks by name and seed."""


@dataclass(frozen=True)
class Cascade:
    """Two static networks of one seed, and when the first passes an input on."""

    first: Run
    then: Run
    threshold: float
    """Confidence of the first below which the second one runs too, and is believed."""
    statistic: str
    """Figure of the inputs' costs that a budget limits."""

    @classmethod
    def within(cls, first: Run, then: Run, allowed: float, statistic: str) -> Cascade:
        """The cascade that passes on as many validation inputs as it can within a budget.

        Args:
            allowed: cost over the study's budget, at least that of the first network alone.
        """
        known = np.sort(_validation(first).confidence)
        places = np.arange(len(known))

        def spent(number: int) -> float:
            costs = first.record.share + (places < number) * then.record.share
            return statistic_of(costs, statistic)

        number = bisect_right(range(len(known) + 1), allowed, key=spent) - 1
        return cls(first, then, threshold_passing(known, number), statistic)

    @property
    def validation_accuracy(self) -> float:
        """Share of the validation inputs that are classified right."""
        return float(self._correct(_validation(self.first), _validation(self.then)).mean())

    @property
    def validation_share(self) -> float:
        """Cost of the validation inputs, over the study's budget."""
        passed = _validation(self.first).confidence < self.threshold
        costs = self.first.record.share + passed * self.then.record.share
        return statistic_of(costs, self.statistic)

    @property
    def passed(self) -> np.ndarray:
        """Whether each test input is passed on, bool [N]."""
        return _test(self.first).confidence < self.threshold

    def run(self, variant: str, target: float) -> Run:
        """What it does with the test inputs."""
        first, then, passed = self.first, self.then, self.passed
        correct = self._correct(_test(first), _test(then))
        costs = first.cost + passed * then.cost
        share = float(passed.mean())
        budget = float(first.cost[0]) / first.record.share
        record = Record(
            contender="cascade",
            seed=first.record.seed,
            variant=variant,
            accuracy=float(correct.mean()),
            bitops=first.record.bitops + share * then.record.bitops,
            energy_j=first.record.energy_j + share * then.record.energy_j,
            latency_s=first.record.latency_s + share * then.record.latency_s,
            share=statistic_of(costs, self.statistic) / budget,
            target=target,
            validation_accuracy=self.validation_accuracy,
            correlation=None if first.severity is None else correlation(costs, first.severity),
            vectors=len(np.unique(passed)),
            deciding=deciding_units(passed[:, None].astype(np.int64), 2),
            made_of=(first.record.contender, then.record.contender),
            threshold=self.threshold,
        )
        return Run(record, correct, costs, first.source, first.severity)

    def shuffled(self, target: float) -> Run:
        """The share of inputs that is passed on, dealt to any of them: the mean over all deals."""
        true, share = self.run(SHUFFLED, target), float(self.passed.mean())
        correct = (1 - share) * self.first.correct + share * self.then.correct
        record = replace(
            true.record, accuracy=float(correct.mean()), correlation=None, validation_accuracy=None
        )
        return replace(true, record=record, correct=correct)

    def _correct(self, first: Answers, then: Answers) -> np.ndarray:
        return np.where(first.confidence < self.threshold, then.correct, first.correct)


def cascade_runs(runs: Iterable[Run], study: Study, field: LineUp) -> list[Run]:
    """What the cascade does of every seed at the study's budget and those of its grid, with its
    decisions dealt beside it; nothing at a budget within which there is no pair.

    Args:
        runs: of all contenders that were trained.
    """
    if all(one.trained for one in field.contenders):
        return []
    static: Static = {}
    for run in runs:
        if run.answers is not None:
            static.setdefault(run.record.contender, {})[run.record.seed] = run
    found: list[Run] = []
    known: list[tuple[Cascade, ...]] = []
    for allowed in sorted({AT_BUDGET, *study.grid}):
        known += cascades(static, allowed, field.statistic)
        variant = AS_TRAINED if allowed == AT_BUDGET else WITHIN
        for cascade in max(known, key=_rank, default=()):
            found += [cascade.run(variant, allowed), cascade.shuffled(allowed)]
    return found


def cascades(static: Static, allowed: float, statistic: str) -> Iterator[tuple[Cascade, ...]]:
    """Every pair of static networks that spends a budget: one cascade a seed. The first network is
    the cheaper one, and within the budget, for all seeds.

    Args:
        static: static networks by name and seed.
        allowed: cost over the study's budget.
        statistic: of the inputs' costs that the budget limits.
    """
    for first, then in permutations(static.values(), 2):
        both = [(first[seed], then[seed]) for seed in first]
        if all(a.record.share < b.record.share and a.record.share <= allowed for a, b in both):
            yield tuple(Cascade.within(a, b, allowed, statistic) for a, b in both)


def _rank(pair: tuple[Cascade, ...]) -> tuple[float, float]:
    """Mean accuracy of the validation inputs over seeds; of equals, the cheapest is first."""
    return (
        fmean(one.validation_accuracy for one in pair),
        -fmean(one.validation_share for one in pair),
    )


def _validation(run: Run) -> Answers:
    assert run.validation is not None  # as of every static network
    return run.validation


def _test(run: Run) -> Answers:
    assert run.answers is not None  # as of every static network
    return run.answers
