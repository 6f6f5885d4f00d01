"""Whether a verdict holds whatever the machine's constants are within their ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dfs_hw.baselines.records import AS_TRAINED, MET, ROUNDING

Way = tuple[str, str, float]
"""Contender, variant and target: what the runs of several seeds have in common."""


@dataclass(frozen=True)
class DrawnCosts:
    """What contenders would spend, prices drawn from their ranges together."""

    constants: tuple[str, ...]
    """Paths of the constants that are drawn."""
    draws: int
    by_way: Mapping[Way, Mapping[int, np.ndarray]]
    """Energy of an input in J at every draw [draws], by seed; of those of whom it is known."""


@dataclass(frozen=True)
class Candidate:
    """A static network, over all seeds."""

    name: str
    target: float
    accuracy: float
    """Accuracy on the test split, mean over seeds."""
    validation_accuracy: float
    """Accuracy on the validation split, mean over seeds."""


@dataclass(frozen=True)
class Robustness:
    """A verdict at every draw of the constants from their ranges."""

    draws: int
    constants: tuple[str, ...]
    """Paths of the constants."""
    ahead: int
    """Draws in which it is more accurate than the best static network that costs no more there, or
    none costs as little."""
    points: tuple[float, float] | None
    """Accuracy less that network's, 0 to 1: the least and the most of all draws; None if there is
    none in any."""
    cheaper: int
    """Draws in which it spends less than the static network that was the cheapest as accurate; 0 if
    none was."""
    spared: tuple[float, float] | None
    """Share of that network's cost that it spares: the least and the most of all draws."""


def robustness(
    own: Way,
    accuracy: float,
    allowance: float,
    static: Iterable[Candidate],
    as_accurate: str,
    drawn: DrawnCosts,
) -> Robustness | None:
    """What becomes of a verdict on a contender; None if what it would spend is not known.

    Which of two networks costs less may change with the constants. So at every draw the best static
    network is looked for anew, among those that cost no more at that draw.

    Args:
        own: the contender.
        accuracy: its accuracy on the test split.
        allowance: the cost that static networks may have over its own, at least 1.
        static: static networks to hold it against.
        as_accurate: name of the cheapest that is as accurate; "" if none is.
    """
    if own not in drawn.by_way:
        return None
    spent = np.mean(list(drawn.by_way[own].values()), axis=0)
    known = {
        one.name: (one, list(drawn.by_way[one.name, AS_TRAINED, one.target].values()))
        for one in static
        if (one.name, AS_TRAINED, one.target) in drawn.by_way
    }
    if not known:
        return None
    best = _best_within(spent * allowance, list(known.values()))
    points = accuracy - best
    there = points[~np.isnan(points)]
    spared = None
    if as_accurate in known:
        spared = 1 - spent / np.mean(known[as_accurate][1], axis=0)
    return Robustness(
        draws=drawn.draws,
        constants=drawn.constants,
        ahead=int((points > ROUNDING).sum() + np.isnan(points).sum()),
        points=_ends(there) if len(there) else None,
        cheaper=0 if spared is None else int((spared > 0).sum()),
        spared=None if spared is None else _ends(spared),
    )


def _best_within(
    allowed: np.ndarray, static: Sequence[tuple[Candidate, Sequence[np.ndarray]]]
) -> np.ndarray:
    """Accuracy of the static network that validation calls the best, of those that in no seed spend
    more than is allowed at a draw [draws]; NaN where none spends as little."""
    dearest = np.stack([np.max(costs, axis=0) for _, costs in static])
    looks = np.array([one.validation_accuracy for one, _ in static])[:, None]
    rank = np.where(dearest <= allowed * (1 + MET), looks, -1.0)
    accuracies = np.array([one.accuracy for one, _ in static])
    return np.where(rank.max(axis=0) < 0, np.nan, accuracies[rank.argmax(axis=0)])


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


__all__ = ["Candidate", "DrawnCosts", "Robustness", "Way", "robustness"]
