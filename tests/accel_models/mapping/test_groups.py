"""Grouped layers: never dearer than the same work written as a dense layer, by any rule."""

from dataclasses import replace

import default_reference as reference
import numpy as np
import pytest
from datapaths import agrees, convolved, operands
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_problems import layers, machines, quickly_tried, reference_problem, widths

from accel_models import (
    InfeasibleError,
    Layer,
    Precision,
    Simulation,
    Workload,
    list_accelerators,
    load_accelerator,
    simulate,
)
from accel_models.accelerators.accelerator import Accelerator
from accel_models.mapping.groups import packings, pareto_packings, search_packings
from accel_models.mapping.problem import EDP, ENERGY, LATENCY, Problem
from accel_models.mapping.problem_of import Ends, Tensors, problem_of
from accel_models.mapping.search import as_packed, price, search
from accel_models.reference_machine.datapath.datapath import compute

OBJECTIVES = {"latency": LATENCY, "energy": ENERGY, "edp": EDP}
MACHINES = [name for name in list_accelerators() if not name.endswith("-published")]
COMPUTED = ("bitfusion", "bitblade", "stripes", "loom-2b", "unpu")

grouped = layers.flatmap(
    lambda layer: st.builds(
        replace,
        st.just(layer),
        groups=st.sampled_from([2, 3, 4, 6]),
        in_channels=st.integers(1, 2),
        out_channels=st.integers(1, 2),
        batch=st.integers(1, 2),
        out_rows=st.integers(1, min(4, layer.out_rows)),
        out_columns=st.integers(1, min(4, layer.out_columns)),
    )
)


def quickly_packed(layer: reference.ReferenceLayer) -> bool:
    return quickly_tried(packed_layer(layer, layer.groups))


def packed_layer(layer: reference.ReferenceLayer, packed: int) -> reference.ReferenceLayer:
    """What a packing computes: fewer groups of more channels."""
    return replace(
        layer,
        groups=layer.groups // packed,
        in_channels=layer.in_channels * packed,
        out_channels=layer.out_channels * packed,
    )


def score(objective: str, cycles: float, energy: float) -> float:
    return {"latency": cycles, "energy": energy, "edp": cycles * energy}[objective]


@pytest.mark.slow
@settings(max_examples=60)
@given(grouped.filter(quickly_packed), widths, machines, st.sampled_from(sorted(OBJECTIVES)))
def test_no_packing_is_better_by_brute_force(
    layer: reference.ReferenceLayer,
    widths: reference.ReferenceWidths,
    machine: reference.ReferenceMachine,
    objective: str,
) -> None:
    """Brute force tries every tiling, order and rule of every packing. It takes the last block of a
    tensor for a full one: bursts of one bit, so that what is charged exactly is never more."""
    machine = replace(machine, burst_bits=1)
    task, static = reference_problem(layer, widths, machine), machine.static_pj_per_cycle
    bests = {
        packed: reference.best(packed_layer(layer, packed), widths, machine, objective)
        for packed in packings(task)
    }
    if not any(bests.values()):
        with pytest.raises(InfeasibleError):
            search_packings(task, machine.action_pj, OBJECTIVES[objective], cycle_pj=static)
        return
    found = search_packings(task, machine.action_pj, OBJECTIVES[objective], cycle_pj=static)
    exact = price(task, found)
    energy = float(exact.counts @ machine.action_pj + static * exact.cycles)
    for best in filter(None, bests.values()):
        limit = score(objective, best.cycles, best.energy_pj)
        assert score(objective, exact.cycles, energy) <= limit * (1 + 1e-9)


@pytest.mark.slow
@settings(max_examples=40)
@given(grouped.filter(quickly_packed), widths, machines)
def test_the_front_is_that_of_all_packings(
    layer: reference.ReferenceLayer,
    widths: reference.ReferenceWidths,
    machine: reference.ReferenceMachine,
) -> None:
    task, static = reference_problem(layer, widths, machine), machine.static_pj_per_cycle
    points = [
        point
        for packed in packings(task)
        for point in reference.pareto(packed_layer(layer, packed), widths, machine)
    ]
    assume(points)
    front = {
        cycles
        for cycles, energy in points
        if not any(c < cycles and e <= energy * (1 + 1e-9) for c, e in points)
    }
    found = pareto_packings(task, machine.action_pj, cycle_pj=static)
    assert {one.cycles for one in found} <= front
    assert min(one.cycles for one in found) == min(cycles for cycles, _ in points)


# ---- machines of the library


@st.composite
def library_layers(draw: st.DrawFn) -> Layer:
    """Grouped and depthwise layers as networks have them, ragged ones among them."""
    groups = draw(st.sampled_from((2, 3, 4, 8, 12, 16, 24, 32, 60, 96)))
    inside = st.just(1) if groups > 16 else st.integers(1, 9)
    kernel = (draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    stride = draw(st.integers(1, 2))
    size = (draw(st.integers(1, 28)), draw(st.integers(1, 28)))
    return Layer(
        "layer",
        groups * draw(inside),
        groups * draw(inside),
        kernel=kernel,
        out_size=size,
        stride=(stride, stride),
        padding=(kernel[0] // 2, kernel[1] // 2),
        groups=groups,
    )


def run(layer: Layer, machine: Accelerator, bits: int) -> Simulation | None:
    try:
        return simulate(Workload.chain("one", [layer]), machine, bits)
    except InfeasibleError:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=12)
@given(
    layer=library_layers(),
    bits=st.sampled_from((2, 3, 4, 8)),
    objective=st.sampled_from(sorted(OBJECTIVES)),
)
def test_no_machine_runs_a_grouped_layer_dearer_than_its_dense_emulation(
    name: str, layer: Layer, bits: int, objective: str
) -> None:
    """Nor, in the objective, than under one lane rule forced by hand."""
    machine = load_accelerator(name).configured(mapping__objective=objective)
    own, dense = run(layer, machine, bits), run(replace(layer, groups=1), machine, bits)
    if own is None:
        assert dense is None
        return
    if dense is not None:
        least = score(objective, dense.cycles, dense.energy_j)
        assert score(objective, own.cycles, own.energy_j) <= least * (1 + 1e-9)
    for rule in machine.array.lane_rules:
        forced = run(layer, machine.configured(mapping__grouped_lane_rules=(rule,)), bits)
        if forced is not None:
            least = score(objective, forced.cycles, forced.energy_j)
            assert score(objective, own.cycles, own.energy_j) <= least * (1 + 1e-9)


@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=8)
@given(layer=library_layers(), bits=st.sampled_from((2, 4, 8)))
def test_time_before_energy_is_no_slower_than_the_dense_emulation_but_for_its_tolerance(
    name: str, layer: Layer, bits: int
) -> None:
    machine = load_accelerator(name).configured(
        mapping__objective="latency-then-energy", mapping__tolerance=0.01
    )
    own, dense = run(layer, machine, bits), run(replace(layer, groups=1), machine, bits)
    assert (own is None) <= (dense is None)
    if own is not None and dense is not None:
        assert own.cycles <= dense.cycles * 1.01


def test_depthwise_layers_fill_the_array_as_far_as_they_can() -> None:
    """96 channels of 3x3 on 56x56, by hand: 16 groups side by side have 16 products a step on 16 x
    16 elements, one for each row and column; 9 steps for each of 56 x 56 positions and 6 packs."""
    layer = Layer("dw", 96, 96, kernel=(3, 3), out_size=(56, 56), padding=(1, 1), groups=96)
    (cost,) = simulate(Workload.chain("one", [layer]), load_accelerator("bitfusion"), 8).layers
    assert cost.mapping is not None
    assert cost.mapping.packed == 16
    assert cost.compute_cycles == 9 * 56 * 56 * 6


@pytest.mark.parametrize("packed", [1, 2, 3, 6])
def test_packing_multiplies_weights_and_nothing_else(packed: int) -> None:
    """Zeros are stored and fetched like any weight; inputs and outputs are as many as ever."""
    machine = load_accelerator("bitfusion")
    layer = Layer("dw", 6, 6, kernel=(3, 3), out_size=(8, 8), padding=(1, 1), groups=6)
    task = problem_of(layer, Precision(8, 8), Tensors(Ends(), 8), 1, machine)
    dense = as_packed(task, packed)
    assert dense.groups * dense.in_channels == task.groups * task.in_channels
    weights = dense.groups * dense.in_channels * dense.out_channels
    assert weights == packed * task.groups * task.in_channels * task.out_channels


# ---- computed bit by bit


def divisors(task: Problem) -> list[int]:
    return [packed for packed in range(1, task.groups + 1) if task.groups % packed == 0]


@pytest.mark.parametrize("name", COMPUTED)
@settings(max_examples=25)
@given(
    data=st.data(),
    seed=st.integers(0, 99),
    bits=st.builds(Precision, st.integers(2, 8), st.integers(2, 8)),
)
def test_the_datapath_computes_packed_groups_in_the_cycles_that_are_charged(
    name: str, data: st.DataObject, seed: int, bits: Precision
) -> None:
    groups = data.draw(st.sampled_from((2, 4, 6)))
    channels = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    layer = Layer(
        "grouped",
        groups * channels[0],
        groups * channels[1],
        kernel=(data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))),
        out_size=(data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))),
        groups=groups,
    )
    machine = load_accelerator(name).configured(
        array__rows=data.draw(st.integers(1, 5)), array__columns=data.draw(st.integers(1, 5))
    )
    task = problem_of(layer, bits, Tensors(Ends(), 8), 1, machine)
    packed = data.draw(st.sampled_from(divisors(task)))
    found = search(as_packed(task, packed), np.ones(12), 1)
    found = found._replace(mapping=found.mapping._replace(packed=packed))
    x, w = operands(layer, bits, 1, (False, True), seed)
    computed = compute(layer, machine, bits, found.mapping, x, w)
    agrees(machine, layer, bits, found, computed, convolved(layer, x, w))
