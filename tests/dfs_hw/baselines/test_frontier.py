"""The staircase of static networks, against looking at every one of them."""

from comparing import CONFIG
from hypothesis import given
from hypothesis import strategies as st

from dfs_hw.baselines.contenders import Contender
from dfs_hw.baselines.judgement.frontier import Frontier
from dfs_hw.baselines.records import AS_TRAINED, FROZEN, Record

SHARES = st.integers(1, 20).map(lambda n: n / 10)
ACCURACIES = st.integers(0, 500).map(lambda n: n / 1000)
NETWORKS = st.lists(st.lists(st.tuples(SHARES, ACCURACIES), min_size=2, max_size=2), max_size=6)


def frontier(networks: list[list[tuple[float, float]]]) -> Frontier:
    """Of static networks given by share and validation accuracy of each seed; an adaptive one that
    is better than all of them, and a frozen one, do not count."""
    records = [
        Record(str(number), seed, AS_TRAINED, 0.0, 1.0, 1.0, 1.0, share, 1.0, accuracy)
        for number, seeds in enumerate(networks)
        for seed, (share, accuracy) in enumerate(seeds)
    ]
    records += [
        Record("d", 0, way, 1.0, 1.0, 1.0, 1.0, 0.1, 1.0, 1.0) for way in (AS_TRAINED, FROZEN)
    ]
    names = [str(number) for number in range(len(networks))]
    field = [Contender(name, "static", name, CONFIG) for name in names]
    return Frontier.of(records, [*field, Contender("d", "dfs", "d", CONFIG)])


def mean(seeds: list[tuple[float, float]], place: int) -> float:
    return (seeds[0][place] + seeds[1][place]) / 2


@given(NETWORKS, SHARES)
def test_the_best_within_a_budget_is_found_among_all(
    networks: list[list[tuple[float, float]]], allowed: float
) -> None:
    within = [
        (mean(seeds, 1), -mean(seeds, 0))
        for seeds in networks
        if all(share <= 1.02 * allowed for share, _ in seeds)
    ]
    found = frontier(networks).best_within(allowed)
    assert (found and (found.validation_accuracy, -found.share)) == max(within, default=None)


@given(NETWORKS, ACCURACIES)
def test_the_cheapest_that_is_as_accurate_is_found_among_all(
    networks: list[list[tuple[float, float]]], accuracy: float
) -> None:
    good = [mean(seeds, 0) for seeds in networks if mean(seeds, 1) >= accuracy - 0.003]
    found = frontier(networks).cheapest_with(accuracy)
    assert (found and found.share) == min(good, default=None)


@given(NETWORKS)
def test_stairs_rise_and_every_budget_stands_on_one(
    networks: list[list[tuple[float, float]]],
) -> None:
    field = frontier(networks)
    accuracies = [
        step.validation_accuracy for step in sorted(field.stairs(), key=lambda step: step.dearest)
    ]
    assert accuracies == sorted(accuracies)
    for tenths in range(21):
        best = field.best_within(tenths / 10)
        assert best is None or best.validation_accuracy in accuracies
