"""Layers as data: every column adds up to the run's own figure."""

from __future__ import annotations

import math
from typing import Any

import pytest
from exploring import branching
from networks import every_operator, gated_pair

from accel_models import Layer, Simulation, Workload, list_accelerators, load_accelerator, simulate
from accel_models.costs.layer_frame import TRAFFIC, column
from accel_models.costs.pricing import COMPONENTS, Pricing
from accel_models.mapping.problem import ACTIONS, LOOPS
from accel_models.workloads.layer_csv import listed_network
from accel_models.workloads.operators import OPERATORS

MEMORIES = ("dram", "weight_buffer", "input_buffer", "output_buffer")
GROUPED = Workload.chain(
    "grouped",
    [
        Layer("image", 3, 24, (3, 3), (16, 16), padding=(1, 1), reads_image=True),
        Layer("deep", 24, 24, (3, 3), (16, 16), padding=(1, 1), groups=24),
        Layer("wide", 24, 130, (1, 1), (16, 16)),
        Layer("fc", 130, 10),
    ],
)


def machines() -> list[Any]:
    base = load_accelerator("bitfusion")
    resident = base.configured(storage__resident=True, buffers__input_bytes=2**17)
    tight = base.configured(buffers__input_bytes=2048, buffers__output_bytes=8192)
    others = [resident.model_copy(update={"name": "resident"})]
    waiting = {"dram__background_mw": 50.0, "dram__channel_gb_per_s": 6.0}
    background = base.configured(energy__other_share=0.2, **waiting)
    others += [background.model_copy(update={"name": "background"})]
    others += [tight.model_copy(update={"name": "tight"})]
    return [*map(load_accelerator, list_accelerators()), *others]


def check(run: Simulation) -> None:
    rows = run.to_frame().to_pylist()
    pricing = Pricing(run.accelerator)
    assert [row["layer"] for row in rows] == [cost.layer.name for cost in run.layers]
    assert sum(row["cycles"] for row in rows) == run.cycles
    assert sum(row["macs"] for row in rows) == run.batch * sum(c.layer.macs for c in run.layers)
    for row, cost in zip(rows, run.layers, strict=True):
        assert row["compute_cycles"] + row["waiting_cycles"] == row["cycles"] == cost.cycles
        energy = [row[f"energy_{name.replace(' ', '_')}_pj"] for name in COMPONENTS]
        assert energy == pricing.energy_pj(cost.counts, cost.cycles).tolist()
        actions = [row[f"energy_of_{name.removesuffix('_bits')}_pj"] for name in ACTIONS]
        assert actions == [
            count * pj for count, pj in zip(cost.counts.tolist(), pricing.action_pj, strict=True)
        ]
        no_action = ("dram_background", "other", "leakage")
        rest = [row[f"energy_{name}_pj"] for name in no_action]
        assert math.fsum([*actions, *rest]) == pytest.approx(row["energy_pj"], rel=1e-12)
        assert min(row[column(*one)] for one in TRAFFIC) >= 0
        for name in ("array_operations", "vector_operations"):
            assert row[name] == cost.counts[ACTIONS.index(name)]
    for memory in MEMORIES:
        for direction in ("read", "write"):
            names = [column(*one) for one in TRAFFIC if (one[0], one[2]) == (memory, direction)]
            moved = [sum(row[name] for name in names) for row in rows]
            place = ACTIONS.index(f"{memory}_{direction}_bits")
            assert moved == [cost.counts[place] for cost in run.layers]
            assert sum(moved) == run.counts[place]
    total = math.fsum(row["energy_pj"] for row in rows)
    assert total == pytest.approx(run.energy_j * 1e12, rel=1e-12)


@pytest.mark.parametrize("machine", machines(), ids=lambda machine: machine.name)
@pytest.mark.parametrize("network", [branching(), GROUPED], ids=lambda network: network.name)
def test_columns_add_up_to_the_run(machine: Any, network: Workload) -> None:
    bits = 8 if machine.array.family != "colonnade" else 4
    check(simulate(network, machine, bits, batch=2))


def with_vector_units() -> list[Any]:
    return [machine for machine in machines() if machine.fidelity.vector_unit]


@pytest.mark.parametrize("machine", with_vector_units(), ids=lambda machine: machine.name)
def test_columns_add_up_whatever_the_operators(machine: Any) -> None:
    network = every_operator()
    assert {layer.operator for layer in network.layers} == set(OPERATORS)
    check(simulate(network, machine, 8 if machine.array.family != "colonnade" else 4, batch=2))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_tiny", "mobilenet_v2"])
@pytest.mark.parametrize("machine", ["bitfusion", "eyeriss-int8", "stripes", "tpu-int8"])
def test_columns_of_listed_networks_add_up(name: str, machine: str) -> None:
    check(simulate(listed_network(name), load_accelerator(machine), 8))


def test_operands_of_an_operator_by_hand() -> None:
    """A sum of two maps of 4 x 6 x 6 elements of 8 bits, and a matrix product of 5 x 8 by 8 x 5 for
    each of two heads: a burst is 32 bytes."""
    layers = (
        Layer("a", 4, 4, out_size=(6, 6)),
        Layer("b", 4, 4, out_size=(6, 6), operator="sum"),
        Layer("q", 16, 16, out_size=(5, 1)),
        Layer("scores", 16, 10, out_size=(5, 1), groups=2, operator="matmul"),
    )
    edges = (("a", "b", "input"), ("a", "b", "other"), ("q", "scores"), ("q", "scores", "other"))
    machine = load_accelerator("bitfusion").configured(dram__burst_bytes=1)
    run = simulate(Workload("two", layers, edges), machine, 8)
    rows = {row["layer"]: row for row in run.to_frame().to_pylist()}
    added, product = rows["b"], rows["scores"]
    both = added["dram_inputs_read_bits"], added["dram_others_read_bits"]
    assert both == (4 * 6 * 6 * 8,) * 2
    assert added["dram_outputs_write_bits"] == 4 * 6 * 6 * 8
    assert added["input_buffer_others_read_bits"] == 4 * 6 * 6 * 8
    assert (added["pieces"], product["pieces"]) == (0, 1)
    assert product["dram_weights_read_bits"] == product["dram_inputs_read_bits"] == 16 * 5 * 8


def test_columns_say_what_is_known_of_a_layer() -> None:
    run = simulate(gated_pair(), load_accelerator("bitfusion"), "4/8")
    rows = {row["layer"]: row for row in run.to_frame().to_pylist()}
    gate, conv = rows["a.gate"], rows["a.conv"]
    assert (gate["stationary"], gate["tile_batch"], gate["loop_order"]) == (None, None, None)
    assert gate["vector_operations"] > 0 == gate["array_operations"]
    mapping = next(cost.mapping for cost in run.layers if cost.layer.name == "a.conv")
    assert mapping is not None
    assert (conv["stationary"], conv["lane_rule"]) == (mapping.stationary, mapping.lane_rule)
    assert tuple(conv[f"tile_{loop}"] for loop in LOOPS) == mapping.tile
    assert conv["loop_order"] == " > ".join(mapping.order)
    assert conv["bits"] == "4/8"
    # Weights come once, four bits each: in whole bursts of 32 bytes.
    weights = 3 * 3 * 16 * 16 * 4
    assert weights <= conv["dram_weights_read_bits"] < weights + 256
    assert conv["weight_buffer_weights_write_bits"] == weights


def test_what_stays_on_chip_shows_in_the_input_buffer() -> None:
    base = load_accelerator("bitfusion")
    kept = base.configured(storage__resident=True, buffers__input_bytes=2**17)
    rows = [simulate(branching(), machine, 8).to_frame().to_pylist() for machine in (base, kept)]
    for name in ("input_buffer_outputs_write_bits", "input_buffer_residual_read_bits"):
        assert sum(row[name] for row in rows[0]) == 0 < sum(row[name] for row in rows[1])
    assert sum(row["dram_residual_read_bits"] for row in rows[1]) == 0
