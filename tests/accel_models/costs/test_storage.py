"""How tensors are stored, what loads early, and what a replayed trace makes of both."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from default_machines import DEFAULT, FRUGAL, by_name, count, residual_blocks
from hypothesis import given
from hypothesis import strategies as st
from networks import cifar_resnet38, gated_pair

from accel_models import (
    CostTable,
    InfeasibleError,
    Layer,
    Precision,
    Workload,
    cost_table,
    simulate,
)
from accel_models.costs.pricing import Pricing
from accel_models.costs.simulator import LayerSimulator, layer_simulator
from accel_models.mapping.problem import ACTIONS
from accel_models.precision import highest, parse_choices
from accel_models.replay import Policy, replay
from accel_models.trace import GateTrace, TraceHeader

CHOICES = parse_choices("skip,2,4/8,8")
NETWORKS = {
    "gated chain": gated_pair(),
    "chain": gated_pair().without_gates(),
    "gated blocks": residual_blocks(),
    "blocks": residual_blocks().without_gates(),
}

# ---- weights


@pytest.mark.parametrize(("layout", "share"), [("full", 1.0), ("planes", 2 / 8), ("copies", 2 / 8)])
def test_weights_travel_as_their_layout_has_them(layout: str, share: float) -> None:
    """Of a linear layer with few inputs: weights at 2 bits, over those at 8."""
    machine = FRUGAL.configured(storage__weights=layout)
    layer = Workload.chain("one", [Layer("linear", 64, 320)])
    weights, inputs = 64 * 320, 64 * 8
    eight, two = (simulate(layer, machine, bits) for bits in (8, 2))
    assert count(eight, "dram_read_bits") == weights * 8 + inputs
    assert count(two, "dram_read_bits") == weights * 8 * share + inputs
    # Only those bits that are used enter the buffer.
    assert count(two, "weight_buffer_write_bits") == weights * 2


def test_one_full_copy_holds_no_wider_weights() -> None:
    full = DEFAULT.configured(storage__weights="full")
    layer = Workload.chain("one", [Layer("linear", 64, 320)])
    with pytest.raises(InfeasibleError, match=r"'linear' at 12 bits .*full_bits = 8, too few"):
        simulate(layer, full, 12)
    wide = full.configured(storage__full_bits=12)
    assert simulate(layer, wide, 12).cycles == simulate(layer, DEFAULT, 12).cycles


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_full_copy_never_moves_less(bits: int) -> None:
    full, planes = (
        simulate(cifar_resnet38(), FRUGAL.configured(storage__weights=layout), bits)
        for layout in ("full", "planes")
    )
    more = count(full, "dram_read_bits") - count(planes, "dram_read_bits")
    assert more > 0 if bits < 8 else more == 0


# ---- activations


@pytest.mark.parametrize(("layout", "width"), [("packed", 2), ("full", 8)])
def test_tensors_inside_a_unit(layout: str, width: int) -> None:
    """Block a at 2 bits: 16 x 8 x 8 in each tensor, 16 x 16 x 3 x 3 weights."""
    machine = FRUGAL.configured(storage__activations=layout)
    cost = by_name(simulate(residual_blocks(), machine, 2, always=8))
    tensor, weights = 16 * 8 * 8, 16 * 16 * 9
    assert count(cost["a.conv1"], "dram_write_bits") == tensor * width
    assert count(cost["a.conv2"], "dram_read_bits") == tensor * (width + 8) + weights * 2
    # Between units nothing changes, and the buffer holds what the array reads.
    assert count(cost["a.conv1"], "dram_read_bits") == tensor * 8 + weights * 2
    assert count(cost["a.conv2"], "dram_write_bits") == tensor * 8
    assert count(cost["a.conv2"], "input_buffer_write_bits") == tensor * 2


def test_the_stream_is_as_wide_as_any_choice() -> None:
    """Between units the reader is not known: 16 bits, if some unit may ask for them."""
    network = residual_blocks()
    narrow, wide = (
        by_name(simulate(network, FRUGAL, {"a": 4, "b": b}, always=8)) for b in ("8", "8/16")
    )
    tensor = 16 * 8 * 8
    assert count(narrow["a.conv2"], "dram_write_bits") == tensor * 8
    assert count(wide["a.conv2"], "dram_write_bits") == tensor * 16
    assert count(wide["a.conv1"], "dram_write_bits") == tensor * 4


# ---- first weights that load early


LATE = DEFAULT.configured(fidelity__prefetch=False)


def settled(workload: Workload, before: Layer, after: Layer) -> bool:
    """Whether the width of a layer is known while the one before runs."""
    deciding = {layer.unit for layer in workload.layers if layer.role == "gate"}
    if after.role == "gate" or after.unit not in deciding:
        return True
    return before.unit == after.unit and before.role != "gate"


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize(
    "chosen", list(product(CHOICES, repeat=2)), ids=lambda pair: "-".join(map(str, pair))
)
def test_every_boundary_is_spared_what_it_can_be(
    network: Workload, chosen: tuple[Precision, Precision]
) -> None:
    units = dict(zip(network.units, chosen, strict=True))
    early, late = (simulate(network, machine, units, always=8) for machine in (DEFAULT, LATE))
    expected, free = [0], 0
    for before, after in pairwise(late.layers):
        # DRAM goes on idling while a gate decides.
        free = before.tail_cycles + (free if before.layer.role == "gate" else 0)
        known = settled(network, before.layer, after.layer)
        expected.append(min(free, after.head_cycles) if known else 0)
    assert [b.cycles - a.cycles for a, b in zip(early.layers, late.layers, strict=True)] == expected
    saved = late.counts - early.counts
    assert saved[ACTIONS.index("array_stall_cycles")] == sum(expected)
    assert np.count_nonzero(saved) == bool(sum(expected))
    assert early.energy_j <= late.energy_j


@pytest.mark.parametrize(
    ("network", "ahead"),
    [
        ("blocks", {"a.conv1", "a.conv2", "b.side", "b.conv1", "b.conv2", "head"}),
        # What follows a gate waits for its decision.
        ("gated blocks", {"a.conv2", "b.conv1", "b.conv2", "head"}),
    ],
)
def test_gates_keep_weights_from_loading_early(network: str, ahead: set[str]) -> None:
    early, late = (simulate(NETWORKS[network], machine, 8) for machine in (DEFAULT, LATE))
    pairs = zip(early.layers, late.layers, strict=True)
    assert {one.layer.name for one, other in pairs if one.cycles < other.cycles} == ahead


@given(
    channels=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    kernel=st.integers(1, 3),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    bits=st.tuples(st.integers(1, 16), st.integers(1, 16)),
    groups=st.sampled_from((1, 1, 3)),
)
def test_no_more_loads_early_than_dram_has_time_for(
    channels: tuple[int, int],
    kernel: int,
    size: tuple[int, int],
    bits: tuple[int, int],
    groups: int,
) -> None:
    ins, outs = (number * groups for number in channels)
    layer = Layer("layer", ins, outs, (kernel, kernel), size, groups=groups)
    simulator = LayerSimulator(DEFAULT, 1, 16)
    cost = simulator.cost(Workload.chain("one", [layer]), layer, Precision(*bits))
    moved = count(cost, "dram_read_bits") + count(cost, "dram_write_bits")
    bandwidth = DEFAULT.dram_bits_per_cycle
    assert 0 <= cost.tail_cycles <= cost.cycles - moved / bandwidth
    assert 0 <= cost.head_cycles <= cost.cycles - cost.compute_cycles
    assert (cost.head_cycles - 1) * bandwidth <= DEFAULT.buffers.weight_bytes * 8 // 2


# ---- traces


def trace_of(workload: Workload, chosen: np.ndarray) -> GateTrace:
    header = TraceHeader(
        network=workload.name,
        dataset="none",
        workload=workload,
        choices=CHOICES,
        always=highest(CHOICES),
        accelerator=DEFAULT.name,
        seed=0,
        version="0",
    )
    numbers = np.arange(len(chosen))
    return GateTrace(header, numbers, numbers, numbers, chosen.astype(np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize(
    "changes", [{}, {"storage__resident": True}, {"fidelity__prefetch": False}]
)
def test_a_static_trace_costs_exactly_what_simulate_says(
    network: Workload, changes: dict[str, bool]
) -> None:
    machine = DEFAULT.configured(**changes)
    pairs = list(product(range(len(CHOICES)), repeat=2))
    table = cost_table(network, machine, CHOICES, cache=False)
    outcome = replay(trace_of(network, np.array(pairs)), table, Policy.off())
    for row, pair in enumerate(pairs):
        units = {unit: CHOICES[index] for unit, index in zip(table.units, pair, strict=True)}
        static = simulate(network, machine, units, always=8)
        assert outcome.cycles[row] == static.cycles
        assert outcome.counts[row].tolist() == static.counts.tolist()
        assert outcome.energy_pj[row].tolist() == static.energy_pj.tolist()
        assert outcome.energy_j[row] == pytest.approx(static.energy_j, rel=1e-12)
        assert outcome.bitops[row] == static.bitops


# ---- groups of inputs that share a run

LARGEST = 5


@pytest.fixture(scope="module")
def groups() -> CostTable:
    return cost_table(residual_blocks(), LATE, CHOICES, max_group=LARGEST, cache=False)


def test_a_group_runs_at_once_or_in_the_best_two_parts(groups: CostTable) -> None:
    machine, network = groups.accelerator, groups.workload
    simulators = [
        layer_simulator(network, machine, CHOICES, size) for size in range(1, LARGEST + 1)
    ]
    for (row, layer), (column, choice) in product(enumerate(network.layers), enumerate(CHOICES)):
        precision = layer.precision(choice, groups.always)
        if precision is None:
            continue
        least: list[int] = []
        for size, simulator in enumerate(simulators, start=1):
            apart = [least[part - 1] + least[size - part - 1] for part in range(1, size)]
            direct = simulator.cost(network, layer, precision).cycles
            least.append(min([direct, *apart]))
        assert groups.cycles[row, column].tolist() == least


def test_larger_groups_cost_more(groups: CostTable) -> None:
    """By energy x delay, for which mappings are chosen."""
    energy = Pricing(groups.accelerator).energy_pj(groups.counts, groups.cycles).sum(axis=-1)
    assert (np.diff((energy * groups.cycles)[groups.runs], axis=-1) > 0).all()


def test_groups_take_no_more_time_than_their_parts(groups: CostTable) -> None:
    assert dearer_than_apart(groups.cycles) == []


def dearer_than_apart(cycles: np.ndarray) -> list[int]:
    """Group sizes of [..., group] at which two smaller groups would take less time."""
    return [
        size
        for size in range(2, cycles.shape[-1] + 1)
        for part in range(1, size)
        if (cycles[..., size - 1] > cycles[..., part - 1] + cycles[..., size - part - 1]).any()
    ]


def test_groups_share_a_run_only_where_that_is_faster() -> None:
    dearer = []
    for channels, side in ((128, 7), (64, 8)):
        conv = {"kernel": (3, 3), "out_size": (side, side), "padding": (1, 1)}
        one, other = (
            Layer(name, channels, channels, role="body", unit="unit", **conv) for name in "ab"
        )
        network = Workload.chain("pair", [one, other])
        table = cost_table(network, DEFAULT, "8", max_group=2, cache=False)
        dearer += dearer_than_apart(table.per_unit(table.cycles))
    assert dearer == []


def test_the_work_of_a_group_is_that_of_its_inputs(groups: CostTable) -> None:
    work = groups.counts[..., ACTIONS.index("array_operations")]
    sizes = np.arange(1, LARGEST + 1)
    assert (work == work[..., :1] * sizes).all()


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_groups_are_spared_within_units_as_single_inputs_are(network: Workload) -> None:
    early, late = (
        cost_table(network, machine, CHOICES, max_group=LARGEST, cache=False)
        for machine in (DEFAULT, LATE)
    )
    for column in range(len(CHOICES)):
        expected = np.zeros((len(network.layers), LARGEST), dtype=np.int64)
        for before, after in pairwise(np.flatnonzero(early.runs[:, column])):
            first, second = network.layers[before], network.layers[after]
            if first.unit == second.unit and settled(network, first, second):
                tail, head = late.tail[before, column], late.head[after, column]
                expected[after] = np.minimum(tail, head)
        saved = late.cycles[:, column] - early.cycles[:, column]
        assert saved.tolist() == expected.tolist()


@given(
    st.lists(st.integers(1, 8), min_size=4, max_size=4),
    st.sampled_from(["packed", "full"]),
)
def test_a_tensor_waits_at_the_width_of_its_widest_reader(bits: list[int], lies: str) -> None:
    """Where layers have widths of their own: one that two others read, one that a third reads."""
    machine = DEFAULT.configured(dram__burst_bytes=0, storage__activations=lies)
    names = "abcd"
    layers = tuple(
        Layer(name, 64, 64, in_size=(4, 4), widths=Precision(8, width))
        for name, width in zip(names, bits, strict=True)
    )
    edges = (("a", "b"), ("a", "c"), ("c", "d"))
    cost = by_name(simulate(Workload("net", layers, edges), machine, 8))
    elements, widths = (
        4 * 4 * 64,
        dict(zip(names, map(machine.offered, (Precision(8, b) for b in bits)), strict=True)),
    )
    waits = {
        "a": max(widths["b"].activation_bits, widths["c"].activation_bits),
        "c": widths["d"].activation_bits,
    }
    if lies == "full":
        waits = dict.fromkeys(waits, machine.storage.stream_bits)
    for maker, width in waits.items():
        assert count(cost[maker], "dram_write_bits") == elements * width
    for reader, maker in (("b", "a"), ("c", "a"), ("d", "c")):
        read = count(cost[reader], "dram_read_bits")
        assert read == elements * waits[maker] + 64 * 64 * 8
