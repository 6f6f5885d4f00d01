"""Compiled: the search of `accel_models.mapping.search` over all tilings, loop orders and blocks.

Functions are inlined by force: a problem is some sixty numbers, which calls would hand on and on.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from accel_models.mapping.kernel.array_side import (
    ARRAY,
    DRAM_READ,
    DRAM_WRITE,
    Q_READ,
    Q_WRITE,
    STALL,
)
from accel_models.mapping.kernel.blocks import Blocks, empty_nest, grow, largest_block, levels
from accel_models.mapping.kernel.bounds import (
    Best,
    Floor,
    Goal,
    Scratch,
    better,
    floor_of,
    hopeless,
    promises,
    repeated_bits,
)
from accel_models.mapping.kernel.candidates import (
    ALL_TOUCHED,
    TOGETHER,
    Candidates,
    Ins,
    Outs,
    TileSizes,
    all_candidates,
    ins,
    lines,
    outs,
    split,
)
from accel_models.mapping.kernel.cost import (
    RULES,
    energy_of,
    fluid_cycles,
    pipelined_cycles,
    traffic,
)
from accel_models.mapping.kernel.tiling import ALL, HELD, Tiling, fill_inputs, lines_of, price_tile
from accel_models.mapping.problem import LATENCY, OUT_COLUMNS, OUT_ROWS, Problem

FACTORIAL = (1, 1, 2, 6, 24, 120)


@njit(cache=True, forceinline=True)
def search_orders(
    p: Problem,
    s: Tiling,
    floor: Floor,
    rule: int,
    goal: Goal,
    orders: np.ndarray,
    scratch: Scratch,
    best: Best,
) -> None:
    """Try every loop order of one tiling, and note any mapping that beats the best so far.

    Orders come sorted, so that those which agree on their inner loops follow each other: what
    these decide is worked out once, and if it cannot beat the best, all of them are left out.
    """
    counts, nest = scratch.counts, scratch.nest
    # A loop that runs once changes nothing wherever it stands: orders are those of the others
    # alone.
    active = loops = 0
    for loop in range(5):
        active |= (counts[loop] > 1) << loop
        loops += counts[loop] > 1
    index = 0
    while index < FACTORIAL[loops]:
        # Sorted orders keep their inner loops for a factorial of those outside: what the nest holds
        # of these, from the order before, still stands.
        depth = 0
        while depth < loops - 1 and index % FACTORIAL[loops - 1 - depth] != 0:
            depth += 1
        # Outwards, traffic is only ever repeated more often: once hopeless, so is all that begins
        # alike. Where rows and columns are tiled alike, one of two mirrored orders is enough.
        same = 0
        while depth < loops and same == 0:
            loop = orders[active, index, depth]
            grow(p, s, loop, counts[loop], depth, nest)
            depth += 1
            mirrored = floor.mirrors and columns_first(orders, active, index, depth - 1)
            again = repeated_bits(p, s, nest, depth)
            if mirrored or hopeless(p, floor, again, goal, best):
                same = FACTORIAL[loops - depth]
        if same > 0:
            index += same
            continue
        order = orders[active, index]
        index += 1
        search_blocks(p, s, floor, rule, goal, order, loops, scratch, best)


@njit(cache=True, forceinline=True)
def search_blocks(
    p: Problem,
    s: Tiling,
    floor: Floor,
    rule: int,
    goal: Goal,
    order: np.ndarray,
    loops: int,
    scratch: Scratch,
    best: Best,
) -> None:
    """Try every choice of blocks worth trying under one loop order."""
    t, found = scratch.blocks, scratch.found
    # The published tool lets blocks grow while they fit. In slots a large block also delays the
    # first step, so every size that saves traffic has to be tried.
    for tensor in range(3):
        if p.fluid:  # blocks grow while they fit
            found[tensor] = largest_block(scratch.nest, loops, tensor, t)
        else:
            found[tensor] = levels(p, s, tensor, order, loops, scratch.counts, t)
    # Repeated traffic of the three tensors adds up: most choices fall by it before any is priced.
    for w in range(found[0]):
        weights = s.w_all * p.stored_weight_bits * (t[0, w, 0] - 1)
        for a in range(found[1]):
            inside = t[1, a, 3]
            inputs = s.inputs[inside, ALL] * p.stored_input_bits * (t[1, a, 0] - 1)
            for q in range(found[2]):
                sums = s.q_all * 2 * p.accumulator_bits * (t[2, q, 0] - 1)
                if hopeless(p, floor, weights + inputs + sums, goal, best):
                    continue
                blocks = Blocks(
                    t[0, w, 0],
                    t[0, w, 1],
                    t[0, w, 2],
                    t[1, a, 0],
                    t[1, a, 1],
                    t[1, a, 2],
                    t[2, q, 0],
                    t[2, q, 1],
                    t[2, q, 2],
                    inside,
                )
                try_blocks(p, s, blocks, floor, rule, goal, order, scratch, best)


@njit(cache=True, forceinline=True)
def try_blocks(
    p: Problem,
    s: Tiling,
    k: Blocks,
    floor: Floor,
    rule: int,
    goal: Goal,
    order: np.ndarray,
    scratch: Scratch,
    best: Best,
) -> None:
    """Price one mapping, and note it if it beats the best so far."""
    actions, counts, found = scratch.actions, scratch.counts, best.found
    # Cycles come before energy: they rule most mappings out, and stalls and leakage depend on them.
    traffic(p, s, k, actions)
    if p.fluid:
        cycles = fluid_cycles(p, s, k, actions[DRAM_READ] + actions[DRAM_WRITE])
    else:
        cycles = pipelined_cycles(p, s, k, order, counts)
    if cycles > goal.limit or (goal.objective == LATENCY and cycles > found[0] >= 0):
        return
    # Set anew, for the mapping tried before may have added its own.
    actions[Q_READ] = actions[Q_WRITE] = floor.sums
    if p.published_array_side:  # outputs pass through their buffer once more on their way out
        sums = s.q_all * p.accumulator_bits
        actions[Q_READ] += sums * k.q_trips
        actions[Q_WRITE] += sums * (k.q_trips - 1 + p.first_reload)
    actions[ARRAY], actions[STALL] = s.compute, cycles - s.compute
    energy = energy_of(actions, cycles, goal.prices)
    # Copied, for the next trial overwrites all of it.
    if better(goal.objective, cycles, energy, found[0], best.energy[0]):
        best.energy[0] = energy
        best.actions[:] = actions
        found[0], found[1], found[2], found[3] = cycles, s.compute, floor.stays, rule
        found[4:9] = counts[5:]
        fill_order(found[9:14], order)
        found[14], found[15], found[16] = k.w_from, k.a_from, k.q_from


@njit(cache=True, forceinline=True)
def columns_first(orders: np.ndarray, active: int, index: int, depth: int) -> bool:
    """Whether the loop at a depth is that over columns, and the one over rows comes outside."""
    if orders[active, index, depth] != OUT_COLUMNS:
        return False
    rows_before = False
    for inner in range(depth):
        rows_before |= orders[active, index, inner] == OUT_ROWS
    return not rows_before


@njit(cache=True)
def search(
    p: Problem, prices: np.ndarray, objective: int, limit: int, orders: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Best mapping: (cycles, compute, stationarity, lane rule, five tile sizes, five loops from
    outer to inner, and the positions among those that run, counted from the innermost, from which
    blocks of weights, inputs and outputs are exchanged), and its actions. Cycles are -1 if nothing
    fits.

    Large tiles of few inputs come first: they are good enough for most others to be ruled out by
    their floor, all tile shapes of two channel counts at once if possible.
    """
    best = Best(np.full(17, -1, dtype=np.int64), np.zeros(12, dtype=np.int64), np.full(1, np.inf))
    scratch = Scratch(
        counts=np.empty(10, dtype=np.int64),
        actions=np.zeros(12, dtype=np.int64),
        nest=empty_nest(),
        inputs=np.empty((4, 4), dtype=np.int64),
        blocks=np.empty((3, 6, 4), dtype=np.int64),
        found=np.empty(3, dtype=np.int64),
    )
    goal = Goal(prices, objective, limit)
    # Loops stand in the order in which bounds can be shared: channels settle the weights, the shape
    # of the map the inputs, and the batch comes last, so that one bound rules out all within.
    for rule in range(RULES):
        if not p.lane_rules >> rule & 1:
            continue
        t = all_candidates(p, rule)
        # The last real batch tile is the smallest (after it comes the ideal one): no other leaves
        # more room for lines that tiles share.
        least_batch = split(t.batch, len(t.batch) - 2)
        whole_map = t.rows[0, ALL_TOUCHED] * t.columns[0, ALL_TOUCHED]
        for i_oc in range(len(t.out_channels)):
            oc = outs(t.out_channels, i_oc)
            for i_ic in range(len(t.in_channels)):
                ic = ins(t.in_channels, i_ic)
                # Shapes come by the inputs they touch, which says little where tiles share lines:
                # there the whole map, the least that any shape touches, bounds all of them first.
                if p.share_halos and not hopeful(
                    p, t, rule, whole_map, ic, oc, goal, scratch, best
                ):
                    continue
                for i_map in range(len(t.maps)):
                    oh, ow = lines(t.rows, t.maps[i_map, 0]), lines(t.columns, t.maps[i_map, 1])
                    touched = least_touched(
                        p, rule, TileSizes(least_batch, oh, ow, ic, oc), scratch.inputs
                    )
                    if not hopeful(p, t, rule, touched, ic, oc, goal, scratch, best):
                        if p.share_halos:
                            continue
                        break  # the others touch no less
                    for i_batch in range(len(t.batch) - 2, -1, -1):
                        tile = TileSizes(split(t.batch, i_batch), oh, ow, ic, oc)
                        s = price_tile(p, rule, tile, scratch.inputs)
                        # What does not fit is refused before it is bounded, which takes longer.
                        if not holds(p, s):
                            continue
                        floor = floor_of(p, s, rule, tile, prices, scratch)
                        if promises(floor, goal, best):
                            search_orders(p, s, floor, rule, goal, orders, scratch, best)
    return best.found, best.actions


@njit(cache=True, forceinline=True)
def hopeful(
    p: Problem,
    t: Candidates,
    rule: int,
    touched: int,
    ic: Ins,
    oc: Outs,
    goal: Goal,
    scratch: Scratch,
    best: Best,
) -> bool:
    """Whether any tiling of these channels, touching so much of the map, can beat the best."""
    # The ideal candidate takes no room and wastes no lane, so its floor is that of every real one.
    batch, rows, columns = len(t.batch) - 1, len(t.rows) - 1, len(t.columns) - 1
    t.rows[rows, ALL_TOUCHED] = t.rows[rows, TOGETHER] = touched
    tile = TileSizes(split(t.batch, batch), lines(t.rows, rows), lines(t.columns, columns), ic, oc)
    s = price_tile(p, rule, tile, scratch.inputs)
    # Weights alone take room that channels decide whatever the map does.
    if s.w_held > p.weight_half:
        return False
    return promises(floor_of(p, s, rule, tile, goal.prices, scratch), goal, best)


@njit(cache=True, forceinline=True)
def least_touched(p: Problem, rule: int, tile: TileSizes, inputs: np.ndarray) -> int:
    """Inputs of each channel of the map that a tiling of this or a larger batch tile has to fetch,
    at least."""
    _, oh, ow, _, _ = tile
    touched = oh.all_touched * ow.all_touched
    if p.share_halos:
        fill_inputs(p, rule, tile, inputs)
        for inside in range(1, 4):
            if inputs[inside, HELD] <= p.input_half:
                down, across = lines_of(p, oh, inside & 1 > 0)[1], lines_of(p, ow, inside > 1)[1]
                touched = min(touched, down * across)
    return touched


@njit(cache=True, forceinline=True)
def holds(p: Problem, s: Tiling) -> bool:
    """Whether a tile of each tensor fits the half of its buffer."""
    return (
        s.w_held <= p.weight_half
        and s.inputs[0, HELD] <= p.input_half
        and s.q_held <= p.output_half
    )


@njit(cache=True)
def untiled_compute(p: Problem) -> int:
    """Compute cycles of the whole layer as one tile, under the best lane rule allowed."""
    least = -1
    for rule in range(RULES):
        if p.lane_rules >> rule & 1:
            # Largest tiles come first in every table: row 0 is the whole dimension.
            t = all_candidates(p, rule)
            tile = TileSizes(
                split(t.batch, 0),
                lines(t.rows, 0),
                lines(t.columns, 0),
                ins(t.in_channels, 0),
                outs(t.out_channels, 0),
            )
            cycles = price_tile(p, rule, tile, np.empty((4, 4), dtype=np.int64)).compute
            least = cycles if least < 0 else min(least, cycles)
    return least


@njit(cache=True, forceinline=True)
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
