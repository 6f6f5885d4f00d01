"""A layer taken apart: its parts add up, and say what a walk through its loops would."""

from __future__ import annotations

from itertools import pairwise, product
from math import ceil, prod

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from networks import cifar_resnet38, every_operator, gated_pair
from random_layers import geometries

from accel_models import (
    Accelerator,
    InfeasibleError,
    InputError,
    Layer,
    Precision,
    Simulation,
    Workload,
    list_accelerators,
    load_accelerator,
    simulate,
)
from accel_models.costs.pricing import Pricing
from accel_models.costs.solving import LayerCost
from accel_models.explain.layer import Explanation, explain, pareto_set
from accel_models.explain.vector_layer import VectorExplanation
from accel_models.mapping.parts import BANDWIDTH, COMPUTE, CONVERSION, LATENCY, RESOURCES, VECTOR
from accel_models.mapping.problem import ACTIONS, LOOPS

READ, WRITE = ACTIONS.index("dram_read_bits"), ACTIONS.index("dram_write_bits")
EARLY = "of these, during the layer before"
INDEXES = {
    "weights": {"in_channels", "out_channels"},
    "inputs": {"batch", "out_rows", "out_columns", "in_channels"},
    "outputs": {"batch", "out_rows", "out_columns", "out_channels"},
}
"""Loops that a tensor's elements depend on."""


@st.composite
def networks(draw: st.DrawFn) -> Workload:
    """Two layers in a row, the second grouped at times and with a residual to add."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    channels = draw(st.integers(1, 60)) * groups
    first = Layer(
        "first",
        draw(st.integers(1, 60)),
        channels,
        reads_image=draw(st.booleans()),
        **draw(geometries(outputs=24)),
    )
    second = Layer(
        "second",
        channels,
        draw(st.integers(1, 80)) * groups,
        groups=groups,
        **draw(geometries(outputs=24)),
    )
    last = Layer("last", second.out_channels, draw(st.integers(1, 40)))
    edges = [("first", "second"), ("second", "last")]
    if draw(st.booleans()):
        edges.append(("first", "last"))
    return Workload("three", (first, second, last), tuple(edges))


widths = st.builds(Precision, st.integers(1, 8), st.integers(1, 8))


def simulated(machine: Accelerator, network: Workload, bits: Precision, batch: int) -> Simulation:
    try:
        return simulate(network, machine, bits, batch=batch)
    except InfeasibleError:
        assume(False)
        raise


# ---- parts add up


@pytest.mark.slow
@pytest.mark.parametrize("name", list_accelerators())
@settings(max_examples=30)
@given(network=networks(), bits=widths, batch=st.integers(1, 3), resident=st.booleans())
def test_parts_add_up_and_doing_without_one_never_costs(
    name: str, network: Workload, bits: Precision, batch: int, resident: bool
) -> None:
    machine = load_accelerator(name).configured(storage__resident=resident)
    run = simulated(machine, network, bits, batch)
    for cost in run.layers:
        found = explain(run, cost.layer.name)
        check_parts(found, cost, machine)
        check_doing_without(found, cost)


def check_parts(found: Explanation, cost: LayerCost, machine: Accelerator) -> None:
    """Parts of traffic, time and energy are those of the layer, and none beats the roofline."""
    traffic, schedule = found.traffic, found.schedule
    assert sum(tensor.read_bits for tensor in traffic) == cost.counts[READ]
    assert sum(tensor.write_bits for tensor in traffic) == cost.counts[WRITE]
    assert sum(schedule.parts.values()) == schedule.cycles == cost.cycles
    assert schedule.parts["array computing"] == cost.compute_cycles
    for part, cycles in schedule.parts.items():
        assert cycles <= 0 if part == EARLY else cycles >= 0
    assert found.distance >= 1
    for tensor in traffic:
        assert tensor.read_bits + tensor.write_bits >= tensor.least_bits
    for block in found.blocks:
        assert 0 <= block.bits <= block.room_bits
    energy = Pricing(machine).energy_pj(cost.counts, cost.cycles)
    assert sum(found.energy_pj.values()) == pytest.approx(energy.sum())


def check_doing_without(found: Explanation, cost: LayerCost) -> None:
    """Doing without a resource saves no less than nothing and no more than all."""
    schedule = found.schedule
    saved = {name: cost.cycles - schedule.without(name) for name in RESOURCES}
    assert all(0 <= cycles <= cost.cycles for cycles in saved.values())
    assert schedule.without("nothing") == cost.cycles
    assert saved[schedule.bottleneck] == max(saved.values())
    # What nothing hides is saved by doing without it.
    hidden = ("array waiting for blocks from DRAM", "first blocks arriving", EARLY)
    waited = sum(schedule.parts[part] for part in (*hidden, "last block leaving"))
    assert saved[BANDWIDTH] >= waited
    assert saved[LATENCY] == schedule.parts["DRAM latency"] + schedule.parts["pipeline filling"]
    assert saved[VECTOR] <= schedule.parts["array waiting for the vector unit"]


WITH_VECTOR_UNITS = [
    name for name in list_accelerators() if load_accelerator(name).fidelity.vector_unit
]


@pytest.mark.parametrize("name", WITH_VECTOR_UNITS)
@pytest.mark.parametrize("resident", [False, True])
def test_parts_of_every_operator_add_up(name: str, resident: bool) -> None:
    """With all buffers double, and with tensors that stay on chip and all buffers single."""
    kinds = {
        f"buffers__{tensor}_double_buffered": not resident
        for tensor in ("weight", "input", "output")
    }
    machine = load_accelerator(name).configured(storage__resident=resident, **kinds)
    run = simulate(every_operator(), machine, 4, batch=2)
    for cost in run.layers:
        pieces = len(cost.pieces)
        names = [f"{cost.layer.name}[{n}]" for n in range(pieces)] if pieces > 1 else []
        parts = [explain(run, one) for one in names or [cost.layer.name]]
        traffic = [tensor for part in parts for tensor in part.traffic]
        assert sum(tensor.read_bits for tensor in traffic) == cost.counts[READ]
        assert sum(tensor.write_bits for tensor in traffic) == cost.counts[WRITE]
        for part in parts:
            assert sum(part.parts.values()) == part.cost.cycles
            assert part.schedule.without("nothing") == part.cost.cycles
            assert part.distance >= 1
            for tensor in part.traffic:
                assert tensor.read_bits + tensor.write_bits >= tensor.least_bits
        if pieces > 1:
            assert sum(part.cost.cycles for part in parts) >= cost.cycles
            with pytest.raises(InputError, match=f"ask for one of '{cost.layer.name}.0.'"):
                explain(run, cost.layer.name)


def test_a_pass_through_the_vector_unit_by_hand() -> None:
    """The pool reads 12 x 12 x 8 elements of 8 bits, writes 6 x 6 x 8, and compares 9 for each; 32
    lanes, 256 bits of DRAM a cycle."""
    run = simulate(every_operator(), load_accelerator("bitfusion"), 8)
    pool = explain(run, "max_pool")
    assert isinstance(pool, VectorExplanation)
    assert (pool.operations, pool.lanes) == (6 * 6 * 8 * 9, 32)
    assert [tensor.least_bits for tensor in pool.traffic] == [12 * 12 * 8 * 8, 0, 6 * 6 * 8 * 8]
    assert pool.roofline.compute == 6 * 6 * 8 * 9 // 32
    assert pool.roofline.traffic == 12 * 12 * 8 * 8 // 256 + 6 * 6 * 8 * 8 // 256
    assert pool.roofline.bound == VECTOR
    assert pool.parts["vector unit at work"] == 6 * 6 * 8 * 9 // 32
    assert pool.schedule.bottleneck == VECTOR


def test_a_transposed_convolution_says_what_it_is_computed_as() -> None:
    """On `bitfusion` all four phases at once; on the Eyeriss chip one after the other."""
    run = simulate(every_operator(), load_accelerator("bitfusion"), 4)
    found = explain(run, "up")
    assert (found.computed.operator, found.computed.out_channels) == ("conv", 4 * 8)
    apart = simulate(every_operator(), load_accelerator("eyeriss-published"), 4)
    kernels = [explain(apart, f"up[{number}]").computed.kernel for number in range(4)]
    assert sum(prod(kernel) for kernel in kernels) == 3 * 3


# ---- the loops, walked through


def walked(found: Explanation) -> tuple[dict[str, int], list[tuple[str, ...]]]:
    """Go through the loop nest tile by tile, holding of each tensor as many tiles as its block has:
    how many blocks are loaded, and what is exchanged before every step but the first."""
    loops = found.loops
    loads = dict.fromkeys(INDEXES, 0)
    held: dict[str, tuple[int, ...]] = {}
    exchanged = []
    for position in product(*(range(loop.trips) for loop in loops)):
        new = []
        for tensor, indexes in INDEXES.items():
            outer, room = [], next(b.tiles for b in found.blocks if b.tensor == tensor)
            for loop, index in zip(reversed(loops), reversed(position), strict=True):
                if loop.name not in indexes:
                    continue
                if room > 1:
                    assert room % loop.trips == 0  # whole loops fit, or none of them
                    room //= loop.trips
                else:
                    outer.append(index)
            if held.get(tensor) != (block := tuple(outer)):
                held[tensor] = block
                loads[tensor] += 1
                new.append(tensor)
        exchanged.append(tuple(new))
    return loads, exchanged[1:]


@pytest.mark.slow
@settings(max_examples=150)
@given(network=networks(), bits=widths, batch=st.integers(1, 3), room=st.sampled_from([1, 8, 64]))
def test_blocks_are_loaded_as_often_as_a_walk_through_the_loops_does(
    network: Workload, bits: Precision, batch: int, room: int
) -> None:
    machine = load_accelerator("bitfusion").configured(
        buffers__weight_bytes=65536 // room,
        buffers__input_bytes=32768 // room,
        buffers__output_bytes=16384 // min(room, 8),
        fidelity__sram_figures="interpolated",
    )
    try:
        run = simulated(machine, network, bits, batch)
    except InputError:  # such small banks are not tabled
        assume(False)
    for cost in run.layers:
        found = explain(run, cost.layer.name)
        assume(prod(loop.trips for loop in found.loops) < 5000)
        loads, exchanged = walked(found)
        assert len(found.schedule.tiles) == found.groups * (len(exchanged) + 1)
        for block in found.blocks:
            index_loops = [loop for loop in found.loops if loop.name in INDEXES[block.tensor]]
            blocks = prod(loop.trips for loop in index_loops) // block.tiles
            assert loads[block.tensor] == blocks * block.trips
            assert block.stays == (loads[block.tensor] == 1)
        said = [
            next(loop.exchanges for loop, index in zip(found.loops, at, strict=True) if index)
            for at in advances(found)
        ]
        assert said == exchanged


def advances(found: Explanation) -> list[tuple[bool, ...]]:
    """For every step but the first, which loop advances, those inside it starting again."""
    trips = [loop.trips for loop in found.loops]
    steps = list(product(*map(range, trips)))
    return [
        tuple(now > then for then, now in zip(before, after, strict=True))
        for before, after in pairwise(steps)
    ]


@pytest.mark.slow
@settings(max_examples=60)
@given(network=networks(), bits=widths, batch=st.integers(1, 3))
def test_loops_cover_the_layer(network: Workload, bits: Precision, batch: int) -> None:
    run = simulated(load_accelerator("bitfusion"), network, bits, batch)
    for cost in run.layers:
        found, layer = explain(run, cost.layer.name), cost.layer
        whole = (batch, *layer.out_size, layer.in_channels, layer.out_channels)
        together = layer.groups / cost.mapping.packed
        shared = (1, 1, 1, together, together)
        trips = {loop.name: loop.trips for loop in found.loops}
        for name, size, groups, tile in zip(LOOPS, whole, shared, cost.mapping.tile, strict=True):
            assert trips.get(name, 1) == ceil(size / groups / tile)
        assert [loop.name for loop in found.loops] == [n for n in cost.mapping.order if n in trips]


# ---- bottlenecks, made on purpose

CONV = Layer("conv", 64, 64, (3, 3), (16, 16), padding=(1, 1))
THIN = Layer("thin", 16, 16, (1, 1), (32, 32))
SPARSE = Layer("sparse", 16, 8, (1, 1), (2, 2), stride=(64, 64))


@pytest.mark.parametrize(
    ("name", "layer", "bits", "changes", "bottleneck"),
    [
        ("bitfusion", CONV, 8, {}, COMPUTE),
        ("bitfusion", CONV, 8, {"dram__gb_per_s": 0.1}, BANDWIDTH),
        ("bitfusion", THIN, 8, {"dram__latency_ns": 1e6}, LATENCY),
        # 16 positions of 256 outputs in one cycle, of which 256 are requantised in it.
        ("stripes", THIN, 1, {"dram__gb_per_s": 1e4}, VECTOR),
        # All of 65 x 65 x 16 inputs become bit planes, for 4 positions.
        ("bismo-published", SPARSE, 8, {"dram__gb_per_s": 1e4}, CONVERSION),
    ],
)
def test_bottlenecks(
    name: str, layer: Layer, bits: int, changes: dict[str, float], bottleneck: str
) -> None:
    machine = load_accelerator(name).configured(**changes)
    run = simulate(Workload.chain("one", [layer]), machine, bits)
    found = explain(run, layer.name)
    assert found.schedule.bottleneck == bottleneck
    if bottleneck in (COMPUTE, BANDWIDTH):
        assert found.roofline.bound == bottleneck
        assert found.distance < 1.5


def test_roofline_of_a_layer_by_hand() -> None:
    """64 x 64 x 9 MACs at 256 positions on 512 elements; 36,864 weights, 16,384 inputs and as many
    outputs of 8 bits at 256 bits per cycle, two channels of LPDDR4 at 400 MHz."""
    run = simulate(Workload.chain("one", [CONV]), load_accelerator("bitfusion"), 8)
    roofline = explain(run, "conv").roofline
    assert roofline.compute == 64 * 64 * 9 * 256 // 512
    assert roofline.traffic == ceil((36864 + 2 * 16384) * 8 / 256)
    assert roofline.cycles == max(roofline.compute, roofline.traffic)


def test_the_published_tool_moves_every_output_three_times() -> None:
    """It writes 32-bit outputs, and fetches each before anything was added to it."""
    run = simulate(cifar_resnet38(), load_accelerator("bitfusion-published"), 8)
    traffic = {tensor.tensor: tensor for tensor in explain(run, "group1.block1.conv1").traffic}
    outputs = 16 * 32 * 32
    # 20 or 16 channels, all the same: outputs are padded to the array's 32 columns.
    assert traffic["outputs"].write_bits == 2 * outputs * 32
    assert traffic["partial sums"].read_bits == 2 * outputs * 32
    assert traffic["outputs"].least_bits == outputs * 32


# ---- what a simulation leaves to be found out


def test_image_layers_whose_width_others_tell() -> None:
    machine = load_accelerator("bitfusion")
    for bits in ("4/12", "3/16", "16", "2"):
        run = simulate(cifar_resnet38(), machine, bits)
        assert explain(run, "stem").schedule.cycles == run.layers[0].cycles


def test_gated_networks_and_units_of_their_own() -> None:
    run = simulate(gated_pair(), load_accelerator("bitfusion"), {"a": "2", "b": "skip"}, always=8)
    for cost in run.layers:
        found = explain(run, cost.layer.name)
        assert found.cost is cost
        assert isinstance(found, VectorExplanation) == (cost.layer.role == "gate")
    gate = explain(run, "a.gate")
    assert (gate.traffic, gate.roofline.traffic, gate.schedule.bottleneck) == ((), 0, VECTOR)
    assert gate.parts["vector unit at work"] == sum(gate.parts.values()) == gate.cost.cycles
    assert gate.distance >= 1
    with pytest.raises(InputError, match=r"'a\.gate' runs on the vector unit"):
        pareto_set(run, "a.gate")
    with pytest.raises(InputError, match=r"no layer of 'pair' is called 'b\.conv'"):
        explain(run, "b.conv")  # skipped


def test_the_width_asked_for_is_known_where_another_is_computed_at() -> None:
    """One layer that reads pixels of 8 bits, asked for weights of 2 and inputs of 12: its outputs
    wait at 12."""
    image = Layer("only", 3, 16, (3, 3), (8, 8), reads_image=True)
    run = simulate(Workload.chain("image", [image]), load_accelerator("bitfusion"), "2/12")
    found = explain(run, "only")
    assert sum(found.schedule.parts.values()) == run.cycles
    assert {part.tensor: part.write_bits for part in found.traffic}["outputs"] == 8 * 8 * 16 * 12


def test_an_unknown_layer_is_named_beside_some_that_exist() -> None:
    run = simulate(cifar_resnet38(), load_accelerator("bitfusion"), 8)
    with pytest.raises(InputError, match=r"called 'conv': it has stem, group1\.block1\.conv1, "):
        explain(run, "conv")


# ---- the Pareto set


@settings(max_examples=30)
@given(network=networks(), bits=widths, objective=st.sampled_from(["latency", "energy", "edp"]))
def test_pareto_set_runs_from_frugal_to_fast_through_the_chosen_mapping(
    network: Workload, bits: Precision, objective: str
) -> None:
    machine = load_accelerator("bitfusion").configured(
        mapping__objective=objective, fidelity__prefetch=False
    )
    run = simulated(machine, network, bits, 1)
    for cost in run.layers:
        points = pareto_set(run, cost.layer.name)
        cycles = np.array([point.cycles for point in points])
        energy = np.array([point.energy_pj for point in points])
        assert (np.diff(cycles) < 0).all() and (np.diff(energy) > 0).all()
        if cost.layer.groups > 1:  # chosen by exact prices, which these points have not
            continue
        (chosen,) = (point for point in points if point.chosen)
        assert chosen.cycles >= cost.cycles
        best = {"latency": cycles, "energy": energy, "edp": cycles * energy}[objective]
        assert points[int(best.argmin())] is chosen
        assert chosen.loops == explain(run, cost.layer.name).loops
