"""A layer really computed, bit by bit, by the array of a machine under one of its mappings.

Every step that the array issues is carried out and counted: operands are brought to its lanes in
the order of the mapping, multiplied by bricks, bit planes or look-ups, and added to accumulators
of the machine's width. So results and cycles are found, not predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.arrays.array import Datapath
from accel_models.compiled import compiled
from accel_models.errors import InputError
from accel_models.mapping.problem import LOOPS, Mapping
from accel_models.mapping.problem_of import accumulator_bits as widened
from accel_models.precision import Precision
from accel_models.reference_machine.datapath.bricks import Pass, brick_products
from accel_models.reference_machine.datapath.families import (
    WIDEST_SUM,
    Signs,
    arithmetic,
    passes_of,
    turns,
)
from accel_models.reference_machine.datapath.operands import (
    as_groups,
    checked_inputs,
    checked_weights,
    lines_under_windows,
    plane_by_plane,
    side_by_side,
)
from accel_models.reference_machine.datapath.plain import Arithmetic
from accel_models.reference_machine.datapath.state import (
    ArrayState,
    LayerTensors,
    before_all,
    lanes,
)
from accel_models.reference_machine.datapath.switching import Switching
from accel_models.reference_machine.datapath.tiles import ArrayShape, Sizes, tiles
from accel_models.workloads.operators import MATMUL
from accel_models.workloads.planes import flat
from accel_models.workloads.workload import Layer


@dataclass(frozen=True)
class Computed:
    """What an array made of a layer, and how long that took."""

    outputs: np.ndarray
    """Sums as the accumulators hold them, int64 [batch, output channel, row, column]; of a map with
    depth, planes come before rows."""
    issue_cycles: int
    """Cycles from the first step to the end of the last one."""
    fill_cycles: int
    """Cycles that results take on their way through the array, beyond the steps themselves."""
    steps: int
    operations: int
    """Operations of the array: bricks, cycles of a lane, or shares of look-ups."""
    accumulator_bits: int
    switching: Switching | None = None
    """Bits that toggled, if they were counted."""


def compute(
    layer: Layer,
    machine: Accelerator,
    widths: Precision,
    mapping: Mapping | None,
    inputs: np.ndarray,
    weights: np.ndarray,
    *,
    signed_inputs: bool = False,
    signed_weights: bool = True,
    accumulator_bits: int | None = None,
    switching: bool = False,
) -> Computed:
    """Compute a layer step by step.

    Edges are treated as the machine's model does: true to size or, where it charges whole tiles,
    with every step of a full tile issued and lanes, columns and positions beyond the edge idle.

    Args:
        layer: the layer; linear layers are convolutions of a 1x1 map.
        machine: the machine.
        widths: at which it computes, such as `LayerCost.precision`.
        mapping: such as `LayerCost.mapping`; gates on the vector unit have none.
        inputs: integers [batch, channel, row, column], without padding; planes before rows, here
            and of weights, where maps have depth.
        weights: integers [output channel, input channel of its group, kernel row, kernel column];
            of a ``matmul``, what it multiplies by [batch, output channel, input channel of its
            head].
        signed_inputs: whether inputs have a sign; one signed bit is -1 or 1.
        signed_weights: whether weights have a sign; one signed bit is -1 or 1.
        accumulator_bits: width of the accumulators, which wrap; by default the machine's for this
            layer, wide enough for its sums unless it says otherwise.
        switching: also count bits that toggle.

    Raises:
        InfeasibleError: if the array cannot multiply operands of these widths.
        InputError: if operands do not fit the layer or their widths, or the family's datapath is
            not known.
    """
    signs = Signs(signed_inputs, signed_weights)
    word = widened(layer, widths, machine) if accumulator_bits is None else accumulator_bits
    if not 1 <= word <= WIDEST_SUM:
        raise InputError(f"accumulators have 1 to {WIDEST_SUM} bits, got {word}")
    if mapping is None:
        raise InputError(f"layer '{layer.name}' has no mapping: no array computes it")
    asked, (single, _) = layer, flat(layer)
    data = machine.array.datapath(single, widths)
    how = arithmetic(machine, single, widths, signs, word, switching)
    if mapping.lane_rule not in machine.array.lane_rules:
        raise InputError(f"{machine.name}: its array does not fill lanes by {mapping.lane_rule}")
    batch, packed = len(inputs), mapping.packed
    if layer.operator == MATMUL:
        layer, inputs, weights = as_groups(layer, np.asarray(inputs), np.asarray(weights))
    elif machine.fidelity.groups == "dense":
        packed = layer.groups
    sizes, memory = _given(layer, inputs, weights, widths, signs, packed)
    parts = passes_of(machine.array, widths, signs)
    whole = machine.fidelity.edges == "whole-tiles"
    state = _run(sizes, mapping, data, whole, parts, how, memory, turns(machine.array, single))
    steps, operations = state.counts.tolist()
    return Computed(
        outputs=_outputs(asked, batch, memory.sums),
        issue_cycles=int(state.ends.max()),
        fill_cycles=_fill_cycles(data),
        steps=steps,
        operations=operations,
        accumulator_bits=word,
        switching=Switching.from_counts(state.toggles) if switching else None,
    )


def _given(
    layer: Layer,
    inputs: np.ndarray,
    weights: np.ndarray,
    widths: Precision,
    signs: Signs,
    packed: int,
) -> tuple[Sizes, LayerTensors]:
    """A layer's sizes with so many of its groups as one, and its tensors in memory."""
    x = checked_inputs(layer, inputs, widths.activation_bits, signs.inputs)
    w = checked_weights(layer, weights, widths.weight_bits, signs.weights)
    if flat(layer)[0] is not layer:
        layer, x = plane_by_plane(layer, x)
    w, groups = side_by_side(w, layer.groups, packed), layer.groups // packed
    row_of, column_of = lines_under_windows(layer)
    maps = (len(row_of), len(column_of))
    loops = (len(x), *maps, layer.in_channels // groups, layer.out_channels // groups)
    kernel = (row_of.shape[1], column_of.shape[1])
    sums = np.zeros((len(x), layer.out_channels, *maps), dtype=np.int64)
    sizes = Sizes(groups, dict(zip(LOOPS, loops, strict=True)), kernel)
    return sizes, LayerTensors(x, w, sums, row_of, column_of)


def _outputs(layer: Layer, batch: int, sums: np.ndarray) -> np.ndarray:
    """What lies in the memory as the layer's outputs, as `Computed` has them."""
    _, planes = flat(layer)
    if planes == 1:
        return sums.reshape(batch, -1, *layer.out_size)
    by_plane = sums.reshape(batch, planes, *sums.shape[1:])
    return np.ascontiguousarray(by_plane.swapaxes(1, 2))


def _run(
    sizes: Sizes,
    mapping: Mapping,
    data: Datapath,
    whole_tiles: bool,
    parts: Sequence[Pass],
    how: Arithmetic,
    memory: LayerTensors,
    turns: int,
) -> ArrayState:
    """Run all tiles; sums come to lie in the memory."""
    shape = ArrayShape(
        *(data.rows, data.columns, data.windows, data.window_rows, data.window_columns),
        lanes=tuple(part.lanes for part in parts),
        lane_rule=mapping.lane_rule,
        stationary=mapping.stationary,
        whole_tiles=whole_tiles,
    )
    kernel, table, brick = _kernel(), np.array(parts, dtype=np.int64), brick_products()
    state = before_all(turns, data.positions, data.columns, data.rows * max(shape.lanes))
    for tile in tiles(sizes, shape, mapping):
        room = lanes(data.positions, data.columns, tile.taps.shape[1])
        kernel.run_tile(tile, how, table, brick, memory, room, state)
    kernel.end_round(state)
    return state


def _fill_cycles(data: Datapath) -> int:
    """Cycles that the last result is behind its step in a systolic array: its furthest element
    works a cycle later for each row and each column on the way there. Other arrays have none."""
    if not data.fill:
        return 0
    return max(row + column for row in range(data.rows) for column in range(data.columns))


@cache
def _kernel() -> Any:
    """The compiled array; numba is imported only here, when a layer is first computed."""
    return compiled("accel_models.reference_machine.datapath.kernel.array")
