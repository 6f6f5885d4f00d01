"""Power laws for the errors of narrower choices, and prices for all budgets.

One price of cost says for every input and unit which choice is worth its error. Which price a
budget asks for is tried out: errors of several units do not add up, and what one unit chooses
changes what later ones read.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from scipy.optimize import minimize

from dfs_hw.budgets.ladder import S
from dfs_hw.gates.estimated_error import UNCHANGED

LOWEST, HIGHEST = 1e-6, 1e6
"""Error, in nat, that a relative cost of 1 is worth, at the lowest and the highest price."""
LOOKS = 24
"""Prices that are tried for the whole range of costs."""
MORE_LOOKS = 12
"""Prices that are tried besides, at most, for one budget."""
CLOSE = 0.005
"""Share of a budget that a setting for it may leave unspent."""
SAME = 1e-6
"""Deviation of logarithms below which all inputs are of one size."""
FINEST = 1e-6
"""Share by which two prices differ at least, as single precision has to tell them apart."""


def fitted_powers(size: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Expected errors as powers of the size, ``exp(level + slope log s)``.

    Fitted by Poisson pseudo-likelihood, as it suits a power law whose errors scatter over decades:
    least squares in logarithms would go by the many small ones, and on the digits had slopes four
    times as steep as expected errors have (Santos Silva and Tenreyro, "The Log of Gravity", Review
    of Economics and Statistics, 2006).

    Args:
        size: of each input, above 0, float [N, units].
        error: of each choice, at least 0, float [N, units, K].

    Returns:
        Level and slope, float64 [units, K]: `UNCHANGED` and 0 for choices without any error. The
        slope is 0 where all inputs are of one size.
    """
    units, choices = error.shape[1:]
    level, slope = np.full((units, choices), UNCHANGED), np.zeros((units, choices))
    for unit, choice in np.ndindex(units, choices):
        if (made := error[:, unit, choice]).any():
            level[unit, choice], slope[unit, choice] = _power(np.log(size[:, unit]), made)
    return level, slope


def _power(logs: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Level and slope of one choice."""
    middle, spread, mean = logs.mean(), logs.std(), error.mean()
    if spread < SAME:
        return float(np.log(mean)), 0.0
    x, y = (logs - middle) / spread, error / mean

    def misfit(at: np.ndarray) -> tuple[float, np.ndarray]:
        """Negative log-likelihood and its gradient."""
        straight = at[0] + at[1] * x
        expected = np.exp(straight)
        off = expected - y
        return float((expected - y * straight).mean()), np.array([off.mean(), (off * x).mean()])

    found = minimize(misfit, np.zeros(2), jac=True, method="BFGS").x
    slope = float(found[1] / spread)
    return float(found[0] + np.log(mean) - slope * middle), slope


def price_path(look: Callable[[float], S], budget: float) -> list[S]:
    """Settings at prices from `LOWEST` to `HIGHEST`, where costs lie furthest apart tried between,
    and one that spends a budget nearly, if it is in reach and prices can tell.

    Args:
        look: what comes of a price, on held-out inputs.
        budget: relative cost.
    """
    seen = {price: look(price) for price in (LOWEST, HIGHEST)}

    def try_between(low: float, high: float) -> None:
        middle = float(np.sqrt(low * high))
        seen[middle] = look(middle)

    def gaps() -> list[tuple[float, float, float]]:
        """Ratio of costs, and both prices, of all neighbours that have something between."""
        return [
            (abs(float(np.log(seen[low].cost / seen[high].cost))), low, high)
            for low, high in pairwise(sorted(seen))
            if high / low > 1 + FINEST
        ]

    for _ in range(LOOKS - len(seen)):
        widest, low, high = max(gaps(), default=(0.0, LOWEST, HIGHEST))
        if widest == 0:
            break
        try_between(low, high)
    for _ in range(MORE_LOOKS):
        if any(budget * (1 - CLOSE) <= one.cost <= budget for one in seen.values()):
            break
        around = [
            (low, high) for _, low, high in gaps() if seen[high].cost <= budget <= seen[low].cost
        ]
        if not around:
            break
        try_between(*around[0])
    return [seen[price] for price in sorted(seen)]


__all__ = ["fitted_powers", "price_path"]
