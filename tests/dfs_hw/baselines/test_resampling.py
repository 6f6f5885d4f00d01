"""Intervals of differences hold the truth as often as they say, and see what belongs together."""

import numpy as np
import pytest

from dfs_hw.baselines.judgement.resampling import Resampling, shared_share


def field(
    generator: np.random.Generator, seeds: int, inputs: int, of_seed: float, of_input: float
) -> dict[int, np.ndarray]:
    """Differences of mean 0: a part of each seed, a part of each input alike for all seeds, and
    chance of deviation 1."""
    shared = of_input * generator.standard_normal(inputs)
    return {
        seed: of_seed * generator.standard_normal() + shared + generator.standard_normal(inputs)
        for seed in range(seeds)
    }


@pytest.mark.parametrize(
    ("seeds", "of_seed", "of_input"),
    [(1, 0.0, 1.0), (2, 0.1, 0.0), (3, 0.0, 1.0), (3, 0.2, 0.5)],
)
def test_intervals_hold_the_truth_19_times_of_20(
    seeds: int, of_seed: float, of_input: float
) -> None:
    generator, times, inputs = np.random.default_rng(1), 300, 60
    same = {seed: np.arange(inputs) for seed in range(seeds)}
    resampling = Resampling(same, draws=200)
    zero = {seed: np.zeros(inputs) for seed in range(seeds)}
    held = 0
    for _ in range(times):
        apart = field(generator, seeds, inputs, of_seed, of_input)
        interval = resampling.difference(apart, zero)
        held += interval.low <= 0 <= interval.high
    # 285 with a deviation of 4; more where inputs are all there is, and seeds might have been more.
    assert 0.92 * times <= held < times


def test_a_few_seeds_that_differ_make_for_the_interval_of_student() -> None:
    means = np.array([0.1, 0.2, 0.6])
    own = {seed: np.full(50, mean) for seed, mean in enumerate(means)}
    zero = {seed: np.zeros(50) for seed in own}
    interval = Resampling({seed: np.arange(50) for seed in own}).difference(own, zero)
    reach = 4.302653 * means.std(ddof=1) / 3**0.5
    assert interval.mean == pytest.approx(0.3)
    assert interval.high - interval.mean == pytest.approx(reach, rel=0.02)
    assert interval.mean - interval.low == pytest.approx(reach, rel=0.02)


def test_seeds_that_agree_by_luck_do_not_hide_the_chance_in_inputs() -> None:
    generator = np.random.default_rng(3)
    own = {seed: generator.standard_normal(100) for seed in range(2)}
    own = {seed: values - values.mean() + 0.1 for seed, values in own.items()}
    zero = {seed: np.zeros(100) for seed in own}
    interval = Resampling({0: np.arange(100), 1: np.arange(100, 200)}).difference(own, zero)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / 200**0.5, rel=0.15)


def test_inputs_of_one_picture_count_as_one() -> None:
    generator = np.random.default_rng(0)
    pictures = generator.standard_normal(80)
    each = {0: np.repeat(pictures, 5)}
    zero = {0: np.zeros(400)}
    alone = Resampling({0: np.arange(80)}).difference({0: pictures}, {0: np.zeros(80)})
    together = Resampling({0: np.repeat(np.arange(80), 5)}).difference(each, zero)
    apart = Resampling({0: np.arange(400)}).difference(each, zero)
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high))
    width = together.high - together.low
    assert apart.high - apart.low == pytest.approx(width / 5**0.5, rel=0.1)


def test_inputs_that_seeds_share_are_drawn_for_all_of_them_at_once() -> None:
    shared = np.random.default_rng(0).standard_normal(200)
    own, zero = {0: shared, 1: shared}, {0: np.zeros(200), 1: np.zeros(200)}
    one = Resampling({0: np.arange(200)}).difference({0: shared}, {0: zero[0]})
    same = Resampling({0: np.arange(200), 1: np.arange(200)}).difference(own, zero)
    other = Resampling({0: np.arange(200), 1: np.arange(200, 400)}).difference(own, zero)
    assert (same.low, same.high) == pytest.approx((one.low, one.high))
    assert other.high - other.low < 0.8 * (same.high - same.low)


def test_what_is_paired_is_not_blurred_by_hard_inputs() -> None:
    hard = np.random.default_rng(0).random(500)
    inputs = np.arange(500)
    resampling = Resampling({0: inputs})
    interval = resampling.difference({0: hard + 0.1}, {0: hard})
    assert (interval.low, interval.high) == pytest.approx((0.1, 0.1))
    assert interval.side == 1


def test_savings_are_of_the_statistic_that_is_asked_for() -> None:
    costs = np.random.default_rng(0).exponential(size=300)
    resampling = Resampling({0: np.arange(300)}, draws=200)
    flat = {0: np.full(300, 2.0)}
    mean = resampling.saving({0: costs}, flat)
    tail = resampling.saving({0: costs}, flat, "p90")
    assert mean.mean == pytest.approx(1 - costs.mean() / 2)
    assert tail.mean == pytest.approx(1 - np.percentile(costs, 90) / 2)
    for interval in (mean, tail):
        assert interval.low < interval.mean < interval.high
    again = resampling.saving({0: 1e-6 * costs}, {0: np.full(300, 2e-6)})
    assert (again.low, again.high) == pytest.approx((mean.low, mean.high))


def test_what_seeds_share_is_their_covariance() -> None:
    generator = np.random.default_rng(0)
    own = 0.3 * generator.standard_normal((4000, 3))
    alike = 0.2 * generator.standard_normal((4000, 1))
    assert shared_share(own + alike) == pytest.approx((0.04 / (0.04 + 0.09 / 3)) ** 0.5, rel=0.03)
    assert shared_share(alike.repeat(3, axis=1)) == pytest.approx(1)
    assert shared_share(own) < 0.2
    assert shared_share(np.ones((9, 2))) == 0
