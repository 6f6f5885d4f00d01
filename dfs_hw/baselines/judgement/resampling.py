"""Intervals of differences between contenders, paired input by input and seed by seed.

A figure of a comparison is a mean over a few trainings of a mean over the test inputs, and both
are samples. The inputs are drawn anew, with replacement, for all contenders and seeds at once
(bootstrap, Efron and Tibshirani 1993): so differences stay paired, pictures that several inputs are
made of stay together, and inputs that seeds share stay shared. Seeds are too few to be drawn anew,
and a bootstrap of three is too sure of itself. So what seeds do not share, their trainings and
inputs of their own, enters by Student's t of their means, which is exact for few; what they share,
which no difference between seeds shows, by the bootstrap. Seeds that agree by luck make no interval
smaller than the bootstrap does for these very trainings. A single seed has that alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from dfs_hw.budgets.budget import statistic_of

CONFIDENCE = 0.95
"""Share of the intervals that hold the truth."""
DRAWS = 2000
"""Times that the inputs are drawn anew."""
AT_ONCE = 250
"""Draws that are summed up at a time."""

Inputs = Mapping[int, np.ndarray]
"""A figure of each test input [N], by seed."""


@dataclass(frozen=True)
class Interval:
    """Mean over seeds of a figure, and what chance in inputs and trainings may have made of it."""

    mean: float
    low: float
    high: float
    by_seed: dict[int, float]

    @property
    def side(self) -> int:
        """1 or -1 if all of it is above or below zero, else 0."""
        return (self.low > 0) - (self.high < 0)

    def signed(self, digits: int) -> str:
        """Mean and ends in hundredths, as tables show them: ``+1.20 (0.31 to 2.09)``."""
        each = (self.mean, self.low, self.high)
        mean, low, high = (round(100 * end, digits) + 0.0 for end in each)  # no -0
        return f"{mean:+.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


class Resampling:
    """The test inputs of all seeds, drawn anew many times.

    Args:
        sources: number of the picture that each input is made of, int64 [N], by seed; the same
            number is the same picture for all seeds.
        draws: how many times.
    """

    def __init__(self, sources: Inputs, draws: int = DRAWS) -> None:
        generator = np.random.default_rng(0)
        pictures = np.unique(np.concatenate(list(sources.values())))
        number = len(pictures)
        drawn = (generator.integers(0, number, number) for _ in range(draws))
        times = np.stack([np.bincount(one, minlength=number) for one in drawn]).astype(np.uint8)
        self._times = {
            seed: times[:, np.searchsorted(pictures, source)] for seed, source in sources.items()
        }
        self._sizes = {seed: drawn.sum(1) for seed, drawn in self._times.items()}
        # Of Student's t, in random order: as good as draws of it, and without their noise.
        self._quantiles = generator.permutation((np.arange(draws) + 0.5) / draws)

    def difference(self, own: Inputs, other: Inputs) -> Interval:
        """How much larger a mean over inputs is than another's."""
        apart = {seed: own[seed] - other[seed] for seed in own}
        by_seed = {seed: float(values.mean()) for seed, values in apart.items()}
        drawn = np.stack([self._means(seed, values) for seed, values in apart.items()], axis=1)
        return self._interval(by_seed, drawn)

    def saving(self, own: Inputs, other: Inputs, statistic: str = "mean") -> Interval:
        """Share by which a statistic over inputs, such as their mean cost, is below another's."""
        by_seed = {
            seed: 1 - statistic_of(own[seed], statistic) / statistic_of(other[seed], statistic)
            for seed in own
        }
        drawn = np.stack(
            [
                1
                - self._statistics(seed, own[seed], statistic)
                / self._statistics(seed, other[seed], statistic)
                for seed in own
            ],
            axis=1,
        )
        return self._interval(by_seed, drawn)

    def _statistics(self, seed: int, values: np.ndarray, statistic: str) -> np.ndarray:
        """A statistic of the inputs of every draw [draws]."""
        if statistic == "mean":
            return self._means(seed, values)
        repeated = (np.repeat(values, times) for times in self._times[seed])
        return np.array([statistic_of(inputs, statistic) for inputs in repeated])

    def _means(self, seed: int, values: np.ndarray) -> np.ndarray:
        """Mean over the inputs of every draw [draws]."""
        times = self._times[seed]
        parts = (times[start : start + AT_ONCE].astype(np.float64) for start in _starts(times))
        return np.concatenate([part @ values for part in parts]) / self._sizes[seed]

    def _interval(self, by_seed: dict[int, float], drawn: np.ndarray) -> Interval:
        """Interval of figures by seed, given those of every draw [draws, seeds]."""
        means = np.array(list(by_seed.values()))
        mean, seeds = float(means.mean()), len(means)
        around = drawn.mean(1) - mean
        ends = _ends(around)
        if seeds > 1:
            error = float(means.std(ddof=1)) / math.sqrt(seeds)
            own = error * student.ppf(self._quantiles, seeds - 1)
            low, high = _ends(around * shared_share(drawn) + own)
            ends = min(ends[0], low), max(ends[1], high)
        return Interval(mean, mean + ends[0], mean + ends[1], by_seed)


def shared_share(drawn: np.ndarray) -> float:
    """How much of the deviation of the mean over seeds is that of inputs which the seeds share, 0
    to 1: of the variance it is the mean covariance between seeds.

    Args:
        drawn: a figure of each seed for every draw [draws, seeds], of at least two seeds.
    """
    covariance = np.cov(drawn, rowvar=False)
    seeds, of_mean = len(covariance), float(covariance.mean())
    between = float(covariance.sum() - np.trace(covariance)) / (seeds * (seeds - 1))
    return math.sqrt(min(1.0, max(0.0, between) / of_mean)) if of_mean > 0 else 0.0


def _ends(around: np.ndarray) -> tuple[float, float]:
    """Ends of the interval that holds `CONFIDENCE` of the draws [draws]."""
    low, high = np.quantile(around, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _starts(times: np.ndarray) -> range:
    return range(0, len(times), AT_ONCE)
