"""Verdicts when constants are others: the rule of nominal constants, at other costs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from comparing import CONFIG
from hypothesis import given
from hypothesis import strategies as st
from networks import gated_pair

from accel_models import load_accelerator, simulate
from accel_models.costs.drawn_prices import drawn_prices
from dfs_hw.baselines.contenders import Contender, LineUp
from dfs_hw.baselines.judgement.robustness import DrawnCosts, Robustness
from dfs_hw.baselines.judgement.sentences import nominal, robust
from dfs_hw.baselines.judgement.verdicts import Verdict, verdicts
from dfs_hw.baselines.records import AS_TRAINED, SHUFFLED, Record, Run

STATIC = ("a", "b", "c")
FIELD = LineUp(
    (
        *(Contender(name, "static", name, CONFIG) for name in STATIC),
        Contender("d", "dfs", "d", CONFIG),
    ),
    {},
    2.0,
    "",
)
SEEDS, INPUTS, DRAWS = (0, 1), 40, 6
amounts = st.sampled_from([1.0, 1.5, 2.0, 3.0])
by_seed = amounts.map(lambda one: (one, 1.25 * one))  # equal means, and so ties, are equal seeds
accuracies = st.sampled_from([0.5, 0.6, 0.7, 0.8])


def run(name: str, seed: int, accuracy: float, energy: float, **more: Any) -> Run:
    figures = {"bitops": 1.0, "energy_j": energy, "latency_s": 1.0, "share": energy / FIELD.budget}
    record = Record(name, seed, more.pop("variant", AS_TRAINED), accuracy, **figures, **more)
    correct = (np.arange(INPUTS) < round(accuracy * INPUTS)).astype(float)
    return Run(record, correct, np.full(INPUTS, energy), np.arange(INPUTS))


def judged(
    looks: dict[str, float], energies: dict[str, tuple[float, float]], drawn: DrawnCosts | None
) -> Verdict:
    """The verdict on d, of networks with these accuracies, and energies by seed."""
    more = {"target": 1.0}
    runs = [
        run(name, seed, looks[name], energies[name][seed], validation_accuracy=looks[name], **more)
        for name in looks
        for seed in SEEDS
    ]
    dealt = {**more, "variant": SHUFFLED}
    runs += [run("d", seed, 0.4, energies["d"][seed], **dealt) for seed in SEEDS]
    (verdict,) = verdicts(runs, FIELD, drawn)
    return verdict


def at_draws(draws: list[dict[str, tuple[float, float]]]) -> DrawnCosts:
    energies = {
        (name, AS_TRAINED, 1.0): {
            seed: np.array([one[name][seed] for one in draws]) for seed in SEEDS
        }
        for name in draws[0]
    }
    return DrawnCosts(("dram.pj_per_bit",), ("dram.latency_ns",), len(draws), energies)


everybody = st.fixed_dictionaries({name: by_seed for name in (*STATIC, "d")})


@given(
    st.fixed_dictionaries({name: accuracies for name in (*STATIC, "d")}),
    everybody,
    st.lists(everybody, min_size=1, max_size=DRAWS),
)
def test_every_draw_is_judged_as_if_it_were_nominal(
    looks: dict[str, float],
    nominal: dict[str, tuple[float, float]],
    draws: list[dict[str, tuple[float, float]]],
) -> None:
    verdict = judged(looks, nominal, at_draws(draws))
    found = verdict.robustness
    assert found is not None
    # A budget left unspent counts at every draw: whoever costs as much more is still a rival.
    allowance = max(1.0, verdict.share) / verdict.share
    alone = [judged_at(looks, one, allowance) for one in draws]
    points = [one.against_static.points.mean for one in alone if one.against_static is not None]
    assert found.alone == len(draws) - len(points)
    assert found.points == ((min(points), max(points)) if points else None)
    assert found.ahead == sum(one > 1e-9 for one in points)
    assert found.earned == sum(one.earned is True for one in alone)
    spared = [one.saving.share.mean for one in alone if one.saving is not None]
    assert (found.spared is None) == (not spared)
    if found.spared is not None:
        assert found.spared == pytest.approx((min(spared), max(spared)))
        assert found.cheaper == sum(one > 0 for one in spared)


def judged_at(
    looks: dict[str, float], energies: dict[str, tuple[float, float]], allowance: float
) -> Verdict:
    """The verdict at nominal constants, of a study whose budget is what d spends and is allowed."""
    budget = float(np.mean(energies["d"])) * allowance
    scaled = {
        name: tuple(one / budget * FIELD.budget for one in both) for name, both in energies.items()
    }
    return judged(looks, scaled, None)


def test_nothing_is_said_of_whom_nothing_is_known() -> None:
    looks = dict.fromkeys((*STATIC, "d"), 0.5)
    nominal = dict.fromkeys((*STATIC, "d"), (1.0, 1.0))
    whole = at_draws([nominal])
    assert judged(looks, nominal, whole).robustness is not None
    for missing in ("a", "d"):
        known = {key: costs for key, costs in whole.energies.items() if key[0] != missing}
        assert judged(looks, nominal, replace(whole, energies=known)).robustness is None
    assert robust(None, {}) == ""


def test_the_sentence_says_what_the_draws_came_to() -> None:
    looks = {"a": 0.5, "b": 0.9, "c": 0.6, "d": 0.8}
    energies = {"a": (1.0, 1.0), "b": (3.0, 3.0), "c": (2.0, 2.0), "d": (2.0, 2.0)}
    beaten = {**energies, "b": (2.0, 2.0)}
    nobody = dict.fromkeys(STATIC, (9.0, 9.0)) | {"d": (2.0, 2.0)}
    held = judged(looks, energies, at_draws([energies, energies, beaten, nobody])).robustness
    assert isinstance(held, Robustness)
    assert [(one.than, one.draws) for one in held.rivals] == [("c", 2), ("b", 1)]
    text = robust(held, {name: name.upper() for name in looks})
    assert "Of 4 draws of the constants from their ranges, in 2 the best static network" in text
    assert "within its budget is C (+20.00 points, " in text
    assert "in 1 the best static network within its budget is B (-10.00 points, " in text
    assert "in 1 no static network costs as little." in text
    assert "22% to 100% of the cheapest as accurate there" in text
    assert nominal(["a.b", "c"]).endswith("as they are no mere prices here: a.b, c.")
    assert nominal([]) == ""


def test_a_draw_is_the_machine_with_those_constants() -> None:
    machine, workload = load_accelerator("bitfusion"), gated_pair().without_gates()
    run = simulate(workload, machine, "8")
    drawn = drawn_prices(machine, draws=3)
    assert drawn is not None
    nominal, *energies = drawn.energy_j(run.counts, float(run.cycles))
    assert nominal == run.energy_j
    for pricing, energy in zip(drawn.pricings, energies, strict=True):
        changed = {path.replace(".", "__"): pricing.machine.field(path) for path in drawn.constants}
        told = simulate(workload, machine.configured(**changed), "8")
        assert told.energy_j == pytest.approx(energy, rel=0.02)  # mapped anew for its prices
        for path in drawn.constants:
            source = machine.provenance[path]
            assert source.low is not None
            assert source.high is not None
            assert source.low <= pricing.machine.field(path) <= source.high
    ranged = {path for path, source in machine.provenance.items() if source.low is not None}
    assert {*drawn.constants, *drawn.not_drawn} == ranged
    assert {"dram.latency_ns", "array.reconfiguration_cycles"} <= {*drawn.not_drawn}
    again = drawn_prices(machine, draws=3)
    assert again is not None
    assert [one.weighed_pj for one in again.pricings] == [one.weighed_pj for one in drawn.pricings]


def test_a_machine_without_ranges_has_nothing_to_draw() -> None:
    machine = load_accelerator("bitfusion-published")
    known = [one for one in machine.provenance.values() if one.low is not None]
    assert (drawn_prices(machine) is None) == (not known)
