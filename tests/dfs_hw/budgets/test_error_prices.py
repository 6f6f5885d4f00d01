"""Errors as powers of sizes, against planted ones, and prices for every budget."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from dfs_hw.budgets.error_prices import CLOSE, LOOKS, fitted_powers, price_path
from dfs_hw.budgets.ladder import Rung
from dfs_hw.gates.estimated_error import UNCHANGED


@pytest.mark.parametrize("shape", [np.inf, 0.5])  # without noise, and with errors over decades
def test_the_fit_finds_the_power_law_that_errors_were_drawn_from(shape: float) -> None:
    drawn = np.random.default_rng(0)
    size = np.exp(0.3 * drawn.standard_normal((20_000, 2)) + [0.5, -1.0])
    level, slope = np.array([[-1.0, -4.0], [0.5, -9.0]]), np.array([[2.0, -3.0], [0.0, -1.5]])
    error = np.exp(level + slope * np.log(size)[:, :, None])
    if shape < np.inf:
        error *= drawn.gamma(shape, 1 / shape, error.shape)
    tolerance = 1e-4 if shape == np.inf else 0.15
    found = fitted_powers(size, error)
    assert found[0] == pytest.approx(level, abs=tolerance)
    assert found[1] == pytest.approx(slope, abs=tolerance)


def test_what_cannot_be_fitted_says_the_mean_or_nothing() -> None:
    size = np.full((3, 1), 2.0)
    level, slope = fitted_powers(size, np.array([[[0.0, 0.1]], [[0.0, 0.2]], [[0.0, 0.6]]]))
    assert slope.tolist() == [[0.0, 0.0]]
    assert level[0, 0] == UNCHANGED
    assert np.exp(level[0, 1]) == pytest.approx(0.3)


@pytest.mark.parametrize("budget", [0.25, 0.5, 0.83])
def test_prices_are_found_for_a_budget_and_for_the_whole_range(budget: float) -> None:
    """Costs that fall in a narrow range of prices, somewhere in twelve decades."""
    asked: list[float] = []

    def look(price: float) -> Rung:
        asked.append(price)
        cost = 0.2 + 0.8 / (1 + (price / 0.037) ** 3)
        return Rung(cost=cost, accuracy=cost)

    costs = [one.cost for one in price_path(look, budget)]
    assert len(asked) == len(set(asked)) == len(costs)
    assert costs == sorted(costs, reverse=True)
    assert any(budget * (1 - CLOSE) <= cost <= budget for cost in costs)
    assert max(high / low for high, low in pairwise(costs)) < 1.25


def test_costs_that_no_price_lies_between_are_not_looked_for_without_end() -> None:
    def look(price: float) -> Rung:
        return Rung(cost=1.0 if price < 2 else 0.3, accuracy=0.5)

    found = price_path(look, 0.5)
    assert {one.cost for one in found} == {1.0, 0.3}
    assert len(found) <= 2 * LOOKS
