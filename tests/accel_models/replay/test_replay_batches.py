"""Batches whose inputs disagree, and inputs that arrive by themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replay_reference import (
    CHOICE_SETS,
    networks,
    random_choices,
    table_of,
    three_units,
    trace_of,
)

from accel_models import InputError, Workload
from accel_models.costs.pricing import COMPONENTS, Pricing
from accel_models.replay import Policy, replay, summarise
from accel_models.replay.queueing import Poisson, Queued, Server

STATIC = [COMPONENTS.index(name) for name in ("leakage", "dram background")]
some = settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**32 - 1)


@some
@given(networks(operators=True), st.sampled_from(CHOICE_SETS), seeds)
def test_a_batch_of_one_is_an_input_alone(network: Workload, choices: str, seed: int) -> None:
    table = table_of(network, "bitfusion", choices)
    trace = trace_of(table, random_choices(table, 8, seed))
    alone = replay(trace, table, Policy())
    for batching in ("grouped", "max", "sorted"):
        batch = replay(trace, table, Policy(batching=batching, batch=1))
        assert batch.cycles.tolist() == alone.cycles.tolist()
        assert batch.energy_j == pytest.approx(alone.energy_j, rel=1e-12)


def test_a_machine_will_do_where_there_is_no_table() -> None:
    table = table_of(three_units(), "bitfusion", "skip,2,4,8", 3)
    trace = trace_of(table, random_choices(table, 8, 0))
    policy = Policy("oracle", batching="grouped", batch=3)
    found, expected = (replay(trace, on, policy) for on in (table.accelerator, table))
    assert found.cycles.tolist() == expected.cycles.tolist()
    assert found.energy_j.tolist() == expected.energy_j.tolist()


@some
@given(
    networks(operators=True),
    st.sampled_from(["bitfusion", "resident"]),
    st.sampled_from(CHOICE_SETS),
    seeds,
)
def test_inputs_that_agree_cost_the_tables_group(
    network: Workload, machine: str, choices: str, seed: int
) -> None:
    table = table_of(network, machine, choices, 4)
    one = random_choices(table, 1, seed)
    trace = trace_of(table, np.repeat(one, 4, axis=0))
    kinds = {
        kind: replay(trace, table, Policy(batching=kind, batch=4, switches=False))
        for kind in ("grouped", "max", "sorted")
    }
    reached = table.workload.reached_by(
        {unit: table.choices[choice] for unit, choice in zip(table.units, one[0], strict=True)}
    )
    rows = np.flatnonzero(reached).tolist()
    at = {row: one[0, unit] if (unit := table.unit_of_layer[row]) >= 0 else 0 for row in rows}
    group = sum(int(table.cycles[row, at[row], 3]) for row in rows)
    counts = sum(table.counts[row, at[row], 3] for row in rows)
    for outcome in kinds.values():
        assert outcome.cycles.tolist() == [group - outcome.spared_cycles[0]] * 4
        assert outcome.energy_j == pytest.approx(kinds["grouped"].energy_j, rel=1e-12)
        stalls = counts.copy()
        stalls[2] -= outcome.spared_cycles[0]
        whole = Pricing(table.accelerator).energy_pj(stalls, int(outcome.cycles[0]))
        assert outcome.energy_pj.sum(axis=0) == pytest.approx(whole, rel=1e-9)


@some
@given(networks(operators=True), st.sampled_from(CHOICE_SETS), seeds)
def test_the_highest_choice_runs_for_the_whole_batch(
    network: Workload, choices: str, seed: int
) -> None:
    table = table_of(network, "bitfusion", choices, 4)
    taken = random_choices(table, 10, seed)
    highest = replay(trace_of(table, taken), table, Policy(batching="max", batch=4))
    rank = [-1 if choice.exits else choice.bitops_per_mac for choice in table.choices]
    expected = taken.copy()
    for start in (0, 4, 8):
        for unit in range(taken.shape[1]):
            batch = taken[start : start + 4, unit]
            expected[start : start + 4, unit] = max(batch.tolist(), key=rank.__getitem__)
    assert highest.choices.tolist() == expected.tolist()
    written = replay(trace_of(table, expected), table, Policy(batching="grouped", batch=4))
    assert highest.cycles.tolist() == written.cycles.tolist()
    assert "computes something else" in highest.policy.bounds[0]


def test_sorting_puts_inputs_of_equal_cost_together() -> None:
    table = table_of(three_units(), "bitfusion", "2,8", 4)
    taken = np.tile([[0, 0, 0], [1, 1, 1]], (8, 1))
    mixed, tidy = (
        replay(trace_of(table, taken), table, Policy(batching=kind, batch=4))
        for kind in ("grouped", "sorted")
    )
    assert mixed.cycles.sum() > tidy.cycles.sum()
    apart = [
        replay(trace_of(table, taken[row::2]), table, Policy(batching="grouped", batch=4))
        for row in range(2)
    ]
    assert tidy.cycles[0::2].tolist() == apart[0].cycles.tolist()
    assert tidy.cycles[1::2].tolist() == apart[1].cycles.tolist()
    assert tidy.energy_j[1::2] == pytest.approx(apart[1].energy_j, rel=1e-12)


@given(
    st.lists(st.floats(0, 5, width=32), min_size=1, max_size=40),
    st.integers(1, 4),
    st.integers(1, 3),
    seeds,
)
def test_waiting_follows_an_event_loop(
    gaps: list[float], batch: int, portion: int, seed: int
) -> None:
    """Whole batches at a time, in portions of any size."""
    arrivals = np.cumsum(gaps)
    service = np.random.default_rng(seed).uniform(0.1, 3, len(gaps))
    service = np.repeat(service[::batch], batch)[: len(gaps)]
    server, found = Server(batch), []
    for start in range(0, len(gaps), batch * portion):
        rows = slice(start, start + batch * portion)
        found.append(server.serve(arrivals[rows], service[rows]))
    waiting, response, idle = (
        np.concatenate([getattr(one, name) for one in found])
        for name in ("waiting", "response", "idle")
    )
    done, unused = None, 0.0
    for start in range(0, len(gaps), batch):
        here = range(start, min(start + batch, len(gaps)))
        ready = max(arrivals[i] for i in here)
        begun = ready if done is None else max(ready, done)
        unused += 0.0 if done is None else begun - done
        done = begun + service[start]
        for i in here:
            assert waiting[i] == pytest.approx(begun - arrivals[i], abs=1e-9)
            assert response[i] == pytest.approx(done - arrivals[i], abs=1e-9)
    assert idle.sum() == pytest.approx(unused, abs=1e-9)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_mean_wait_is_that_of_a_single_server_with_constant_service(load: float) -> None:
    """M/D/1: rho / (2 (1 - rho)) service times (Pollaczek and Khinchine)."""
    inputs = 1_000_000
    arrivals = Poisson(load, seed=1).take(inputs)
    queued = Server().serve(arrivals, np.ones(inputs))
    assert queued.waiting.mean() == pytest.approx(load / (2 * (1 - load)), rel=0.05)
    assert 1 - queued.idle.sum() / arrivals[-1] == pytest.approx(load, rel=0.01)


def test_arrival_times_do_not_depend_on_the_portions_they_are_drawn_in() -> None:
    whole, parts = Poisson(3.0, seed=7), Poisson(3.0, seed=7)
    portions = [parts.take(size) for size in (1, 10, 0, 89)]
    assert np.concatenate(portions).tolist() == whole.take(100).tolist()


def test_leakage_is_charged_once_for_all_the_time_that_passes() -> None:
    table = table_of(three_units(), "bitfusion", "skip,2,8", 4)
    trace = trace_of(table, random_choices(table, 40, 0))
    watts = Pricing(table.accelerator).static_power_w
    alone = replay(trace, table, Policy())
    for batch in (1, 4):
        batching = "single" if batch == 1 else "grouped"
        policy = Policy(batching=batching, batch=batch, arrivals="poisson", load=0.4, seed=3)
        outcome = replay(trace, table, policy)
        assert outcome.queued is not None
        leaked = outcome.energy_pj[:, STATIC].sum() * 1e-12
        busy = outcome.latency_s[::batch].sum()
        idle = outcome.queued.idle.sum()
        assert leaked == pytest.approx(watts * (busy + idle), rel=1e-9)
        gated = replay(trace, table, Policy(**{**policy.to_dict(), "idle_gating": True}))
        assert gated.energy_pj[:, STATIC].sum() * 1e-12 == pytest.approx(watts * busy, rel=1e-9)
        dynamic = [part for part in range(len(COMPONENTS)) if part not in STATIC]
        assert gated.energy_pj[:, dynamic] == pytest.approx(
            outcome.energy_pj[:, dynamic], rel=1e-12
        )
        summary = summarise(outcome)
        assert summary.totals.energy_pj(outcome.plan).sum() * 1e-12 == pytest.approx(
            outcome.energy_j.mean(), rel=1e-9
        )
        assert summary.utilisation == pytest.approx(busy / (busy + idle))
        if batch == 1:
            assert gated.energy_j == pytest.approx(alone.energy_j, rel=1e-12)


def test_recorded_arrivals_are_taken_from_the_trace() -> None:
    table = table_of(three_units(), "bitfusion", "2,8")
    taken = random_choices(table, 5, 0)
    rare = replay(trace_of(table, taken, np.arange(5) * 1.0), table, Policy(arrivals="recorded"))
    assert rare.queued is not None
    assert rare.queued.waiting.max() == 0
    assert rare.queued.response == pytest.approx(rare.latency_s)
    rush = replay(trace_of(table, taken, np.zeros(5)), table, Policy(arrivals="recorded"))
    assert rush.queued is not None
    assert rush.queued.response == pytest.approx(np.cumsum(rush.latency_s))
    assert rush.queued.idle.sum() == pytest.approx(0, abs=1e-15)
    with pytest.raises(InputError, match="no column arrival_s"):
        replay(trace_of(table, taken), table, Policy(arrivals="recorded"))
    with pytest.raises(InputError, match="not in the order of their arrival"):
        late = np.array([0, 1, 2, 1, 3.0])
        replay(trace_of(table, taken, late), table, Policy(arrivals="recorded"))
    with pytest.raises(InputError, match="must be finite"):
        late = np.array([0, 1, 2, 3, math.inf])
        replay(trace_of(table, taken, late), table, Policy(arrivals="recorded"))


@pytest.mark.parametrize("portion", [1, 7, 64])
def test_what_inputs_see_does_not_depend_on_when_time_begins(portion: int) -> None:
    """Since 1970, say: a float64 of so many seconds has a resolution of a quarter microsecond."""
    random = np.random.default_rng(0)
    gaps = random.integers(0, 80, 64) * 2.0**-22  # which such a number does hold
    service = random.uniform(1e-5, 2e-5, 64)
    found = []
    for begin in (0.0, 1.7e9):
        arrivals, server = begin + np.cumsum(gaps), Server()
        parts = [slice(at, at + portion) for at in range(0, 64, portion)]
        served = [server.serve(arrivals[part], service[part]) for part in parts]
        found.append(
            np.array([np.concatenate(column) for column in zip(*map(seen, served), strict=True)])
        )
    assert found[0] == pytest.approx(found[1], abs=1e-12)
    assert (found[0][1] >= service).all()


def seen(queued: Queued) -> tuple[np.ndarray, ...]:
    return queued.waiting, queued.response, queued.idle
