"""What deciding at run time costs: every policy against plain Python, and the laws they keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from replay_reference import (
    CHOICE_SETS,
    ENTER,
    FIXED,
    MACHINES,
    OWN,
    PATH,
    READ,
    batches,
    may_leave,
    networks,
    random_choices,
    table_of,
    three_units,
    trace_of,
)

from accel_models import InputError, Layer, Workload, simulate
from accel_models.costs.pricing import Pricing
from accel_models.replay import Policy, replay

EARLY = [name for name in MACHINES if name != "published"]
PREFETCHES = ("none", "modal", "planes", "oracle")
some = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**32 - 1)
choice_sets = st.sampled_from(CHOICE_SETS)


@some
@given(networks(), st.sampled_from(list(MACHINES)), choice_sets, seeds)
@example(may_leave(FIXED, OWN), "bitfusion", "skip,2", 0)
@example(may_leave(OWN, FIXED, PATH), "bitfusion", "skip,2", 0)
def test_with_everything_off_a_replay_is_a_simulation(
    network: Workload, machine: str, choices: str, seed: int
) -> None:
    table = table_of(network, machine, choices)
    taken = random_choices(table, 9, seed)
    outcome = replay(trace_of(table, taken), table, Policy.off())
    for row, chosen in enumerate(taken.tolist()):
        units = {u: table.choices[k] for u, k in zip(table.units, chosen, strict=True)}
        static = simulate(network, table.accelerator, units, always=table.always)
        assert outcome.cycles[row] == static.cycles
        assert outcome.counts[row].tolist() == static.counts.tolist()
        assert outcome.energy_pj[row].tolist() == static.energy_pj.tolist()
        assert outcome.energy_j[row] == pytest.approx(static.energy_j, rel=1e-12)
        assert outcome.bitops[row] == static.bitops


@some
@given(
    networks(operators=True),
    st.sampled_from(EARLY),
    choice_sets,
    st.sampled_from(PREFETCHES),
    st.booleans(),
    st.sampled_from(["single", "grouped"]),
    seeds,
)
@example(may_leave(FIXED, OWN), "slow memory", "skip,2", "modal", False, "single", 0)
@example(may_leave(OWN, FIXED, PATH), "bitfusion", "skip,2", "none", False, "single", 0)
@example(may_leave(OWN, FIXED, PATH), "slow memory", "skip,2", "modal", False, "single", 2)
def test_policies_cost_what_plain_python_says(
    network: Workload,
    machine: str,
    choices: str,
    prefetch: str,
    switches: bool,
    batching: str,
    seed: int,
) -> None:
    batch = 1 if batching == "single" else 3
    table = table_of(network, machine, choices, batch)
    if prefetch == "planes" and table.accelerator.storage.weights != "planes":
        prefetch = "modal"
    taken = random_choices(table, 8, seed)
    guess = tuple(taken[0].tolist()) if prefetch == "modal" else None
    policy = Policy(prefetch, guess, switches, batching, batch)
    outcome = replay(trace_of(table, taken), table, policy)
    expected = batches(table, policy, taken, guess or ())
    for number, one in enumerate(expected):
        rows = slice(number * batch, (number + 1) * batch)
        assert set(outcome.cycles[rows].tolist()) == {one.cycles}
        assert set(outcome.spared_cycles[rows].tolist()) == {one.spared}
        assert set(outcome.switching_cycles[rows].tolist()) == {one.switching}
        shares = np.array([[float(share) for share in each] for each in one.counts])
        if batch == 1:
            assert outcome.counts[rows].tolist() == shares.tolist()
            assert outcome.wasted_bits[rows].tolist() == [one.wasted]
        assert outcome.counts[rows] == pytest.approx(shares, rel=1e-12)
        assert outcome.wasted_bits[rows].sum() == pytest.approx(float(one.wasted))
    assert outcome.energy_pj.sum(axis=1) * 1e-12 == pytest.approx(outcome.energy_j, rel=1e-12)


@some
@given(
    networks(operators=True),
    st.sampled_from(EARLY),
    choice_sets,
    st.sampled_from(PREFETCHES),
    seeds,
)
def test_parts_add_up(
    network: Workload, machine: str, choices: str, prefetch: str, seed: int
) -> None:
    table = table_of(network, machine, choices, 3)
    if prefetch == "planes" and table.accelerator.storage.weights != "planes":
        prefetch = "none"
    trace = trace_of(table, random_choices(table, 10, seed))
    for policy in (Policy(prefetch), Policy(prefetch, batching="grouped", batch=3)):
        outcome = replay(trace, table, policy)
        mean_pj = outcome.energy_pj.mean(axis=0)
        assert outcome.layer_energy_pj.sum(axis=0) == pytest.approx(mean_pj, rel=1e-9)
        assert outcome.totals.energy_pj(outcome.plan) == pytest.approx(mean_pj, rel=1e-9)
        shared = (outcome.latency_s / outcome.together).mean()
        assert outcome.layer_latency_s.sum() == pytest.approx(shared, rel=1e-12)
        gone = [[table.choices[k].exits for k in row] for row in trace.choices.tolist()]
        came = [10 - sum(row[:at].count(True) > 0 for row in gone) for at in range(len(gone[0]))]
        assert outcome.choice_counts.sum(axis=1).tolist() == came
        causes = outcome.totals.cycles_by_cause(outcome.plan)
        for name, cycles in causes.items():
            each = getattr(outcome, f"{name}_cycles") / outcome.together
            assert each.mean() == pytest.approx(cycles, rel=1e-12)


@some
@given(networks("own"), st.sampled_from(["bitfusion", "slow memory"]), choice_sets, seeds)
def test_knowing_is_never_slower_than_guessing_nor_that_than_waiting(
    network: Workload, machine: str, choices: str, seed: int
) -> None:
    table = table_of(network, machine, choices)
    trace = trace_of(table, random_choices(table, 12, seed))
    cycles = {name: replay(trace, table, Policy(name)).cycles for name in PREFETCHES}
    for guessing in ("modal", "planes", "none"):
        assert (cycles["oracle"] <= cycles[guessing]).all()


@some
@given(networks("own"), st.sampled_from(["bitfusion", "slow memory"]), seeds)
def test_wrong_guesses_cost_their_traffic_and_right_ones_nothing(
    network: Workload, machine: str, seed: int
) -> None:
    table = table_of(network, machine, "2,4,8")
    taken = random_choices(table, 6, seed)
    trace = trace_of(table, taken)
    wrong = replay(trace, table, Policy("modal", guess=tuple((taken[0] + 1) % 3)))
    right = replay(trace, table, Policy("modal", guess=tuple(taken[0])))
    none, oracle = (replay(trace, table, Policy(name)) for name in ("none", "oracle"))
    assert right.cycles[0] == oracle.cycles[0]
    assert right.wasted_bits[0] == 0
    assert wrong.cycles[0] == none.cycles[0]
    more = wrong.counts[0] - none.counts[0]
    assert more[READ] == more[ENTER] == wrong.wasted_bits[0] > 0
    assert more.sum() == 2 * wrong.wasted_bits[0]
    price = np.array(Pricing(table.accelerator).weighed_pj)[[READ, ENTER]].sum()
    extra = wrong.energy_j[0] - none.energy_j[0]
    assert extra * 1e12 == pytest.approx(wrong.wasted_bits[0] * price, rel=1e-6)


def test_a_controller_that_decides_up_front_gets_the_overlap_back() -> None:
    """The same layers and gates, decided unit by unit or all before the first one."""
    conv = {"kernel": (3, 3), "padding": (1, 1), "out_size": (8, 8)}
    stem = Layer("stem", 3, 24, reads_image=True, **conv)
    gates = [[Layer(f"{u}.gate", 24, 4, role="gate", unit=u)] for u in "abc"]
    bodies = [[Layer(f"{u}.conv", 24, 24, role="body", unit=u, **conv)] for u in "abc"]
    each = [layer for pair in zip(gates, bodies, strict=True) for part in pair for layer in part]
    all_first = [replace(part[0], unit="a") for part in gates]
    upfront = [*all_first, *(layer for part in bodies for layer in part)]
    spared = {}
    for name, layers in (("each", each), ("upfront", upfront)):
        table = table_of(Workload.chain(name, [stem, *layers]), "bitfusion", "2,4,8")
        trace = trace_of(table, random_choices(table, 20, 1))
        none, oracle = (replay(trace, table, Policy(prefetch)) for prefetch in ("none", "oracle"))
        spared[name] = none.spared_cycles.sum(), oracle.spared_cycles.sum()
    assert spared["each"][0] == 0
    # The first unit's own width is still decided too late.
    assert 0 < spared["upfront"][0] < spared["upfront"][1] <= spared["each"][1]


def test_switches_are_charged_between_executed_choices_only() -> None:
    table = table_of(three_units(), "bitfusion", "skip,2,8")
    pause = table.accelerator.array.reconfiguration_cycles
    # The stem and the classifier run at 8 bits.
    rows = {(2, 2, 2): 0, (1, 2, 2): 2, (1, 0, 1): 2, (1, 2, 1): 4, (0, 0, 0): 0, (0, 1, 0): 2}
    outcome = replay(trace_of(table, np.array(list(rows))), table, Policy())
    assert outcome.switching_cycles.tolist() == [pause * times for times in rows.values()]
    late = replay(trace_of(table, np.array(list(rows))), table, Policy(switches=False))
    assert (outcome.cycles - late.cycles).tolist() == outcome.switching_cycles.tolist()


def test_a_classifier_shaped_like_an_exit_is_not_one() -> None:
    """The exit decides on the vector unit, the classifier loads its weights and uses the array."""
    network = may_leave(FIXED, OWN, replace(FIXED, name="last"))
    leave, classifier = network.layers[2], network.layers[-1]
    assert leave.geometry == classifier.geometry
    assert network.ends[leave.name] == network.ends[classifier.name]
    of = {cost.layer.name: cost for cost in simulate(network, MACHINES["bitfusion"], 8).layers}
    assert of[leave.name].mapping is None and of[classifier.name].mapping is not None
    table = table_of(network, "bitfusion", "8")
    assert table.head[2].sum() == 0 < table.head[-1].sum()


def test_a_unit_in_two_places_runs_at_one_choice() -> None:
    """What always runs lies between its layers; a chain without gates, known from the start."""
    layers = [layer for layer in three_units().layers if layer.role != "gate"]
    moved = [layers[0], layers[1], layers[2], replace(layers[3], unit="a"), layers[4]]
    table = table_of(Workload.chain("twice", moved), "bitfusion", "skip,2,8")
    assert table.units == ("a", "b")
    rows = np.array([[a, b] for a in range(3) for b in range(3)])
    outcome = replay(trace_of(table, rows), table, Policy.off())
    for row, chosen in enumerate(rows.tolist()):
        units = {u: table.choices[k] for u, k in zip(table.units, chosen, strict=True)}
        static = simulate(table.workload, table.accelerator, units, always=table.always)
        assert outcome.cycles[row] == static.cycles
        assert outcome.counts[row].tolist() == static.counts.tolist()


def test_policies_that_a_machine_cannot_follow_are_refused() -> None:
    published = table_of(three_units(), "published", "skip,2,8")
    trace = trace_of(published, np.zeros((2, 3)))
    with pytest.raises(InputError, match="loads no weights early"):
        replay(trace, published, Policy("oracle"))
    serial = table_of(three_units(), "bitfusion", "skip,2,8")
    copies = replace(serial, accelerator=serial.accelerator.configured(storage__weights="copies"))
    with pytest.raises(InputError, match="stores weights as 'copies'"):
        replay(trace, copies, Policy("planes"))
    with pytest.raises(InputError, match=r"batch of 4 .* max_group = 1"):
        replay(trace, serial, Policy(batching="grouped", batch=4))
    with pytest.raises(InputError, match="guess for each of 3 units"):
        replay(trace, serial, Policy("modal", guess=(1,)))
    with pytest.raises(InputError, match="prefetch must be one of none, modal, planes, oracle"):
        Policy(prefetch="some")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="load must lie between 0 and 1"):
        Policy(load=1.0)
    for guess in ((1, 1, 3), (-1, 1, 1)):
        with pytest.raises(InputError, match="index of one of 3 choices"):
            replay(trace, serial, Policy("modal", guess=guess))
    for batch, seed in ((1.5, 0), (1, -1), ("1", 0)):
        with pytest.raises(InputError, match=r"(batch|seed) must be a whole number"):
            Policy(batching="grouped", batch=batch, seed=seed)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cannot be sorted beforehand"):
        Policy(batching="sorted", batch=2, arrivals="poisson")
    with pytest.raises(InputError, match="no inputs are there to arrive"):
        replay(trace[:0], serial, Policy(arrivals="poisson"))
