"""Operators of the vector unit: against a count element by element, on random layers."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_layers import geometries, touched_lines

from accel_models import InfeasibleError, InputError, Layer, load_accelerator
from accel_models.accelerators.accelerator import Accelerator
from accel_models.mapping.problem import ACTIONS
from accel_models.mapping.problem_of import Tensors
from accel_models.mapping.vector_pass import VectorTask, price, steps, vector_task
from accel_models.precision import Precision
from accel_models.workloads.operators import VECTOR_OPERATORS
from accel_models.workloads.workload import Ends

MACHINE = load_accelerator("bitfusion")
COLUMN = {name: place for place, name in enumerate(ACTIONS)}


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """Every operator of the vector unit, on maps of any size."""
    operator = draw(st.sampled_from(sorted(VECTOR_OPERATORS)))
    channels = draw(st.integers(1, 24))
    given: dict[str, Any] = {}
    size = (draw(st.integers(1, 12)), draw(st.integers(1, 12)))
    if operator in ("max_pool", "avg_pool"):
        given = draw(geometries())
    elif operator in ("nearest", "bilinear"):
        up = (size[0] * draw(st.integers(1, 3)), size[1] + draw(st.integers(0, 5)))
        given = {"in_size": size, "out_size": up}
    else:
        given = {"in_size": size}
    if operator in ("sum", "product"):
        given["others"] = draw(st.integers(0, 3 * channels * math.prod(size)))
    inputs = draw(st.integers(1, 1000)) if operator == "embedding" else channels
    return Layer("x", inputs, channels, operator=operator, **given)


@st.composite
def machines(draw: st.DrawFn) -> Accelerator:
    return MACHINE.configured(
        buffers__input_bytes=draw(st.sampled_from((2048, 4096, 32768))),
        buffers__output_bytes=draw(st.sampled_from((1024, 4096, 16384))),
        dram__gb_per_s=draw(st.sampled_from((0.3, 5.0, 12.0, 100.0))),
        dram__burst_bytes=draw(st.sampled_from((0, 32, 64))),
        dram__latency_ns=draw(st.sampled_from((0.0, 100.0))),
    )


@st.composite
def tensors(draw: st.DrawFn) -> Tensors:
    ends = Ends(draw(st.booleans()), draw(st.booleans()), 0, draw(st.booleans()))
    here = [draw(st.booleans()) for _ in range(3)]
    return Tensors(ends, 8, here[0], here[1], other_on_chip=here[2])


@settings(max_examples=300)
@given(layers(), st.sampled_from(("8", "4", "2/6")), tensors(), st.integers(1, 3), machines())
def test_every_element_comes_once_and_every_output_leaves_once(
    layer: Layer, width: str, where: Tensors, batch: int, machine: Accelerator
) -> None:
    precision = Precision.parse(width)
    task = vector_task(layer, precision, where, batch, machine)
    found, blocks = price(task), steps(task)
    touched = layer.in_channels * math.prod(len(touched_lines(layer, axis)) for axis in (0, 1))
    if layer.operator in ("nearest", "bilinear"):
        touched = layer.in_channels * math.prod(layer.in_size)
    if layer.operator == "embedding":
        touched = layer.outputs
    within, ends = precision.activation_bits, where.ends
    widths = [8 if crosses else within for crosses in (ends.input_crosses, ends.other_crosses)]
    leaves = 8 if ends.output_crosses else within
    if layer.operator == "embedding":
        widths[0] = precision.weight_bits
    fetched = 0 if task.input_on_chip else batch * touched * widths[0]
    row = layer.row * widths[0]
    if layer.row and not task.input_on_chip and row > machine.buffers.input_bytes * 4:
        fetched *= 2  # once for what all of the row says, once to be worked on
    fetched += 0 if where.other_on_chip else batch * layer.others * widths[1]
    stored = 0 if where.output_on_chip else batch * layer.outputs * leaves
    read, written = (int(found.counts[COLUMN[f"dram_{way}_bits"]]) for way in ("read", "write"))
    burst = 8 * machine.dram.burst_bytes
    if burst == 0:
        assert (read, written) == (fetched, stored)
    # A burst is wasted in part at most once a block and tensor, or once a row that is looked up.
    transfers = batch * math.prod(layer.out_size) if task.request else 2 * len(blocks)
    assert fetched <= read <= fetched + transfers * burst
    assert stored <= written <= stored + len(blocks) * burst
    assert found.counts[COLUMN["vector_operations"]] == batch * layer.vector_operations
    kept = batch * layer.outputs * leaves if where.output_on_chip else 0
    assert found.counts[COLUMN["input_buffer_write_bits"]] == fetched + kept
    assert found.counts[COLUMN["output_buffer_write_bits"]] == stored
    work = VECTOR_OPERATORS[layer.operator]
    operands = batch * (work.reads * touched * widths[0] + layer.others * widths[1])
    assert found.counts[COLUMN["input_buffer_read_bits"]] == operands
    assert found.counts[[COLUMN["array_operations"], COLUMN["array_cycles"]]].sum() == 0


def played(task: VectorTask) -> int:
    """Cycles of the blocks one by one: the next loads, and the last leaves, while one is worked on.
    Written without looking at the compiled schedule."""
    blocks = steps(task)
    loads = [math.ceil(int(bits) / task.dram_bits_per_cycle) for bits in blocks[:, 3]]
    stores = [math.ceil(int(bits) / task.dram_bits_per_cycle) for bits in blocks[:, 5]]
    # Nobody waits for DRAM to answer where nothing is fetched.
    cycles = task.dram_latency * bool(blocks[:, 3].sum() > 0) + loads[0]
    for number, worked in enumerate(blocks[:, 1].tolist()):
        last = number == len(blocks) - 1
        # What a block made leaves in the slot that made it, as it comes; the last one after it.
        moved = 0 if last else loads[number + 1] + stores[number]
        cycles += max(worked, moved)
    return cycles + stores[-1]


@given(layers(), tensors(), st.integers(1, 3), machines())
def test_cycles_are_those_of_the_blocks_and_no_less_than_either_roofline(
    layer: Layer, where: Tensors, batch: int, machine: Accelerator
) -> None:
    task = vector_task(layer, Precision(8, 8), where, batch, machine)
    found = price(task)
    assert found.cycles == played(task)
    moved = int(found.counts[COLUMN["dram_read_bits"]] + found.counts[COLUMN["dram_write_bits"]])
    assert found.cycles >= moved / task.dram_bits_per_cycle
    assert found.cycles >= batch * layer.vector_operations / machine.array.vector_lanes
    assert found.counts[COLUMN["array_stall_cycles"]] == found.cycles
    assert found.head_cycles == found.first_weight_bits == 0
    assert 0 <= found.tail_cycles <= found.cycles


@given(layers(), tensors(), st.integers(1, 3), machines())
def test_blocks_fit_half_a_buffer_and_rows_are_not_cut(
    layer: Layer, where: Tensors, batch: int, machine: Accelerator
) -> None:
    task = vector_task(layer, Precision(8, 8), where, batch, machine)
    blocks, burst = steps(task), 8 * machine.dram.burst_bytes
    smallest = task.grain * (task.input_bits + task.other_bits)
    slack = 2 * burst + (task.fetched // task.units + 1) * (task.input_bits + task.other_bits)
    room = max(4 * machine.buffers.input_bytes, smallest)
    if not task.request:
        assert (blocks[:, 3] <= room + slack).all()
    assert (blocks[:, 5] <= max(4 * machine.buffers.output_bytes, 8 * task.grain) + burst).all()
    if layer.row and task.row_fits:
        assert task.block_units * task.grain % layer.row == 0


OPERATIONS = {
    "sum": 4096,
    "product": 4096,
    "copy": 4096,
    "embedding": 4096,
    "nearest": 4096,
    "bilinear": 4 * 4096,
    "max_pool": 9 * 4096,
    "avg_pool": 10 * 4096,
    "batch_norm": 4096,
    "layer_norm": 4 * 4096 + 64 * 16,
    "rms_norm": 3 * 4096 + 64 * 16,
    "softmax": 8 * 4096 + 64 * 4,
    "relu": 4096,
    "gelu": 5 * 4096,
    "silu": 10 * 4096,
}
"""Of 64 channels on 8 x 8 places, counted by hand; windows of pools are 3 x 3, rows 64 channels."""


@pytest.mark.parametrize("operator", OPERATIONS)
def test_operations_are_those_counted_by_hand(operator: str) -> None:
    given: dict[str, Any] = {"in_size": (8, 8)}
    if "pool" in operator:
        given |= {"kernel": (3, 3), "padding": 1}
    if operator in ("nearest", "bilinear"):
        given |= {"in_size": (4, 4), "out_size": (8, 8)}
    layer = Layer("x", 64, 64, operator=operator, **given)
    task = vector_task(layer, Precision(8, 8), Tensors(Ends(), 8), 3, MACHINE)
    assert price(task).counts[COLUMN["vector_operations"]] == 3 * OPERATIONS[operator]


def test_a_factor_for_each_channel_meets_every_output() -> None:
    def operations(others: int) -> int:
        layer = Layer("scale", 64, 64, in_size=(56, 56), operator="product", others=others)
        return layer.vector_operations

    outputs = 64 * 56 * 56
    assert operations(64) == operations(outputs) == operations(0) == outputs
    assert operations(2 * outputs) == 2 * outputs


@pytest.mark.parametrize("width", [100, 16_416, 40_000])
def test_a_row_that_is_looked_up_comes_once_however_long(width: int) -> None:
    layer = Layer("tokens", 1000, width, in_size=(7, 1), operator="embedding")
    task = vector_task(layer, Precision(8, 8), Tensors(Ends(), 8), 2, MACHINE)
    assert price(task).counts[COLUMN["dram_read_bits"]] == 14 * -(-width // 32) * 256


def test_moving_what_is_on_chip_takes_the_lanes_their_time() -> None:
    here = Tensors(Ends(), 8, input_on_chip=True, output_on_chip=True)
    layer = Layer("x", 64, 64, in_size=(64, 64), operator="copy")
    found = price(vector_task(layer, Precision(8, 8), here, 1, MACHINE))
    assert found.cycles == 64 * 64 * 64 / MACHINE.array.vector_lanes


def test_a_window_larger_than_the_buffer_comes_in_blocks() -> None:
    layer = Layer("mean", 1, 1, (1000, 1000), in_size=(1000, 1000), operator="avg_pool")
    task = vector_task(layer, Precision(8, 8), Tensors(Ends(), 8), 1, MACHINE)
    half = 4 * MACHINE.buffers.input_bytes
    assert (steps(task)[:, 3] <= half).all()
    operations = layer.vector_operations / MACHINE.array.vector_lanes
    slowest = max(operations, 8e6 / task.dram_bits_per_cycle)
    assert price(task).cycles < slowest + 2 * half / task.dram_bits_per_cycle


def test_lookups_fetch_each_row_in_bursts_of_its_own() -> None:
    layer = Layer("tokens", 30522, 100, in_size=(7, 1), operator="embedding")
    task = vector_task(layer, Precision(8, 8), Tensors(Ends(), 8), 1, MACHINE)
    # 100 bytes are four bursts of 32.
    assert price(task).counts[COLUMN["dram_read_bits"]] == 7 * 4 * 32 * 8


def test_a_row_that_does_not_fit_comes_twice() -> None:
    def read(row: int) -> int:
        layer = Layer("logits", row, row, operator="softmax")
        task = vector_task(layer, Precision(8, 8), Tensors(Ends(), 8), 1, MACHINE)
        return int(price(task).counts[COLUMN["dram_read_bits"]])

    half = MACHINE.buffers.input_bytes // 2
    assert read(half) == half * 8
    row = half + 64  # in three parts of whole bursts, each as large as the output buffer takes
    assert read(row) == 2 * row * 8


def test_a_model_without_a_vector_unit_refuses_by_name() -> None:
    machine = load_accelerator("bitfusion-published")
    layer = Layer("p", 4, 4, in_size=(4, 4), kernel=(2, 2), stride=(2, 2), operator="max_pool")
    with pytest.raises(InfeasibleError, match="no vector unit, which max_pool needs"):
        vector_task(layer, Precision(8, 8), Tensors(Ends(), 8), 1, machine)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"operator": "maxpool"}, "operator is one of"),
        ({"operator": "softmax", "out_channels": 5}, "channels differ"),
        ({"operator": "softmax", "kernel": (3, 3), "in_size": (9, 9)}, "windows"),
        ({"operator": "gelu", "activation": "gelu"}, "have an activation"),
        ({"activation": "swish"}, "activation is one of"),
        ({"others": 5}, "only a sum or a product"),
        ({"row": 5}, "only norms and softmax"),
        ({"operator": "sum", "role": "gate", "unit": "u"}, "gates are convolutions"),
        ({"operator": "softmax", "row": 3}, "its 4 elements are no rows of 3"),
        ({"operator": "matmul", "reads_image": True}, "no operand of a product"),
        ({"padding": None}, "padding has a number for each axis"),
        ({"padding": 1.5}, "padding has a number for each axis"),
        ({"kernel": ()}, "kernel has a number for each axis"),
        ({"activation": ["gelu"]}, "something else where text belongs"),
        ({"widths": "8"}, "widths a Precision"),
        ({"reads_image": "no"}, "reads_image is true or false"),
        ({"stride": (10**30, 1)}, "stride is over"),
        ({"operator": "nearest", "in_size": (4, 4)}, "needs in_size and out_size"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Layer(**{"name": "x", "in_channels": 4, "out_channels": 4, **given})


def test_windows_of_pools_count_as_they_do_for_convolutions() -> None:
    for kernel, stride in product((1, 2, 3), (1, 2, 3)):
        layer = Layer(
            *("p", 1, 1, (kernel, kernel)),
            in_size=(9, 9),
            stride=(stride, stride),
            operator="max_pool",
        )
        rows = {r * stride + k for r in range(layer.out_size[0]) for k in range(kernel)}
        task = vector_task(layer, Precision(8, 8), Tensors(Ends(), 8), 1, MACHINE)
        assert task.inputs == len(rows) ** 2
        assert layer.vector_operations == np.prod(layer.out_size) * kernel**2
