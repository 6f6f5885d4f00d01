"""Compiled: what one mapping of a layer costs. Sizes in elements, volumes in bits.

Notation follows the published equations: W, A, Q are weights, activations and outputs. A tensor's
*tile* is what one step of the innermost loop touches, its *block* the largest part that stays on
chip, its *trips* how often it is moved because of loops that do not index it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from accel_models.mapping.kernel.array_side import A_WRITE, DRAM_READ, DRAM_WRITE, VECTOR, W_WRITE
from accel_models.mapping.kernel.blocks import Blocks, input_block
from accel_models.mapping.kernel.candidates import ceil_div
from accel_models.mapping.kernel.inlined import inlined
from accel_models.mapping.kernel.tiling import ALL, WRITTEN, Tiling
from accel_models.mapping.problem import BATCH, OUT_CHANNELS, OUT_COLUMNS, OUT_ROWS, Problem

RULES = 4


class Exchanged(NamedTuple):
    """What slots take under any bandwidth: DRAM bits to exchange a block of weights, of inputs and
    of outputs, those that load before the first step and leave after the last, and cycles of a
    step."""

    weights: int
    inputs: int
    outputs: int
    load: int
    store: int
    step: int


@inlined
def bursts(p: Problem, bits: int) -> int:
    """Bits of a transfer in whole bursts."""
    if p.burst_bits == 0:
        return bits
    return ceil_div(bits, p.burst_bits) * p.burst_bits


@inlined
def transfer(p: Problem, bits: int) -> int:
    """Cycles to move one block over the DRAM port."""
    return port_cycles(p.dram_bits_per_cycle, bits)


@inlined
def port_cycles(rate: float, bits: int) -> int:
    """Cycles to move one block over a port of so many bits a cycle."""
    return math.ceil(bits / rate)


@inlined
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


@inlined
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


@inlined
def fluid_cycles(p: Problem, rate: float, s: Tiling, k: Blocks, dram_bits: int) -> int:
    """Memory and array side by side, but for the first blocks loaded and the last one stored."""
    q_block = s.q_tile * k.q_tiles
    first = s.w_tile * k.w_tiles * p.stored_weight_bits + input_block(s, k) * p.stored_input_bits
    first += q_block * p.accumulator_bits * p.first_reload
    last = q_block * p.stored_output_bits
    # What has to be there before the first step, and what the last step makes, overlaps with
    # nothing.
    between = port_cycles(rate, dram_bits - first - last)
    return max(s.compute, between) + port_cycles(rate, first) + port_cycles(rate, last)


@inlined
def exchanged(p: Problem, s: Tiling, k: Blocks, counts: np.ndarray) -> Exchanged:
    """What the slots of a mapping exchange; `counts` holds tile sizes from place 5."""
    weights = bursts(p, s.w_tile * k.w_tiles * p.stored_weight_bits)
    inputs = bursts(p, input_block(s, k) * p.stored_input_bits)
    q_block = s.q_tile * k.q_tiles
    # Whether a visit is the last is not known per slot: with several, the longer case counts, and
    # the sums of the next block come with it.
    outputs = store = finished_bits(p, q_block)
    if k.q_trips > 1 or p.first_reload:
        sums = bursts(p, q_block * p.accumulator_bits)
        outputs = max(outputs, sums) + sums
    step = max(s.tile_cycles, drain_cycles(p, counts))
    return Exchanged(weights, inputs, outputs, weights + inputs, store, step)


@inlined
def finished_bits(p: Problem, q_block: int) -> int:
    """DRAM bits of a finished block: its outputs leave, what is added to them comes."""
    return bursts(p, q_block * p.stored_output_bits) + bursts(p, q_block * p.residual_bits)


@inlined
def pipelined_cycles(
    p: Problem,
    rate: float,
    steps: int,
    e: Exchanged,
    k: Blocks,
    order: np.ndarray,
    counts: np.ndarray,
) -> int:
    """Cycles of the schedule in which the blocks of the next step load while one is computed, or
    after it where their buffer is no double one, all tiles being full ones
    (`accel_models.mapping.kernel.walk` has them as they are)."""
    weights, inputs = port_cycles(rate, e.weights), port_cycles(rate, e.inputs)
    outputs, step = port_cycles(rate, e.outputs), e.step
    all_blocks = weights + inputs + outputs
    # What waits for the tile to be done, of each; the rest loads beside it.
    late_weights, late_inputs = weights * (not p.weights_overlap), inputs * (not p.inputs_overlap)
    late_outputs = outputs * (not p.outputs_overlap)
    late_blocks = late_weights + late_inputs + late_outputs
    # At both ends nothing overlaps: DRAM brings the first blocks, the array's pipeline empties, and
    # the last outputs leave.
    cycles = p.dram_latency + port_cycles(rate, e.load) + step + p.ramp + p.fill
    cycles += port_cycles(rate, e.store)
    # Which blocks a slot exchanges depends only on the outermost loop that moves on in it. So slots
    # are counted by that loop instead of being walked: of `outside` slots in which this or a
    # further loop moves, `here` are those of further ones.
    outside = steps * p.groups
    for position in range(5):
        loop = order[position]
        if loop < 0:
            break
        here = outside // counts[loop]
        memory = late = 0
        if k.w_from <= position:
            memory += weights
            late += late_weights
        if k.a_from <= position:
            memory += inputs
            late += late_inputs
        if k.q_from <= position:
            memory += outputs
            late += late_outputs
        cycles += (outside - here) * max(step + late, memory)
        outside = here
    # Groups share nothing: between two of them everything is exchanged.
    cycles += (p.groups - 1) * max(step + late_blocks, all_blocks)
    return cycles


@inlined
def drain_cycles(p: Problem, counts: np.ndarray) -> int:
    """Cycles of the vector unit for one tile's outputs; `counts` holds tile sizes from place 5."""
    lanes = ceil_div(counts[5 + OUT_CHANNELS], p.vector_lanes) * p.drain_operations
    return counts[5 + BATCH] * counts[5 + OUT_ROWS] * counts[5 + OUT_COLUMNS] * lanes


@inlined
def energy_of(actions: np.ndarray, cycles: int, prices: np.ndarray, cycle_pj: float) -> float:
    """Energy in pJ: every action at its price, and what each cycle costs by itself."""
    energy = cycles * cycle_pj
    for action in range(12):
        energy += actions[action] * prices[action]
    return energy
