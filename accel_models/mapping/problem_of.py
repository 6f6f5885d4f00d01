"""A layer on a machine, brought down to the plain numbers that the mapping search works on."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

from accel_models.accelerators.accelerator import Accelerator, Fidelity
from accel_models.accelerators.arrays.array import LANE_RULES, Datapath
from accel_models.accelerators.arrays.registry import is_own
from accel_models.errors import InfeasibleError
from accel_models.mapping.problem import Problem
from accel_models.precision import Precision
from accel_models.workloads.operators import ACTIVATIONS, MATMUL
from accel_models.workloads.planes import flat
from accel_models.workloads.windows import PADDING_MODES, Axis
from accel_models.workloads.workload import Ends, Layer

IMAGE_BITS = 8
"""Pixels come in 8 bits, whatever the layer that reads them computes in."""


class Tensors(NamedTuple):
    """Where a layer's tensors come from and go to, and how wide those between units are."""

    ends: Ends
    stream_bits: int
    input_on_chip: bool = False
    output_on_chip: bool = False
    residual_on_chip: bool = False
    reserved_bytes: int = 0
    """Bytes of the input buffer that are kept for resident tensors while the layer runs."""
    input_bits: int | None = None
    """Width at which the input waits if its readers inside the unit settle that; by default what is
    asked of the layer. The next one is the output's."""
    output_bits: int | None = None
    other_bits: int | None = None
    other_on_chip: bool = False


def operands(layer: Layer, precision: Precision) -> Precision:
    """The widths a layer really computes at when it is asked to run at `precision`."""
    if layer.widths is None and layer.operator == MATMUL:  # both operands are activations
        return Precision(precision.activation_bits, precision.activation_bits)
    precision = layer.widths or precision
    if layer.reads_image:
        return Precision(precision.weight_bits, IMAGE_BITS)
    return precision


def problem_of(
    layer: Layer,
    precision: Precision,
    tensors: Tensors,
    batch: int,
    machine: Accelerator,
    *,
    widths: Precision | None = None,
) -> Problem:
    """The mapping problem of a layer whose unit runs at `precision`.

    `widths` are those it computes at; by default as `operands` has it.

    Raises:
        InfeasibleError: if the machine cannot multiply operands of these widths.
    """
    layer, planes = flat(layer)
    batch *= planes
    precision = machine.offered(precision)
    widths = machine.offered(widths or operands(layer, precision))
    fidelity = machine.fidelity
    data = _datapath(layer, widths, machine)
    held = machine.array.buffered(widths)
    computed = layer.operator == MATMUL
    groups = layer.groups if fidelity.groups == "true" or computed else 1
    accumulator = accumulator_bits(layer, widths, machine)
    stored = _stored_bits(layer, precision, widths, tensors, accumulator, machine)
    # Whatever was made for any reader is brought to this layer's scale, whatever its width.
    for_others = tensors.input_bits not in (None, widths.activation_bits)
    for_others |= tensors.ends.input_crosses
    task = Problem(
        # Every input brings a matrix of its own to a product: they share no more than heads do.
        groups=groups * batch if computed else groups,
        batch=1 if computed else batch,
        **_geometry(layer, groups),
        weight_bits=held.weight_bits,
        activation_bits=held.activation_bits,
        stored_weight_bits=stored.weight,
        stored_input_bits=0 if tensors.input_on_chip else stored.input,
        stored_output_bits=0 if tensors.output_on_chip else stored.output,
        residual_bits=0 if tensors.residual_on_chip else stored.residual,
        buffered_input_bits=0 if tensors.input_on_chip else held.activation_bits,
        accumulator_bits=accumulator,
        kept_output_bits=stored.output if tensors.output_on_chip else 0,
        kept_residual_bits=stored.residual if tensors.residual_on_chip else 0,
        requantise_inputs=fidelity.vector_unit and for_others and not layer.reads_image,
        requantise_weights=fidelity.vector_unit and computed and tensors.ends.other_crosses,
        **_arithmetic(data, batch),
        vector_lanes=machine.array.vector_lanes,
        lane_rules=_lane_rules(layer, groups, machine),
        **memory(machine, tensors.reserved_bytes),
        square_powers=machine.mapping.tiles == "pow2-square",
        **_options(fidelity),
        zero_weights=not computed and machine.array.has_zero_weights(widths),
        # A residual is added as its output is brought to its width; each further one takes longer.
        drain_operations=1
        + ACTIVATIONS.get(layer.activation, 0)
        + max(0, tensors.ends.residuals - 1) * fidelity.residual_add,
        weights_wait=computed,
    )
    refuse_uncountable(task)
    return task


def _datapath(layer: Layer, widths: Precision, machine: Accelerator) -> Datapath:
    """How the array works through a layer; refuses operands, clocks and maps that it cannot do."""
    if machine.widths and max(widths.weight_bits, widths.activation_bits) > max(machine.widths):
        raise InfeasibleError(
            f"{widths}-bit operands are wider than the {max(machine.widths)} bits that it offers"
        )
    data = machine.array.datapath(layer, widths)
    if not is_own(type(machine.array)):  # the package's own are under test
        data.check(f"datapath of family {machine.array.family} for {layer.name} at {widths} bits")
    if machine.frequency_hz > machine.array.fastest_clock_hz(widths):
        raise InfeasibleError(
            f"frequency_hz, {machine.frequency_hz / 1e6:g} MHz, is too fast: at these widths the "
            f"array reaches {machine.array.fastest_clock_hz(widths) / 1e6:.3g} MHz"
        )
    if len(layer.kernel) > 2 and machine.fidelity.padding == "fetched":
        raise InfeasibleError("its model knows no maps with depth")
    if ACTIVATIONS.get(layer.activation, 0) and not machine.fidelity.vector_unit:
        raise InfeasibleError(f"its model has no vector unit, which {layer.activation} needs")
    return data


def _lane_rules(layer: Layer, groups: int, machine: Accelerator) -> int:
    """Bit set of the rules that may fill the lanes."""
    rules = machine.mapping.image_lane_rules if layer.reads_image else machine.mapping.lane_rules
    if groups > 1:  # few channels fill few lanes: windows may, wherever the array can lay them so
        rules = machine.mapping.grouped_lane_rules or machine.array.lane_rules
    return sum(1 << LANE_RULES.index(rule) for rule in rules)


def refuse_uncountable(p: Problem) -> None:
    """Refuse a layer whose counts could pass the largest 64-bit integer: at worst, every
    multiplication brings a burst, or exchanges a partial sum, or is so many operations.

    Raises:
        InfeasibleError: if they could.
    """
    macs = p.batch * p.groups * p.out_rows * p.out_columns * p.out_channels * p.in_channels
    macs *= p.kernel_rows * p.kernel_columns
    each = max(2 * p.accumulator_bits, p.operations_per_mac, p.burst_bits, 1024)
    # Whole tiles are at most twice as large as the layer in each of five dimensions.
    if macs * each * (32 if p.whole_tiles else 1) > 2**62:
        raise InfeasibleError(f"{macs:.3g} MACs make counts that pass 64-bit integers")


def _geometry(layer: Layer, groups: int) -> dict[str, Any]:
    *depth, down, across = layer.axes
    return {
        "out_rows": down.outputs,
        "out_columns": across.outputs,
        "in_channels": layer.in_channels // groups,
        "out_channels": layer.out_channels // groups,
        "kernel_rows": down.kernel,
        "kernel_columns": across.kernel,
        "row_stride": down.stride,
        "column_stride": across.stride,
        "row_dilation": down.dilation,
        "column_dilation": across.dilation,
        "row_padding": down.before,
        "column_padding": across.before,
        "in_rows": down.size,
        "in_columns": across.size,
        "padding_mode": PADDING_MODES.index(layer.padding_mode),
        **(_planes(depth[0], down) if depth else {}),
    }


def _planes(depth: Axis, down: Axis) -> dict[str, int]:
    """Geometry of a map with depth: its planes' rows lie one after the other."""
    return {
        "out_rows": depth.outputs * down.outputs,
        "kernel_rows": depth.kernel * down.kernel,
        "planes": depth.outputs,
        "kernel_planes": depth.kernel,
        "plane_stride": depth.stride,
        "plane_dilation": depth.dilation,
        "plane_padding": depth.before,
        "in_planes": depth.size,
    }


def _arithmetic(data: Datapath, batch: int) -> dict[str, Any]:
    return {
        "array_rows": data.rows,
        "array_columns": data.columns,
        "passes": data.passes,
        "windows": data.windows,
        "window_rows": data.window_rows,
        "window_columns": data.window_columns,
        "cycles_per_step": data.cycles_per_step,
        "stagger": data.stagger,
        "ramp": data.ramp,
        "fill": data.fill + batch * data.conversion,
        "block_overhead": data.block_overhead,
        "stream_overhead": data.stream_overhead,
        "operations_per_mac": data.operations_per_mac,
    }


def _options(fidelity: Fidelity) -> dict[str, Any]:
    return {
        "whole_tiles": fidelity.edges == "whole-tiles",
        "align_weights": fidelity.weight_alignment,
        "fetch_padding": fidelity.padding == "fetched",
        "share_halos": fidelity.halos == "shared",
        "gather_before_dram": fidelity.image_gather == "before-dram",
        "first_reload": int(fidelity.partial_sums == "always"),
        "pad_outputs": fidelity.output_padding,
        "share_input_reads": fidelity.input_reads == "per-row",
        "published_array_side": fidelity.array_side == "published",
        "fluid": fidelity.schedule == "fluid",
    }


def memory(machine: Accelerator, reserved_bytes: int) -> dict[str, Any]:
    """All of a problem that says how large the buffers are and how fast the DRAM."""
    buffers = machine.buffers
    return {
        "dram_bits_per_cycle": float(machine.dram_bits_per_cycle),
        "dram_latency": math.ceil(machine.dram.latency_ns * 1e-9 * machine.frequency_hz),
        "burst_bits": 8 * machine.dram.burst_bytes,
        "weight_room": _room(buffers.weight_bytes, buffers.weight_double_buffered),
        "input_room": _room(buffers.input_bytes - reserved_bytes, buffers.input_double_buffered),
        "output_room": _room(buffers.output_bytes, buffers.output_double_buffered),
        "weights_overlap": buffers.weight_double_buffered,
        "inputs_overlap": buffers.input_double_buffered,
        "outputs_overlap": buffers.output_double_buffered,
    }


def _room(size_bytes: int, double: bool) -> int:
    """Bits of a buffer that a block may take."""
    return 4 * size_bytes if double else 8 * size_bytes


def macs_per_cycle(task: Problem) -> Fraction:
    """Multiply-accumulates of the fully used array in a cycle, passes of wide operands included."""
    products = task.array_rows * task.array_columns * task.positions * task.stagger
    steps = sum(Fraction(count, lanes) for lanes, count in task.passes)
    return Fraction(products, task.cycles_per_step) / steps


def accumulator_bits(layer: Layer, widths: Precision, machine: Accelerator) -> int:
    """Width of a partial sum: one word, or two where one could overflow."""
    word = machine.accumulator_bits
    carries = math.ceil(math.log2(layer.macs_per_output))
    needed = widths.weight_bits + widths.activation_bits + carries
    if machine.fidelity.accumulators == "fixed" or needed <= word:
        return word
    return 2 * word


class _Stored(NamedTuple):
    """Bits of an element in DRAM."""

    weight: int
    input: int
    output: int
    residual: int


def _stored_bits(
    layer: Layer,
    precision: Precision,
    widths: Precision,
    tensors: Tensors,
    accumulator: int,
    machine: Accelerator,
) -> _Stored:
    storage, fidelity = machine.storage, machine.fidelity
    weight = storage.full_bits if storage.weights == "full" else widths.weight_bits
    if weight < widths.weight_bits and layer.operator != MATMUL:
        raise InfeasibleError(
            f"weights are stored once at storage.full_bits = {storage.full_bits}, "
            f"too few for {widths.weight_bits}-bit ones"
        )
    waiting = waiting_bits(layer, precision, tensors, machine)
    if layer.operator == MATMUL:
        weight = waiting.other
    if fidelity.outputs == "accumulators":
        if layer.operator == MATMUL:  # both operands as wide as they are multiplied
            weight = widths.weight_bits
        return _Stored(weight, widths.activation_bits, accumulator, 0)
    residual = tensors.stream_bits * tensors.ends.residuals * fidelity.residual_add
    return _Stored(weight, waiting.input, waiting.output, residual)


class Waiting(NamedTuple):
    """Bits of an element of a layer's tensors as they wait in DRAM or on chip."""

    input: int
    other: int
    output: int


def waiting_bits(
    layer: Layer, precision: Precision, tensors: Tensors, machine: Accelerator
) -> Waiting:
    """Widths at which a layer finds its operands and leaves its output: `Tensors.stream_bits`
    where they cross the border of a decision unit, its unit's width within."""
    ends, stream = tensors.ends, tensors.stream_bits
    within = precision.activation_bits if machine.storage.activations == "packed" else stream
    arrives = stream if ends.input_crosses else tensors.input_bits or within
    return Waiting(
        input=IMAGE_BITS if layer.reads_image else arrives,
        other=stream if ends.other_crosses else tensors.other_bits or within,
        output=stream if ends.output_crosses else tensors.output_bits or within,
    )
