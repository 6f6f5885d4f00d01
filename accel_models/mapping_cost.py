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
    OUT_CHANNELS,
    OUT_COLUMNS,
    OUT_ROWS,
    Problem,
)
from accel_models.row_stationary import row_stationary_steps
from accel_models.tiling import ROW_STATIONARY, WINDOW, Tile, ceil_div

INDEXES_WEIGHTS = 1 << IN_CHANNELS | 1 << OUT_CHANNELS
INDEXES_INPUTS = 1 << BATCH | 1 << OUT_ROWS | 1 << OUT_COLUMNS | 1 << IN_CHANNELS
INDEXES_OUTPUTS = 1 << BATCH | 1 << OUT_ROWS | 1 << OUT_COLUMNS | 1 << OUT_CHANNELS
RULES = 4

CYCLE = 12
"""Place of static energy among the prices."""

NEVER = 99
"""Loop position at which a tensor that always fits would have to be fetched again."""


class Tiling(NamedTuple):
    """Everything about a tiling that no loop order changes; volumes in elements, all groups."""

    steps: int
    """Tiles of one group."""
    compute: int
    tile_cycles: int
    w_tile: int
    a_tile: int
    q_tile: int
    w_held: int
    """Bits of a tile as its buffer holds it; likewise the next two."""
    a_held: int
    q_held: int
    w_all: int
    a_all: int
    q_all: int
    a_written: int
    """Inputs that enter their buffer once, windows laid out if the lane rule asks for it."""


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


@njit(cache=True)
def bursts(p: Problem, bits: int) -> int:
    """Bits of a transfer in whole bursts."""
    if p.burst_bits == 0:
        return bits
    return ceil_div(bits, p.burst_bits) * p.burst_bits


@njit(cache=True)
def transfer(p: Problem, bits: int) -> int:
    """Cycles to move one block over the DRAM port."""
    return math.ceil(bits / p.dram_bits_per_cycle)


@njit(cache=True)
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


@njit(cache=True)
def price_tile(p: Problem, rule: int, tile: Tile) -> Tiling:
    """Size up a tiling, whatever the loop order."""
    b, oh, ow, ic, oc = tile
    window = p.kernel_rows * p.kernel_columns
    spread = oh.size * ow.size * window
    if rule == WINDOW and p.gather_before_dram:
        a_tile = a_held = b.size * ic.size * spread
        a_all = a_written = b.covered * ic.covered * oh.covered * ow.covered * window
    else:
        a_tile = a_held = b.size * ic.size * oh.touched * ow.touched
        a_all = a_written = b.covered * ic.covered * oh.all_touched * ow.all_touched
        if rule == WINDOW:
            a_held = b.size * ic.size * spread
            a_written = b.covered * ic.covered * oh.covered * ow.covered * window
    q_tile = b.size * oh.size * ow.size
    if rule == ROW_STATIONARY:
        one, steps = row_stationary_steps(p, tile)
    else:
        streams = b.covered * positions(p, oh, ow)
        streams += p.stream_overhead * b.count * oh.count * ow.count
        steps = streams * oc.all_blocks * ic.all_steps * p.groups
        stream = b.size * ceil_div(oh.size * ow.size, p.windows) + p.stream_overhead
        one = stream * oc.blocks * ic.steps
    lanes_all = ic.count * ic.lanes if p.whole_tiles else ic.all_lanes
    return Tiling(
        steps=b.count * oh.count * ow.count * ic.count * oc.count,
        compute=ceil_div(steps, p.stagger) * p.cycles_per_step + p.ramp,
        tile_cycles=ceil_div(one, p.stagger) * p.cycles_per_step,
        w_tile=ic.lanes * oc.size,
        a_tile=a_tile,
        q_tile=q_tile * oc.moved,
        w_held=ic.lanes * oc.size * p.weight_bits,
        a_held=a_held * p.buffered_input_bits,
        q_held=q_tile * oc.held * p.accumulator_bits,
        w_all=lanes_all * oc.covered * p.groups,
        a_all=a_all * p.groups,
        q_all=b.covered * oh.covered * ow.covered * oc.all_moved * p.groups,
        a_written=a_written * p.groups,
    )


@njit(cache=True)
def grow(p: Problem, s: Tiling, loop: int, count: int, depth: int, nest: np.ndarray) -> None:
    """Fill in row ``depth + 1`` of a nest of loops from row `depth`, the loops inside this one.

    A row holds trips, tiles in a block, and the loop position from which blocks are exchanged, of
    weights, inputs and outputs. Blocks grow outwards while they fit: a loop that does not index
    the tensor is then free. From the first block that does not fit, every such loop moves the
    whole tensor again.
    """
    grow_tensor(nest, depth, 0, INDEXES_WEIGHTS >> loop & 1, s.w_held, p.weight_half, count)
    grow_tensor(nest, depth, 3, INDEXES_INPUTS >> loop & 1, s.a_held, p.input_half, count)
    grow_tensor(nest, depth, 6, INDEXES_OUTPUTS >> loop & 1, s.q_held, p.output_half, count)


@njit(cache=True)
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


@njit(cache=True)
def empty_nest() -> np.ndarray:
    """A nest of up to five loops; row 0 says that a tile is moved once."""
    nest = np.empty((6, 9), dtype=np.int64)
    for tensor in range(0, 9, 3):
        nest[0, tensor], nest[0, tensor + 1], nest[0, tensor + 2] = 1, 1, NEVER
    return nest


@njit(cache=True)
def blocks_at(nest: np.ndarray, depth: int) -> Blocks:
    row = nest[depth]
    return Blocks(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8])


@njit(cache=True)
def blocks_of(p: Problem, s: Tiling, order: np.ndarray, counts: np.ndarray) -> Blocks:
    """What a whole loop order, innermost loop first, decides for each tensor."""
    nest, depth = empty_nest(), 0
    for loop in order:
        if loop >= 0:
            grow(p, s, loop, counts[loop], depth, nest)
            depth += 1
    return blocks_at(nest, depth)


@njit(cache=True)
def repeated_bits(p: Problem, s: Tiling, nest: np.ndarray, depth: int) -> int:
    """DRAM bits that a nest of loops moves again, whatever comes outside of it."""
    again = s.w_all * p.stored_weight_bits * (nest[depth, 0] - 1)
    again += s.a_all * p.stored_input_bits * (nest[depth, 3] - 1)
    return again + s.q_all * 2 * p.accumulator_bits * (nest[depth, 6] - 1)


@njit(cache=True)
def traffic(p: Problem, s: Tiling, k: Blocks, actions: np.ndarray) -> None:
    """Fill in what crosses the DRAM port and enters the buffers."""
    w_block, a_block, q_block = s.w_tile * k.w_tiles, s.a_tile * k.a_tiles, s.q_tile * k.q_tiles
    weights = moved(p, s.w_all, w_block, p.stored_weight_bits) * k.w_trips
    inputs = moved(p, s.a_all, a_block, p.stored_input_bits) * k.a_trips
    sums = moved(p, s.q_all, q_block, p.accumulator_bits)
    outputs = moved(p, s.q_all, q_block, p.stored_output_bits)
    reloads = (k.q_trips - 1 + p.first_reload) * sums
    actions[DRAM_READ] = weights + inputs + reloads + moved(p, s.q_all, q_block, p.residual_bits)
    actions[DRAM_WRITE] = outputs + (k.q_trips - 1) * sums
    actions[W_WRITE] = s.w_all * k.w_trips * p.weight_bits
    actions[A_WRITE] = s.a_written * k.a_trips * p.buffered_input_bits
    actions[A_WRITE] += s.q_all * p.kept_output_bits
    added = 2 if p.residual_bits + p.kept_residual_bits else 1
    entering = s.a_all * k.a_trips if p.requantise_inputs else 0
    actions[VECTOR] = s.q_all * added + entering


@njit(cache=True)
def least_traffic(p: Problem, s: Tiling, actions: np.ndarray) -> int:
    """Fill in what no loop order can spare: every tensor moved once, in transfers of any size."""
    loaded = s.w_all * p.stored_weight_bits + s.a_all * p.stored_input_bits
    sums = s.q_all * p.accumulator_bits * p.first_reload
    actions[DRAM_READ] = loaded + sums + s.q_all * p.residual_bits
    actions[DRAM_WRITE] = s.q_all * p.stored_output_bits
    actions[W_WRITE] = s.w_all * p.weight_bits
    actions[A_WRITE] = s.a_written * p.buffered_input_bits + s.q_all * p.kept_output_bits
    actions[VECTOR] = s.q_all
    return int(actions[DRAM_READ] + actions[DRAM_WRITE])


@njit(cache=True)
def fluid_cycles(p: Problem, s: Tiling, k: Blocks, dram_bits: int) -> int:
    """Memory and array side by side, but for the first blocks loaded and the last one stored."""
    q_block = s.q_tile * k.q_tiles
    first = s.w_tile * k.w_tiles * p.stored_weight_bits + s.a_tile * k.a_tiles * p.stored_input_bits
    first += q_block * p.accumulator_bits * p.first_reload
    last = q_block * p.stored_output_bits
    between = transfer(p, dram_bits - first - last)
    return max(s.compute, between) + transfer(p, first) + transfer(p, last)


@njit(cache=True)
def exchange_cycles(p: Problem, s: Tiling, k: Blocks) -> tuple[int, int, int]:
    """Cycles to exchange a block of weights, of inputs and of outputs during a step."""
    weights = transfer(p, bursts(p, s.w_tile * k.w_tiles * p.stored_weight_bits))
    inputs = transfer(p, bursts(p, s.a_tile * k.a_tiles * p.stored_input_bits))
    q_block = s.q_tile * k.q_tiles
    finished = finished_bits(p, q_block)
    if k.q_trips > 1 or p.first_reload:
        sums = bursts(p, q_block * p.accumulator_bits)
        finished = max(finished, sums) + sums
    return weights, inputs, transfer(p, finished)


@njit(cache=True)
def finished_bits(p: Problem, q_block: int) -> int:
    """DRAM bits of a finished block: its outputs leave, what is added to them comes."""
    return bursts(p, q_block * p.stored_output_bits) + bursts(p, q_block * p.residual_bits)


@njit(cache=True)
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
    first_inputs = bursts(p, s.a_tile * k.a_tiles * p.stored_input_bits)
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


@njit(cache=True)
def drain_cycles(p: Problem, counts: np.ndarray) -> int:
    """Cycles of the vector unit for one tile's outputs; `counts` holds tile sizes from place 5."""
    lanes = ceil_div(counts[5 + OUT_CHANNELS], p.vector_lanes)
    return counts[5 + BATCH] * counts[5 + OUT_ROWS] * counts[5 + OUT_COLUMNS] * lanes


@njit(cache=True)
def floor_cycles(p: Problem, s: Tiling, step: int, counts: np.ndarray, dram_bits: int) -> int:
    """Cycles that no loop order of this tiling can beat."""
    memory = int(dram_bits / p.dram_bits_per_cycle)
    channels = counts[IN_CHANNELS] * counts[OUT_CHANNELS]
    maps = counts[BATCH] * counts[OUT_ROWS] * counts[OUT_COLUMNS]
    w_block = s.w_tile * whole(s.w_held, channels, p.weight_half)
    a_block = s.a_tile * whole(s.a_held, maps * counts[IN_CHANNELS], p.input_half)
    q_block = s.q_tile * whole(s.q_held, maps * counts[OUT_CHANNELS], p.output_half)
    first = bursts(p, w_block * p.stored_weight_bits) + bursts(p, a_block * p.stored_input_bits)
    if p.fluid:
        first += q_block * p.accumulator_bits * p.first_reload
        ends = transfer(p, first) + transfer(p, q_block * p.stored_output_bits)
        return max(s.compute + ends, memory)
    busy = max(s.steps * p.groups * step, s.compute - p.ramp)
    busy += transfer(p, first) + transfer(p, finished_bits(p, q_block))
    return p.dram_latency + max(busy, memory + step) + p.ramp + p.fill


@njit(cache=True)
def whole(tile_bits: int, tiles: int, half: int) -> int:
    """Tiles in a tensor's block, at least: all where they fit, for blocks grow while they can."""
    return tiles if tile_bits * tiles <= half else 1


@njit(cache=True)
def energy_of(actions: np.ndarray, cycles: int, prices: np.ndarray) -> float:
    energy = cycles * prices[CYCLE]
    for action in range(12):
        energy += actions[action] * prices[action]
    return energy
