"""Records of several seeds made into rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, stdev

from dfs_hw.baselines.records import AT_PRICE, Record

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


@dataclass(frozen=True)
class Row:
    """One contender, run in one way, over all seeds."""

    contender: str
    variant: str
    target: float
    """Budget over the study's that it was to keep to."""
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
class Rise:
    """A step of the knob to a higher price of cost that cost more."""

    seed: int
    price: float
    next_price: float
    energy_j: float
    next_energy_j: float


def contender_rows(records: Sequence[Record]) -> list[Row]:
    """One row for each contender, variant and budget, in the order they come up."""
    groups: dict[tuple[str, str, float, float | None], list[Record]] = {}
    for record in records:
        price = record.price if record.variant == AT_PRICE else None
        key = (record.contender, record.variant, record.target, price)
        groups.setdefault(key, []).append(record)
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


def _spread(group: Sequence[Record], name: str) -> Spread | None:
    values = [getattr(record, name) for record in group]
    return None if any(value is None for value in values) else Spread.of(values)
