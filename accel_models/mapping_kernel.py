"""The compiled inner loops of `accel_models.mapping`. Sizes in elements, volumes in bits.

Notation follows the published equations: W, A, Q are weights, activations and outputs; a tensor's
*tile* is what one step of the innermost loop touches, its *resident* block the largest one that
stays on chip, its *trips* how often it is moved because of loops that do not index it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from accel_models.mapping import (
    BATCH,
    IN_CHANNELS,
    OUT_CHANNELS,
    OUT_COLUMNS,
    OUT_ROWS,
    Problem,
)

Tile = tuple[int, int, int, int, int]
"""Tile sizes in the order of `mapping.LOOPS`."""

INDEXES_WEIGHTS = 1 << IN_CHANNELS | 1 << OUT_CHANNELS
INDEXES_INPUTS = 1 << BATCH | 1 << OUT_ROWS | 1 << OUT_COLUMNS | 1 << IN_CHANNELS
INDEXES_OUTPUTS = 1 << BATCH | 1 << OUT_ROWS | 1 << OUT_COLUMNS | 1 << OUT_CHANNELS

INPUT_STATIONARY, OUTPUT_STATIONARY, WEIGHT_STATIONARY = range(3)


class Tiling(NamedTuple):
    """What a tiling moves under any loop order: cycles, bits per tile, bits in all."""

    compute: int
    weight_tile: int
    input_tile: int
    output_tile: int
    all_weights: int
    all_inputs: int
    all_outputs: int
    """In elements: outputs change width on their way."""


class Scratch(NamedTuple):
    """Space for one trial: how often each loop runs, and the count of each action."""

    loop_counts: np.ndarray
    actions: np.ndarray


class Best(NamedTuple):
    """The best mapping so far: cycles, stalls, stationarity, tile and order; actions; energy."""

    mapping: np.ndarray
    actions: np.ndarray
    energy: np.ndarray


@njit(cache=True)
def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


@njit(cache=True)
def doublings(size: int, step: int) -> int:
    """How many tiles of step, 2 step, 4 step ... clipped to `size` there are."""
    count = 1
    while step < size:
        step *= 2
        count += 1
    return count


@njit(cache=True)
def reduction_steps(p: Problem, channels: int) -> int:
    """Cycles to accumulate one output position of one column block over `channels` inputs."""
    reduction = p.array_rows * p.lanes
    window = p.kernel_rows * p.kernel_columns
    if p.im2col:
        return ceil_div(window * channels, reduction)
    return window * ceil_div(channels, reduction)


@njit(cache=True)
def tile_volumes(p: Problem, tile: Tile) -> tuple[int, int, int]:
    """Bits of one tile of weights, inputs and outputs, as the buffers hold them."""
    b, rows, columns, ic, oc = tile
    window = p.kernel_rows * p.kernel_columns
    reduction = p.array_rows * p.lanes
    weights = ceil_div(window * ic, reduction) * reduction * oc * p.weight_bits
    if p.im2col:
        positions = rows * columns * window
    else:
        in_rows = p.kernel_rows + (rows - 1) * p.row_stride
        in_columns = p.kernel_columns + (columns - 1) * p.column_stride
        positions = in_rows * in_columns
    inputs = positions * ic * b * p.activation_bits
    padded = ceil_div(oc, p.array_columns) * p.array_columns
    return weights, inputs, rows * columns * padded * b * p.accumulator_bits


@njit(cache=True)
def reuse(
    tile_bits: int, half: int, indexes: int, order: np.ndarray, counts: np.ndarray
) -> tuple[int, int]:
    """Trips and resident block of one tensor under one loop order (innermost loop first).

    Blocks grow outwards while they fit: a loop that does not index the tensor is then free. From
    the first block that does not fit, every such loop moves the whole tensor again.
    """
    trips, resident, fits = 1, tile_bits, True
    for loop in order:
        if loop < 0:
            break
        if indexes >> loop & 1:
            fits = fits and resident * counts[loop] <= half
            if fits:
                resident *= counts[loop]
        elif not fits:
            trips *= counts[loop]
    return trips, resident


@njit(cache=True)
def array_side(p: Problem, tile: Tile) -> tuple[int, int, int, int]:
    """SRAM bits per tile on the array's side, under the cheapest of three stationarities."""
    b, rows, columns, ic, oc = tile
    a, w, acc = p.activation_bits, p.weight_bits, p.accumulator_bits
    window = p.kernel_rows * p.kernel_columns
    positions = b * rows * columns
    blocks = ceil_div(oc, p.array_columns)
    padded_out = blocks * p.array_columns
    padded_in = reduction_steps(p, ic) * p.array_rows * p.lanes
    costs = (
        padded_in * positions * (a + padded_out * (w + acc)),
        padded_out * positions * (acc + padded_in * (a + w)),
        padded_in * padded_out * (w + positions * (a + acc)),
    )
    stationary = INPUT_STATIONARY
    if costs[OUTPUT_STATIONARY] < costs[stationary]:
        stationary = OUTPUT_STATIONARY
    if costs[WEIGHT_STATIONARY] < costs[stationary]:
        stationary = WEIGHT_STATIONARY

    inputs = window * ic * positions
    macs = inputs * oc
    input_reads = inputs * (blocks if p.share_input_reads else oc) * a
    weight_reads = macs * w
    output_accesses = macs * acc
    if stationary == INPUT_STATIONARY:
        input_reads = inputs * a
    elif stationary == OUTPUT_STATIONARY:
        output_accesses = oc * positions * acc
    else:
        weight_reads = window * ic * oc * w
    return stationary, weight_reads, input_reads, output_accesses


@njit(cache=True)
def moved_outputs(p: Problem, tile: Tile, counts: np.ndarray) -> int:
    """Outputs that travel once: padded to whole tiles and columns, or just those there are."""
    if not p.pad_outputs:
        return p.batch * p.out_rows * p.out_columns * p.out_channels
    b, rows, columns, _, oc = tile
    padded = ceil_div(oc, p.array_columns) * p.array_columns
    tiles = counts[BATCH] * counts[OUT_ROWS] * counts[OUT_COLUMNS] * counts[OUT_CHANNELS]
    return rows * columns * padded * b * tiles


@njit(cache=True)
def fits(p: Problem, tile: Tile) -> bool:
    weights, inputs, outputs = tile_volumes(p, tile)
    return weights <= p.weight_half and inputs <= p.input_half and outputs <= p.output_half


@njit(cache=True)
def tile_counts(p: Problem, tile: Tile, counts: np.ndarray) -> tuple[int, int]:
    """Fill in how often each loop runs; return the number of tiles and the loops that run more."""
    sizes = (p.batch, p.out_rows, p.out_columns, p.in_channels, p.out_channels)
    tiles, active = 1, 0
    for loop in range(5):
        counts[loop] = ceil_div(sizes[loop], tile[loop])
        tiles *= counts[loop]
        if counts[loop] > 1:
            active |= 1 << loop
    return tiles, active


@njit(cache=True)
def price_tile(p: Problem, tile: Tile, counts: np.ndarray, tiles: int) -> Tiling:
    """Everything about a tiling that no loop order changes."""
    weights, inputs, outputs = tile_volumes(p, tile)
    blocks = ceil_div(tile[OUT_CHANNELS], p.array_columns)
    positions = tile[BATCH] * tile[OUT_ROWS] * tile[OUT_COLUMNS]
    return Tiling(
        compute=tiles * positions * blocks * reduction_steps(p, tile[IN_CHANNELS]),
        weight_tile=weights,
        input_tile=inputs,
        output_tile=outputs,
        all_weights=weights * counts[IN_CHANNELS] * counts[OUT_CHANNELS],
        all_inputs=inputs * (tiles // counts[OUT_CHANNELS]),
        all_outputs=moved_outputs(p, tile, counts),
    )


@njit(cache=True)
def cycles_floor(p: Problem, t: Tiling) -> int:
    """Cycles that no loop order of this tiling can beat."""
    bw = p.dram_bits_per_cycle
    reload = p.accumulator_bits * p.first_reload
    stored = t.output_tile // p.accumulator_bits * p.stored_output_bits
    prologue = ceil_div(t.weight_tile + t.input_tile + t.output_tile * p.first_reload, bw)
    traffic = t.all_weights + t.all_inputs + t.all_outputs * (p.stored_output_bits + reload)
    return max(t.compute + prologue + ceil_div(stored, bw), traffic // bw)


@njit(cache=True)
def price_order(
    p: Problem,
    t: Tiling,
    output_accesses: int,
    order: np.ndarray,
    counts: np.ndarray,
    trial: np.ndarray,
) -> tuple[int, int]:
    """Cycles and stalls of a tiling under one loop order; fills in the actions it decides."""
    w_trips, w_block = reuse(t.weight_tile, p.weight_half, INDEXES_WEIGHTS, order, counts)
    a_trips, a_block = reuse(t.input_tile, p.input_half, INDEXES_INPUTS, order, counts)
    q_trips, q_block = reuse(t.output_tile, p.output_half, INDEXES_OUTPUTS, order, counts)
    acc, bw = p.accumulator_bits, p.dram_bits_per_cycle
    weights_in = t.all_weights * w_trips
    inputs_in = t.all_inputs * a_trips
    sums_in = t.all_outputs * (q_trips - 1 + p.first_reload) * acc
    outputs_out = t.all_outputs * (p.stored_output_bits + (q_trips - 1) * acc)

    # Memory and array work side by side, but for the first blocks loaded and the last one stored.
    first = w_block + a_block + q_block * p.first_reload
    last = q_block // acc * p.stored_output_bits
    between = weights_in + inputs_in + sums_in + outputs_out - first - last
    stall = max(0, ceil_div(between, bw) - t.compute) + ceil_div(first, bw) + ceil_div(last, bw)

    trial[2] = weights_in
    trial[4] = inputs_in
    trial[5] = output_accesses + t.all_outputs * q_trips * acc
    trial[6] = output_accesses + sums_in
    trial[7] = weights_in + inputs_in + sums_in
    trial[8] = outputs_out
    return t.compute + stall, stall


@njit(cache=True)
def search_orders(
    p: Problem, tile: Tile, action_pj: np.ndarray, orders: np.ndarray, scratch: Scratch, best: Best
) -> None:
    """Try every loop order of one tiling, and note any that beats the best so far."""
    counts, trial, mapping = scratch.loop_counts, scratch.actions, best.mapping
    tiles, active = tile_counts(p, tile, counts)
    t = price_tile(p, tile, counts, tiles)
    if mapping[0] >= 0 and cycles_floor(p, t) > mapping[0]:
        return
    stationary, weight_reads, input_reads, output_accesses = array_side(p, tile)
    trial[0], trial[1], trial[3] = t.compute, tiles * weight_reads, tiles * input_reads
    square = active >> OUT_ROWS & 1 and counts[OUT_ROWS] == counts[OUT_COLUMNS]
    for index in range(orders.shape[1]):
        order = orders[active, index]
        if order[0] < 0 and index > 0:
            break
        if square and columns_first(order):
            continue
        cycles, stall = price_order(p, t, tiles * output_accesses, order, counts, trial)
        if mapping[0] >= 0 and cycles > mapping[0]:
            continue
        energy = 0.0
        for action in range(9):
            energy += trial[action] * action_pj[action]
        if cycles == mapping[0] and energy >= best.energy[0]:
            continue
        best.energy[0] = energy
        best.actions[:] = trial
        mapping[0], mapping[1], mapping[2] = cycles, stall, stationary
        for loop in range(5):
            mapping[3 + loop] = tile[loop]
        fill_order(mapping, order)


@njit(cache=True)
def search(p: Problem, action_pj: np.ndarray, orders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best mapping: (cycles, stalls, stationarity, five tile sizes, five loops), and its actions.

    Large tiles come first: they are good enough for most others to be ruled out by their floor.
    """
    best = Best(np.full(13, -1, dtype=np.int64), np.zeros(9, dtype=np.int64), np.full(1, np.inf))
    scratch = Scratch(np.empty(5, dtype=np.int64), np.empty(9, dtype=np.int64))
    side = max(p.out_rows, p.out_columns)
    channel_step = 1 if p.im2col else p.array_columns
    for i_oc in range(doublings(p.out_channels, channel_step) - 1, -1, -1):
        oc = min(channel_step << i_oc, p.out_channels)
        for i_ic in range(doublings(p.in_channels, 1) - 1, -1, -1):
            ic = min(1 << i_ic, p.in_channels)
            for i_o in range(doublings(side, 1) - 1, -1, -1):
                rows, columns = min(1 << i_o, p.out_rows), min(1 << i_o, p.out_columns)
                for i_b in range(doublings(p.batch, 1) - 1, -1, -1):
                    tile = (min(1 << i_b, p.batch), rows, columns, ic, oc)
                    if fits(p, tile):
                        search_orders(p, tile, action_pj, orders, scratch, best)
    return best.mapping, best.actions


@njit(cache=True)
def columns_first(order: np.ndarray) -> bool:
    """True if out_columns comes further in than out_rows: same as the other way where alike."""
    for loop in order:
        if loop == OUT_ROWS:
            return False
        if loop == OUT_COLUMNS:
            return True
    return False


@njit(cache=True)
def fill_order(best: np.ndarray, order: np.ndarray) -> None:
    """Write the full order, outer to inner: loops that run once go outermost."""
    place = 12
    seen = 0
    for loop in order:
        if loop < 0:
            break
        best[place] = loop
        seen |= 1 << loop
        place -= 1
    for loop in range(4, -1, -1):
        if not seen >> loop & 1:
            best[place] = loop
            place -= 1
