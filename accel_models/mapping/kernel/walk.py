"""Compiled: a layer step by step, in the order in which its mapping visits its tiles.

The search takes every tile for a full one. Once a mapping is chosen, this walks through it: tiles
and blocks at the edges are as small as they are, and every block moves in bursts of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from accel_models.mapping.kernel.candidates import (
    ROW_STATIONARY,
    WINDOW,
    ceil_div,
    reduction_steps,
)
from accel_models.mapping.kernel.candidates import weight_lanes as lanes_of
from accel_models.mapping.kernel.cost import bursts, port_cycles
from accel_models.mapping.kernel.row_stationary import row_stationary_sets
from accel_models.mapping.kernel.windows import Windows, line_count, windows_across, windows_down
from accel_models.mapping.problem import (
    BATCH,
    IN_CHANNELS,
    NEVER,
    OUT_CHANNELS,
    OUT_COLUMNS,
    OUT_ROWS,
    Problem,
)

ARRAY, DRAIN, WEIGHTS, INPUTS, SUMS, STORED, RESTORED, RESIDUAL = range(8)
"""What a step takes: cycles of the array and of the vector unit; DRAM bits of the blocks that it
waits for, of weights, inputs and partial sums; and, if it is the last on its block of outputs, bits
of outputs that leave, of partial sums that leave to come back, and of the residual that comes."""
STEP_PARTS = 8

TENSORS = 3
"""Weights, inputs and outputs, in the order of `Mapping.exchanged_from`."""


class Walk(NamedTuple):
    """A place in a mapping; arrays int64 [loop], loops as in `problem.LOOPS`."""

    size: np.ndarray
    """Size of a full tile."""
    total: np.ndarray
    """Elements of the dimension, as far as they are charged."""
    tiles: np.ndarray
    """Number of tiles."""
    within: np.ndarray
    """Whether the tensor's block takes in all tiles of the loop, bool [loop, tensor]."""
    active: np.ndarray
    """Loops that run more than once, innermost first; unused places hold -1."""
    at: np.ndarray
    """Number of the current tile."""


@njit(cache=True)
def walk(p: Problem, rule: int, tile: np.ndarray, order: np.ndarray, stops: np.ndarray) -> Walk:
    """The beginning of a mapping.

    Args:
        p: the layer on its machine.
        rule: index of the lane rule.
        tile: int64 [loop], sizes of a full tile.
        order: int64 [loop], from outer to inner.
        stops: int64 [tensor], as `Mapping.exchanged_from`.
    """
    total = np.array([p.batch, p.out_rows, p.out_columns, p.in_channels, p.out_channels])
    count = -(-total // tile)
    if p.whole_tiles:
        total = count * tile
    # A block takes in the loops inside the place from which it is exchanged, and those that run
    # once.
    within = np.ones((5, TENSORS), dtype=np.bool_)
    active = np.full(5, -1, dtype=np.int64)
    place = 0
    for loop in order[::-1]:
        if count[loop] > 1:
            active[place] = loop
            for tensor in range(TENSORS):
                within[loop, tensor] = place < stops[tensor]
            place += 1
    return Walk(tile, total, count, within, active, np.zeros(5, dtype=np.int64))


@njit(cache=True)
def number_of_steps(p: Problem, w: Walk) -> int:
    """Number of tiles that the walk visits."""
    steps = p.groups
    for loop in range(5):
        steps *= w.tiles[loop]
    return steps


@njit(cache=True)
def advance(w: Walk) -> int:
    """Go on to the next tile: position of the outermost loop that moved, `NEVER` at the end."""
    for place in range(5):
        loop = w.active[place]
        if loop < 0:
            break
        w.at[loop] += 1
        if w.at[loop] < w.tiles[loop]:
            return place
        w.at[loop] = 0
    return NEVER


@njit(cache=True)
def extent(w: Walk, loop: int) -> int:
    """Elements of the current tile."""
    return min(w.size[loop], w.total[loop] - w.at[loop] * w.size[loop])


@njit(cache=True)
def steps_of(
    p: Problem, rule: int, tile: np.ndarray, order: np.ndarray, stops: np.ndarray
) -> np.ndarray:
    """All steps of a mapping, int64 [step, part]; arguments as `walk` has them."""
    w = walk(p, rule, tile, order, stops)
    steps = np.zeros((number_of_steps(p, w), STEP_PARTS), dtype=np.int64)
    moved = NEVER
    for step in steps:
        # A block is exchanged when a loop at its place or further out has moved on; before the
        # first step all have (`NEVER` is further out than any place).
        step[ARRAY], step[DRAIN] = array_cycles(p, rule, w), drain_cycles(p, w)
        if moved >= stops[0]:
            step[WEIGHTS] = bursts(p, weight_block(p, w) * p.stored_weight_bits)
        if moved >= stops[1]:
            step[INPUTS] = bursts(p, input_block(p, rule, w) * p.stored_input_bits)
        # Outputs are complete after all input channels. A block that takes in that loop is visited
        # once; any other comes back with the sums so far, on all visits but its first.
        block, visits = output_block(p, rule, w), w.tiles[IN_CHANNELS]
        if w.within[IN_CHANNELS, 2]:
            visits = 1
        if moved >= stops[2] and (p.first_reload or (visits > 1 and w.at[IN_CHANNELS] > 0)):
            step[SUMS] = bursts(p, block * p.accumulator_bits)
        # Sizes are read off before the walk moves on; whether the block leaves shows only
        # afterwards.
        last_visit = visits == 1 or w.at[IN_CHANNELS] == visits - 1
        moved = advance(w)
        if moved < stops[2]:
            continue
        if last_visit:
            step[STORED] = bursts(p, block * p.stored_output_bits)
            step[RESIDUAL] = bursts(p, block * p.residual_bits)
        else:
            step[RESTORED] = bursts(p, block * p.accumulator_bits)
    return steps


@njit(cache=True)
def array_cycles(p: Problem, rule: int, w: Walk) -> int:
    """Cycles of the array on the current tile."""
    batch, rows, columns = extent(w, BATCH), extent(w, OUT_ROWS), extent(w, OUT_COLUMNS)
    inputs, outputs = extent(w, IN_CHANNELS), extent(w, OUT_CHANNELS)
    if rule == ROW_STATIONARY:
        passes = row_stationary_sets(p, rows, inputs, outputs).passes
        return batch * columns * p.kernel_columns * passes * p.cycles_per_step
    # The same closed form as for the layer (`Datapath`), on a tile true to size.
    blocks = batch * position_blocks(p, rows, columns)
    wide, folds = ceil_div(outputs, p.array_columns), reduction_steps(p, rule, inputs)
    waiting = blocks * wide * p.block_overhead + wide * folds * p.stream_overhead
    return ceil_div(blocks * wide * folds, p.stagger) * p.cycles_per_step + waiting


@njit(cache=True)
def position_blocks(p: Problem, rows: int, columns: int) -> int:
    """Blocks of output positions in a tile of one input."""
    rectangles = ceil_div(rows, p.window_rows) * ceil_div(columns, p.window_columns)
    return ceil_div(rectangles, p.windows)


@njit(cache=True)
def drain_cycles(p: Problem, w: Walk) -> int:
    """Cycles of the vector unit on the outputs of the current tile."""
    lanes = ceil_div(extent(w, OUT_CHANNELS), p.vector_lanes) * p.drain_operations
    return extent(w, BATCH) * extent(w, OUT_ROWS) * extent(w, OUT_COLUMNS) * lanes


@njit(cache=True)
def weight_block(p: Problem, w: Walk) -> int:
    """Weights of the current block, padding included where they are aligned."""
    # Each tile is padded by itself, so the last, smaller one is counted apart.
    lanes = lanes_of(p, extent(w, IN_CHANNELS))
    if w.within[IN_CHANNELS, 0]:
        full = w.tiles[IN_CHANNELS] - 1
        last = w.total[IN_CHANNELS] - full * w.size[IN_CHANNELS]
        lanes = full * lanes_of(p, w.size[IN_CHANNELS]) + lanes_of(p, last)
    return lanes * part(w, OUT_CHANNELS, 0)


@njit(cache=True)
def part(w: Walk, loop: int, tensor: int) -> int:
    """Elements of one dimension in the current block."""
    return w.total[loop] if w.within[loop, tensor] else extent(w, loop)


@njit(cache=True)
def input_block(p: Problem, rule: int, w: Walk) -> int:
    """Inputs of the current block."""
    channels = part(w, BATCH, 1) * part(w, IN_CHANNELS, 1)
    if rule == WINDOW and p.gather_before_dram:
        window = p.kernel_rows * p.kernel_columns
        return channels * window * part(w, OUT_ROWS, 1) * part(w, OUT_COLUMNS, 1)
    rows = lines(p, w, OUT_ROWS, windows_down(p))
    return channels * rows * lines(p, w, OUT_COLUMNS, windows_across(p))


@njit(cache=True)
def lines(p: Problem, w: Walk, loop: int, windows: Windows) -> int:
    """Input lines under the windows of the current block, along one dimension."""
    # Three cases: one tile; tiles that share their lines; tiles that each hold their own.
    if not w.within[loop, 1]:
        return line_count(p, w.at[loop] * w.size[loop], extent(w, loop), windows)
    if p.share_halos or w.tiles[loop] == 1:
        return line_count(p, 0, w.total[loop], windows)
    number = 0
    for tile in range(w.tiles[loop]):
        first = tile * w.size[loop]
        number += line_count(p, first, min(w.size[loop], w.total[loop] - first), windows)
    return number


@njit(cache=True)
def output_block(p: Problem, rule: int, w: Walk) -> int:
    """Outputs of the current block, padding included where they are padded."""
    channels = part(w, OUT_CHANNELS, 2)
    if p.pad_outputs:
        width = 1 if rule == ROW_STATIONARY else p.array_columns
        channels = padded(extent(w, OUT_CHANNELS), width)
        if w.within[OUT_CHANNELS, 2]:
            full = w.tiles[OUT_CHANNELS] - 1
            last = w.total[OUT_CHANNELS] - full * w.size[OUT_CHANNELS]
            channels = full * padded(w.size[OUT_CHANNELS], width) + padded(last, width)
    return part(w, BATCH, 2) * part(w, OUT_ROWS, 2) * part(w, OUT_COLUMNS, 2) * channels


@njit(cache=True)
def padded(size: int, width: int) -> int:
    """Size rounded up to a multiple of a width."""
    return ceil_div(size, width) * width


CYCLES, HEAD, TAIL, FIRST_WEIGHTS, READ, WRITTEN = range(6)
"""What `price_steps` returns: cycles; those that go if the first weights are on chip already; those
at the end in which DRAM and a part of the weight buffer are free; DRAM bits of the first block of
weights; and DRAM bits read and written in all."""


@njit(cache=True)
def price_steps(p: Problem, rate: float, steps: np.ndarray) -> np.ndarray:
    """What a layer takes whose blocks for the next step load while one is computed, over a port of
    so many bits a cycle.

    The schedule is one of slots. In each, the array computes one tile, the vector unit drains it,
    and DRAM brings what the next tile needs and takes what this tile is the last to need; the slot
    ends with the slowest of the three. The first blocks load before, the last outputs leave after.

    A tensor whose buffer is no double one is exchanged at the end of the slot, when the tile is
    computed and drained: what was there is in use until then.
    """
    # All in integers: the timeline plays the same slots event by event, and must agree to the
    # cycle.
    priced = np.zeros(6, dtype=np.int64)
    first, last = steps[0], steps[-1]
    sums = first[SUMS] + first[INPUTS]
    load = port_cycles(rate, first[WEIGHTS] + sums)
    free = 0
    cycles = p.dram_latency + load
    for index in range(len(steps)):
        step = steps[index]
        priced[READ] += step[WEIGHTS] + step[INPUTS] + step[SUMS] + step[RESIDUAL]
        priced[WRITTEN] += step[STORED] + step[RESTORED]
        # In the last slot there is nothing left to fetch, and what it makes is not there yet.
        busy, beside, late = max(step[ARRAY], step[DRAIN]), 0, 0
        if index < len(steps) - 1:
            beside, late = exchange_cycles(p, rate, step, steps[index + 1])
        cycles += max(busy, beside) + late
        # The half of the weight buffer that the next layer may load into is free only after the
        # last block of weights has come; what DRAM idles before that helps no one.
        free += max(0, busy - beside)
        if index < len(steps) - 1 and steps[index + 1, WEIGHTS] > 0:
            free = 0
    # The head is what weights add to the first load, which they share with inputs and sums. The
    # tail takes in ramp and fill, when DRAM idles, and not the final store, when it does not.
    priced[CYCLES] = cycles + p.ramp + p.fill + port_cycles(rate, leaving(last))
    priced[HEAD] = load - port_cycles(rate, sums)
    # A single buffer of weights is in use to the end, unless the layer has none.
    if p.weights_overlap or first[WEIGHTS] == 0:
        priced[TAIL] = free + p.ramp + p.fill
    priced[FIRST_WEIGHTS] = first[WEIGHTS]
    return priced


@njit(cache=True)
def exchange_cycles(
    p: Problem, rate: float, step: np.ndarray, following: np.ndarray
) -> tuple[int, int]:
    """DRAM cycles of a slot: beside the tile that is computed, and after it."""
    weights, inputs = port_cycles(rate, following[WEIGHTS]), port_cycles(rate, following[INPUTS])
    outputs = port_cycles(rate, leaving(step) + following[SUMS])
    beside = weights * p.weights_overlap + inputs * p.inputs_overlap + outputs * p.outputs_overlap
    return beside, weights + inputs + outputs - beside


@njit(cache=True)
def leaving(step: np.ndarray) -> int:
    """DRAM bits of the outputs that a step is the last to need, and of what is added to them."""
    return step[STORED] + step[RESTORED] + step[RESIDUAL]


@njit(cache=True)
def priced_mappings(p: Problem, rates: np.ndarray, mappings: np.ndarray, most: int) -> np.ndarray:
    """`price_steps` of a mapping on each of several machines, int64 [machine, part]; -1 where it
    has more than so many steps.

    Args:
        p: the layer on the machines, which differ in their bandwidth alone.
        rates: float64 [machine], DRAM bits per cycle.
        mappings: int64 [machine, part]: lane rule, five tile sizes, five loops, three places.
        most: steps.
    """
    priced = np.full((len(rates), 6), -1, dtype=np.int64)
    steps = np.empty((0, STEP_PARTS), dtype=np.int64)
    for machine in range(len(rates)):
        one = mappings[machine]
        # Neighbours in bandwidth mostly agree on the mapping, and so do its steps.
        if machine == 0 or not np.array_equal(one, mappings[machine - 1]):
            rule, tile, order, stops = one[0], one[1:6], one[6:11], one[11:14]
            if number_of_steps(p, walk(p, rule, tile, order, stops)) > most:
                steps = np.empty((0, STEP_PARTS), dtype=np.int64)
            else:
                steps = steps_of(p, rule, tile, order, stops)
        if len(steps) > 0:
            priced[machine] = price_steps(p, rates[machine], steps)
    return priced
