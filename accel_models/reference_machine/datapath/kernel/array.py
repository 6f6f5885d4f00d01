"""Compiled: the array at work, one issued step after the other."""

from __future__ import annotations

import numpy as np
from numba import njit

from accel_models.reference_machine.datapath.kernel.bricks import (
    PER_PRODUCT,
    fused_sums,
    grouped_sums,
)
from accel_models.reference_machine.datapath.kernel.serial import loom_sums, stripes_sums, unpu_sums
from accel_models.reference_machine.datapath.kernel.toggles import watch_operands, watch_sum
from accel_models.reference_machine.datapath.plain import (
    BIT_FUSION,
    BITBLADE,
    IDLE,
    LOOM,
    STRIPES,
    Arithmetic,
    TileSchedule,
)
from accel_models.reference_machine.datapath.state import (
    LAST,
    NEXT,
    OPERATIONS,
    STEPS,
    TURN,
    ArrayState,
    Lanes,
    LayerTensors,
)


@njit(cache=True)
def run_tile(
    tile: TileSchedule,
    how: Arithmetic,
    passes: np.ndarray,
    brick: np.ndarray,
    memory: LayerTensors,
    lanes: Lanes,
    state: ArrayState,
) -> None:
    """Issue all steps of a tile: bring operands to the lanes, multiply, add to the partial sums.

    Args:
        tile: the tile.
        how: to multiply.
        passes: int64 [pass, column], rows as `bricks.Pass`.
        brick: `bricks.brick_products`.
        memory: of the layer.
        lanes: as many as the tile has.
        state: changes from step to step.
    """
    for number in range(len(tile.order)):
        # Operands are brought anew for every step, idle lanes as zeros, so that what is multiplied
        # is what memory holds and not what a formula expects.
        p, q, s = tile.order[number]
        cut = passes[tile.passes[s]]
        feed_inputs(tile, p, s, memory, lanes)
        feed_weights(tile, q, s, memory, lanes)
        cycles = multiply(how, cut, brick, lanes)
        products = add_up(tile, p, q, s, how, lanes.partial, memory.sums, state)
        if how.watched:
            watch_operands(how, cut, lanes, state)
        state.counts[OPERATIONS] += products * cut[PER_PRODUCT]
        issue(cycles, state)
        state.counts[STEPS] += 1


@njit(cache=True)
def issue(cycles: int, state: ArrayState) -> None:
    """Let a step of so many cycles begin, a cycle after the last one or when its turn is free."""
    # Steps are issued a cycle apart as long as turns are free: a step of many cycles delays only
    # the one that takes its turn next.
    turn = state.clock[TURN]
    start = max(state.clock[NEXT], state.ends[turn])
    state.ends[turn] = start + cycles
    state.clock[NEXT] = start + 1
    state.clock[TURN] = (turn + 1) % len(state.ends)
    state.clock[LAST] = cycles


@njit(cache=True)
def end_round(state: ArrayState) -> None:
    """Let turns that no step is left for pass idle, where the others still wait for each other, as
    the released simulator of Stripes and Loom counts it."""
    while state.clock[TURN] > 0 and state.clock[LAST] > len(state.ends):
        issue(state.clock[LAST], state)


@njit(cache=True)
def feed_inputs(tile: TileSchedule, p: int, s: int, memory: LayerTensors, lanes: Lanes) -> None:
    """Inputs of every window and lane; 0 where there is none."""
    _, channels, rows, columns = memory.inputs.shape
    for window in range(lanes.x.shape[0]):
        image, row, column = tile.positions[p, window]
        for lane in range(lanes.x.shape[1]):
            channel, down, across = tile.taps[s, lane]
            if image == IDLE or channel == IDLE:
                lanes.x[window, lane], lanes.x_from[window, lane] = 0, IDLE
                continue
            # Where an operand came from tells whether the same one lies on the wires already.
            channel += tile.first_input
            # Memory holds padding as zeros, so that windows need no case for edges.
            down, across = memory.row_of[row, down], memory.column_of[column, across]
            place = ((image * channels + channel) * rows + down) * columns + across
            lanes.x[window, lane] = memory.inputs[image, channel, down, across]
            lanes.x_from[window, lane] = place


@njit(cache=True)
def feed_weights(tile: TileSchedule, q: int, s: int, memory: LayerTensors, lanes: Lanes) -> None:
    """Weights of every column and lane; 0 where there is none."""
    _, channels, rows, columns = memory.weights.shape
    for column in range(lanes.w.shape[0]):
        output = tile.columns[q, column]
        for lane in range(lanes.w.shape[1]):
            # Weights are numbered within their group, hence without the tile's first input.
            channel, down, across = tile.taps[s, lane]
            if output == IDLE or channel == IDLE:
                lanes.w[column, lane], lanes.w_from[column, lane] = 0, IDLE
                continue
            place = ((output * channels + channel) * rows + down) * columns + across
            lanes.w[column, lane] = memory.weights[output, channel, down, across]
            lanes.w_from[column, lane] = place


@njit(cache=True)
def multiply(how: Arithmetic, cut: np.ndarray, brick: np.ndarray, lanes: Lanes) -> int:
    """Sums of one step by the family's arithmetic; cycles it took."""
    x, w, partial = lanes.x, lanes.w, lanes.partial
    if how.family == BIT_FUSION:
        return fused_sums(x, w, cut, brick, partial)
    if how.family == BITBLADE:
        return grouped_sums(x, w, cut, brick, partial)
    if how.family == STRIPES:
        return stripes_sums(x, w, how.input_bits, how.input_signed, partial)
    if how.family == LOOM:
        widths, signed = (how.input_bits, how.weight_bits), (how.input_signed, how.weight_signed)
        return loom_sums(x, w, widths, signed, how.serial_bits, partial)
    return unpu_sums(x, w, how.weight_bits, how.weight_signed, how.table_inputs, partial)


@njit(cache=True)
def add_up(
    tile: TileSchedule,
    p: int,
    q: int,
    s: int,
    how: Arithmetic,
    partial: np.ndarray,
    sums: np.ndarray,
    state: ArrayState,
) -> int:
    """Add a step's sums to the accumulators, which wrap; how many products that were."""
    # Only windows and columns that stand for something count: idle ones multiply zeros into
    # nowhere.
    at_work = 0
    for window in range(partial.shape[0]):
        image, row, across = tile.positions[p, window]
        if image == IDLE:
            continue
        for column in range(partial.shape[1]):
            output = tile.columns[q, column]
            if output == IDLE:
                continue
            at_work += 1
            before = sums[image, output, row, across]
            after = wrapped(before + partial[window, column], how)
            sums[image, output, row, across] = after
            if how.watched:
                watch_sum(before, after, how.accumulator_bits, state.toggles)
    lanes = 0
    for lane in range(tile.taps.shape[1]):
        lanes += tile.taps[s, lane, 0] != IDLE
    return at_work * lanes


@njit(cache=True)
def wrapped(value: int, how: Arithmetic) -> int:
    """A sum as an accumulator holds it: modulo 2^bits, in two's complement if it has a sign."""
    bits = how.accumulator_bits
    if bits >= 64:
        return value
    # Masking and a shift of sign, as registers do it: an overflow shows in the result.
    value &= (1 << bits) - 1
    if how.sum_signed and value >> (bits - 1):
        value -= 1 << bits
    return value
