"""Thresholds chosen together: against trying every other, and what holds by construction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_hw.budgets.ladder import ladder
from dfs_hw.budgets.thresholds import (
    HeldOut,
    best_thresholds,
    leaves_at,
    quantiles,
    settings_of,
)


def seen(inputs: int, exits: int, seed: int, *, ties: bool = False) -> HeldOut:
    """Inputs whose exits are right the more often the surer, and the later."""
    drawn = np.random.default_rng(seed)
    confidence = drawn.random((inputs, exits))
    if ties:
        confidence = np.round(confidence * 4) / 4
    chance = np.column_stack([0.5 * confidence + 0.3, np.full(inputs, 0.9)])
    right = drawn.random((inputs, exits + 1)) < chance
    return HeldOut(np.zeros(exits, dtype=int), confidence, right, np.linspace(0.2, 1.0, exits + 1))


def worth(at: HeldOut, thresholds: np.ndarray, price: float) -> float:
    """By hand, input by input."""
    total = 0.0
    for row, sure in enumerate(at.confidence):
        place = next((e for e, c in enumerate(sure) if c >= thresholds[e]), len(sure))
        total += float(at.right[row, place]) - price * float(at.cost[place])
    return total


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 3), st.integers(0, 10**6), st.floats(0, 3), st.booleans())
def test_no_other_threshold_of_a_single_exit_is_worth_more(
    inputs: int, exits: int, seed: int, price: float, ties: bool
) -> None:
    at = seen(inputs, exits, seed, ties=ties)
    found = best_thresholds(at, price)
    best = worth(at, found, price)
    for exit_number in range(exits):
        for value in (*at.confidence[:, exit_number], np.inf):
            other = found.copy()
            other[exit_number] = value
            assert worth(at, other, price) <= best + 1e-9


def test_free_inputs_go_where_they_are_right_and_dear_ones_leave_at_once() -> None:
    at = seen(400, 3, 1)
    assert (leaves_at(at.confidence, best_thresholds(at, 100.0)) == 0).all()
    free = leaves_at(at.confidence, best_thresholds(at, 0.0))
    rows = np.arange(400)
    assert at.right[rows, free].mean() >= at.right.mean(0).max()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10**6))
def test_a_quantile_is_reached_by_its_share_of_inputs(inputs: int, seed: int) -> None:
    drawn = np.random.default_rng(seed)
    confidence, shares = drawn.random((inputs, 4)), drawn.random(4)
    shares[:2] = 0, 1
    reached = (confidence >= quantiles(confidence, shares)).sum(0)
    assert reached.tolist() == np.round(shares * inputs).astype(int).tolist()


@pytest.mark.parametrize("budget", [0.3, 0.5, 0.8])
def test_a_budget_within_reach_is_met_and_what_costs_more_is_expected_to_be_better(
    budget: float,
) -> None:
    at = seen(2000, 4, 5)
    made = settings_of(at, lambda places: float(at.cost[places].mean()))
    for one in made[::20]:
        places = leaves_at(at.confidence, one.thresholds)
        assert one.cost == pytest.approx(at.cost[places].mean())
        assert one.accuracy == pytest.approx(at.right[np.arange(2000), places].mean())
    table = ladder(made, 33, budget)
    costs, accuracies = [one.cost for one in table], [one.accuracy for one in table]
    assert costs == sorted(costs)
    assert accuracies == sorted(accuracies)
    within = [cost for cost in costs if cost <= budget]
    assert within[-1] == pytest.approx(budget, rel=0.02)
    assert len(table) == 33
    # Chance averages out: the ladder promises no more than was measured in all.
    measured = [next(m for m in made if m.thresholds is one.thresholds) for one in table]
    assert np.mean(accuracies) == pytest.approx(np.mean([one.accuracy for one in measured]))
