"""The default machine: the check figures of its derivation, what it stores where, what it keeps."""

from __future__ import annotations

from itertools import pairwise, product
from math import ceil, log2

import pytest
from default_machines import DEFAULT, FRUGAL, by_name, count, residual_blocks
from hypothesis import given
from hypothesis import strategies as st
from networks import cifar_resnet38
from random_layers import touched_lines

from accel_models import (
    Accelerator,
    Layer,
    Precision,
    Workload,
    load_accelerator,
    simulate,
)
from accel_models.costs.pricing import Pricing
from accel_models.costs.residency import LARGEST_SHARE, plan_residency
from accel_models.costs.simulator import LayerSimulator
from accel_models.costs.solving import best_mapping
from accel_models.explain.departures import DepartureEffect, departure_steps, effects
from accel_models.mapping.problem_of import accumulator_bits
from accel_models.mapping.search import compute_cycles, pareto
from accel_models.precision import parse_choices

WORD = DEFAULT.accumulator_bits
CONV = Layer("conv", 16, 16, (3, 3), (32, 32), padding=(1, 1))
"""The repeated layer of ResNet-38's first stage, whose 16 channels fill no lanes."""


def resnet38_with_additions() -> Workload:
    """ResNet-38 whose blocks add their input, or what the shortcut makes of it."""
    layers, edges, feeding = [], [], "stem"
    plain = {layer.name: layer for layer in cifar_resnet38().layers}
    for name, layer in plain.items():
        block, _, part = name.rpartition(".")
        if part == "conv1":
            side = plain.get(f"{block}.shortcut")
            layers += [side, layer] if side else [layer]
            edges += [(feeding, one.name) for one in layers[-1 - bool(side) :]]
            edges += [(side.name if side else feeding, f"{block}.conv2")]
            edges += [(name, f"{block}.conv2")]
        elif part != "shortcut":
            layers.append(layer)
        if part == "conv2":
            feeding = name
    return Workload("resnet38", tuple(layers), (*edges, (feeding, "classifier")))


def untiled(machine: Accelerator, workload: Workload, precision: Precision) -> int:
    """Compute cycles of a network at batch 1, every layer in one tile."""
    simulator = LayerSimulator(machine, 1, machine.storage.stream_bits)
    problems = (simulator.problem(workload, layer, precision) for layer in workload.layers)
    return sum(compute_cycles(problem) for problem in problems)


# ---- compute cycles


@pytest.mark.parametrize(
    ("rule", "network", "conv"),
    [
        ("channels", (226308, 161665, 161665), (9216, 9216, 9216)),
        ("kernel-row", (226308, 74497, 54145), (9216, 3072, 3072)),
        ("window", (219140, 66433, 24065), (9216, 3072, 1024)),
    ],
)
def test_lane_rules(rule: str, network: tuple[int, ...], conv: tuple[int, ...]) -> None:
    """At 8, 4 and 2 bits, each rule on every layer; worked out apart from this package."""
    machine = DEFAULT.configured(mapping__lane_rules=(rule,), mapping__image_lane_rules=(rule,))
    one = Workload.chain("one", [CONV])
    widths = [Precision(bits, bits) for bits in (8, 4, 2)]
    assert tuple(untiled(machine, cifar_resnet38(), width) for width in widths) == network
    assert tuple(untiled(machine, one, width) for width in widths) == conv


@pytest.mark.parametrize(
    ("temporal", "bits", "passes"),
    # Slices of 8 bits and what is left: 12 = 8 + 4 multiplies in 1 + 1/2 + 1/2 + 1/4 of a pass.
    [
        *[("passes", bits, 4) for bits in (9, 10, 12, 16)],
        *[("sliced", 16, 4), ("sliced", 12, 2.25), ("sliced", 10, 1.5625)],
        *[("sliced", 8, 1), ("passes", 8, 1)],
    ],
)
def test_operands_above_eight_bits_take_several_passes(
    temporal: str, bits: int, passes: float
) -> None:
    machine = DEFAULT.configured(array__temporal=temporal)
    full = Workload.chain("full", [Layer("full", 256, 32, (1, 1), (4, 4))])
    eight, wide = Precision(8, 8), Precision(bits, bits)
    assert untiled(machine, full, wide) == passes * untiled(machine, full, eight)
    work = [count(simulate(full, machine, width), "array_operations") for width in (eight, wide)]
    assert work[1] == passes * work[0]


# ---- accumulators


@given(st.integers(1, 16), st.integers(2, 16), st.integers(1, 2**20))
def test_sums_fit_and_no_wider_word_is_taken_than_they_may_need(
    weight_bits: int, activation_bits: int, products: int
) -> None:
    widths = Precision(weight_bits, activation_bits)
    held = accumulator_bits(Layer("sum", products, 1), widths, DEFAULT)
    largest = 2 ** (weight_bits - 1) * (2**activation_bits - 1)
    assert products * largest <= 2 ** (held - 1)
    assert held in (WORD, 2 * WORD)
    if held == 2 * WORD:
        assert 2 ** ceil(log2(products)) * largest > 2 ** (WORD - 1)


@pytest.mark.parametrize(
    ("inputs", "bits", "word"), [(1, 16, 32), (2, 16, 64), (2**16, 8, 32), (2**16 + 1, 8, 64)]
)
def test_two_words_go_through_the_output_buffer(inputs: int, bits: int, word: int) -> None:
    layer = Workload.chain("sum", [Layer("sum", inputs, 32)])
    (cost,) = simulate(layer, DEFAULT.configured(buffers__weight_bytes=2**25), bits).layers
    drained = 32 * word * -(-inputs // cost.mapping.tile[3])
    assert cost.mapping.stationary == "output"
    assert count(cost, "output_buffer_write_bits") == drained


def test_published_fidelity_never_looks_at_overflow() -> None:
    published = load_accelerator("bitfusion-published")
    assert accumulator_bits(Layer("sum", 2**20, 1), Precision(8, 8), published) == WORD


# ---- from the published machine to this one


@pytest.fixture(scope="module")
def departures() -> list[DepartureEffect]:
    return effects(DEFAULT, cifar_resnet38())


def test_departures_lead_from_the_published_machine_to_this_one(
    departures: list[DepartureEffect],
) -> None:
    published = load_accelerator("bitfusion-published")
    machines = [step.machine.key_fields | {"name": ""} for step in departure_steps(DEFAULT)]
    assert machines[0] == published.key_fields | {"name": ""}
    assert machines[-1] == DEFAULT.key_fields | {"name": ""}
    for before, after in pairwise(machines):
        assert before != after
    for run, bits in zip(departures[-1].runs, (8, 4, 2), strict=True):
        here = simulate(cifar_resnet38(), DEFAULT, bits)
        assert run.cycles == here.cycles
        assert run.counts.tolist() == here.counts.tolist()
        assert run.energy_pj.tolist() == here.energy_pj.tolist()


def test_the_first_row_is_what_was_published(departures: list[DepartureEffect]) -> None:
    """The released simulator's totals for ResNet-38 at 8, 4 and 2 bits, batch 1."""
    runs = departures[0].runs
    assert [run.cycles for run in runs] == [293069, 227071, 215956]
    assert [round(run.energy_j * 1e6) for run in runs] == [920, 708, 671]


def test_departures_that_say_so_change_nothing_here(departures: list[DepartureEffect]) -> None:
    quiet = [one for one in departures if "Nothing changes" in one.step.why]
    first = departures.index(quiet[0])
    assert quiet == departures[first : first + 3]
    for one in quiet:
        for run, before in zip(one.runs, departures[first - 1].runs, strict=True):
            assert run.counts.tolist() == before.counts.tolist()
            assert run.energy_j == pytest.approx(before.energy_j, rel=1e-12)


# ---- objectives

OBJECTIVES = ("latency", "edp", "energy", "latency-then-energy")


def points(
    layer: Layer, bits: int, batch: int
) -> tuple[dict[str, tuple[int, float]], dict[int, float]]:
    """(cycles, energy in pJ) by objective, and energy by cycles of all Pareto-optimal mappings, as
    the search measures them."""
    one, width, found = Workload.chain("one", [layer]), Precision(bits, bits), {}
    pricing = Pricing(DEFAULT)
    task = LayerSimulator(DEFAULT, batch, 16).problem(one, layer, width)
    for objective in OBJECTIVES:
        machine = DEFAULT.configured(mapping__objective=objective)
        best = best_mapping(task, machine, pricing)
        found[objective] = (best.cycles, float(pricing.energy_pj(best.counts, best.cycles).sum()))
    front = {
        one.cycles: float(pricing.energy_pj(one.counts, one.cycles).sum())
        for one in pareto(task, pricing.weighed_pj, cycle_pj=pricing.static_pj_per_cycle)
    }
    return found, front


@pytest.mark.parametrize(("bits", "batch"), [(8, 1), (4, 1), (2, 1), (4, 4), (16, 1)])
def test_objectives_trade_time_for_energy(bits: int, batch: int) -> None:
    distinct = {layer.geometry: layer for layer in cifar_resnet38().layers}
    for layer in distinct.values():
        found, front = points(layer, bits, batch)
        latency, edp, energy, within = (found[objective] for objective in OBJECTIVES)
        exact = 1 + 1e-12
        assert latency[0] <= edp[0] <= energy[0]
        assert latency[1] * exact >= edp[1] and edp[1] * exact >= energy[1]
        assert latency[0] <= within[0] <= latency[0] * (1 + DEFAULT.mapping.tolerance)
        assert energy[1] <= within[1] * exact and within[1] <= latency[1] * exact
        assert edp[0] * edp[1] <= exact * min(c * pj for c, pj in found.values())
        for cycles, pj in found.values():
            assert front[cycles] == pytest.approx(pj, rel=1e-12)
        for (fast, dear), (slow, cheap) in pairwise(sorted(front.items())):
            assert fast < slow and dear > cheap


# ---- what lies in DRAM, how wide


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_basic_block_by_hand(bits: int) -> None:
    """Block a: 16 x 16 x 3 x 3 weights, maps of 16 x 8 x 8, of which all fit on chip."""
    cost = by_name(simulate(residual_blocks(), FRUGAL, bits, always=8))
    weights, tensor, stream = 16 * 16 * 9, 16 * 8 * 8, 8
    first, second = cost["a.conv1"], cost["a.conv2"]
    assert count(first, "dram_read_bits") == weights * bits + tensor * stream
    assert count(first, "dram_write_bits") == tensor * bits
    residual = tensor * stream
    assert count(second, "dram_read_bits") == weights * bits + tensor * bits + residual
    assert count(second, "dram_write_bits") == tensor * stream
    assert count(first, "vector_operations") == tensor + tensor
    assert count(second, "vector_operations") == 2 * tensor

    without = FRUGAL.configured(fidelity__residual_add=False)
    spared = by_name(simulate(residual_blocks(), without, bits, always=8))
    assert count(spared["a.conv2"], "dram_read_bits") == (weights + tensor) * bits


def test_a_stream_as_wide_as_the_accumulator_is_the_accumulator() -> None:
    """Outputs that leave unrounded weigh as much as sums held until their reader is known."""
    layer = Layer("small", 16, 16, (3, 3), (8, 8), padding=(1, 1))
    rounded, held = (
        simulate(Workload.chain("one", [layer]), FRUGAL.configured(**changes), 4)
        for changes in ({"storage__stream_bits": WORD}, {"fidelity__outputs": "accumulators"})
    )
    outputs = 16 * 8 * 8
    assert count(rounded, "dram_write_bits") == count(held, "dram_write_bits") == outputs * WORD
    inputs, weights = outputs, 16 * 16 * 9
    assert count(rounded, "dram_read_bits") == inputs * WORD + weights * 4


# ---- units apart from each other


@pytest.mark.parametrize("resident", [False, True])
def test_a_unit_costs_the_same_whatever_others_choose(resident: bool) -> None:
    machine = DEFAULT.configured(storage__resident=resident)
    network, choices = residual_blocks(), parse_choices("skip,2,4/8,8")
    seen: dict[tuple[str, Precision], tuple[int, list[int]]] = {}
    for chosen in product(choices, repeat=2):
        units = dict(zip(network.units, chosen, strict=True))
        for layer in simulate(network, machine, units, always=8).layers:
            of = units.get(layer.layer.unit, choices[-1])
            known = seen.setdefault((layer.layer.name, of), (layer.cycles, layer.counts.tolist()))
            assert known == (layer.cycles, layer.counts.tolist())


# ---- what stays on chip


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_keeping_tensors_on_chip_never_moves_more(bits: int) -> None:
    away, kept = (
        simulate(resnet38_with_additions(), DEFAULT.configured(storage__resident=resident), bits)
        for resident in (False, True)
    )
    for action in ("dram_read_bits", "dram_write_bits"):
        assert count(kept, action) < count(away, action)


def test_a_network_that_fits_moves_weights_image_and_result_only() -> None:
    network = residual_blocks().without_gates()
    cost = simulate(network, DEFAULT.configured(storage__resident=True, dram__burst_bytes=0), 4)
    image, weights = 3 * 8 * 8 * 8, sum(layer.weights for layer in network.layers) * 4
    assert count(cost, "dram_read_bits") == weights + image
    assert count(cost, "dram_write_bits") == 10 * 8
    stored = {"stem": 8, "a.conv1": 4, "a.conv2": 8, "b.side": 8, "b.conv1": 4, "b.conv2": 8}
    for layer in cost.layers:
        height, width = layer.layer.out_size
        outputs = height * width * layer.layer.out_channels
        entering = outputs * stored.get(layer.layer.name, 0)
        if not layer.layer.reads_image:  # its windows are laid out in the buffer besides
            assert count(layer, "input_buffer_write_bits") == entering


def largest_window(layer: Layer, axis: int, tile: int) -> int:
    """Most input lines under the windows of a tile of output lines."""
    most = 0
    for start in range(0, layer.out_size[axis], tile):
        outputs = range(start, min(start + tile, layer.out_size[axis]))
        most = max(most, len(touched_lines(layer, axis, outputs)))
    return most


@pytest.mark.parametrize("bits", [8, 4])
def test_room_for_resident_tensors_is_left_by_the_tiles(bits: int) -> None:
    network, machine = resnet38_with_additions(), DEFAULT.configured(storage__resident=True)
    planned = plan_residency(network, machine, bits, 8, 1)
    size = {name: _bytes(network, name, bits) for name in planned}
    order = [layer.name for layer in network.layers]
    kept = {name for name, resident in planned.items() if resident.output}
    assert kept
    for layer, cost in zip(network.layers, simulate(network, machine, bits).layers, strict=True):
        here = order.index(layer.name)
        alive = {
            maker
            for maker, reader in network.edges
            if maker in kept and order.index(maker) <= here <= order.index(reader)
        }
        reserved = planned[layer.name].reserved_bytes
        assert reserved == sum(size[name] for name in alive)
        assert reserved <= LARGEST_SHARE * machine.buffers.input_bytes
        if not (planned[layer.name].input or layer.reads_image):
            batch, rows, columns, channels, _ = cost.mapping.tile
            window = largest_window(layer, 0, rows) * largest_window(layer, 1, columns)
            half = 8 * (machine.buffers.input_bytes - reserved) // 2
            assert batch * window * channels * cost.precision.activation_bits <= half


def _bytes(network: Workload, name: str, bits: int) -> int:
    layer = next(layer for layer in network.layers if layer.name == name)
    width = 8 if network.ends[name].output_crosses else bits
    return ceil(layer.out_channels * layer.out_size[0] * layer.out_size[1] * width / 8)
