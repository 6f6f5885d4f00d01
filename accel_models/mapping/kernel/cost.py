"""Compiled: what one mapping of a layer costs. Sizes in elements, volumes in bits.

Notation follows the published equations: W, A, Q are weights, activations and outputs. A tensor's
*tile* is what one step of the innermost loop touches, its *block* the largest part that stays on
chip, its *trips* how often it is moved because of loops that do not index it.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from accel_models.mapping.kernel.array_side import A_WRITE, DRAM_READ, DRAM_WRITE, VECTOR, W_WRITE
from accel_models.mapping.kernel.blocks import Blocks, input_block
from accel_models.mapping.kernel.candidates import ceil_div
from accel_models.mapping.kernel.tiling import ALL, WRITTEN, Tiling
from accel_models.mapping.problem import BATCH, OUT_CHANNELS, OUT_COLUMNS, OUT_ROWS, Problem

RULES = 4

CYCLE = 12
"""Place of static energy among the prices."""


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
    # Integers, so that what the search, the walk and the timeline count can be equal to the last
    # bit.
    whole, rest = divmod(elements, block)
    padded = bursts(p, block * bits)
    return whole * padded + rest * padded // block


@njit(cache=True, forceinline=True)
def traffic(p: Problem, s: Tiling, k: Blocks, actions: np.ndarray) -> None:
    """Fill in what crosses the DRAM port and enters the buffers."""
    w_block, q_block = s.w_tile * k.w_tiles, s.q_tile * k.q_tiles
    a_block = input_block(s, k)
    weights = moved(p, s.w_all, w_block, p.stored_weight_bits) * k.w_trips
    inputs = moved(p, s.inputs[k.inside, ALL], a_block, p.stored_input_bits) * k.a_trips
    # Sums come back on every trip but the first, and leave on every trip but the last, which stores
    # finished outputs in their place.
    sums = moved(p, s.q_all, q_block, p.accumulator_bits)
    outputs = moved(p, s.q_all, q_block, p.stored_output_bits)
    reloads = (k.q_trips - 1 + p.first_reload) * sums
    actions[DRAM_READ] = weights + inputs + reloads + moved(p, s.q_all, q_block, p.residual_bits)
    actions[DRAM_WRITE] = outputs + (k.q_trips - 1) * sums
    # Buffers hold what the array computes on: widths there may differ from those in DRAM.
    actions[W_WRITE] = s.w_all * k.w_trips * p.weight_bits
    actions[A_WRITE] = s.inputs[k.inside, WRITTEN] * k.a_trips * p.buffered_input_bits
    actions[A_WRITE] += s.q_all * p.kept_output_bits
    # The vector unit touches an output once to bring it to its width, as often as its activation
    # asks for, and once more to add the residual.
    added = p.drain_operations + (1 if p.residual_bits + p.kept_residual_bits else 0)
    entering = s.inputs[k.inside, ALL] * k.a_trips if p.requantise_inputs else 0
    entering += s.w_all * k.w_trips if p.requantise_weights else 0
    actions[VECTOR] = s.q_all * added + entering


@njit(cache=True, forceinline=True)
def fluid_cycles(p: Problem, s: Tiling, k: Blocks, dram_bits: int) -> int:
    """Memory and array side by side, but for the first blocks loaded and the last one stored."""
    q_block = s.q_tile * k.q_tiles
    first = s.w_tile * k.w_tiles * p.stored_weight_bits + input_block(s, k) * p.stored_input_bits
    first += q_block * p.accumulator_bits * p.first_reload
    last = q_block * p.stored_output_bits
    # What has to be there before the first step, and what the last step makes, overlaps with
    # nothing.
    between = transfer(p, dram_bits - first - last)
    return max(s.compute, between) + transfer(p, first) + transfer(p, last)


@njit(cache=True, forceinline=True)
def exchange_cycles(p: Problem, s: Tiling, k: Blocks) -> tuple[int, int, int]:
    """Cycles to exchange a block of weights, of inputs and of outputs during a step."""
    weights = transfer(p, bursts(p, s.w_tile * k.w_tiles * p.stored_weight_bits))
    inputs = transfer(p, bursts(p, input_block(s, k) * p.stored_input_bits))
    q_block = s.q_tile * k.q_tiles
    # Whether a visit is the last is not known per slot: with several, the longer case counts, and
    # the sums of the next block come with it.
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
) -> int:
    """Cycles of the schedule in which the blocks of the next step load while one is computed, all
    tiles being full ones (`accel_models.mapping.kernel.walk` has them as they are)."""
    weights, inputs, outputs = exchange_cycles(p, s, k)
    step = max(s.tile_cycles, drain_cycles(p, counts))
    # At both ends nothing overlaps: DRAM brings the first blocks, the array's pipeline empties, and
    # the last outputs leave.
    first_weights = bursts(p, s.w_tile * k.w_tiles * p.stored_weight_bits)
    first_inputs = bursts(p, input_block(s, k) * p.stored_input_bits)
    load = transfer(p, first_weights + first_inputs)
    cycles = p.dram_latency + load + step + p.ramp + p.fill
    cycles += transfer(p, finished_bits(p, s.q_tile * k.q_tiles))
    # Which blocks a slot exchanges depends only on the outermost loop that moves on in it. So slots
    # are counted by that loop instead of being walked: of `outside` slots in which this or a
    # further loop moves, `here` are those of further ones.
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
        outside = here
    # Groups share nothing: between two of them everything is exchanged.
    cycles += (p.groups - 1) * max(step, weights + inputs + outputs)
    return cycles


@njit(cache=True, forceinline=True)
def drain_cycles(p: Problem, counts: np.ndarray) -> int:
    """Cycles of the vector unit for one tile's outputs; `counts` holds tile sizes from place 5."""
    lanes = ceil_div(counts[5 + OUT_CHANNELS], p.vector_lanes) * p.drain_operations
    return counts[5 + BATCH] * counts[5 + OUT_ROWS] * counts[5 + OUT_COLUMNS] * lanes


@njit(cache=True, forceinline=True)
def energy_of(actions: np.ndarray, cycles: int, prices: np.ndarray) -> float:
    """Energy in pJ: every action at its price, and what each cycle costs by itself."""
    energy = cycles * prices[CYCLE]
    for action in range(12):
        energy += actions[action] * prices[action]
    return energy
