"""Settings of a network, from cheap to dear, of which each is worth what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from scipy.optimize import isotonic_regression

NEARLY = 0.98
"""Share of a cost that a setting for it spends at least, if there is one."""
ROUNDING = 1e-9
"""Share by which a cost may be over another and still count as within it."""


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What came of a setting on held-out inputs; families say what the setting is."""

    cost: float
    """Relative cost."""
    accuracy: float
    """Share that is right, 0 to 1."""


S = TypeVar("S", bound=Rung)


def ladder(settings: Sequence[S], points: int, budget: float) -> list[S]:
    """Settings, as many as `points`, from cheapest to dearest: their costs about equally far
    apart in ratio, each the most accurate of about its cost, and one for the budget, if that is in
    reach.

    Their accuracies are those measured, made not to fall with the cost (isotonic regression): what
    falls is chance, since a dearer setting could do what a cheaper one does.
    """
    costs = np.array([one.cost for one in settings])
    wanted = np.geomspace(costs.min(), costs.max(), points)
    if costs.min() <= budget <= costs.max():
        wanted[1 + np.abs(np.log(wanted[1:-1] / budget)).argmin()] = budget
    picked = sorted((_best_of_about(settings, costs, cost) for cost in wanted), key=_cost)
    expected = isotonic_regression([one.accuracy for one in picked]).x
    return [replace(one, accuracy=float(a)) for one, a in zip(picked, expected, strict=True)]


def _best_of_about(settings: Sequence[S], costs: np.ndarray, cost: float) -> S:
    """The most accurate setting within a cost that spends nearly all of it, or else the dearest."""
    spent = costs[costs <= cost * (1 + ROUNDING)].max()
    near = np.flatnonzero((costs <= cost * (1 + ROUNDING)) & (costs >= min(cost * NEARLY, spent)))
    return max((settings[int(one)] for one in near), key=lambda one: (one.accuracy, -one.cost))


def _cost(setting: Rung) -> float:
    return setting.cost


__all__ = ["Rung", "ladder"]
