"""From the figures of a comparison to its sentences: spreads, the best static network, verdicts."""

from typing import Any

import numpy as np
import pytest
from comparing import CONFIG

from dfs_hw.baselines.contenders import Contender
from dfs_hw.baselines.measurement import (
    AS_TRAINED,
    AT_PRICE,
    SHUFFLED,
    Record,
    correlation,
    deciding_units,
)
from dfs_hw.baselines.tabulation import (
    Spread,
    best_static_network,
    contender_rows,
    rises,
    verdict_on,
)


def test_a_block_decides_if_one_more_choice_has_more_than_a_twentieth() -> None:
    choices = np.zeros((100, 4), dtype=np.uint8)
    choices[:5, 1] = 2  # just 5 %
    choices[:6, 2] = 2  # more
    choices[:5, 3], choices[5:10, 3] = 1, 2  # 10 % are off, but no choice has more than 5 %
    assert deciding_units(choices, 3) == 1
    assert deciding_units(choices[:, :1], 1) == 0


def test_correlation_is_of_ranks() -> None:
    energy = np.array([1.0, 2.0, 3.0, 4.0])
    assert correlation(energy, np.exp(energy)) == pytest.approx(1)
    assert correlation(energy, np.array([4.0, 3.0, 1.0, 2.0])) == pytest.approx(-0.8)
    assert correlation(np.ones(4), energy) is None


def record(contender: str, seed: int, accuracy: float, **more: Any) -> Record:
    figures = {"bitops": 1.0, "energy_j": 1.0, "latency_s": 1.0, "share": 1.0, "target": 1.0}
    return Record(contender, seed, more.pop("variant", AS_TRAINED), accuracy, **figures | more)


def contender(name: str, family: str, **more: Any) -> Contender:
    return Contender(name, family, name.upper(), CONFIG, **more)


def test_a_spread_is_that_of_a_sample() -> None:
    spread = Spread.of([1.0, 2.0, 3.0])
    assert (spread.mean, spread.deviation) == (2.0, 1.0)
    assert spread.error == pytest.approx(3**-0.5)
    # Student's t for 2 degrees of freedom is 4.303 at 97.5 %: 2 is within 4.303 / sqrt(3) = 2.48.
    assert spread.side == 0
    assert Spread.of([2.0, 2.5, 3.0]).side == 1  # 4.303 / 2 / sqrt(3) = 1.24 < 2.5
    assert Spread.of([-2.0, -2.5, -3.0]).side == -1
    assert (Spread.of([5.0]).error, Spread.of([5.0]).side) == (None, 0)


def test_the_best_static_network_is_that_of_validation_within_the_budget() -> None:
    field = [contender(name, "static") for name in "abc"] + [contender("d", "dfs")]
    records = [
        record("a", 0, 0.9, validation_accuracy=0.7, share=0.5),
        record("b", 0, 0.5, validation_accuracy=0.8, share=1.0199),
        record("b", 1, 0.5, validation_accuracy=0.8, share=1.0),
        record("c", 0, 0.9, validation_accuracy=0.9, share=1.021),
        record("d", 0, 0.9, validation_accuracy=0.95, share=0.5),
    ]
    best = best_static_network(records, field)
    assert best is not None
    assert best.name == "b"
    cheap = best_static_network(records, field, target=0.6)
    assert cheap is not None
    assert cheap.name == "a"
    assert best_static_network(records, field, target=0.4) is None


def judged(own: list[float], fixed: list[float], dealt: list[float], **more: Any) -> str:
    """The sentence on a contender of so many seeds, given its and the others' accuracies."""
    field = [contender("s", "static"), contender("d", "dfs")]
    records = [
        one
        for seed, (a, b, c) in enumerate(zip(own, fixed, dealt, strict=True))
        for one in (
            record("d", seed, a, **more),
            record("s", seed, b, validation_accuracy=b),
            record("d", seed, c, variant=SHUFFLED, **more),
        )
    ]
    return verdict_on(field[1], records, field, "energy").sentence


def test_the_verdict_says_what_the_figures_say() -> None:
    better, worse = [0.90, 0.91, 0.92], [0.80, 0.81, 0.82]
    said = judged(better, worse, [0.85, 0.86, 0.87])
    assert said.startswith("D earned its keep: at 100% of the energy budget it is 10.00 ± 0.00")
    assert "more accurate than the best static network (S), and 5.00 ± 0.00 points more" in said
    assert "chance" not in said
    said = judged(worse, better, [0.75, 0.76, 0.77])
    assert said.startswith("D did NOT earn its keep")
    assert "10.00 ± 0.00 points less accurate than the best static network" in said
    assert judged(better, worse, better).startswith("D did NOT earn")  # inputs do not matter
    said = judged([0.9, 0.8, 0.85], [0.8, 0.85, 0.8], worse)
    assert said.startswith("Whether D earned its keep cannot be told")
    assert "The difference to the best static network and to shuffled decisions may be" in said
    assert "One seed says nothing" in judged([0.9], [0.8], [0.8])
    said = judged(better, worse, worse, share=1.1)
    assert said.startswith("Whether D earned its keep cannot be told: at 110% of the energy budget")
    assert "not at matched cost" in said


def test_a_verdict_needs_a_static_network_within_the_budget() -> None:
    field = [contender("s", "static"), contender("d", "dfs")]
    records = [record("d", 0, 0.9), record("s", 0, 0.8, share=1.1, validation_accuracy=0.8)]
    records.append(record("d", 0, 0.8, variant=SHUFFLED))
    verdict = verdict_on(field[1], records, field, "energy")
    assert (verdict.earned, verdict.against_static) == (None, None)
    assert "no static network of this comparison is within its budget" in verdict.sentence


def test_a_knob_that_spends_more_at_a_higher_price_is_found_out() -> None:
    curve = [(0.5, 2.0), (0.0, 3.0), (1.0, 2.5)]
    records = [
        record("k", 4, 0.9, variant=AT_PRICE, price=price, energy_j=energy)
        for price, energy in curve
    ]
    (rise,) = rises(records)
    assert (rise.seed, rise.price, rise.next_price) == (4, 0.5, 1.0)
    assert (rise.energy_j, rise.next_energy_j) == (2.0, 2.5)
    assert len(contender_rows(records)) == 3
    assert not rises([record("k", 0, 0.9, price=0.3), *records[:2]])
