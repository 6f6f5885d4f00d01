"""One layer played tile by tile: its time and traffic are those of the closed forms."""

from __future__ import annotations

from collections import deque
from math import ceil

import default_reference as reference
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_problems import layers, machines, reference_problem, widths

from accel_models import InfeasibleError, load_accelerator
from accel_models.mapping.problem import ACTIONS, STATIONARY, Found, Priced, Problem
from accel_models.mapping.search import places, price, search, steps
from accel_models.reference_machine.events.layer_runs import BUFFERS, buffers, slots
from accel_models.validation.fluid_gap import fluid_gap
from accel_models.validation.published_rows import PUBLISHED, read_rows, row_problem

READ, WRITTEN = ACTIONS.index("dram_read_bits"), ACTIONS.index("dram_write_bits")


def found_for(
    layer: reference.ReferenceLayer,
    sizes: reference.ReferenceWidths,
    machine: reference.ReferenceMachine,
    objective: int,
) -> tuple[Problem, Found] | None:
    p = reference_problem(layer, sizes, machine)
    try:
        return p, search(p, machine.action_pj, objective)
    except InfeasibleError:
        return None


def played(p: Problem, found: Found, early: int = 0) -> tuple[int, int, np.ndarray]:
    """Cycles, cycles that DRAM idles at the end, and all events."""
    walked, code = steps(p, found.mapping), slots()
    room = code.room_for_events(len(walked))
    cycles, idle, number, _ = code.play(p, walked, early, room)
    assert code.play(p, walked, early, code.room_for_events(0))[:2] == (cycles, idle)
    return cycles, idle, room[:number]


@pytest.mark.slow
@settings(max_examples=200)
@given(layers, widths, machines, st.integers(0, 2), st.floats(0, 1))
def test_closed_form_and_events_agree_to_the_cycle_and_the_bit(
    layer: reference.ReferenceLayer,
    sizes: reference.ReferenceWidths,
    machine: reference.ReferenceMachine,
    objective: int,
    share: float,
) -> None:
    task = found_for(layer, sizes, machine, objective)
    if task is None:
        return
    p, found = task
    exact, code = price(p, found), slots()
    cycles, idle, events = played(p, found)
    assert (cycles, idle) == (exact.cycles, exact.tail_cycles)
    early = int(share * exact.head_cycles)
    assert played(p, found, early)[0] == exact.cycles - early

    # (a) The array is busy for as long as the closed form says; filling its pipeline is apart.
    lasting = events[:, code.END] - events[:, code.START]
    computing = lasting[np.isin(events[:, code.KIND], (code.COMPUTE, code.RAMP))].sum()
    if p.stagger == 1:
        assert computing == found.compute_cycles
    assert lasting[events[:, code.KIND] == code.FILL].sum() == p.fill

    # (b) Every bit of the closed form crosses the port in some event, and enters its buffer.
    bits = {k: events[events[:, code.KIND] == k, code.BITS].sum() for k in range(len(code.KINDS))}
    came = (code.WEIGHTS_IN, code.INPUTS_IN, code.SUMS_IN, code.RESIDUAL_IN)
    assert sum(bits[kind] for kind in came) == exact.counts[READ]
    assert bits[code.OUTPUTS_OUT] + bits[code.SUMS_OUT] == exact.counts[WRITTEN]
    stays = STATIONARY.index(found.mapping.stationary)
    counted = buffers().buffer_bits(p, stays, *places(found.mapping))
    assert counted[BUFFERS].tolist() == found.counts[BUFFERS].tolist()


@pytest.mark.slow
@settings(max_examples=150)
@given(layers, widths, machines, st.integers(0, 2))
def test_resources_do_one_thing_at_a_time_and_nothing_is_used_before_it_is_there(
    layer: reference.ReferenceLayer,
    sizes: reference.ReferenceWidths,
    machine: reference.ReferenceMachine,
    objective: int,
) -> None:
    task = found_for(layer, sizes, machine, objective)
    if task is None:
        return
    p, found = task
    cycles, _, events = played(p, found)
    code = slots()
    for resource in range(len(code.RESOURCES)):
        mine = events[events[:, code.RESOURCE] == resource]
        mine = mine[np.argsort(mine[:, code.START], kind="stable")]
        assert (mine[1:, code.START] >= mine[:-1, code.END]).all()
        assert (mine[:, code.END] >= mine[:, code.START]).all() and (mine[:, code.START] >= 0).all()
    assert events[:, code.END].max() == cycles
    starts, ends = ({} for _ in range(2))
    beside = {code.WEIGHTS_IN: p.weights_overlap, code.INPUTS_IN: p.inputs_overlap}
    beside[code.SUMS_IN] = p.outputs_overlap
    for tile, start, end in events[events[:, code.KIND] == code.COMPUTE][
        :, [code.TILE, code.START, code.END]
    ].tolist():
        starts[tile], ends[tile] = start, end
    for kind, tile, start, end in events[:, [code.KIND, code.TILE, code.START, code.END]].tolist():
        if kind in (code.WEIGHTS_IN, code.INPUTS_IN, code.SUMS_IN) and tile in starts:
            assert end <= starts[tile]  # it is there when its tile begins
            if tile > 0:  # and came no sooner than its buffer had room: one step ahead, or after it
                assert start >= (starts if beside[kind] else ends)[tile - 1]
        if kind in (code.OUTPUTS_OUT, code.SUMS_OUT) and tile in starts:
            assert start >= (starts if p.outputs_overlap else ends)[tile]
            if tile + 1 in starts:
                assert end <= starts[tile + 1]


def ticked(p: Problem, walked: list[list[int]]) -> int:
    """The same layer cycle by cycle: three machines that work off what they were told, and a
    controller that tells them what the next step needs when all of them are done; what has a single
    buffer moves before that step begins."""
    array, drain, weights, inputs, sums, stored, restored, residual = range(8)

    def transfer(bits: int) -> int:
        return ceil(bits / p.dram_bits_per_cycle)

    first = walked[0]
    port = deque([p.dram_latency, transfer(first[weights] + first[inputs] + first[sums])])
    computing, draining, step, clock = 0, 0, -1, 0
    late: list[int] = []
    while True:
        while port and port[0] == 0:
            port.popleft()
        if not port and computing == draining == 0 and late:
            port, late = deque(late), []
            continue
        if not port and computing == draining == 0:
            step += 1
            if step == len(walked):
                break
            here = walked[step]
            computing, draining = here[array], here[drain]
            if step + 1 < len(walked):
                after = walked[step + 1]
                leaves = here[stored] + here[restored] + here[residual] + after[sums]
                overlap = (p.weights_overlap, p.inputs_overlap, p.outputs_overlap)
                moved = list(zip(overlap, (after[weights], after[inputs], leaves), strict=True))
                port.extend(transfer(bits) for beside, bits in moved if beside)
                late = [transfer(bits) for beside, bits in moved if not beside]
            continue
        clock += 1
        if port:
            port[0] -= 1
        computing, draining = max(0, computing - 1), max(0, draining - 1)
    last = walked[-1]
    return clock + p.ramp + p.fill + transfer(last[stored] + last[restored] + last[residual])


@settings(max_examples=100)
@given(layers, widths, machines, st.integers(0, 2))
def test_a_machine_clocked_cycle_by_cycle_takes_as_long(
    layer: reference.ReferenceLayer,
    sizes: reference.ReferenceWidths,
    machine: reference.ReferenceMachine,
    objective: int,
) -> None:
    task = found_for(layer, sizes, machine, objective)
    if task is None:
        return
    p, found = task
    assert ticked(p, steps(p, found.mapping).tolist()) == price(p, found).cycles


@pytest.mark.slow
def test_published_times_are_bounds_of_a_schedule() -> None:
    """Their distribution is that of an independent replay of the same mappings: 15 % longer on
    average, p90 50 %, 51 % of rows within 0.1 %; it differs in when a block's outputs leave."""
    gap = fluid_gap()
    assert len(gap.rows) == 305
    assert (gap.played >= gap.published).all()
    found = gap.to_dict()
    assert found["mean"] == pytest.approx(0.15, abs=0.01)
    assert found["p90"] == pytest.approx(0.50, abs=0.01)
    assert found["max"] == pytest.approx(0.96, abs=0.06)
    assert found["within_0.1_percent"] == pytest.approx(0.51, abs=0.04)


def test_published_traffic_is_what_the_tiles_move() -> None:
    base = load_accelerator("bitfusion-published")
    for name, row in list(read_rows(PUBLISHED))[::7]:
        p, prices, _ = row_problem(name, row, base)
        found = search(p, prices)
        stays = STATIONARY.index(found.mapping.stationary)
        counted = buffers().buffer_bits(p, stays, *places(found.mapping))
        assert counted[BUFFERS].tolist() == found.counts[BUFFERS].tolist()
        total = steps(p, found.mapping).sum(axis=0)
        _, _, weights, inputs, sums, stored, restored, residual = total.tolist()
        assert weights + inputs + sums + residual == found.counts[READ]
        assert stored + restored == found.counts[WRITTEN]
        assert price(p, found) == Priced(found.cycles, found.counts)
