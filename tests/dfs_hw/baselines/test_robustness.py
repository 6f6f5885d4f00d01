"""Verdicts when constants are others: every draw judged by itself, in plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import gated_pair

from accel_models import load_accelerator, simulate
from accel_models.costs.drawn_prices import drawn_prices
from dfs_hw.baselines.judgement.robustness import Candidate, DrawnCosts, robustness
from dfs_hw.baselines.judgement.sentences import robust
from dfs_hw.baselines.records import AS_TRAINED, MET, WITHIN

OWN = ("d", WITHIN, 0.5)
SEEDS, DRAWS = 2, 5
WORKLOAD = gated_pair().without_gates()
amounts = st.lists(
    st.lists(st.sampled_from([1.0, 1.5, 2.0, 3.0, 4.5]), min_size=DRAWS, max_size=DRAWS),
    min_size=SEEDS,
    max_size=SEEDS,
)
shares = st.sampled_from([0.5, 0.6, 0.7, 0.8])


@given(amounts, st.lists(st.tuples(amounts, shares, shares), min_size=1, max_size=4), shares)
def test_every_draw_is_judged_by_what_costs_no_more_there(
    own: list[list[float]],
    others: list[tuple[list[list[float]], float, float]],
    accuracy: float,
) -> None:
    static = [Candidate(f"s{at}", 1.0, *looks) for at, (_, *looks) in enumerate(others)]
    by_way = {OWN: own} | {
        (one.name, AS_TRAINED, 1.0): costs for one, (costs, *_) in zip(static, others, strict=True)
    }
    drawn = DrawnCosts(
        ("a", "b"),
        DRAWS,
        {way: dict(enumerate(map(np.array, costs))) for way, costs in by_way.items()},
    )
    found = robustness(OWN, accuracy, 1.1, static, "s0", drawn)
    assert found is not None
    points, ahead, spared = [], 0, []
    for draw in range(DRAWS):
        mine = sum(seed[draw] for seed in own) / SEEDS
        fit = [
            one
            for one, (costs, *_) in zip(static, others, strict=True)
            if max(seed[draw] for seed in costs) <= mine * 1.1 * (1 + MET)
        ]
        if fit:
            best = max(fit, key=lambda one: one.validation_accuracy)
            points.append(accuracy - best.accuracy)
        ahead += not fit or points[-1] > 1e-9
        spared.append(1 - mine / (sum(seed[draw] for seed in others[0][0]) / SEEDS))
    assert (found.draws, found.ahead) == (DRAWS, ahead)
    assert found.points == ((min(points), max(points)) if points else None)
    assert found.cheaper == sum(one > 0 for one in spared)
    assert found.spared == pytest.approx((min(spared), max(spared)))
    assert ("one as accurate" in robust(found)) == bool(points)


def test_nothing_is_said_of_whom_nothing_is_known() -> None:
    nobody = DrawnCosts((), DRAWS, {})
    assert robustness(OWN, 0.5, 1.0, [], "", nobody) is None
    alone = DrawnCosts((), DRAWS, {OWN: {0: np.ones(DRAWS)}})
    assert robustness(OWN, 0.5, 1.0, [Candidate("s", 1.0, 0.5, 0.5)], "", alone) is None
    assert robust(None) == ""


def test_a_draw_is_the_machine_with_those_constants() -> None:
    machine = load_accelerator("bitfusion")
    run = simulate(WORKLOAD, machine, "8")
    drawn = drawn_prices(machine, draws=3)
    assert drawn is not None
    energies = drawn.energy_j(run.counts, float(run.cycles))
    for pricing, energy in zip(drawn.pricings, energies, strict=True):
        changed = {path.replace(".", "__"): pricing.machine.field(path) for path in drawn.constants}
        told = simulate(WORKLOAD, machine.configured(**changed), "8")
        assert told.energy_j == pytest.approx(energy, rel=0.02)  # mapped anew for its prices
        for path in drawn.constants:
            source = machine.provenance[path]
            assert source.low is not None and source.high is not None
            assert source.low <= pricing.machine.field(path) <= source.high
    again = drawn_prices(machine, draws=3)
    assert again is not None
    assert again.pricings[0].weighed_pj == drawn.pricings[0].weighed_pj
