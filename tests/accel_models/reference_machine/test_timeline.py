"""A network on the event timeline: the table-based replay is exact, whatever the policy."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import cifar_resnet38, every_operator, gated_pair
from replay_reference import CHOICE_SETS, MACHINES, networks, random_choices, table_of, trace_of

from accel_models import CostTable, InputError, Layer, Workload, load_accelerator, simulate
from accel_models.mapping.problem import ACTIONS
from accel_models.reference_machine.check import check
from accel_models.reference_machine.events import tile_limit
from accel_models.reference_machine.events.layer_runs import slots
from accel_models.reference_machine.events.perfetto import write_perfetto
from accel_models.reference_machine.events.picture import draw_timelines
from accel_models.reference_machine.events.timeline import (
    Player,
    Timeline,
    static_timeline,
    timeline,
)
from accel_models.replay import Policy, replay
from accel_models.replay.plan import Plan

READ, WRITTEN = ACTIONS.index("dram_read_bits"), ACTIONS.index("dram_write_bits")
PIPELINED = [name for name in MACHINES if name != "published"]
some = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
seeds = st.integers(0, 2**32 - 1)
choice_sets = st.sampled_from(CHOICE_SETS)
prefetches = st.sampled_from(["none", "modal", "planes", "oracle"])


def policy_for(table: CostTable, prefetch: str, guess: np.ndarray, batch: int = 1) -> Policy:
    if prefetch == "planes" and table.accelerator.storage.weights != "planes":
        prefetch = "modal"
    fetched = tuple(guess.tolist()) if prefetch == "modal" else None
    return Policy(prefetch, fetched, batching="grouped" if batch > 1 else "single", batch=batch)


@pytest.mark.parametrize("network", [cifar_resnet38(), every_operator()], ids=lambda one: one.name)
@pytest.mark.parametrize(
    "machine", ["bitfusion", "eyeriss-int8", "bismo-published", "stripes", "tpu-int8"]
)
def test_a_static_network_is_its_simulation(network: Workload, machine: str) -> None:
    played = static_timeline(network, load_accelerator(machine), "4/8", draw=True)
    static = simulate(network, load_accelerator(machine), "4/8")
    assert (played.cycles, played.energy_j) == (static.cycles, static.energy_j)
    assert played.counts.tolist() == static.counts.tolist()
    assert [span.run.layer.name for span in played.spans] == [c.layer.name for c in static.layers]
    assert played.events[:, slots().END].max() == static.cycles


@some
@given(networks(operators=True), st.sampled_from(PIPELINED), choice_sets, seeds)
def test_with_everything_off_a_timeline_is_a_simulation(
    network: Workload, machine: str, choices: str, seed: int
) -> None:
    table = table_of(network, machine, choices)
    (chosen,) = random_choices(table, 1, seed)
    units = {u: table.choices[k] for u, k in zip(table.units, chosen, strict=True)}
    static = simulate(network, table.accelerator, units, always=table.always)
    found = timeline(table, chosen, Policy.off())
    assert found.cycles == static.cycles
    assert found.counts.tolist() == static.counts.tolist()
    assert found.energy_j == static.energy_j


@some
@given(
    networks(operators=True),
    st.sampled_from(PIPELINED),
    choice_sets,
    prefetches,
    st.booleans(),
    seeds,
)
def test_a_replay_is_exact_for_one_input_and_for_a_batch(
    network: Workload, machine: str, choices: str, prefetch: str, together: bool, seed: int
) -> None:
    batch = 3 if together else 1
    table = table_of(network, machine, choices, batch)
    taken = random_choices(table, 6, seed)
    policy = policy_for(table, prefetch, taken[-1], batch)
    outcome, player = replay(trace_of(table, taken), table, policy), Player(table, policy)
    for start in range(0, len(taken), batch):
        rows = slice(start, start + batch)
        found = player.play(taken[rows])
        assert set(outcome.cycles[rows].tolist()) == {found.cycles}
        assert outcome.counts[rows].sum(axis=0) == pytest.approx(found.counts, rel=1e-12)
        assert outcome.wasted_bits[rows].sum() == pytest.approx(found.wasted_bits)
        assert outcome.energy_j[rows].sum() == pytest.approx(found.energy_j, rel=1e-12)


@pytest.mark.slow
@some
@given(networks(operators=True), st.sampled_from(PIPELINED), choice_sets, prefetches, seeds)
def test_what_is_drawn_happens_once_on_a_free_resource(
    network: Workload, machine: str, choices: str, prefetch: str, seed: int
) -> None:
    table = table_of(network, machine, choices, 2)
    taken = random_choices(table, 2, seed)
    policy = policy_for(table, prefetch, taken[-1], 2)
    found, code = timeline(table, taken, policy, draw=True), slots()
    assert found.cycles == timeline(table, taken, policy).cycles
    events = found.events
    for resource in range(len(code.RESOURCES)):
        mine = events[events[:, code.RESOURCE] == resource]
        mine = mine[mine[:, code.END] > mine[:, code.START]]
        mine = mine[np.argsort(mine[:, code.START], kind="stable")]
        assert (mine[1:, code.START] >= mine[:-1, code.END]).all()
    assert events[:, code.END].max() == found.cycles
    assert events[:, code.BITS].sum() == found.counts[READ] + found.counts[WRITTEN]
    assert sum(found.moved.values()) == found.counts[READ] + found.counts[WRITTEN]
    early = events[:, code.KIND] == code.PREFETCH
    spared = (events[early, code.END] - events[early, code.START]).sum()
    assert spared == sum(span.spared for span in found.spans)
    assert sum(span.switching for span in found.spans) == sum(
        event[code.END] - event[code.START]
        for event in events
        if event[code.KIND] == code.RECONFIGURE
    )
    assert all(before.end <= after.start for before, after in pairwise(found.spans))


@settings(max_examples=15)
@given(
    networks(operators=True),
    choice_sets,
    prefetches,
    st.sampled_from(["grouped", "sorted", "max"]),
    seeds,
)
def test_a_check_finds_the_replay_of_every_input_played(
    network: Workload, choices: str, prefetch: str, batching: str, seed: int
) -> None:
    table = table_of(network, "bitfusion", choices, 3)
    taken = random_choices(table, 10, seed)
    policy = replace(policy_for(table, prefetch, taken[-1], 3), batching=batching)
    outcome = replay(trace_of(table, taken), table, policy)
    found = check(outcome.trace, outcome.plan)
    assert (found.inputs, found.worst_cycles) == (10, 0)
    assert found.latency_s == pytest.approx(outcome.latency_s.mean(), rel=1e-12)
    assert found.energy_j == pytest.approx(outcome.energy_j.mean(), rel=1e-12)


def test_a_check_plays_equal_inputs_once_and_sees_what_is_off() -> None:
    table = table_of(gated_pair(), "bitfusion", "skip,2,4,8")
    taken = np.array([[1, 3], [2, 2], [1, 3], [1, 3]])
    outcome = replay(trace_of(table, taken), table)
    assert check(outcome.trace, outcome.plan).played == 2
    slower = table.cycles.copy()
    slower[-1] += 7
    off = replace(table, cycles=slower)
    assert check(outcome.trace, Plan(off, outcome.policy)).worst_cycles == 7


@settings(max_examples=15)
@given(networks(), choice_sets, seeds)
def test_the_published_machine_is_played_no_faster_than_it_is_priced(
    network: Workload, choices: str, seed: int
) -> None:
    table = table_of(network, "published", choices)
    (chosen,) = random_choices(table, 1, seed)
    outcome = replay(trace_of(table, chosen[None]), table, Policy.off())
    found = timeline(table, chosen, Policy.off())
    assert found.cycles >= outcome.cycles[0]
    moved = [READ, WRITTEN]
    assert found.counts[moved].tolist() == outcome.counts[0, moved].tolist()


@pytest.fixture(scope="module")
def drawn() -> Timeline:
    table = table_of(gated_pair(), "bitfusion", "skip,2,4,8")
    return timeline(table, np.array([1, 3]), Policy(), draw=True)


def test_perfetto_shows_every_event_in_microseconds(drawn: Timeline, tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    write_perfetto(path, {"one": drawn, "again": drawn})
    events = json.loads(path.read_text())["traceEvents"]
    named = [e["args"]["name"] for e in events if e["name"] == "thread_name" and e["pid"] == 0]
    assert named == ["layers", *slots().RESOURCES]
    complete = [event for event in events if event["ph"] == "X" and event["pid"] == 1]
    assert len(complete) == len(drawn.events) + len(drawn.spans)
    assert max(e["ts"] + e["dur"] for e in complete) == pytest.approx(drawn.latency_s * 1e6)
    bits = sum(event["args"].get("bits", 0) for event in complete)
    assert bits == drawn.counts[READ] + drawn.counts[WRITTEN]


def test_a_window_keeps_what_happens_in_it(drawn: Timeline, tmp_path: Path) -> None:
    path, half = tmp_path / "t.json", drawn.latency_s / 2
    write_perfetto(path, {"one": drawn}, window_s=(0, half))
    complete = [e for e in json.loads(path.read_text())["traceEvents"] if e["ph"] == "X"]
    assert 0 < len(complete) < len(drawn.events)
    assert all(event["ts"] < half * 1e6 for event in complete)
    with pytest.raises(InputError, match="begins at 0 or later and ends after that"):
        write_perfetto(path, {"one": drawn}, window_s=(2.0, 1.0))


def test_what_was_not_drawn_cannot_be_shown(drawn: Timeline, tmp_path: Path) -> None:
    plain = timeline(drawn.table, drawn.choices, drawn.policy)
    with pytest.raises(InputError, match="'one' was not drawn"):
        write_perfetto(tmp_path / "t.json", {"one": plain})
    assert list(tmp_path.iterdir()) == []


def test_the_picture_has_a_row_for_every_resource(drawn: Timeline) -> None:
    figure = draw_timelines({"cheap": drawn, "dear": drawn})
    axes = figure.axes
    assert [one.get_title(loc="left") for one in axes] == ["cheap", "dear"]
    rows = [text.get_text() for text in axes[0].get_yticklabels()]
    assert rows == ["layers", *slots().RESOURCES]
    assert axes[0].get_xlim()[1] == pytest.approx(drawn.latency_s * 1e6)


def test_choices_that_do_not_fit_are_refused(drawn: Timeline) -> None:
    with pytest.raises(InputError, match=r"do not fit 2 units and groups of up to 1 inputs"):
        timeline(drawn.table, np.zeros((2, 2)))
    with pytest.raises(InputError, match="whole numbers from 0 to 3"):
        timeline(drawn.table, np.array([4, 0]))
    for choices in ([-1, 0], [1.5, 0], ["2", "4"]):
        with pytest.raises(InputError, match="whole numbers from 0 to 3"):
            timeline(drawn.table, np.array(choices))
    with pytest.raises(InputError, match="do not fit"):
        timeline(drawn.table, np.zeros((0, 2), dtype=np.uint8))


def test_a_last_batch_that_is_smaller_is_played_too() -> None:
    """Also of a network without units, in which no batch differs but by its size."""
    network = Workload.chain("two", [Layer("a", 64, 32), Layer("b", 32, 10)])
    table = table_of(network, "bitfusion", "2,8", 4)
    trace = trace_of(table, np.zeros((5, 0)))
    found = check(trace, Plan(table, Policy(batching="grouped", batch=4)))
    assert (found.played, found.worst_cycles) == (2, 0)
    assert found.energy_j == pytest.approx(found.replayed_energy_j, rel=1e-12)


def test_what_has_too_many_tiles_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer that would take gigabytes is not played at all; nor are many layers drawn."""
    huge = Layer("huge", 8192, 8192, (3, 3), in_size=(82, 82), padding=1)
    machine = load_accelerator("bitfusion")
    with pytest.raises(InputError, match=r"layer 'huge' has 1,363,968 tiles, of which a timeline"):
        static_timeline(Workload("one", (huge,)), machine)
    vector = Layer("pool", 8192, 8192, (2, 2), in_size=(2048, 2048), operator="max_pool")
    with pytest.raises(InputError, match=r"layer 'pool' has [\d,]+ tiles"):
        static_timeline(Workload("one", (vector,)), machine)
    whole = static_timeline(cifar_resnet38(), machine)
    monkeypatch.setattr(tile_limit, "MOST_TILES", whole.tiles)
    assert len(static_timeline(cifar_resnet38(), machine, draw=True).events)
    monkeypatch.setattr(tile_limit, "MOST_TILES", whole.tiles - 1)
    assert static_timeline(cifar_resnet38(), machine).tiles == whole.tiles
    with pytest.raises(InputError, match="what is drawn has"):
        static_timeline(cifar_resnet38(), machine, draw=True)
