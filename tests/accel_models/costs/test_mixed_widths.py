"""What networks cost whose layers have widths by name, beside the same precision everywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from networks import every_operator, gated_pair

from accel_models import SKIP, Precision, Simulation, Workload, cost_table, simulate
from accel_models.accelerators.toml_file import load_accelerator
from accel_models.mapping.problem_of import operands
from accel_models.workloads.cifar_resnet import cifar_resnet
from accel_models.workloads.layer_csv import listed_network

RESNET = cifar_resnet(20)
MACHINES = ("loom-1b-published", "loom-2b", "bitfusion", "stripes", "unpu")


def assert_same(one: Simulation, other: Simulation) -> None:
    """Equal to the last action of each layer."""
    assert one.energy_j == other.energy_j
    assert one.bitops == other.bitops
    for mine, others in zip(one.layers, other.layers, strict=True):
        assert mine.layer.name == others.layer.name
        assert mine.cycles == others.cycles
        np.testing.assert_array_equal(mine.counts, others.counts, mine.layer.name)


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("bits", ["8", "4", "2", "4/8"])
def test_one_width_for_all_is_that_precision(name: str, bits: str) -> None:
    """Written as a precision, as a pattern, layer by layer, or settled beforehand."""
    machine = load_accelerator(name)
    for workload in (RESNET, every_operator(), gated_pair().without_gates()):
        uniform = simulate(workload, machine, bits)
        one_by_one = {layer.name: bits for layer in workload.layers}
        assert_same(simulate(workload, machine, {"*": bits}), uniform)
        assert_same(simulate(workload, machine, one_by_one), uniform)
        assert_same(simulate(workload.with_widths({"*": bits}), machine, "8"), uniform)


@pytest.mark.parametrize("network", ["vit_tiny", "mobilenet_v2"])
def test_listed_networks_at_one_width(network: str) -> None:
    workload, machine = listed_network(network), load_accelerator("bitfusion")
    uniform = simulate(workload, machine, "4/8")
    assert_same(simulate(workload, machine, {"*": "4/8"}), uniform)


@pytest.mark.parametrize(("bits", "least"), [(4, 1.15), (2, 1.34)])
def test_a_unit_for_each_layer_would_be_overcharged(bits: int, least: float) -> None:
    """Its tensors would wait at whatever width any unit may ask for; names have them wait at that
    of their readers."""
    machine = load_accelerator("loom-1b-published")
    layers = tuple(replace(layer, role="body", unit=layer.name) for layer in RESNET.layers)
    apart = simulate(replace(RESNET, layers=layers), machine, bits)
    by_name = simulate(RESNET, machine, {"*": bits})
    assert apart.energy_j > least * by_name.energy_j


def test_tensors_wait_at_their_readers_widths() -> None:
    """Those that stay in a unit, or outside all; what crosses waits at the width of the stream."""
    machine = load_accelerator("loom-2b")
    policy = {"*": 4, "*.conv2": "2/2", "block3.conv2": "8/6", "block1.conv2": 8, "block7": 3}
    run = simulate(RESNET, machine, policy)
    made = {cost.layer.name: cost.pieces[0].problem for cost in run.layers}
    layers = {layer.name: layer for layer in run.workload.layers}
    seen = set()
    for name, readers in run.workload.readers.items():
        if not readers or run.workload.ends[name].output_crosses:
            assert made[name].stored_output_bits == machine.storage.stream_bits
            continue
        asked = Precision.parse(4) if layers[name].unit != "block7" else Precision.parse(3)
        widest = max(
            machine.offered(operands(layers[reader], asked)).activation_bits for reader in readers
        )
        assert made[name].stored_output_bits == widest
        seen.add(widest)
    assert seen >= {2, 6, 8}


def test_mixed_widths_cost_between_those_that_they_mix() -> None:
    machine = load_accelerator("loom-2b")
    narrow, mixed, wide = (
        simulate(RESNET, machine, policy).energy_j
        for policy in ({"*": 2}, {"*": 2, "*.conv2": 8, "stem": 8}, {"*": 8})
    )
    assert narrow < mixed < wide


def test_names_of_units_are_choices() -> None:
    """They mean what a gate could choose: skipping too, and widths of one's own stay."""
    machine = load_accelerator("bitfusion")
    workload = gated_pair()
    choices = {"a": SKIP, "b": Precision.parse(4)}
    run = simulate(workload, machine, choices, always=8)
    assert run.workload is workload
    assert [cost.layer.name for cost in run.layers] == [
        layer.name for layer in workload.layers if layer.name != "a.conv"
    ]
    assert_same(simulate(workload, machine, {"*": 8, "b": 4, "a": "skip"}), run)
    assert_same(simulate(workload, machine, {"*": 8, "b.*": 4, "a.*": "skip"}), run)
    pinned = workload.with_widths({"b.conv": 2})
    widths = {
        cost.layer.name: str(cost.precision)
        for cost in simulate(pinned, machine, {"a": 8, "b": 4}).layers
    }
    assert (widths["b.conv"], widths["b.shortcut"]) == ("2", "4")
    assert str(simulate(pinned, machine, {"*": 8}).layers[4].precision) == "8"


def test_layers_outside_units_may_be_left_to_always() -> None:
    machine = load_accelerator("bitfusion")
    left = simulate(RESNET, machine, {"block[2-9]*": 4}, always=8)
    assert_same(left, simulate(RESNET, machine, {"*": 8, "block[2-9]*": 4}))
    assert_same(left, simulate(RESNET, machine, dict.fromkeys(RESNET.units, 4), always=8))
    chain = every_operator()
    assert_same(simulate(chain, machine, {}, always=4), simulate(chain, machine, 4))


def test_a_table_keeps_widths_whatever_is_chosen() -> None:
    machine = load_accelerator("bitfusion")
    pinned = gated_pair().with_widths({"b.conv": 4, "head": 2})
    table = cost_table(pinned, machine, "skip,2,8", cache=False)
    names = [layer.name for layer in pinned.layers]
    conv, shortcut = (table.bitops[names.index(name)] for name in ("b.conv", "b.shortcut"))
    macs = pinned.layers[names.index("b.conv")].macs
    assert conv.tolist() == [0, 16 * macs, 16 * macs]
    assert shortcut[1] < shortcut[2]
    assert table.key != cost_table(gated_pair(), machine, "skip,2,8", cache=False).key


def test_nothing_is_stored_for_a_precision_that_no_layer_runs_at() -> None:
    """Where all layers have widths, what else is asked for widens no tensor."""
    machine = load_accelerator("bitfusion")
    settled: Workload = RESNET.with_widths({"*": 2})
    assert_same(simulate(settled, machine, 16), simulate(settled, machine, 2))
