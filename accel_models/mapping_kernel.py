"""Compiled: the search of `accel_models.mapping` over all tilings and all loop orders."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from accel_models.array_side import (
    ARRAY,
    DRAM_READ,
    DRAM_WRITE,
    Q_READ,
    Q_WRITE,
    STALL,
    array_side,
)
from accel_models.mapping import ENERGY, LATENCY, OUT_COLUMNS, OUT_ROWS, Problem
from accel_models.mapping_cost import (
    RULES,
    Tiling,
    blocks_at,
    drain_cycles,
    empty_nest,
    energy_of,
    floor_cycles,
    fluid_cycles,
    grow,
    least_traffic,
    pipelined_cycles,
    price_tile,
    repeated_bits,
    traffic,
)
from accel_models.tiling import ALL_TOUCHED, Tile, ins, lines, outs, span, tables


class Best(NamedTuple):
    """The best mapping so far: `found` as `search` returns it, its actions, energy and score."""

    found: np.ndarray
    actions: np.ndarray
    energy: np.ndarray


class Floor(NamedTuple):
    """What no loop order of a tiling can beat: cycles, energy, DRAM traffic; and what stays put."""

    cycles: int
    energy: float
    dram_bits: int
    stays: int


class Scratch(NamedTuple):
    """Room for one trial: counts and tile sizes of the loops, actions, and the nest of loops."""

    counts: np.ndarray
    actions: np.ndarray
    nest: np.ndarray


FACTORIAL = (1, 1, 2, 6, 24, 120)
SLACK = 1 - 1e-12
"""Bounds are summed up in another order than what they bound: rounding must not rule it out."""


@njit(cache=True)
def better(
    objective: int, cycles: int, energy: float, best_cycles: int, best_energy: float
) -> bool:
    """Whether the first mapping beats the second."""
    if best_cycles < 0:
        return True
    if objective == LATENCY:
        return cycles < best_cycles or (cycles == best_cycles and energy < best_energy)
    if objective == ENERGY:
        return energy < best_energy or (energy == best_energy and cycles < best_cycles)
    score, best = energy * cycles, best_energy * best_cycles
    return score < best or (score == best and cycles < best_cycles)


@njit(cache=True)
def search_orders(
    p: Problem,
    s: Tiling,
    floor: Floor,
    rule: int,
    prices: np.ndarray,
    objective: int,
    limit: int,
    orders: np.ndarray,
    scratch: Scratch,
    best: Best,
) -> None:
    """Try every loop order of one tiling, and note any that beats the best so far.

    Orders come sorted, so that those which agree on their inner loops follow each other: what
    these decide is worked out once, and if it cannot beat the best, all of them are left out.
    """
    counts, actions, nest = scratch.counts, scratch.actions, scratch.nest
    drained = (actions[Q_READ], actions[Q_WRITE])
    active = loops = 0
    for loop in range(5):
        active |= (counts[loop] > 1) << loop
        loops += counts[loop] > 1
    dram_pj = min(prices[DRAM_READ], prices[DRAM_WRITE])
    index = 0
    while index < FACTORIAL[loops]:
        depth = 0
        while depth < loops - 1 and index % FACTORIAL[loops - 1 - depth] != 0:
            depth += 1
        same = 0
        while depth < loops:
            loop = orders[active, index, depth]
            grow(p, s, loop, counts[loop], depth, nest)
            depth += 1
            if mirrored(orders, active, index, depth - 1, counts) or hopeless(
                p, s, floor, repeated_bits(p, s, nest, depth), dram_pj, objective, best
            ):
                same = FACTORIAL[loops - depth]
                break
        if same > 0:
            index += same
            continue
        order = orders[active, index]
        index += 1
        k = blocks_at(nest, loops)
        traffic(p, s, k, actions)
        head = tail = 0
        if p.fluid:
            dram_bits = actions[DRAM_READ] + actions[DRAM_WRITE]
            cycles = fluid_cycles(p, s, k, dram_bits)
        else:
            cycles, head, tail = pipelined_cycles(p, s, k, order, counts)
        if cycles > limit or (objective == LATENCY and cycles > best.found[0] >= 0):
            continue
        if p.published_array_side:
            sums = s.q_all * p.accumulator_bits
            actions[Q_READ] = drained[0] + sums * k.q_trips
            actions[Q_WRITE] = drained[1] + sums * (k.q_trips - 1 + p.first_reload)
        actions[ARRAY], actions[STALL] = s.compute, cycles - s.compute
        energy = energy_of(actions, cycles, prices)
        if better(objective, cycles, energy, best.found[0], best.energy[0]):
            best.energy[0] = energy
            best.actions[:] = actions
            found = best.found
            found[0], found[1], found[2], found[3] = cycles, s.compute, head, tail
            found[4], found[5] = floor.stays, rule
            found[6:11] = counts[5:]
            fill_order(found[11:], order)


@njit(cache=True)
def hopeless(
    p: Problem, s: Tiling, floor: Floor, again: int, dram_pj: float, objective: int, best: Best
) -> bool:
    """Whether a tiling cannot beat the best any more, now that `again` DRAM bits move again."""
    if again == 0:
        return False
    cycles = max(floor.cycles, int((floor.dram_bits + again) / p.dram_bits_per_cycle))
    energy = floor.energy + again * dram_pj * SLACK
    return not better(objective, cycles, energy, best.found[0], best.energy[0])


@njit(cache=True)
def mirrored(orders: np.ndarray, active: int, index: int, depth: int, counts: np.ndarray) -> bool:
    """Whether columns come further in than as many rows: the same as the other way round."""
    if orders[active, index, depth] != OUT_COLUMNS or counts[OUT_ROWS] != counts[OUT_COLUMNS]:
        return False
    rows_before = False
    for inner in range(depth):
        rows_before |= orders[active, index, inner] == OUT_ROWS
    return not rows_before


@njit(cache=True)
def floor_of(
    p: Problem, s: Tiling, rule: int, tile: Tile, prices: np.ndarray, scratch: Scratch
) -> Floor:
    """What no loop order of a tiling can beat; fills in its loop counts and its array side."""
    counts, actions = scratch.counts, scratch.actions
    b, oh, ow, ic, oc = tile
    counts[0], counts[1], counts[2] = b.count, oh.count, ow.count
    counts[3], counts[4] = ic.count, oc.count
    counts[5], counts[6], counts[7], counts[8], counts[9] = (
        b.size,
        oh.size,
        ow.size,
        ic.size,
        oc.size,
    )
    stays = array_side(p, rule, tile, prices, actions)
    dram_bits = least_traffic(p, s, actions)
    step = max(s.tile_cycles, drain_cycles(p, counts))
    cycles = floor_cycles(p, s, step, counts, dram_bits)
    # More than the least cycles may be computing rather than waiting, whichever is the cheaper.
    actions[ARRAY], actions[STALL] = s.compute, max(0, cycles - s.compute)
    spared = actions[STALL] * max(0.0, prices[STALL] - prices[ARRAY])
    energy = (energy_of(actions, cycles, prices) - spared) * SLACK
    return Floor(cycles, energy, dram_bits, stays)


@njit(cache=True)
def promises(floor: Floor, objective: int, limit: int, best: Best) -> bool:
    """Whether something with this floor can beat the best so far."""
    if floor.cycles > limit:
        return False
    return better(objective, floor.cycles, floor.energy, best.found[0], best.energy[0])


@njit(cache=True)
def search(
    p: Problem, prices: np.ndarray, objective: int, limit: int, orders: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Best mapping: (cycles, compute, head, tail, stationarity, lane rule, five tile sizes, five
    loops from outer to inner), and its actions. Cycles are -1 if nothing fits.

    Large tiles of few inputs come first: they are good enough for most others to be ruled out by
    their floor, all tile shapes of two channel counts at once if possible.
    """
    best = Best(np.full(16, -1, dtype=np.int64), np.zeros(12, dtype=np.int64), np.full(1, np.inf))
    scratch = Scratch(np.empty(10, dtype=np.int64), np.zeros(12, dtype=np.int64), empty_nest())
    for rule in range(RULES):
        if not p.lane_rules >> rule & 1:
            continue
        t = tables(p, rule)
        any_batch, any_row = span(t.batch, len(t.batch) - 1), len(t.rows) - 1
        any_columns = lines(t.columns, len(t.columns) - 1)
        for i_oc in range(len(t.out_channels)):
            oc = outs(t.out_channels, i_oc)
            for i_ic in range(len(t.in_channels)):
                ic = ins(t.in_channels, i_ic)
                for i_map in range(len(t.maps)):
                    touched, i_row, i_column = t.maps[i_map]
                    t.rows[any_row, ALL_TOUCHED] = touched
                    tile = Tile(any_batch, lines(t.rows, any_row), any_columns, ic, oc)
                    s = price_tile(p, rule, tile)
                    floor = floor_of(p, s, rule, tile, prices, scratch)
                    if s.w_held > p.weight_half or not promises(floor, objective, limit, best):
                        break
                    oh, ow = lines(t.rows, i_row), lines(t.columns, i_column)
                    for i_batch in range(len(t.batch) - 2, -1, -1):
                        tile = Tile(span(t.batch, i_batch), oh, ow, ic, oc)
                        s = price_tile(p, rule, tile)
                        if not holds(p, s):
                            continue
                        floor = floor_of(p, s, rule, tile, prices, scratch)
                        if promises(floor, objective, limit, best):
                            search_orders(
                                p, s, floor, rule, prices, objective, limit, orders, scratch, best
                            )
    return best.found, best.actions


@njit(cache=True)
def holds(p: Problem, s: Tiling) -> bool:
    """Whether a tile of each tensor fits the half of its buffer."""
    return s.w_held <= p.weight_half and s.a_held <= p.input_half and s.q_held <= p.output_half


@njit(cache=True)
def untiled_compute(p: Problem) -> int:
    """Compute cycles of the whole layer as one tile, under the best lane rule allowed."""
    least = -1
    for rule in range(RULES):
        if p.lane_rules >> rule & 1:
            t = tables(p, rule)
            tile = Tile(
                span(t.batch, 0),
                lines(t.rows, 0),
                lines(t.columns, 0),
                ins(t.in_channels, 0),
                outs(t.out_channels, 0),
            )
            cycles = price_tile(p, rule, tile).compute
            least = cycles if least < 0 else min(least, cycles)
    return least


@njit(cache=True)
def fill_order(full: np.ndarray, order: np.ndarray) -> None:
    """Write the full order, outer to inner: loops that run once go outermost."""
    place = 4
    seen = 0
    for loop in order:
        if loop < 0:
            break
        full[place] = loop
        seen |= 1 << loop
        place -= 1
    for loop in range(4, -1, -1):
        if not seen >> loop & 1:
            full[place] = loop
            place -= 1
