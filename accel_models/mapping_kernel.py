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
    Place,
    array_side,
)
from accel_models.mapping import ENERGY, LATENCY, OUT_COLUMNS, OUT_ROWS, Problem
from accel_models.mapping_cost import (
    RULES,
    Tiling,
    blocks_of,
    drain_cycles,
    energy_of,
    floor_cycles,
    fluid_cycles,
    least_traffic,
    pipelined_cycles,
    price_tile,
    traffic,
)
from accel_models.tiling import ALL_TOUCHED, COUNT, SIZE, Tables, tables


class Best(NamedTuple):
    """The best mapping so far: `found` as `search` returns it, its actions, energy and score."""

    found: np.ndarray
    actions: np.ndarray
    energy: np.ndarray


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
    rule: int,
    prices: np.ndarray,
    objective: int,
    limit: int,
    orders: np.ndarray,
    counts: np.ndarray,
    actions: np.ndarray,
    best: Best,
) -> None:
    """Try every loop order of one tiling, and note any that beats the best so far."""
    found = best.found
    stays = counts[10]
    drained = (actions[Q_READ], actions[Q_WRITE])
    active = 0
    for loop in range(5):
        active |= (counts[loop] > 1) << loop
    alike = counts[OUT_ROWS] > 1 and counts[OUT_ROWS] == counts[OUT_COLUMNS]
    for index in range(orders.shape[1]):
        order = orders[active, index]
        if order[0] < 0 and index > 0:
            break
        if alike and columns_first(order):
            continue
        k = blocks_of(p, s, order, counts)
        traffic(p, s, k, actions)
        head = tail = 0
        if p.fluid:
            dram_bits = actions[DRAM_READ] + actions[DRAM_WRITE]
            cycles = fluid_cycles(p, s, k, dram_bits)
        else:
            cycles, head, tail = pipelined_cycles(p, s, k, order, counts)
        if cycles > limit:
            continue
        if p.published_array_side:
            sums = s.q_all * p.accumulator_bits
            actions[Q_READ] = drained[0] + sums * (k.q_trips - 1) + s.q_all * p.accumulator_bits
            actions[Q_WRITE] = drained[1] + sums * (k.q_trips - 1 + p.first_reload)
        actions[ARRAY], actions[STALL] = s.compute, cycles - s.compute
        energy = energy_of(actions, cycles, prices)
        if better(objective, cycles, energy, found[0], best.energy[0]):
            best.energy[0] = energy
            best.actions[:] = actions
            found[0], found[1], found[2], found[3] = cycles, s.compute, head, tail
            found[4], found[5] = stays, rule
            found[6:11] = counts[5:10]
            fill_order(found[11:], order)
    actions[Q_READ], actions[Q_WRITE] = drained


@njit(cache=True)
def promises(
    p: Problem,
    t: Tables,
    s: Tiling,
    rule: int,
    place: Place,
    prices: np.ndarray,
    objective: int,
    limit: int,
    counts: np.ndarray,
    actions: np.ndarray,
    best: Best,
) -> bool:
    """Whether a tiling can beat the best so far; fills in its counts and its array side."""
    counts[0], counts[5] = t.batch[place[0], COUNT], t.batch[place[0], SIZE]
    counts[1], counts[6] = t.rows[place[1], COUNT], t.rows[place[1], SIZE]
    counts[2], counts[7] = t.columns[place[2], COUNT], t.columns[place[2], SIZE]
    counts[3], counts[8] = t.in_channels[place[3], COUNT], t.in_channels[place[3], SIZE]
    counts[4], counts[9] = t.out_channels[place[4], COUNT], t.out_channels[place[4], SIZE]
    counts[10] = array_side(p, t, rule, place, prices, actions)
    dram_bits = least_traffic(p, s, actions)
    step = max(s.tile_cycles, drain_cycles(p, counts))
    cycles = floor_cycles(p, s, step, counts, dram_bits)
    if best.found[0] < 0 or cycles > limit:
        return cycles <= limit
    actions[ARRAY], actions[STALL] = s.compute, max(0, cycles - s.compute)
    energy = energy_of(actions, cycles, prices) * (1 - 1e-12)
    return better(objective, cycles, energy, best.found[0], best.energy[0])


@njit(cache=True)
def search(
    p: Problem, prices: np.ndarray, objective: int, limit: int, orders: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Best mapping: (cycles, compute, head, tail, stationarity, lane rule, five tile sizes, five
    loops from outer to inner), and its actions. Cycles are -1 if nothing fits.

    Large tiles come first: they are good enough for most others to be ruled out by their floor,
    all tile shapes of two channel counts at once if possible.
    """
    best = Best(np.full(16, -1, dtype=np.int64), np.zeros(12, dtype=np.int64), np.full(1, np.inf))
    counts, actions = np.empty(11, dtype=np.int64), np.zeros(12, dtype=np.int64)
    for rule in range(RULES):
        if not p.lane_rules >> rule & 1:
            continue
        t = tables(p, rule)
        ideal = (len(t.batch) - 1, len(t.rows) - 1, len(t.columns) - 1)
        for i_oc in range(len(t.out_channels)):
            for i_ic in range(len(t.in_channels)):
                for i_map in range(len(t.maps)):
                    touched, i_row, i_column = t.maps[i_map]
                    if not p.published_array_side:
                        t.rows[ideal[1], ALL_TOUCHED] = touched
                        any_map = (ideal[0], ideal[1], ideal[2], i_ic, i_oc)
                        s = price_tile(p, t, rule, any_map)
                        if s.w_held > p.weight_half or not promises(
                            p, t, s, rule, any_map, prices, objective, limit, counts, actions, best
                        ):
                            break
                    for i_batch in range(len(t.batch) - 1):
                        place = (i_batch, i_row, i_column, i_ic, i_oc)
                        s = price_tile(p, t, rule, place)
                        if not holds(p, s):
                            continue
                        if promises(
                            p, t, s, rule, place, prices, objective, limit, counts, actions, best
                        ):
                            search_orders(
                                p, s, rule, prices, objective, limit, orders, counts, actions, best
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
    place = (0, 0, 0, 0, 0)
    for rule in range(RULES):
        if p.lane_rules >> rule & 1:
            cycles = price_tile(p, tables(p, rule), rule, place).compute
            least = cycles if least < 0 else min(least, cycles)
    return least


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
