"""Compiled: what one mapping of a layer costs. Sizes in elements, volumes in bits.

Notation follows the published equations: W, A, Q are weights, activations and outputs. A tensor's
*tile* is what one step of the innermost loop touches, its *block* the largest part that stays on
chip, its *trips* how often it is moved because of loops that do not index it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from accel_models.array_side import (
    A_WRITE,
    DRAM_READ,
    DRAM_WRITE,
    VECTOR,
    W_WRITE,
    positions,
)
from accel_models.mapping import (
    BATCH,
    IN_CHANNELS,
    NEVER,
    OUT_CHANNELS,
    OUT_COLUMNS,
    OUT_ROWS,
    Problem,
)
from accel_models.row_stationary import row_stationary_steps
from accel_models.tiling import ROW_STATIONARY, WINDOW, Lines, Tile, ceil_div

INDEXES_WEIGHTS = 1 << IN_CHANNELS | 1 << OUT_CHANNELS
INDEXES_INPUTS = 1 << BATCH | 1 << OUT_ROWS | 1 << OUT_COLUMNS | 1 << IN_CHANNELS
INDEXES_OUTPUTS = 1 << BATCH | 1 << OUT_ROWS | 1 << OUT_COLUMNS | 1 << OUT_CHANNELS
RULES = 4

CYCLE = 12
"""Place of static energy among the prices."""

INSIDE = 9
"""Place in a nest's row of which of `Tiling.inputs` holds."""


BLOCK, HELD, ALL, WRITTEN = range(4)
"""Of inputs: elements of a block of one tile's inputs and channels, bits of it in the buffer (with
windows laid out, if the lane rule asks for it), elements that come if every block comes once, and
elements that then enter the buffer."""


class Tiling(NamedTuple):
    """Everything about a tiling that no loop order changes; volumes in elements, all groups."""

    steps: int
    """Tiles of one group."""
    compute: int
    tile_cycles: int
    w_tile: int
    q_tile: int
    w_held: int
    """Bits of a tile as its buffer holds it; likewise the next two."""
    q_held: int
    w_all: int
    q_all: int
    inputs: np.ndarray
    """int64 [which of the map's loops a block takes in: none, rows, columns, both; what of it]."""


class Blocks(NamedTuple):
    """What a loop order decides for each tensor: trips, tiles in a block, and the loop position
    from which the block has to be exchanged."""

    w_trips: int
    w_tiles: int
    w_from: int
    a_trips: int
    a_tiles: int
    a_from: int
    q_trips: int
    q_tiles: int
    q_from: int
    inside: int
    """Which of `Tiling.inputs` holds."""


@njit(cache=True, forceinline=True)
def bursts(p: Problem, bits: int) -> int:
    """Bits of a transfer in whole bursts."""
    if p.burst_bits == 0:
        return bits
    return ceil_div(bits, p.burst_bits) * p.burst_bits


@njit(cache=True, forceinline=True)
def transfer(p: Problem, bits: int) -> int:
    """Cycles to move one block over the DRAM port."""
    return math.ceil(bits / p.dram_bits_per_cycle)


@njit(cache=True, forceinline=True)
def moved(p: Problem, elements: int, block: int, bits: int) -> int:
    """Bits that a tensor's elements take when they move in blocks: whole bursts for a full block,
    and in proportion for the smaller ones at the edges."""
    if bits == 0 or elements == 0:
        return 0
    if p.burst_bits == 0:
        return elements * bits
    whole, rest = divmod(elements, block)
    padded = bursts(p, block * bits)
    return whole * padded + rest * padded // block


@njit(cache=True, forceinline=True)
def price_tile(p: Problem, rule: int, tile: Tile, inputs: np.ndarray) -> Tiling:
    """Size up a tiling, whatever the loop order. `inputs` is filled in, and becomes part of it."""
    b, oh, ow, ic, oc = tile
    fill_inputs(p, rule, tile, inputs)
    q_tile = b.size * oh.size * ow.size
    if rule == ROW_STATIONARY:
        one, steps = row_stationary_steps(p, tile)
    else:
        one = b.size * ceil_div(oh.size * ow.size, p.windows) * oc.blocks * ic.steps
        steps = b.covered * positions(p, oh, ow) * oc.all_blocks * ic.all_steps * p.groups
    streams = b.tiles * oh.tiles * ow.tiles * oc.all_blocks * ic.all_steps * p.groups
    turning = streams * p.stream_overhead
    lanes_all = ic.tiles * ic.lanes if p.whole_tiles else ic.all_lanes
    return Tiling(
        steps=b.tiles * oh.tiles * ow.tiles * ic.tiles * oc.tiles,
        compute=ceil_div(steps, p.stagger) * p.cycles_per_step + turning + p.ramp,
        tile_cycles=ceil_div(one, p.stagger) * p.cycles_per_step
        + oc.blocks * ic.steps * p.stream_overhead,
        w_tile=ic.lanes * oc.size,
        q_tile=q_tile * oc.moved,
        w_held=ic.lanes * oc.size * p.weight_bits,
        q_held=q_tile * oc.held * p.accumulator_bits,
        w_all=lanes_all * oc.covered * p.groups,
        q_all=b.covered * oh.covered * ow.covered * oc.all_moved * p.groups,
        inputs=inputs,
    )


@njit(cache=True, forceinline=True)
def fill_inputs(p: Problem, rule: int, tile: Tile, inputs: np.ndarray) -> None:
    """A tiling's inputs, as `Tiling` has them."""
    b, oh, ow, ic, _ = tile
    window = p.kernel_rows * p.kernel_columns
    one, once = b.size * ic.size, b.covered * ic.covered * p.groups
    spread = once * oh.covered * ow.covered * window
    for inside in range(4):
        rows, lines_down = lines_of(p, oh, inside & 1 > 0)
        columns, lines_across = lines_of(p, ow, inside > 1)
        block, come = one * rows * columns, once * lines_down * lines_across
        held, written = block, come
        if rule == WINDOW:
            held = one * window * span_of(p, oh, inside & 1 > 0) * span_of(p, ow, inside > 1)
            written = spread
            if p.gather_before_dram:
                block, come = held, spread
        inputs[inside, BLOCK], inputs[inside, HELD] = block, held * p.buffered_input_bits
        inputs[inside, ALL], inputs[inside, WRITTEN] = come, written


@njit(cache=True, forceinline=True)
def lines_of(p: Problem, lines: Lines, whole: bool) -> tuple[int, int]:
    """Input lines of a block, and of all blocks together."""
    if not whole:
        return lines.touched, lines.all_touched
    if p.share_halos:
        return lines.together, lines.together
    return lines.touched * lines.tiles, lines.all_touched


@njit(cache=True, forceinline=True)
def span_of(p: Problem, lines: Lines, whole: bool) -> int:
    """Output lines of a block."""
    if not whole:
        return lines.size
    return lines.covered if p.share_halos else lines.size * lines.tiles


@njit(cache=True, forceinline=True)
def grow(p: Problem, s: Tiling, loop: int, count: int, depth: int, nest: np.ndarray) -> None:
    """Fill in row ``depth + 1`` of a nest of loops from row `depth`, the loops inside this one.

    A row holds trips, tiles in a block, and the loop position from which blocks are exchanged, of
    weights, inputs and outputs; and last which of `Tiling.inputs` holds. Blocks grow outwards while
    they fit: a loop that does not index the tensor is then free. From the first block that does not
    fit, every such loop moves the whole tensor again.
    """
    grow_tensor(nest, depth, 0, INDEXES_WEIGHTS >> loop & 1, s.w_held, p.weight_half, count)
    inside = nest[depth, INSIDE]
    grown = inside | (loop == OUT_ROWS) | (loop == OUT_COLUMNS) << 1
    # A loop over the map makes other inputs of the block, not more blocks of the same.
    more = 1 if loop in (OUT_ROWS, OUT_COLUMNS) else count
    held = s.inputs[grown, HELD]
    grow_tensor(nest, depth, 3, INDEXES_INPUTS >> loop & 1, held, p.input_half, more)
    if nest[depth + 1, 5] != NEVER:
        grown = inside
    nest[depth + 1, INSIDE] = grown
    grow_tensor(nest, depth, 6, INDEXES_OUTPUTS >> loop & 1, s.q_held, p.output_half, count)


@njit(cache=True, forceinline=True)
def grow_tensor(
    nest: np.ndarray, depth: int, tensor: int, indexes: int, held: int, half: int, count: int
) -> None:
    trips, tiles, since = nest[depth, tensor], nest[depth, tensor + 1], nest[depth, tensor + 2]
    if not indexes:
        if since != NEVER:
            trips *= count
    elif since == NEVER:
        if held * tiles * count <= half:
            tiles *= count
        else:
            since = depth
    nest[depth + 1, tensor] = trips
    nest[depth + 1, tensor + 1] = tiles
    nest[depth + 1, tensor + 2] = since


@njit(cache=True, forceinline=True)
def empty_nest() -> np.ndarray:
    """A nest of up to five loops; row 0 says that a tile is moved once."""
    nest = np.zeros((6, 10), dtype=np.int64)
    for tensor in range(0, 9, 3):
        nest[0, tensor], nest[0, tensor + 1], nest[0, tensor + 2] = 1, 1, NEVER
    return nest


@njit(cache=True, forceinline=True)
def blocks_of_row(row: np.ndarray) -> Blocks:
    return Blocks(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[INSIDE]
    )


@njit(cache=True, forceinline=True)
def levels(
    p: Problem,
    s: Tiling,
    tensor: int,
    order: np.ndarray,
    loops: int,
    counts: np.ndarray,
    table: np.ndarray,
) -> int:
    """Blocks of one tensor worth trying under a loop order: fill in its (trips, tiles in a block,
    loop position from which blocks are exchanged, which of `Tiling.inputs` holds), return how many.

    A larger block takes longer to load before the first step. So blocks grow over one more loop
    only where that saves traffic: some loop in between, or further out, finds the block again, or
    tiles of the map share the lines between them.
    """
    indexes = (INDEXES_WEIGHTS, INDEXES_INPUTS, INDEXES_OUTPUTS)[tensor]
    half = (p.weight_half, p.input_half, p.output_half)[tensor]
    found, tiles, inside, saves, rest = 0, 1, 0, True, 1
    for depth in range(loops):
        if not indexes >> order[depth] & 1:
            rest *= counts[order[depth]]
    for depth in range(loops):
        loop = order[depth]
        if not indexes >> loop & 1:
            rest //= counts[loop]
            saves = True
            continue
        if saves:
            fill_block(table, tensor, found, rest, tiles, depth, inside)
            found += 1
        more, beside, held = counts[loop], inside, (s.w_held, 0, s.q_held)[tensor]
        saves = False
        if tensor == 1:
            if loop in (OUT_ROWS, OUT_COLUMNS):
                more, beside = 1, inside | (loop == OUT_ROWS) | (loop == OUT_COLUMNS) << 1
                saves = s.inputs[beside, ALL] < s.inputs[inside, ALL]
            held = s.inputs[beside, HELD]
        if held * tiles * more > half:
            return found
        tiles, inside = tiles * more, beside
    if saves:
        fill_block(table, tensor, found, 1, tiles, NEVER, inside)
        found += 1
    return found


@njit(cache=True, forceinline=True)
def largest_block(nest: np.ndarray, depth: int, tensor: int, table: np.ndarray) -> int:
    """The block of one tensor that a nest of loops ends up with, as the only one to try."""
    at = 3 * tensor
    trips, tiles, since = nest[depth, at], nest[depth, at + 1], nest[depth, at + 2]
    fill_block(table, tensor, 0, trips, tiles, since, nest[depth, INSIDE])
    return 1


@njit(cache=True, forceinline=True)
def fill_block(
    table: np.ndarray, tensor: int, place: int, trips: int, tiles: int, since: int, inside: int
) -> None:
    table[tensor, place, 0], table[tensor, place, 1] = trips, tiles
    table[tensor, place, 2], table[tensor, place, 3] = since, inside


@njit(cache=True, forceinline=True)
def blocks_until(
    s: Tiling, order: np.ndarray, counts: np.ndarray, stops: tuple[int, int, int]
) -> Blocks:
    """The blocks of a mapping that exchanges weights, inputs and outputs from these positions of
    its loops, innermost first."""
    row = np.zeros(10, dtype=np.int64)
    for tensor in range(3):
        indexes = (INDEXES_WEIGHTS, INDEXES_INPUTS, INDEXES_OUTPUTS)[tensor]
        trips, tiles = 1, 1
        for depth, loop in enumerate(order):
            if loop < 0:
                break
            uses = indexes >> loop & 1
            if depth >= stops[tensor]:
                trips *= 1 if uses else counts[loop]
            elif uses and tensor == 1 and loop in (OUT_ROWS, OUT_COLUMNS):
                row[INSIDE] |= (loop == OUT_ROWS) | (loop == OUT_COLUMNS) << 1
            elif uses:
                tiles *= counts[loop]
        row[3 * tensor], row[3 * tensor + 1], row[3 * tensor + 2] = trips, tiles, stops[tensor]
    return blocks_of_row(row)


@njit(cache=True, forceinline=True)
def repeated_bits(p: Problem, s: Tiling, nest: np.ndarray, depth: int) -> int:
    """DRAM bits that a nest of loops moves again, whatever comes outside of it."""
    again = s.w_all * p.stored_weight_bits * (nest[depth, 0] - 1)
    inputs = s.inputs[nest[depth, INSIDE], ALL] * p.stored_input_bits
    again += inputs * (nest[depth, 3] - 1)
    return again + s.q_all * 2 * p.accumulator_bits * (nest[depth, 6] - 1)


@njit(cache=True, forceinline=True)
def traffic(p: Problem, s: Tiling, k: Blocks, actions: np.ndarray) -> None:
    """Fill in what crosses the DRAM port and enters the buffers."""
    w_block, q_block = s.w_tile * k.w_tiles, s.q_tile * k.q_tiles
    a_block = input_block(s, k)
    weights = moved(p, s.w_all, w_block, p.stored_weight_bits) * k.w_trips
    inputs = moved(p, s.inputs[k.inside, ALL], a_block, p.stored_input_bits) * k.a_trips
    sums = moved(p, s.q_all, q_block, p.accumulator_bits)
    outputs = moved(p, s.q_all, q_block, p.stored_output_bits)
    reloads = (k.q_trips - 1 + p.first_reload) * sums
    actions[DRAM_READ] = weights + inputs + reloads + moved(p, s.q_all, q_block, p.residual_bits)
    actions[DRAM_WRITE] = outputs + (k.q_trips - 1) * sums
    actions[W_WRITE] = s.w_all * k.w_trips * p.weight_bits
    actions[A_WRITE] = s.inputs[k.inside, WRITTEN] * k.a_trips * p.buffered_input_bits
    actions[A_WRITE] += s.q_all * p.kept_output_bits
    added = 2 if p.residual_bits + p.kept_residual_bits else 1
    entering = s.inputs[k.inside, ALL] * k.a_trips if p.requantise_inputs else 0
    actions[VECTOR] = s.q_all * added + entering


@njit(cache=True, forceinline=True)
def input_block(s: Tiling, k: Blocks) -> int:
    """Elements of a block of inputs."""
    return s.inputs[k.inside, BLOCK] * k.a_tiles


@njit(cache=True, forceinline=True)
def least_inputs(p: Problem, s: Tiling) -> int:
    """Which of `Tiling.inputs` come least often, of those whose block fits the buffer."""
    least = 0
    for inside in range(1, 4):
        fits = s.inputs[inside, HELD] <= p.input_half
        if fits and s.inputs[inside, ALL] < s.inputs[least, ALL]:
            least = inside
    return least


@njit(cache=True, forceinline=True)
def least_traffic(p: Problem, s: Tiling, actions: np.ndarray) -> int:
    """Fill in what no loop order can spare: every tensor moved once, in transfers of any size."""
    least = least_inputs(p, s)
    loaded = s.w_all * p.stored_weight_bits + s.inputs[least, ALL] * p.stored_input_bits
    sums = s.q_all * p.accumulator_bits * p.first_reload
    actions[DRAM_READ] = loaded + sums + s.q_all * p.residual_bits
    actions[DRAM_WRITE] = s.q_all * p.stored_output_bits
    actions[W_WRITE] = s.w_all * p.weight_bits
    actions[A_WRITE] = (
        s.inputs[least, WRITTEN] * p.buffered_input_bits + s.q_all * p.kept_output_bits
    )
    actions[VECTOR] = s.q_all
    return int(actions[DRAM_READ] + actions[DRAM_WRITE])


@njit(cache=True, forceinline=True)
def fluid_cycles(p: Problem, s: Tiling, k: Blocks, dram_bits: int) -> int:
    """Memory and array side by side, but for the first blocks loaded and the last one stored."""
    q_block = s.q_tile * k.q_tiles
    first = s.w_tile * k.w_tiles * p.stored_weight_bits + input_block(s, k) * p.stored_input_bits
    first += q_block * p.accumulator_bits * p.first_reload
    last = q_block * p.stored_output_bits
    between = transfer(p, dram_bits - first - last)
    return max(s.compute, between) + transfer(p, first) + transfer(p, last)


@njit(cache=True, forceinline=True)
def exchange_cycles(p: Problem, s: Tiling, k: Blocks) -> tuple[int, int, int]:
    """Cycles to exchange a block of weights, of inputs and of outputs during a step."""
    weights = transfer(p, bursts(p, s.w_tile * k.w_tiles * p.stored_weight_bits))
    inputs = transfer(p, bursts(p, input_block(s, k) * p.stored_input_bits))
    q_block = s.q_tile * k.q_tiles
    finished = finished_bits(p, q_block)
    if k.q_trips > 1 or p.first_reload:
        sums = bursts(p, q_block * p.accumulator_bits)
        finished = max(finished, sums) + sums
    return weights, inputs, transfer(p, finished)


@njit(cache=True, forceinline=True)
def finished_bits(p: Problem, q_block: int) -> int:
    """DRAM bits of a finished block: its outputs leave, what is added to them comes."""
    return bursts(p, q_block * p.stored_output_bits) + bursts(p, q_block * p.residual_bits)


@njit(cache=True, forceinline=True)
def pipelined_cycles(
    p: Problem, s: Tiling, k: Blocks, order: np.ndarray, counts: np.ndarray
) -> tuple[int, int, int]:
    """Cycles of the schedule in which the blocks of the next step load while one is computed.

    Also those that go if the first block of weights is there already, and those at the end in
    which DRAM and half of the weight buffer are free.
    """
    weights, inputs, outputs = exchange_cycles(p, s, k)
    step = max(s.tile_cycles, drain_cycles(p, counts))
    first_weights = bursts(p, s.w_tile * k.w_tiles * p.stored_weight_bits)
    first_inputs = bursts(p, input_block(s, k) * p.stored_input_bits)
    load = transfer(p, first_weights + first_inputs)
    cycles = p.dram_latency + load + step + p.ramp + p.fill
    cycles += transfer(p, finished_bits(p, s.q_tile * k.q_tiles))
    free = step + p.ramp + p.fill
    outside = s.steps * p.groups
    for position in range(5):
        loop = order[position]
        if loop < 0:
            break
        here = outside // counts[loop]
        memory = 0
        if k.w_from <= position:
            memory += weights
        if k.a_from <= position:
            memory += inputs
        if k.q_from <= position:
            memory += outputs
        cycles += (outside - here) * max(step, memory)
        if k.w_from == NEVER and p.groups == 1:
            free += (outside - here) * max(0, step - memory)
        outside = here
    cycles += (p.groups - 1) * max(step, weights + inputs + outputs)
    return cycles, load - transfer(p, first_inputs), free


@njit(cache=True, forceinline=True)
def drain_cycles(p: Problem, counts: np.ndarray) -> int:
    """Cycles of the vector unit for one tile's outputs; `counts` holds tile sizes from place 5."""
    lanes = ceil_div(counts[5 + OUT_CHANNELS], p.vector_lanes)
    return counts[5 + BATCH] * counts[5 + OUT_ROWS] * counts[5 + OUT_COLUMNS] * lanes


@njit(cache=True, forceinline=True)
def floor_cycles(p: Problem, s: Tiling, step: int, counts: np.ndarray, dram_bits: int) -> int:
    """Cycles that no loop order of this tiling can beat."""
    memory = int(dram_bits / p.dram_bits_per_cycle)
    if p.fluid:
        return max(s.compute + fluid_ends(p, s, counts), memory)
    ends = bursts(p, s.w_tile * p.stored_weight_bits)
    ends += bursts(p, s.inputs[0, BLOCK] * p.stored_input_bits)
    busy = max(s.steps * p.groups * step, s.compute - p.ramp)
    busy += transfer(p, ends) + transfer(p, finished_bits(p, s.q_tile))
    return p.dram_latency + max(busy, memory + step) + p.ramp + p.fill


@njit(cache=True, forceinline=True)
def fluid_ends(p: Problem, s: Tiling, counts: np.ndarray) -> int:
    """Cycles to load the first blocks and store the last: the least, for blocks grow while they
    can and take all tiles where these fit."""
    maps = counts[BATCH] * counts[OUT_ROWS] * counts[OUT_COLUMNS]
    channels = counts[IN_CHANNELS] * counts[OUT_CHANNELS]
    w_block = s.w_tile * whole(s.w_held, channels, p.weight_half)
    a_block = s.inputs[0, BLOCK]
    if s.inputs[3, HELD] * counts[BATCH] * counts[IN_CHANNELS] <= p.input_half:
        a_block = s.inputs[3, BLOCK] * counts[BATCH] * counts[IN_CHANNELS]
    q_block = s.q_tile * whole(s.q_held, maps * counts[OUT_CHANNELS], p.output_half)
    first = w_block * p.stored_weight_bits + a_block * p.stored_input_bits
    first += q_block * p.accumulator_bits * p.first_reload
    return transfer(p, first) + transfer(p, q_block * p.stored_output_bits)


@njit(cache=True, forceinline=True)
def whole(tile_bits: int, tiles: int, half: int) -> int:
    """All tiles of a tensor if they fit, else one."""
    return tiles if tile_bits * tiles <= half else 1


@njit(cache=True, forceinline=True)
def energy_of(actions: np.ndarray, cycles: int, prices: np.ndarray) -> float:
    energy = cycles * prices[CYCLE]
    for action in range(12):
        energy += actions[action] * prices[action]
    return energy
