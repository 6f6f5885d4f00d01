"""Thresholds of confidence at which inputs leave, chosen together on held-out inputs.

At a price of cost every input is worth whether it is right where it leaves, less the price of
getting there. The thresholds of all exits are climbed one after another: with the others as they
are, the best one for an exit is where the running sum of what leaving gains, over inputs in the
order of their confidence, is highest. A path of prices gives a path of settings; between two of
them, shares of the inputs are interpolated, so that any budget in reach is met. Thresholds are
quantiles of held-out inputs: as many leave at each exit as that says, and so the cost holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dfs_hw.budgets.ladder import Rung

SWEEPS = 10
"""Times all thresholds are gone through at one price, at most."""
PRICES = 24
"""Prices on a path, in equal ratios."""
PRICE_RANGE = (0.01, 10.0)
"""Accuracy that a relative cost of 1 is worth, at the lowest and the highest price."""
BETWEEN = 24
"""Settings on a path for each price."""


@dataclass(frozen=True)
class HeldOut:
    """What N held-out inputs do at fixed widths if none leaves, and what leaving costs."""

    assignment: np.ndarray
    """Choice of each unit [units], by index."""
    confidence: np.ndarray
    """Confidence at each exit, from 0 to 1, float [N, exits]."""
    right: np.ndarray
    """Whether the prediction of each exit, and at the end, is right: bool [N, exits + 1]."""
    cost: np.ndarray
    """Relative cost of leaving at each exit, and at the end, float [exits + 1]."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoint(Rung):
    """Widths and thresholds, and what came of them on held-out inputs."""

    assignment: np.ndarray
    """Choice of each unit [units], by index."""
    thresholds: np.ndarray
    """Confidence from which inputs leave at each exit, float [exits]; above 1 where none does."""


def leaves_at(confidence: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The exit at which each input leaves, int [N]; their number for those that come to the end."""
    sure = np.column_stack([confidence >= thresholds, np.ones(len(confidence), dtype=bool)])
    return sure.argmax(1)


def best_thresholds(seen: HeldOut, price: float) -> np.ndarray:
    """Thresholds [exits] at which no other choice of a single one is worth more.

    Args:
        price: accuracy that a relative cost of 1 is worth.
    """
    worth = seen.right - price * seen.cost
    inputs, exits = seen.confidence.shape
    order = np.argsort(-seen.confidence, axis=0, kind="stable")
    thresholds = np.full(exits, np.inf)
    for _ in range(SWEEPS):
        before = thresholds.copy()
        for at in reversed(range(exits)):
            there = leaves_at(seen.confidence[:, :at], thresholds[:at]) == at
            later = at + 1 + leaves_at(seen.confidence[:, at + 1 :], thresholds[at + 1 :])
            gain = np.where(there, worth[:, at] - worth[np.arange(inputs), later], 0.0)
            thresholds[at] = _cut(seen.confidence[order[:, at], at], gain[order[:, at]])
        if np.array_equal(before, thresholds):
            break
    return thresholds


def _cut(confidence: np.ndarray, gain: np.ndarray) -> float:
    """Where the gain of all that are at least as confident is highest; infinite if it is a loss.

    Args:
        confidence: falling [N].
        gain: of each [N].
    """
    total = np.cumsum(gain)
    last_of_equals = np.append(confidence[:-1] > confidence[1:], True)
    total[~last_of_equals] = -np.inf
    best = int(total.argmax())
    if total[best] <= 0:
        return np.inf
    below = confidence[best + 1] if best + 1 < len(confidence) else confidence[best]
    return float((confidence[best] + below) / 2)


def settings_of(seen: HeldOut, cost_of: Callable[[np.ndarray], float]) -> list[OperatingPoint]:
    """Settings of one assignment, from those that spend most to those that spend least.

    Args:
        cost_of: the budget's figure for where each input leaves, int [N].
    """
    prices = np.geomspace(*PRICE_RANGE, PRICES)
    ends = [np.full(seen.confidence.shape[1], np.inf)]
    ends += [best_thresholds(seen, price) for price in prices]
    path = [ends[0]]
    for first, second in pairwise(ends):
        path += _between(seen.confidence, first, second)
    return [_setting(seen, thresholds, cost_of) for thresholds in path]


def _between(confidence: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[np.ndarray]:
    """Thresholds that go from one setting to another, in equal steps of the share of inputs."""
    if np.array_equal(first, second):
        return []
    start, stop = ((confidence >= one).mean(0) for one in (first, second))
    steps = np.linspace(0, 1, BETWEEN + 1)[1:-1]
    found = [quantiles(confidence, start + step * (stop - start)) for step in steps]
    return [*found, second]


def quantiles(confidence: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Thresholds [exits] that the given shares of inputs reach, each input counted at every
    exit."""
    inputs, exits = confidence.shape
    falling = -np.sort(-confidence, axis=0)
    # Half way between the last that is to reach it and the next, of which there may be none.
    padded = np.vstack([np.full(exits, np.inf), falling, np.full(exits, -np.inf)])
    count = np.round(shares * inputs).astype(int)
    above, below = (padded[count + more, np.arange(exits)] for more in (0, 1))
    return np.where(count == 0, np.inf, np.where(count == inputs, above, (above + below) / 2))


def _setting(
    seen: HeldOut, thresholds: np.ndarray, cost_of: Callable[[np.ndarray], float]
) -> OperatingPoint:
    thresholds = thresholds.astype(np.float32)  # as a network keeps them
    places = leaves_at(seen.confidence, thresholds)
    accuracy = float(seen.right[np.arange(len(places)), places].mean())
    return OperatingPoint(
        assignment=seen.assignment, thresholds=thresholds, cost=cost_of(places), accuracy=accuracy
    )


__all__ = [
    "HeldOut",
    "OperatingPoint",
    "best_thresholds",
    "leaves_at",
    "quantiles",
    "settings_of",
]
