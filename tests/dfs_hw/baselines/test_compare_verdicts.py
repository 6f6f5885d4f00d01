"""From the figures of a comparison to its sentences: spreads, verdicts both ways round."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from comparing import CONFIG

from dfs_hw.baselines.bench import correlation, deciding_units
from dfs_hw.baselines.contenders import Contender, LineUp
from dfs_hw.baselines.judgement.sentences import lead, sentence
from dfs_hw.baselines.judgement.verdicts import Verdict, verdicts
from dfs_hw.baselines.records import AS_TRAINED, AT_PRICE, SHUFFLED, WITHIN, Record, Run
from dfs_hw.baselines.tabulation import Spread, contender_rows, rises


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
    assert Spread.of([5.0]).deviation is None


INPUTS = 1000


def run(contender: str, seed: int, accuracy: float, **more: Any) -> Run:
    """A run that has the first of the inputs right, and the same cost for all."""
    one = record(contender, seed, accuracy, **more)
    correct = (np.arange(INPUTS) < round(accuracy * INPUTS)).astype(float)
    return Run(one, correct, np.full(INPUTS, one.share), np.arange(INPUTS))


FIELD = LineUp(
    (contender("s", "static"), contender("t", "smaller"), contender("d", "dfs")), {}, 1.0, ""
)
TITLES = {one.name: one.title for one in FIELD.contenders}


def judged(own: list[float], fixed: list[float], dealt: list[float], **more: Any) -> Verdict:
    """The verdict on a contender of so many seeds, given its and the others' accuracies."""
    runs = [
        one
        for seed, (a, b, c) in enumerate(zip(own, fixed, dealt, strict=True))
        for one in (
            run("d", seed, a, **{"validation_accuracy": a, **more}),
            run("s", seed, b, validation_accuracy=b),
            run("d", seed, c, variant=SHUFFLED, **more),
        )
    ]
    (verdict,) = verdicts(runs, FIELD)
    return verdict


def said(*args: list[float], **more: Any) -> str:
    return sentence(judged(*args, **more), TITLES)


def test_the_verdict_says_what_the_figures_say() -> None:
    better, worse = [0.90, 0.91, 0.92], [0.80, 0.81, 0.82]
    text = said(better, worse, [0.85, 0.86, 0.87])
    assert text.startswith("D earned its keep: at 100% of the budget it is 10.00 points (")
    assert "more accurate than the best static network (S), and 5.00 points (" in text
    assert "No static network is as accurate on the validation split" in text
    assert "chance" not in text
    text = said(worse, better, [0.75, 0.76, 0.77])
    assert text.startswith("D did NOT earn its keep")
    assert "less accurate than the best static network (S)" in text
    assert said(better, worse, better).startswith("D did NOT earn")  # inputs do not matter
    text = said([0.9, 0.8, 0.85], [0.8, 0.85, 0.8], worse)
    assert text.startswith("Whether D earned its keep cannot be told")
    assert "The difference to the best static network and to shuffled decisions may be" in text
    assert "One seed says nothing" in said([0.9], [0.8], [0.8])
    assert judged([0.9], [0.8], [0.8]).earned is None


def test_who_overspends_is_held_against_what_that_buys() -> None:
    runs = [
        run("d", 0, 0.9, validation_accuracy=0.9, share=1.3),
        run("d", 0, 0.8, variant=SHUFFLED, share=1.3),
        run("t", 0, 0.7, validation_accuracy=0.7, share=1.0),
        run("s", 0, 0.8, validation_accuracy=0.8, share=1.3),
    ]
    (verdict,) = verdicts(runs, FIELD)
    assert verdict.against_static is not None
    assert verdict.against_static.than == "s"
    assert "It spends more than it was to, and is held against" in sentence(verdict, TITLES)


def test_energy_is_compared_at_equal_accuracy_by_validation() -> None:
    runs = [
        one
        for seed in (0, 1)
        for one in (
            run("d", seed, 0.802, validation_accuracy=0.8, share=0.6),
            run("d", seed, 0.7, variant=SHUFFLED, share=0.6),
            run("s", seed, 0.9, validation_accuracy=0.798, share=0.8),  # as accurate
            run("t", seed, 0.9, validation_accuracy=0.796, share=0.7),  # 0.4 points below
        )
    ]
    (verdict,) = verdicts(runs, FIELD)
    assert verdict.saving is not None
    assert verdict.saving.than == "s"
    share, points = verdict.saving.share, verdict.saving.points
    assert (share.mean, share.low, share.high) == pytest.approx((0.25, 0.25, 0.25))
    assert points.mean == pytest.approx(-0.098)
    assert "spends 25 % less (25 to 25) than the cheapest static" in sentence(verdict, TITLES)


def test_whoever_has_thresholds_is_judged_at_every_budget_that_all_seeds_have() -> None:
    runs = []
    for seed in (0, 1):
        runs += [run("s", seed, 0.8, validation_accuracy=0.8, share=0.5)]
        for variant, target in ((AS_TRAINED, 1.0), (WITHIN, 0.6), (WITHIN, 0.5)):
            if seed == 0 or target != 0.5:
                more = {"target": target, "share": target}
                runs += [run("d", seed, 0.8 + target / 10, variant=variant, **more)]
                runs[-1] = replace(
                    runs[-1], record=replace(runs[-1].record, validation_accuracy=0.8)
                )
                runs += [run("d", seed, 0.5, variant=SHUFFLED, **more)]
    found = verdicts(runs, FIELD)
    assert [(one.target, one.as_trained) for one in found] == [(0.6, False), (1.0, True)]
    gains = [one.against_static.points.mean for one in found if one.against_static]
    assert gains == pytest.approx([0.06, 0.1])
    text = lead(found, TITLES)
    assert text.startswith(
        "D beats the best static network at equal cost at 2 of 2 budgets: at 0.6"
    )
    assert "at 0.6 x budget by 6.00 points (" in text
    assert "at 1 x budget by 10.00 points (" in text
    alone = lead(verdicts([one for one in runs if one.record.seed == 0], FIELD), TITLES)
    assert alone.startswith("One seed says nothing of other trainings: nothing is called earned.")
    assert "D is ahead of the best static network at equal cost at 3 of 3 budgets, by 5.00" in alone
    assert lead([], TITLES).startswith("No network that decides per input beats")


def test_a_verdict_needs_a_static_network_within_the_budget() -> None:
    runs = [
        run("d", 0, 0.9, validation_accuracy=0.9),
        run("s", 0, 0.8, share=1.1, validation_accuracy=0.8),
        run("d", 0, 0.8, variant=SHUFFLED),
    ]
    (verdict,) = verdicts(runs, FIELD)
    assert (verdict.earned, verdict.against_static) == (None, None)
    assert "no static network of this comparison costs as little" in sentence(verdict, TITLES)


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
