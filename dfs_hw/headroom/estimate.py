"""What reading the input can earn: choices of some networks, judged by another.

An oracle that chooses for a network by that network's own loss wins a lottery: among many
assignments some are right by chance, and that chance will not come again. So others choose. What
helps an input in networks that were trained from other seeds *and* in the one that is judged is
what can be known about the input. One network says it with much noise of its own; more networks say
it with less, and how much less follows from how well two of them agree (Spearman and Brown, British
Journal of Psychology 3, 1910): that gives what infinitely many would find.

Notation: N inputs, M assignments (each the same choices for all inputs), P prices of cost, G mean
costs at which policies are compared, R samples of the inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np

PRICES = np.concatenate([[0.0], np.logspace(-4, 2, 121)])
"""Prices of the dearest assignment's cost, in wrong predictions."""
FOLDS = 10
"""Parts of the inputs; how much repeats between networks is found on all parts but the one it is
used for."""
SCALES = 9
"""Sizes of what is known about the inputs at which its worth is computed; it is linear between."""
CONFIDENCE = 0.95
"""Share of the resamples that lie within an interval."""


class Judged(NamedTuple):
    """One network at M assignments."""

    validation: np.ndarray
    """Mean risk of its own validation inputs at each assignment, float64 [M]."""
    risk: np.ndarray
    """Chance that it gives to other classes than the right one, for each test input, [N, M]."""
    right: np.ndarray
    """Whether it classifies each test input right at each assignment, bool [N, M]."""


class PriceSweep(NamedTuple):
    """What a policy spends on each test input, and whether that is classified right, price by
    price."""

    cost: np.ndarray
    """Cost of each input, float32 [P, N]: it falls with the price."""
    right: np.ndarray
    """Whether, or how likely, each input is classified right, float32 [P, N]."""


class Curves(NamedTuple):
    """Mean accuracies at G amounts of cost, in R samples of the inputs, each float64 [R, G]. The
    first sample is the inputs themselves; the others are drawn from them with replacement."""

    static: np.ndarray
    """Best static assignments by each network's validation inputs, two of them mixed at random
    where none costs just that."""
    lottery: np.ndarray
    """Oracle that chooses for a network by that network's own risk."""
    chosen: tuple[np.ndarray, ...]
    """Oracles that choose for a network by 1, 2, ... other networks."""
    repeats: tuple[float, ...]
    """Share of what an assignment changes for an input, beside what it changes for all, that
    repeats in the network judged: by 1, 2, ... other networks."""
    limit: np.ndarray
    """Oracle that chooses by infinitely many networks, as the agreement of these has it."""


def curves(
    networks: Sequence[Judged],
    costs: np.ndarray,
    amounts: np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Curves:
    """Accuracy of static networks and of oracles at equal mean cost.

    Args:
        networks: trained from different seeds, at least two, at the same inputs and assignments.
        costs: of each assignment for one input, float [M].
        amounts: mean costs to look at, float [G]: where a policy cannot spend as much, what it
            spends at most counts.
        resamples: samples that intervals come from; the networks stay as they are.
        seed: of what is drawn.
    """
    inputs = len(networks[0].right)
    draw = np.random.default_rng(seed)
    counts = draw.multinomial(inputs, np.full(inputs, 1 / inputs), size=resamples)
    weights = np.concatenate([np.ones((1, inputs)), counts]).astype(np.float32) / inputs
    fold = draw.permutation(inputs) % FOLDS

    def mean(sweeps: Iterable[PriceSweep]) -> np.ndarray:
        return np.mean([accuracies(one, weights, amounts) for one in sweeps], axis=0)

    static = mean(price_sweep(one.right, one.validation[None], costs) for one in networks)
    chosen, repeats = [], []
    for number in range(1, len(networks)):
        shares: list[float] = []
        chosen.append(mean(_by_others(networks, costs, number, fold, shares)))
        repeats.append(float(np.mean(shares)))
    return Curves(
        static,
        mean(price_sweep(one.right, one.risk, costs) for one in networks),
        tuple(chosen),
        tuple(repeats),
        static + gain_in_the_limit(networks, costs, amounts, weights),
    )


def price_sweep(right: np.ndarray, expected: np.ndarray, costs: np.ndarray) -> PriceSweep:
    """What comes of taking, for each input, the assignment of least expected risk and price of
    cost together.

    Args:
        right: whether, or how likely, each input is classified right at each assignment, [N, M].
        expected: risk of each input at each assignment, [N, M]; [1, M] if no input is looked at.
        costs: of each assignment, [M].
    """
    inputs = np.arange(len(right))
    cost, good = np.empty((2, len(PRICES), len(inputs)), dtype=np.float32)
    for row, price in enumerate(PRICES / costs.max()):
        taken = (expected + price * costs).argmin(axis=1)
        cost[row] = costs[taken]
        good[row] = right[inputs, taken]
    return PriceSweep(cost, good)


def accuracies(sweep: PriceSweep, weights: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Accuracy of a policy at mean costs [G], float64 [R, G]; between two prices inputs are dealt
    to both at random.

    Args:
        weights: of the inputs in each sample, float32 [R, N].
    """
    spent, right = ((weights @ each.T)[:, ::-1] for each in sweep)
    pairs = zip(spent, right, strict=True)
    return np.stack([np.interp(amounts, cost, accuracy) for cost, accuracy in pairs])


def interval(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends [G] that `CONFIDENCE` of the resamples [R, G] lie within; the first is not one."""
    rest = (1 - CONFIDENCE) / 2
    low, high = np.quantile(samples[1:], [rest, 1 - rest], axis=0)
    return low, high


def expected_risk(
    judge: Judged, others: Sequence[Judged], fold: np.ndarray
) -> tuple[np.ndarray, float]:
    """Risk of a network at each test input and assignment [N, M], expected from other networks, and
    the share of what those say that repeats.

    It is the mean risk on the network's validation inputs, which needs no look at the input, and a
    share of what the others' risk departs from *their* mean. The share is the slope of the
    network's mistakes over the others' departures, by least squares on the inputs of other folds:
    0 where nothing repeats, which leaves the best static assignment.

    Args:
        fold: of each input, int [N].
    """
    seen, mistakes = _mean_departures(others), _departures(1.0 - judge.right)
    products, squares = (seen * mistakes).sum(axis=1), (seen * seen).sum(axis=1)
    share = np.zeros(len(seen))
    for part in range(FOLDS):
        rest = fold != part
        share[~rest] = np.maximum(_ratio(products[rest].sum(), squares[rest].sum()), 0.0)
    return judge.validation + share[:, None] * seen, float(share.mean())


def gain_in_the_limit(
    networks: Sequence[Judged], costs: np.ndarray, amounts: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Accuracy above the best static assignment's, float64 [R, G], of an oracle that knows all that
    networks of this kind have in common about an input.

    What is common has the variance that one network's departures share with another's mistakes. It
    is taken to be distributed as the mean departures of all networks are, made so much smaller; no
    network judges. If networks have little in common on few directions and differ on many, that
    puts it too high.

    Args:
        weights: of the inputs in each sample, float32 [R, N].
    """
    seen = _mean_departures(networks)
    mistakes = [_departures(1.0 - one.right) for one in networks]
    departures = [_departures(one.risk) for one in networks]
    common = np.mean(
        [
            (departures[one] * mistakes[other]).sum(axis=1)
            for one, other in permutations(range(len(networks)), 2)
        ],
        axis=0,
    )
    sizes = np.sqrt(_ratio(np.maximum(weights @ common, 0.0), weights @ (seen * seen).sum(axis=1)))
    grid = np.linspace(0, sizes.max(), SCALES)
    usual = np.mean([one.validation for one in networks], axis=0)
    worth = []
    for size in grid:
        risk = usual + size * seen
        worth.append(accuracies(price_sweep(1 - risk, risk, costs), weights, amounts))
    gains = np.stack(worth) - worth[0]
    place = _ratio(sizes, grid[1]) if grid[1] else np.zeros(len(sizes))
    below = np.minimum(place.astype(int), SCALES - 2)
    rows, rest = np.arange(len(sizes)), (place - below)[:, None]
    return (1 - rest) * gains[below, rows] + rest * gains[below + 1, rows]


def _by_others(
    networks: Sequence[Judged],
    costs: np.ndarray,
    number: int,
    fold: np.ndarray,
    shares: list[float],
) -> Iterator[PriceSweep]:
    """Every network judged, every `number` of the others choosing; `shares` takes what repeats."""
    for place, judge in enumerate(networks):
        for others in combinations([*networks[:place], *networks[place + 1 :]], number):
            expected, share = expected_risk(judge, others, fold)
            shares.append(share)
            yield price_sweep(judge.right, expected, costs)


def _mean_departures(networks: Sequence[Judged]) -> np.ndarray:
    return _departures(np.stack([one.risk for one in networks]).mean(axis=0, dtype=np.float64))


def _departures(values: np.ndarray) -> np.ndarray:
    """Values [N, M] less the mean of their assignment and of their input."""
    centred = values - values.mean(axis=0)
    return centred - centred.mean(axis=1, keepdims=True)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Quotient; 0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros_like(part * 1.0), where=np.asarray(whole) > 0)
