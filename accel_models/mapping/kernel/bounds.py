"""Compiled: which mapping is better, and what none of a family of mappings can beat."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from accel_models.mapping.kernel.array_side import (
    A_WRITE,
    ARRAY,
    DRAM_READ,
    DRAM_WRITE,
    Q_READ,
    STALL,
    VECTOR,
    W_WRITE,
    array_side,
)
from accel_models.mapping.kernel.blocks import INSIDE
from accel_models.mapping.kernel.candidates import TileSizes
from accel_models.mapping.kernel.cost import (
    bursts,
    drain_cycles,
    energy_of,
    finished_bits,
    port_cycles,
)
from accel_models.mapping.kernel.inlined import inlined
from accel_models.mapping.kernel.tiling import ALL, BLOCK, HELD, WRITTEN, Tiling
from accel_models.mapping.problem import (
    BATCH,
    ENERGY,
    IN_CHANNELS,
    LATENCY,
    OUT_CHANNELS,
    OUT_COLUMNS,
    OUT_ROWS,
    Problem,
)

SLACK = 1 - 1e-12
"""Bounds are summed up in another order than what they bound: rounding must not rule it out."""


class Best(NamedTuple):
    """The best mapping so far on each machine: `found` as `search` returns it, its actions, and its
    energy."""

    found: np.ndarray
    actions: np.ndarray
    energy: np.ndarray


class Floor(NamedTuple):
    """What no loop order of a tiling can beat, under any bandwidth; and what stays put."""

    dram_bits: int
    first_bits: int
    """Bits that load before anything else can begin; the next are those that leave after all."""
    last_bits: int
    busy: int
    """Cycles in which the port waits for the array, or the array for its steps."""
    step: int
    compute: int
    stays: int
    sums: int
    """Bits that the array reads from the output buffer, and writes."""
    mirrors: bool
    """Rows and columns are tiled alike."""


class Goal(NamedTuple):
    """What is searched for, on machines that differ in their bandwidth alone: prices of actions,
    the objective, and of each machine the port's bits per cycle, the price of a cycle, and the
    cycle limit."""

    prices: np.ndarray
    objective: int
    rates: np.ndarray
    cycle_pj: np.ndarray
    limits: np.ndarray


class Scratch(NamedTuple):
    """Room for one trial: counts and tile sizes of the loops, actions, the nest of loops,
    `Tiling.inputs`, the blocks of weights, inputs and outputs to choose from, and how many; the
    least cycles and energy of each machine, and those machines that are still in it, int64 [level,
    place]: all, and what is left of them for two channel counts, a map and a tiling."""

    counts: np.ndarray
    actions: np.ndarray
    nest: np.ndarray
    inputs: np.ndarray
    blocks: np.ndarray
    found: np.ndarray
    cycles: np.ndarray
    energy: np.ndarray
    machines: np.ndarray


ALL_MACHINES, OF_CHANNELS, OF_MAP, OF_TILING = range(4)
"""Levels of `Scratch.machines`."""


@inlined
def better(
    objective: int, cycles: int, energy: float, best_cycles: int, best_energy: float
) -> bool:
    """Whether the first mapping beats the second."""
    if best_cycles < 0:
        return True
    # Ties go by the other figure, so that nothing is spent for nothing.
    if objective == LATENCY:
        return cycles < best_cycles or (cycles == best_cycles and energy < best_energy)
    if objective == ENERGY:
        return energy < best_energy or (energy == best_energy and cycles < best_cycles)
    score, best = energy * cycles, best_energy * best_cycles
    return score < best or (score == best and cycles < best_cycles)


@inlined
def promised(
    p: Problem, floor: Floor, goal: Goal, scratch: Scratch, best: Best, level: int, number: int
) -> int:
    """Machines, of so many at a level, on which something with this floor can beat the best so far:
    fill in the level below, return how many."""
    kept = 0
    for place in range(number):
        machine = scratch.machines[level, place]
        cycles = least_cycles(p, floor, goal.rates[machine])
        if cycles > goal.limits[machine]:
            continue
        energy = least_energy(floor, cycles, goal, goal.cycle_pj[machine], scratch.actions)
        if better(goal.objective, cycles, energy, best.found[machine, 0], best.energy[machine]):
            scratch.cycles[machine], scratch.energy[machine] = cycles, energy
            scratch.machines[level + 1, kept] = machine
            kept += 1
    return kept


@inlined
def hopeless(
    floor: Floor, again: int, goal: Goal, scratch: Scratch, best: Best, machine: int
) -> bool:
    """Whether a tiling cannot beat the best any more, now that `again` DRAM bits move again."""
    # With nothing moved again the floor is all there is, and it has been held against the best
    # before.
    if again == 0:
        return False
    # The port at full rate and the cheaper direction: whichever bits these are, they take no less.
    port = int((floor.dram_bits + again) / goal.rates[machine])
    cycles = max(scratch.cycles[machine], port)
    dram_pj = min(goal.prices[DRAM_READ], goal.prices[DRAM_WRITE])
    energy = scratch.energy[machine] + again * dram_pj * SLACK
    return not better(goal.objective, cycles, energy, best.found[machine, 0], best.energy[machine])


@inlined
def all_hopeless(
    floor: Floor, again: int, goal: Goal, scratch: Scratch, best: Best, number: int
) -> bool:
    """Whether that holds on all of so many machines."""
    for place in range(number):
        machine = scratch.machines[OF_TILING, place]
        if not hopeless(floor, again, goal, scratch, best, machine):
            return False
    return True


@inlined
def floor_of(
    p: Problem, s: Tiling, rule: int, tile: TileSizes, prices: np.ndarray, scratch: Scratch
) -> Floor:
    """What no loop order of a tiling can beat; fills in its loop counts and its array side."""
    counts, actions = scratch.counts, scratch.actions
    b, oh, ow, ic, oc = tile
    # Left behind for the loop orders that are tried next: they ask for the same counts and sizes.
    counts[0], counts[1], counts[2] = b.tiles, oh.tiles, ow.tiles
    counts[3], counts[4] = ic.tiles, oc.tiles
    counts[5], counts[6], counts[7], counts[8], counts[9] = (
        b.size,
        oh.size,
        ow.size,
        ic.size,
        oc.size,
    )
    # Array and buffers exchange the same under every order; only DRAM traffic has to be bounded.
    stays = array_side(p, rule, tile, prices, actions)
    dram_bits = least_traffic(p, s, actions)
    step = max(s.tile_cycles, drain_cycles(p, counts))
    if p.fluid:
        first, last = fluid_ends(p, s, counts)
        busy = s.compute
    else:
        # Nothing hides the first load and the last store, and blocks are no smaller than a tile.
        first = bursts(p, s.w_tile * p.stored_weight_bits)
        first += bursts(p, s.inputs[0, BLOCK] * p.stored_input_bits)
        last = finished_bits(p, s.q_tile)
        busy = max(s.steps * p.groups * step, s.compute - p.ramp)
    sums = actions[Q_READ]
    return Floor(dram_bits, first, last, busy, step, s.compute, stays, sums, oh == ow)


@inlined
def least_cycles(p: Problem, floor: Floor, rate: float) -> int:
    """Cycles that no loop order can beat over a port of so many bits a cycle."""
    memory = int(floor.dram_bits / rate)
    busy = floor.busy + port_cycles(rate, floor.first_bits) + port_cycles(rate, floor.last_bits)
    if p.fluid:
        return max(busy, memory)
    # Either the array sets the pace or the port, and that idles in the last slot, a whole step.
    return p.dram_latency + max(busy, memory + floor.step) + p.ramp + p.fill


@inlined
def least_energy(
    floor: Floor, cycles: int, goal: Goal, cycle_pj: float, actions: np.ndarray
) -> float:
    """Energy in pJ that no loop order can beat which takes at least so many cycles."""
    # More than the least cycles may be computing rather than waiting, whichever is the cheaper.
    prices = goal.prices
    actions[ARRAY], actions[STALL] = floor.compute, max(0, cycles - floor.compute)
    spared = actions[STALL] * max(0.0, prices[STALL] - prices[ARRAY])
    return (energy_of(actions, cycles, prices, cycle_pj) - spared) * SLACK


@inlined
def fluid_ends(p: Problem, s: Tiling, counts: np.ndarray) -> tuple[int, int]:
    """Bits of the first blocks to load and of the last to store: the least, for blocks grow while
    they can and take all tiles where these fit."""
    # A tensor that fits as a whole is one block under every order; of any other, no block is
    # smaller than a tile.
    maps = counts[BATCH] * counts[OUT_ROWS] * counts[OUT_COLUMNS]
    channels = counts[IN_CHANNELS] * counts[OUT_CHANNELS]
    w_block = s.w_tile * whole(s.w_held, channels, p.weight_room)
    a_block = s.inputs[0, BLOCK]
    if s.inputs[3, HELD] * counts[BATCH] * counts[IN_CHANNELS] <= p.input_room:
        a_block = s.inputs[3, BLOCK] * counts[BATCH] * counts[IN_CHANNELS]
    q_block = s.q_tile * whole(s.q_held, maps * counts[OUT_CHANNELS], p.output_room)
    first = w_block * p.stored_weight_bits + a_block * p.stored_input_bits
    first += q_block * p.accumulator_bits * p.first_reload
    return first, q_block * p.stored_output_bits


@inlined
def whole(tile_bits: int, tiles: int, room: int) -> int:
    """All tiles of a tensor if they fit, else one."""
    return tiles if tile_bits * tiles <= room else 1


@inlined
def least_traffic(p: Problem, s: Tiling, actions: np.ndarray) -> int:
    """Fill in what no loop order can spare: every tensor moved once, in transfers of any size."""
    # Bursts depend on blocks, which the order decides: without them the bound holds for all.
    least = least_inputs(p, s)
    loaded = s.w_all * p.stored_weight_bits + s.inputs[least, ALL] * p.stored_input_bits
    sums = s.q_all * p.accumulator_bits * p.first_reload
    actions[DRAM_READ] = loaded + sums + s.q_all * p.residual_bits
    actions[DRAM_WRITE] = s.q_all * p.stored_output_bits
    actions[W_WRITE] = s.w_all * p.weight_bits
    actions[A_WRITE] = (
        s.inputs[least, WRITTEN] * p.buffered_input_bits + s.q_all * p.kept_output_bits
    )
    actions[VECTOR] = s.q_all * p.drain_operations
    return int(actions[DRAM_READ] + actions[DRAM_WRITE])


@inlined
def least_inputs(p: Problem, s: Tiling) -> int:
    """Which of `Tiling.inputs` come least often, of those whose block fits the buffer."""
    least = 0
    for inside in range(1, 4):
        fits = s.inputs[inside, HELD] <= p.input_room
        if fits and s.inputs[inside, ALL] < s.inputs[least, ALL]:
            least = inside
    return least


@inlined
def repeated_bits(p: Problem, s: Tiling, nest: np.ndarray, depth: int) -> int:
    """DRAM bits that a nest of loops moves again, whatever comes outside of it."""
    # The first trip is in the floor. Partial sums go out and come back, hence twice.
    again = s.w_all * p.stored_weight_bits * (nest[depth, 0] - 1)
    inputs = s.inputs[nest[depth, INSIDE], ALL] * p.stored_input_bits
    again += inputs * (nest[depth, 3] - 1)
    return again + s.q_all * 2 * p.accumulator_bits * (nest[depth, 6] - 1)
