"""Records of several seeds made into rows, differences and a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, stdev

from scipy.stats import t as student

from dfs_hw.baselines.contenders import AT_BUDGET, Contender
from dfs_hw.baselines.measurement import AS_TRAINED, AT_PRICE, MET, SHUFFLED, Record

CONFIDENCE = 0.95
"""Confidence of the interval that must not hold zero, for a difference to count as no chance."""
ROUNDING = 1e-9
"""Difference of accuracies below which there is none."""
QUANTITIES = (
    "accuracy",
    "validation_accuracy",
    "bitops",
    "energy_j",
    "latency_s",
    "share",
    "price",
    "correlation",
    "vectors",
    "deciding",
)
"""Fields of a record that are averaged over seeds."""


@dataclass(frozen=True)
class Spread:
    """Mean over seeds, and standard deviation between them (of a sample); None for one seed."""

    mean: float
    deviation: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Mean and standard deviation of values, one a seed."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else None, len(values))

    @property
    def error(self) -> float | None:
        """Standard error of the mean."""
        return None if self.deviation is None else self.deviation / math.sqrt(self.n)

    @property
    def side(self) -> int:
        """1 or -1 if the mean is above or below zero by more than chance (Student's t), else 0."""
        if self.error is None:
            return 0
        reach = float(student.ppf((1 + CONFIDENCE) / 2, self.n - 1)) * self.error
        return (self.mean > reach) - (self.mean < -reach)


@dataclass(frozen=True)
class Row:
    """One contender, run in one way, over all seeds."""

    contender: str
    variant: str
    price: float | None
    """Price of cost that all seeds were run at; None if each has its own, or there is none."""
    figures: dict[str, Spread | None]
    """Spread of each of `QUANTITIES` over seeds, by name; None where a seed has none."""
    met: int
    """Seeds in which the budget was met."""
    over: int
    """Seeds in which more was spent."""
    n: int
    fixed: tuple[str, ...]
    """Choices of the blocks, each that occurred once; empty where inputs differ."""


@dataclass(frozen=True)
class Difference:
    """Accuracy of a contender less another's, paired by seed."""

    than: str
    """The other, or ``shuffled`` for its own decisions dealt to other inputs."""
    by_seed: dict[int, float]
    spread: Spread


@dataclass(frozen=True)
class Verdict:
    """Whether deciding per input earned its keep, for one contender."""

    contender: str
    against_static: Difference | None
    """Difference to the best static network within its budget; None if there is none."""
    against_shuffled: Difference
    earned: bool | None
    """Whether it earned its keep; None if it cannot be told."""
    sentence: str


@dataclass(frozen=True)
class Rise:
    """A step of the knob to a higher price of cost that cost more."""

    seed: int
    price: float
    next_price: float
    energy_j: float
    next_energy_j: float


def contender_rows(records: Sequence[Record]) -> list[Row]:
    """One row for each contender and variant, in the order they come up."""
    groups: dict[tuple[str, str, float | None], list[Record]] = {}
    for record in records:
        price = record.price if record.variant == AT_PRICE else None
        groups.setdefault((record.contender, record.variant, price), []).append(record)
    return [
        Row(
            *key,
            figures={name: _spread(group, name) for name in QUANTITIES},
            met=sum(record.met for record in group),
            over=sum(record.over for record in group),
            n=len(group),
            fixed=tuple(dict.fromkeys(record.fixed for record in group if record.fixed)),
        )
        for key, group in groups.items()
    ]


def best_static_network(
    records: Iterable[Record], contenders: Iterable[Contender], target: float = AT_BUDGET
) -> Contender | None:
    """The static contender of the highest mean validation accuracy, of those that in no seed spend
    more than a target; of equals, the cheapest.

    Contenders are of every kind: a width everywhere, a choice for each block, a smaller network.
    Without a budget, of widths alone, `dfs_hw.experiment.best_static_width` chooses.

    Args:
        target: over the study's budget.
    """
    seen: dict[str, list[Record]] = {}
    for record in records:
        seen.setdefault(record.contender, []).append(record)
    limit = target * (1 + MET)
    within = [
        contender
        for contender in contenders
        if not contender.adaptive and all(r.share <= limit for r in seen[contender.name])
    ]

    def rank(contender: Contender) -> tuple[float, float]:
        own = seen[contender.name]
        accuracies = [r.validation_accuracy for r in own if r.validation_accuracy is not None]
        return fmean(accuracies), -fmean(record.energy_j for record in own)

    return max(within, key=rank, default=None)


def verdict_on(
    contender: Contender, records: Sequence[Record], contenders: Iterable[Contender], metric: str
) -> Verdict:
    """What the records say of one contender that decides, at the budget it was trained for."""
    own = _of(records, contender.name, AS_TRAINED)
    than_shuffled = _difference(own, SHUFFLED, _of(records, contender.name, SHUFFLED))
    static = best_static_network(records, contenders, contender.target)
    if static is None:
        sentence = (
            f"Whether {contender.title} earned its keep cannot be told: no static network of this "
            "comparison is within its budget."
        )
        return Verdict(contender.name, None, than_shuffled, None, sentence)
    than_static = _difference(own, static.name, _of(records, static.name, AS_TRAINED))
    share = fmean(record.share for record in own)
    over = share / contender.target > 1 + MET
    earned = _earned(than_static.spread, than_shuffled.spread, over)
    spends = f"at {share:.0%} of the {metric} budget"
    sentence = _sentence(contender, static, than_static, than_shuffled, earned, spends, over)
    return Verdict(contender.name, than_static, than_shuffled, earned, sentence)


def rises(records: Iterable[Record]) -> list[Rise]:
    """Where a knob turned to a higher price spent more energy, seed by seed."""
    by_seed: dict[int, list[Record]] = {}
    for record in records:
        if record.variant == AT_PRICE:
            by_seed.setdefault(record.seed, []).append(record)
    found = []
    for seed, curve in by_seed.items():
        curve.sort(key=lambda record: record.price or 0.0)
        for here, after in pairwise(curve):
            if after.energy_j > here.energy_j:
                prices = (here.price or 0.0, after.price or 0.0)
                found.append(Rise(seed, *prices, here.energy_j, after.energy_j))
    return found


def _earned(static: Spread, shuffled: Spread, over: bool) -> bool | None:
    """Whether it is more accurate than both, by more than chance; None if that cannot be told."""
    if min(static.mean, shuffled.mean) < ROUNDING:
        return False
    if static.side > 0 and shuffled.side > 0 and not over:
        return True
    return None


def _sentence(
    contender: Contender,
    static: Contender,
    than_static: Difference,
    than_shuffled: Difference,
    earned: bool | None,
    spends: str,
    over: bool,
) -> str:
    heads = {
        True: f"{contender.title} earned its keep",
        False: f"{contender.title} did NOT earn its keep",
        None: f"Whether {contender.title} earned its keep cannot be told",
    }
    seeds = than_static.spread.n
    said = (
        f"{heads[earned]}: {spends} it is {_points(than_static.spread)} the best static network "
        f"({static.title}), and {_points(than_shuffled.spread)} itself with its decisions shuffled "
        f"({seeds} seed{'s' if seeds > 1 else ''}; mean ± standard error, paired by seed)."
    )
    if over:
        said += " It spends more than it was to: the accuracies are not at matched cost."
    if seeds == 1:
        return said + " One seed says nothing of chance."
    unsure = [
        name
        for name, spread in (
            ("the best static network", than_static.spread),
            ("shuffled decisions", than_shuffled.spread),
        )
        if spread.side == 0
    ]
    if unsure:
        said += f" The difference to {' and to '.join(unsure)} may be chance (95 % interval)."
    return said


def _points(spread: Spread) -> str:
    error = "" if spread.error is None else f" ± {100 * spread.error:.2f}"
    word = "less" if spread.mean < -ROUNDING else "more"
    return f"{100 * abs(spread.mean):.2f}{error} points {word} accurate than"


def _difference(own: Iterable[Record], than: str, others: Iterable[Record]) -> Difference:
    accuracy = {record.seed: record.accuracy for record in others}
    by_seed = {record.seed: record.accuracy - accuracy[record.seed] for record in own}
    return Difference(than, by_seed, Spread.of(list(by_seed.values())))


def _of(records: Iterable[Record], name: str, variant: str) -> list[Record]:
    return [r for r in records if (r.contender, r.variant) == (name, variant)]


def _spread(group: Sequence[Record], name: str) -> Spread | None:
    values = [getattr(record, name) for record in group]
    return None if any(value is None for value in values) else Spread.of(values)
