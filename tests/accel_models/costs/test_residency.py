"""Which tensors stay on chip, where layers read several of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_models import Layer, Workload, load_accelerator, simulate
from accel_models.costs.residency import LARGEST_SHARE, plan_residency
from accel_models.mapping.problem import ACTIONS

MACHINE = load_accelerator("bitfusion").configured(storage__resident=True)
READ, WRITTEN = ACTIONS.index("dram_read_bits"), ACTIONS.index("dram_write_bits")
ROOM = int(MACHINE.buffers.input_bytes * LARGEST_SHARE)
MAP: dict[str, Any] = {"in_size": (8, 8)}


def joined(*channels: int, reads: str = "input") -> Workload:
    """Layers of so many channels from one map, read side by side by the last one."""
    makers = [Layer(f"part{i}", 4, width, **MAP) for i, width in enumerate(channels)]
    last = Layer("last", sum(channels), 4, **MAP)
    edges = [("first", one.name) for one in makers] + [(one.name, "last", reads) for one in makers]
    return Workload("joined", (Layer("first", 4, 4, **MAP), *makers, last), tuple(edges))


def test_parts_of_one_input_stay_together_or_not_at_all() -> None:
    widths = (128, 128, 200)  # two of 8 KiB and one of 12.5, beside 256 bytes of the first map
    plan = plan_residency(joined(*widths), MACHINE, 8, 8, 1)
    assert sum(widths) * 64 + 256 <= ROOM
    assert all(plan[f"part{i}"].output for i in range(3))
    assert plan["last"].input
    larger = plan_residency(joined(128, 128, 280), MACHINE, 8, 8, 1)
    assert not any(larger[f"part{i}"].output for i in range(3))
    assert not larger["last"].input


@given(st.lists(st.integers(1, 200), min_size=1, max_size=5), st.integers(1, 3))
def test_room_that_is_reserved_holds_all_that_is_alive(widths: list[int], batch: int) -> None:
    network = joined(*widths)
    plan = plan_residency(network, MACHINE, 8, 8, batch)
    by_name = {layer.name: layer for layer in network.layers}
    position = {layer.name: at for at, layer in enumerate(network.layers)}
    for layer in network.layers:
        here = position[layer.name]
        alive = 0
        for maker in by_name:
            readers = network.readers[maker]
            # A part of an input is alive as long as any part of it: they take their room together.
            begins = position["part0"] if maker.startswith("part") else position[maker]
            if not plan[maker].output:
                continue
            if begins <= here <= max(position[name] for name in readers):
                alive += batch * by_name[maker].outputs
        assert plan[layer.name].reserved_bytes == alive <= ROOM


def attention() -> Workload:
    tokens: dict[str, Any] = {"in_size": (16, 1)}
    layers = (
        *(Layer(name, 8, 8, **tokens) for name in ("x", "q", "k")),
        Layer("scores", 8, 16, operator="matmul", **tokens),
        Layer("softmax", 16, 16, operator="softmax", **tokens),
        Layer("last", 16, 8, **tokens),
    )
    edges = (("x", "q"), ("x", "k"), ("q", "scores", "input"), ("k", "scores", "other"))
    return Workload("attention", layers, (*edges, ("scores", "softmax"), ("softmax", "last")))


def test_what_is_multiplied_by_comes_from_dram_like_weights() -> None:
    plan = plan_residency(attention(), MACHINE, 8, 8, 1)
    assert [name for name in plan if plan[name].output] == ["x", "q", "scores", "softmax"]
    assert plan["scores"].input
    run = simulate(attention(), MACHINE, "8")
    by_name = {cost.layer.name: cost for cost in run.layers}
    assert by_name["k"].counts[WRITTEN] == 16 * 8 * 8
    assert by_name["scores"].counts[READ] == 16 * 8 * 8
    assert by_name["scores"].counts[WRITTEN] == by_name["softmax"].counts[READ] == 0


def test_a_sum_finds_both_operands_on_chip() -> None:
    layers = (
        *(Layer(name, 8, 8, **MAP) for name in ("x", "y", "z")),
        Layer("sum", 8, 8, operator="sum", **MAP),
        Layer("last", 8, 8, **MAP),
    )
    edges = (("x", "y"), ("x", "z"), ("y", "sum", "other"), ("z", "sum", "input"), ("sum", "last"))
    run = simulate(Workload("sum", layers, edges), MACHINE, "8")
    assert run.layers[3].counts[[READ, WRITTEN]].tolist() == [0, 0]


@pytest.mark.parametrize("name", ["vit_tiny", "resnet50", "mobilenet_v2"])
def test_keeping_tensors_never_adds_traffic(name: str) -> None:
    from accel_models.workloads.layer_csv import listed_network

    network = listed_network(name)
    kept, gone = (
        simulate(network, with_room(resident), "8").counts[[READ, WRITTEN]].sum()
        for resident in (True, False)
    )
    assert kept < gone


def with_room(resident: bool) -> Any:
    """A machine with room for the maps of large networks."""
    return load_accelerator("bitfusion").configured(
        storage__resident=resident,
        buffers__input_bytes=4 * 2**20,
        buffers__weight_bytes=2**20,
        buffers__output_bytes=2**19,
    )
