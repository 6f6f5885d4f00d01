"""Which arrays the datapath knows, and the arithmetic of each in plain numbers."""

from __future__ import annotations

from typing import NamedTuple

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.arrays.array import Array
from accel_models.accelerators.arrays.bit_fusion import BitFusion
from accel_models.accelerators.arrays.loom import Loom
from accel_models.accelerators.arrays.operands import is_linear
from accel_models.accelerators.arrays.stripes import SerialTiles
from accel_models.accelerators.arrays.unpu import Unpu
from accel_models.errors import InputError
from accel_models.precision import Precision
from accel_models.reference_machine.datapath.bricks import BRICK_BITS, Pass, passes
from accel_models.reference_machine.datapath.plain import (
    BIT_FUSION,
    BITBLADE,
    LOOM,
    STRIPES,
    UNPU,
    Arithmetic,
)
from accel_models.workloads.workload import Layer

COMPUTED = {
    "bit_fusion": BIT_FUSION,
    "bitblade": BITBLADE,
    "stripes": STRIPES,
    "loom": LOOM,
    "unpu": UNPU,
}
"""Families whose datapath is here, by the name in a machine's file."""

WIDEST_SUM = 64
"""Bits that sums are computed with."""


class Signs(NamedTuple):
    """Which operands have a sign."""

    inputs: bool
    weights: bool


def arithmetic(
    machine: Accelerator,
    layer: Layer,
    widths: Precision,
    signs: Signs,
    accumulator_bits: int,
    watched: bool,
) -> Arithmetic:
    """The arithmetic of a layer's operands.

    Raises:
        InputError: if the datapath does not compute such arrays, or the array such operands.
    """
    array = machine.array
    _refuse_unknown(machine, layer, widths, signs)
    return Arithmetic(
        family=COMPUTED[array.family],
        input_bits=widths.activation_bits,
        weight_bits=widths.weight_bits,
        input_signed=signs.inputs,
        weight_signed=signs.weights,
        serial_bits=array.serial_bits if isinstance(array, Loom) else 1,
        table_inputs=_table_inputs(array, widths) if isinstance(array, Unpu) else 1,
        parallel_bits=array.widest_bits if isinstance(array, SerialTiles | Unpu) else 1,
        accumulator_bits=accumulator_bits,
        sum_signed=signs.inputs or signs.weights,
        watched=watched,
    )


def passes_of(array: Array, widths: Precision, signs: Signs) -> list[Pass]:
    """Passes of a layer's products; only operands wider than Bit Fusion's elements take several."""
    weight = array.operation_weight(widths)
    if isinstance(array, BitFusion):
        fused = passes(array, widths, signs.inputs, signs.weights)
        return [one._replace(operations=one.operations * weight) for one in fused]
    x, w = widths.activation_bits, widths.weight_bits
    lanes, operations = 1, x
    if isinstance(array, Loom):
        operations = -(-x // array.serial_bits) * w
    elif isinstance(array, Unpu):
        lanes = _table_inputs(array, widths)
        operations = w * array.table_inputs * array.binary_table_inputs // lanes
    return [Pass(0, x, int(signs.inputs), 0, w, int(signs.weights), lanes, operations * weight)]


def turns(array: Array, layer: Layer) -> int:
    """Window columns that steps go round, one after the other: in linear layers, which have one
    window, all that there are on Stripes and Loom."""
    if isinstance(array, SerialTiles) and is_linear(layer):
        return array.windows
    return 1


def _table_inputs(array: Unpu, widths: Precision) -> int:
    return array.binary_table_inputs if widths.weight_bits == 1 else array.table_inputs


def _refuse_unknown(machine: Accelerator, layer: Layer, widths: Precision, signs: Signs) -> None:
    array = machine.array
    if array.family not in COMPUTED:
        raise InputError(
            f"{machine.name}: the datapath computes arrays of the families "
            f"{', '.join(COMPUTED)}, not {array.family}"
        )
    if isinstance(array, BitFusion) and array.max_bits % 2:
        raise InputError(
            f"{machine.name}: bricks of 2 bits do not make up elements of {array.max_bits} bits"
        )
    if isinstance(array, BitFusion):
        bricks = (array.max_bits // BRICK_BITS) ** 2
        for part in passes(array, widths, *signs):
            if part.lanes * part.operations > bricks:
                raise InputError(
                    f"{machine.name}: elements of {bricks} bricks cannot multiply {part.lanes} "
                    f"pairs of {widths} bits at once, as the published formula has it"
                )
    between_groups = layer.groups > 1 and machine.fidelity.groups == "dense"
    if (
        isinstance(array, Unpu)
        and widths.weight_bits == 1
        and (not signs.weights or between_groups)
    ):
        raise InputError(
            f"{machine.name}: 1-bit weights are signs on this array, so none of them can be 0"
        )
    widest_sum = layer.macs_per_output.bit_length() + widths.weight_bits + widths.activation_bits
    if widest_sum > WIDEST_SUM:
        raise InputError(
            f"layer '{layer.name}': sums of {widest_sum} bits are wider than the {WIDEST_SUM} "
            "computed with"
        )
