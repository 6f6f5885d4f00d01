"""Which epoch is kept, and at which price a knob is left."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfs_hw.training.loop.stage import Epoch
from dfs_hw.training.stages.choosing import best_on_target, first_to_beat_all, latest_of_the_best
from dfs_hw.training.stages.knob import ENOUGH, find_price

ACCURACIES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def epochs(accuracies: Sequence[float], costs: Sequence[float] | None = None) -> list[Epoch]:
    return [
        Epoch("joint", number, 0.1, 1.0, 0.6, accuracy, cost, number / len(accuracies))
        for number, (accuracy, cost) in enumerate(
            zip(accuracies, costs or [0.6] * len(accuracies), strict=True), start=1
        )
    ]


def test_the_latest_epoch_within_a_standard_error_is_chosen() -> None:
    # At 0.9 of 100 inputs the standard error is 0.03.
    assert latest_of_the_best(epochs([0.5, 0.9, 0.88, 0.86]), 100).number == 3
    assert latest_of_the_best(epochs([0.5, 0.9, 0.88, 0.86]), 10_000).number == 2


def test_accuracy_counts_only_among_epochs_on_target() -> None:
    history = epochs([0.9, 0.7, 0.8, 0.95], [0.51, 0.5, 0.488, 0.6])
    assert best_on_target(history, 0.5, 10_000).number == 1
    assert best_on_target(history[1:], 0.5, 10_000).number == 3
    assert best_on_target(history[3:], 0.5, 10_000).number == 4


def test_off_target_the_nearest_is_kept_whatever_its_accuracy() -> None:
    assert best_on_target(epochs([0.9, 0.1, 0.9], [0.7, 0.55, 0.4]), 0.5, 100).number == 2


def test_the_released_rule_keeps_only_what_beats_the_backbone() -> None:
    history = epochs([0.8, 0.92, 0.91, 0.92])
    assert first_to_beat_all(history, 0.9).number == 2
    assert first_to_beat_all(history, 0.92).number == 4  # none beats it: the latest


@given(ACCURACIES, st.lists(st.floats(0.01, 2), min_size=12, max_size=12), st.floats(0.01, 1))
def test_every_rule_names_the_last_epoch_or_the_one_before(
    accuracies: list[float], costs: list[float], bar: float
) -> None:
    history = epochs(accuracies, costs[: len(accuracies)])
    rules = (
        lambda seen: latest_of_the_best(seen, 50),
        lambda seen: best_on_target(seen, bar, 50),
        lambda seen: first_to_beat_all(seen, bar),
    )
    for choose in rules:
        kept = history[0]
        for count in range(1, len(history) + 1):
            chosen = choose(history[:count])
            assert chosen in (kept, history[count - 1])
            kept = chosen


@given(st.lists(st.floats(0.1, 1), min_size=1, max_size=6), st.floats(0.05, 1.1))
def test_a_price_is_found_on_any_falling_staircase(steps: list[float], target: float) -> None:
    costs = sorted(steps, reverse=True)

    def look(price: float) -> tuple[float, float]:
        return price, costs[min(int(price * len(costs)), len(costs) - 1)]

    found = find_price(look, target)
    assert look(found.price) == (found.accuracy, found.cost)
    best = min(abs(cost - target) for cost in costs)
    if costs[0] <= target:
        assert found.price == 0
    else:
        assert abs(found.cost - target) <= max(best, ENOUGH * target) + 1e-12


@pytest.mark.parametrize("target", [0.4, 0.55, 0.8])
def test_a_price_on_a_smooth_curve_meets_the_target(target: float) -> None:
    asked = []

    def look(price: float) -> tuple[float, float]:
        asked.append(price)
        return 1.0, 0.3 + 0.6 * (1 - price) ** 2

    assert find_price(look, target).cost == pytest.approx(target, rel=0.01)
    assert len(asked) <= 9
