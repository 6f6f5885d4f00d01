"""Every machine of the library, over layers and precisions at random: conservation and rooflines.

A machine is tested as soon as its file exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from networks import cifar_resnet38
from random_layers import geometries, touched_lines

from accel_models import (
    Accelerator,
    InfeasibleError,
    Layer,
    Precision,
    Workload,
    list_accelerators,
    load_accelerator,
    simulate,
)
from accel_models.costs.pricing import COMPONENTS, Pricing
from accel_models.costs.simulator import LayerSimulator, Simulation
from accel_models.costs.solving import LayerCost, best_mapping
from accel_models.energy.published_tables import read_table
from accel_models.mapping.groups import least_compute_cycles
from accel_models.mapping.problem import ACTIONS, Found, Priced
from accel_models.mapping.problem_of import IMAGE_BITS
from accel_models.mapping.search import price

MACHINES = list_accelerators()
PUBLISHED = "bitfusion-published"
RESIDUAL = ("first", "last")
"""The edge that adds the first layer's output to the last one's."""

COMPONENT = {
    "array_operations": "array",
    "array_cycles": "array",
    "array_stall_cycles": "array",
    "vector_operations": "vector unit",
    "weight_buffer_read_bits": "weight buffer",
    "weight_buffer_write_bits": "weight buffer",
    "input_buffer_read_bits": "input buffer",
    "input_buffer_write_bits": "input buffer",
    "output_buffer_read_bits": "output buffer",
    "output_buffer_write_bits": "output buffer",
    "dram_read_bits": "dram",
    "dram_write_bits": "dram",
}


@cache
def machine_called(name: str) -> Accelerator:
    return load_accelerator(name)


@cache
def widest(name: str) -> int:
    """The widest operands that the machine multiplies and stores."""
    machine = machine_called(name)
    limit = machine.storage.full_bits if machine.storage.weights == "full" else 32
    for bits in range(limit, 0, -1):
        try:
            machine.array.datapath(Layer("any", 8, 8), Precision(bits, bits))
        except InfeasibleError:
            continue
        return bits
    raise AssertionError(f"{name} multiplies nothing")


# ---- layers, networks and precisions at random


@st.composite
def layers(draw: st.DrawFn, reads_image: bool = False) -> Layer:
    """Any geometry, groups, depthwise layers, linear layers."""
    kind = draw(st.sampled_from(("dense", "grouped", "depthwise", "linear")))
    channels = st.integers(1, 70)
    if reads_image:
        kind, channels = "dense", st.sampled_from((1, 3))
    if kind == "linear":
        return Layer("layer", draw(st.integers(1, 300)), draw(st.integers(1, 300)))
    ins = outs = groups = draw(channels)
    if kind != "depthwise":
        groups = draw(st.integers(2, 4)) if kind == "grouped" else 1
        ins, outs = groups * draw(channels), groups * draw(st.integers(1, 70))
    geometry = draw(geometries(kernels=5, outputs=24))
    return Layer("layer", ins, outs, groups=groups, reads_image=reads_image, **geometry)


def renamed(layer: Layer, name: str, unit: str = "") -> Layer:
    return replace(layer, name=name, role="body" if unit else "fixed", unit=unit)


@st.composite
def networks(draw: st.DrawFn) -> Workload:
    """An image layer, two layers of one unit and a last one, to which the first may be added."""
    parts = [
        renamed(draw(layers(reads_image=True)), "first"),
        renamed(draw(layers()), "second", "unit"),
        renamed(draw(layers()), "third", "unit"),
        renamed(draw(layers()), "last"),
    ]
    chain = Workload.chain("random", parts)
    return Workload("random", chain.layers, chain.edges + draw(st.sampled_from(((), (RESIDUAL,)))))


def precisions(name: str) -> st.SearchStrategy[Precision]:
    bits = st.integers(1, widest(name))
    return st.builds(Precision, bits, bits)


def run(name: str, network: Workload, data: st.DataObject) -> Simulation:
    """The network on a machine, inside and outside its unit at precisions of their own."""
    inside, outside = data.draw(precisions(name)), data.draw(precisions(name))
    batch = data.draw(st.integers(1, 4))
    machine = machine_called(name)
    return simulate(network, machine, {"unit": inside}, always=outside, batch=batch)


every_machine = pytest.mark.parametrize("name", MACHINES)


# ---- conservation and rooflines


@pytest.mark.slow
@every_machine
@given(network=networks(), data=st.data())
@settings(max_examples=25)
def test_energy_and_time_are_conserved_and_nothing_beats_the_rooflines(
    name: str, network: Workload, data: st.DataObject
) -> None:
    """Both of every run: to search for its mappings takes far longer than to look at it."""
    cost = run(name, network, data)
    check_conserved(cost)
    check_rooflines(cost)


def check_conserved(cost: Simulation) -> None:
    """What layers take is what the network takes, and joules are counts times prices."""
    machine, pricing = cost.accelerator, Pricing(cost.accelerator)
    assert cost.cycles == sum(layer.cycles for layer in cost.layers)
    assert cost.counts.tolist() == sum(layer.counts for layer in cost.layers).tolist()
    for layer in cost.layers:
        counts = dict(zip(ACTIONS, layer.counts.tolist(), strict=True))
        assert min(counts.values()) >= 0
        assert counts["array_cycles"] == layer.compute_cycles
        assert counts["array_cycles"] + counts["array_stall_cycles"] == layer.cycles

    exact = dict.fromkeys(COMPONENTS, Fraction())
    for action, count, pj in zip(ACTIONS, cost.counts.tolist(), pricing.action_pj, strict=True):
        exact[COMPONENT[action]] += count * Fraction(pj)
    exact["other"] = sum(exact.values()) * Fraction(machine.energy.other_share)
    for name, watts in (
        ("leakage", pricing.leakage_power_w),
        ("dram background", pricing.background_power_w),
    ):
        exact[name] = cost.cycles * Fraction(watts) / Fraction(machine.frequency_hz) * 10**12
    assert cost.energy_pj == pytest.approx([float(pj) for pj in exact.values()], rel=1e-12)
    assert cost.energy_j == pytest.approx(float(sum(exact.values())) * 1e-12, rel=1e-12)
    by_layer = [pricing.energy_pj(layer.counts, layer.cycles) for layer in cost.layers]
    assert cost.energy_pj == pytest.approx(np.sum(by_layer, axis=0), rel=1e-12)


def compulsory_bits(cost: Simulation, layer: LayerCost) -> tuple[int, int]:
    """What must be read and written whatever the mapping: weights, touched inputs, outputs and
    residual once, as wide as they are stored."""
    storage, fidelity = cost.accelerator.storage, cost.accelerator.fidelity
    shape, width = layer.layer, layer.precision
    stream = max(storage.stream_bits, *(one.precision.activation_bits for one in cost.layers[1:]))
    inside = width.activation_bits if storage.activations == "packed" else stream
    weight = storage.full_bits if storage.weights == "full" else width.weight_bits
    arrives = inside if shape.name == "third" else stream
    leaves = inside if shape.name == "second" else stream
    residual = stream if shape.name == "last" and RESIDUAL in cost.workload.edges else 0
    if fidelity.outputs == "accumulators":
        arrives, leaves = width.activation_bits, cost.accelerator.accumulator_bits
    if shape.reads_image:
        arrives = IMAGE_BITS
    if not fidelity.residual_add:
        residual = 0
    touched = len(touched_lines(shape, 0)) * len(touched_lines(shape, 1))
    inputs = touched * shape.in_channels * cost.batch
    outputs = shape.out_size[0] * shape.out_size[1] * shape.out_channels * cost.batch
    return shape.weights * weight + inputs * arrives + outputs * residual, outputs * leaves


def check_rooflines(cost: Simulation) -> None:
    """Neither the array nor the DRAM does more in a cycle than it can."""
    machine, network = cost.accelerator, cost.workload
    simulator = alone(machine, cost.batch)
    moved = 0
    for layer in cost.layers:
        assert layer.compute_cycles <= layer.cycles
        # Two sets of 14 output rows can take fewer steps than 28 rows by the row-stationary rule.
        if machine.mapping.lane_rules != ("row-stationary",):
            whole = simulator.problem(network, layer.layer, layer.precision)
            assert layer.compute_cycles >= least_compute_cycles(whole)
        operations = layer.counts[ACTIONS.index("array_operations")]
        assert operations <= layer.compute_cycles * machine.array.operations_per_cycle
        reads, writes = compulsory_bits(cost, layer)
        assert layer.counts[ACTIONS.index("dram_read_bits")] >= reads
        assert layer.counts[ACTIONS.index("dram_write_bits")] >= writes
        # First weights may have come while the layer before computed.
        unspared = layer.cycles + layer.head_cycles
        assert unspared * machine.dram_bits_per_cycle >= reads + writes
        moved += reads + writes
    assert cost.cycles * machine.dram_bits_per_cycle >= moved


# ---- wider operands

MORE = (1, 2, 3, 4, 5, 7, 8, 9, 12, 16)
"""Widths on either side of where some machine steps."""


SHAPES = [
    Layer("strided", 26, 45, (5, 2), (11, 33), (3, 2), (0, 1), in_size=(37, 65)),
    Layer("tall", 27, 13, (5, 1), (32, 29), (2, 1), (1, 0), in_size=(66, 29)),
    Layer("grouped", 183, 45, (5, 2), (19, 30), (3, 2), (2, 1), groups=3, in_size=(57, 59)),
    Layer("wide", 70, 29, (4, 2), (11, 29), (1, 3), (2, 1), in_size=(10, 86)),
    Layer("small", 87, 10, (2, 2), (12, 6), (3, 3), (1, 0), in_size=(35, 19)),
    Layer("flat", 35, 47, (2, 3), (25, 5), (1, 3), in_size=(26, 17)),
    Layer("depthwise", 33, 33, (3, 5), (14, 14), (3, 2), (1, 1), groups=33, in_size=(42, 30)),
    Layer("image", 3, 16, (3, 3), (32, 32), padding=(1, 1), reads_image=True),
    Layer("linear", 27, 215),
    Layer("classifier", 64, 10),
]


def widening(name: str, fixed: int) -> list[list[Precision]]:
    """Precisions of growing weights, and of growing activations."""
    bits = [width for width in MORE if width <= widest(name)]
    other = min(fixed, widest(name))
    return [[Precision(b, other) for b in bits], [Precision(other, b) for b in bits]]


def alone(machine: Accelerator, batch: int) -> LayerSimulator:
    """Tensors between layers are as wide as the machine's widest operands, whatever runs."""
    stream = max(machine.storage.stream_bits, widest(machine.name))
    return LayerSimulator(machine, batch, stream)


def objective(cost: Found | Priced, pricing: Pricing) -> float:
    """What the machine's mappings are chosen by."""
    static = pricing.static_pj_per_cycle * cost.cycles
    energy = float(cost.counts @ np.array(pricing.weighed_pj)) + static
    kind = pricing.machine.mapping.objective
    return {"latency": cost.cycles, "energy": energy, "edp": energy * cost.cycles}[kind]


@pytest.mark.slow
@pytest.mark.parametrize("name", MACHINES)
@given(layer=layers(), batch=st.integers(1, 4), fixed=st.integers(1, 16))
@example(layer=SHAPES[-1], batch=1, fixed=1)
@settings(max_examples=15)
def test_no_array_is_faster_at_wider_operands(
    name: str, layer: Layer, batch: int, fixed: int
) -> None:
    """Groups lie side by side only where a weight can be zero: 1-bit weights of some arrays cannot,
    and wider ones may overtake them."""
    machine = machine_called(name)
    single, simulator = Workload.chain("one", [layer]), alone(machine, batch)
    for series in widening(name, fixed):
        alike = [w for w in series if layer.groups == 1 or machine.array.has_zero_weights(w)]
        cycles = [least_compute_cycles(simulator.problem(single, layer, width)) for width in alike]
        assert cycles == sorted(cycles)


def scores(machine: Accelerator, shapes: list[Layer]) -> Iterator[tuple[list[float], list[float]]]:
    """The machine's objective as operands get wider: as the search measures it, and exactly."""
    for layer, (batch, fixed) in product(shapes, ((1, 8), (4, 1))):
        single, simulator = Workload.chain("one", [layer]), alone(machine, batch)
        for series in widening(machine.name, fixed):
            tasks = [simulator.problem(single, layer, width) for width in series]
            # Groups that cannot lie side by side at 1 bit may gain where weights can be zero.
            tasks = [task for task in tasks if layer.groups == 1 or task.zero_weights]
            best = [best_mapping(task, machine, simulator.pricing) for task in tasks]
            exact = [price(*pair) for pair in zip(tasks, best, strict=True)]
            yield (
                [objective(one, simulator.pricing) for one in best],
                [objective(one, simulator.pricing) for one in exact],
            )


def gains(machine: Accelerator, shapes: list[Layer]) -> int:
    """How often the next wider operands are better for a layer, as the search measures it."""
    return sum(
        after < before * (1 - 1e-9)
        for measured, _ in scores(machine, shapes)
        for before, after in pairwise(measured)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [name for name in MACHINES if name not in (PUBLISHED, "colonnade-published")],
)
def test_no_machine_gains_from_wider_operands(name: str) -> None:
    """But for what the search does not see: that tiles at the edges are smaller."""
    unseen = 0.025
    for measured, exact in scores(machine_called(name), SHAPES):
        assert all(after >= before * (1 - 1e-9) for before, after in pairwise(measured))
        assert all(after >= before * (1 - unseen) for before, after in pairwise(exact))


def test_the_published_bit_fusion_gains_from_wider_operands() -> None:
    """It does on layers of ResNet-38 and on others, for two reasons.

    Weights are padded to whole reductions of the array, and the narrower the operands, the more
    products a reduction holds: with 8-bit weights, 27 inputs of 2 bits are padded to 64, of 3 bits
    to 32. And what fits its buffer is loaded whole before the first multiplication, which narrow
    operands may and wide ones may not. Energy follows, for mappings are chosen by cycles first.
    """
    published = machine_called(PUBLISHED)
    unpadded = published.configured(fidelity__weight_alignment=False)
    network = list({layer.geometry: layer for layer in cifar_resnet38().layers}.values())
    for shapes in (network, SHAPES):
        assert gains(published, shapes) > gains(unpadded, shapes) > 0


def test_colonnade_gains_where_the_silicon_does() -> None:
    """A row of cells has room for floor(128 / (bits + 7)) weights, and columns left over cost more
    than used ones: the published energy of a MAC falls from 6 to 7 bits, 8 to 9, and so on."""
    machine = machine_called("colonnade-published")
    silicon = [float(row["w_fj_0v8"]) for row in read_table("colonnade_silicon.csv")]
    layer = Layer("any", 128, 128)
    modelled = [
        machine.array.datapath(layer, Precision(bits, 1)).operations_per_mac
        for bits in range(1, 17)
    ]
    falls = [b for b in range(1, 16) if silicon[b] < silicon[b - 1]]
    assert falls == [b for b in range(1, 16) if modelled[b] < modelled[b - 1]] != []
    assert gains(machine, SHAPES) > 0


# ---- layers that do not fit


@every_machine
def test_what_does_not_fit_is_said_in_a_sentence(name: str) -> None:
    """Every bank of the tiny machine holds 32 words, the fewest that are tabled."""
    machine = machine_called(name)
    tiny = machine.configured(
        **{
            f"buffers__{buffer.name}_bytes": buffer.shape.number * 32 * buffer.shape.word_bits // 8
            for buffer in Pricing(machine).buffers
        }
    )
    vast = Workload.chain("vast", [Layer("vast", 1, 1, (1000, 1000))])
    tile = r"the smallest tile needs \d+ bits of the (weight|input) buffer, half of which holds \d+"
    with pytest.raises(InfeasibleError, match=f"^layer 'vast' at 8 bits on {name}: .*: {tile}$"):
        simulate(vast, tiny, 8)
    bits = widest(name) + 1
    with pytest.raises(
        InfeasibleError, match=f"^layer 'vast' at {bits} bits on {name}: .*{bits}-bit"
    ):
        simulate(vast, machine, bits)
