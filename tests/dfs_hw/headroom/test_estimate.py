"""What an oracle earns: by knowledge that networks share, and not by luck."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfs_hw.headroom.estimate import (
    PRICES,
    Curves,
    Judged,
    accuracies,
    curves,
    expected_risk,
    interval,
    price_sweep,
)

COSTS = np.array([1.0, 2.0])


def gain(accuracy: np.ndarray, found: Curves) -> np.ndarray:
    return (accuracy - found.static)[0]


def with_noise(common: np.ndarray, noise: float, number: int, seed: int = 0) -> list[Judged]:
    """Networks that have odds of a mistake in common, [N, M], and a share each of its own."""
    draw = np.random.default_rng(seed)
    networks = []
    for _ in range(number):
        odds = common + noise * draw.normal(size=common.shape)
        risk = 1 / (1 + np.exp(-odds))
        networks.append(Judged(risk.mean(axis=0), risk, draw.random(common.shape) > risk))
    return networks


def test_two_kinds_of_input_are_told_apart_for_what_that_saves() -> None:
    """Half of the inputs are right at any width, half at the dear one alone: at a mean cost of 1.5
    a mixture at random is right in 75 %, who knows the kind in all."""
    risk = np.array([[0.0, 0.0], [1.0, 0.0]]).repeat(200, axis=0)
    network = Judged(risk.mean(axis=0), risk, risk < 0.5)
    found = curves([network, network], COSTS, np.array([1.0, 1.5, 2.0]), resamples=50)
    assert found.static[0] == pytest.approx([0.5, 0.75, 1.0])
    for oracle in (found.chosen[0], found.limit, found.lottery):
        assert oracle[0] == pytest.approx([0.5, 1.0, 1.0], abs=1e-5)  # sums are of float32
    assert found.repeats == pytest.approx((1.0,))


def test_luck_earns_nothing_when_another_network_judges() -> None:
    networks = with_noise(np.zeros((2000, 12)), 2.0, 2)
    found = curves(networks, np.linspace(1, 2, 12), np.array([1.2, 1.6]), resamples=100)
    assert (gain(found.lottery, found) > 0.3).all()
    assert np.abs(gain(found.chosen[0], found)).max() < 0.01
    low, high = interval(found.limit - found.static)
    assert (low < 0.005).all()  # so nothing was found,
    assert (high > 0.01).all()  # and not all was ruled out


def test_more_networks_find_more_and_the_limit_is_what_is_common() -> None:
    """The limit from two networks, and what an oracle finds that is told what is common."""
    draw, costs, amounts = np.random.default_rng(1), np.linspace(1, 2, 12), np.array([1.3, 1.7])
    common = draw.normal(size=(2000, 12)) - 0.8 * costs
    networks = with_noise(common, 1.5, 3)
    found = curves(networks, costs, amounts, resamples=10)
    gains = [gain(one, found) for one in found.chosen]
    assert (gains[0] < gains[1]).all()
    assert found.repeats[0] < found.repeats[1]
    odds = common + 1.5 * draw.normal(size=(20, *common.shape))
    known = (1 / (1 + np.exp(-odds))).mean(axis=0)
    every = np.full((1, len(common)), 1 / len(common), dtype=np.float32)
    told = [accuracies(price_sweep(n.right, known, costs), every, amounts)[0] for n in networks]
    true = np.mean(told, axis=0) - found.static[0]
    of_two = curves(networks[:2], costs, amounts, resamples=10)
    for limit in (gain(found.limit, found), gain(of_two.limit, of_two)):
        assert limit == pytest.approx(true, abs=0.04)
        assert (limit > gains[1]).all()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_sweep_is_brute_force_and_spends_less_at_higher_prices(seed: int) -> None:
    draw = np.random.default_rng(seed)
    risk, costs = draw.random((5, 4)), draw.random(4) + 0.1
    right = draw.random((5, 4)) > risk
    swept = price_sweep(right, risk, costs)
    for row in (0, 60, 121):
        for one in range(5):
            total = [risk[one, a] + PRICES[row] / costs.max() * costs[a] for a in range(4)]
            best = total.index(min(total))
            assert swept.cost[row, one] == np.float32(costs[best])
            assert swept.right[row, one] == right[one, best]
    assert (np.diff(swept.cost, axis=0) <= 0).all()


def test_what_repeats_is_found_on_other_inputs_than_it_is_used_for() -> None:
    """Which inputs of a fold are mistaken has no part in what is expected of that fold."""
    network, other = with_noise(np.zeros((100, 3)), 1.0, 2)
    fold = np.arange(100) % 10
    mine = fold == 3
    right = network.right.copy()
    right[mine] = right[mine][::-1]
    before, after = (
        expected_risk(one, [other], fold)[0] for one in (network, network._replace(right=right))
    )
    assert after[mine] == pytest.approx(before[mine])
    assert np.abs(after[~mine] - before[~mine]).max() > 1e-4
