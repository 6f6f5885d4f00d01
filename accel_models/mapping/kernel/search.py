"""Compiled: the search of `accel_models.mapping.search` over all tilings, loop orders and blocks.

Functions are inlined by force: a problem is some sixty numbers, which calls would hand on and on.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from accel_models.mapping.kernel.blocks import empty_nest
from accel_models.mapping.kernel.bounds import (
    ALL_MACHINES,
    OF_CHANNELS,
    OF_MAP,
    Best,
    Goal,
    Scratch,
    floor_of,
    promised,
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
from accel_models.mapping.kernel.cost import RULES
from accel_models.mapping.kernel.inlined import inlined
from accel_models.mapping.kernel.orders import search_orders
from accel_models.mapping.kernel.tiling import HELD, Tiling, fill_inputs, lines_of, price_tile
from accel_models.mapping.problem import Problem


@njit(cache=True)
def search(p: Problem, goal: Goal, orders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best mapping on each machine: int64 [machine, part] and its actions, int64 [machine, action].

    Parts are cycles, compute cycles, stationarity, lane rule, five tile sizes, five loops from
    outer to inner, and the positions among those that run, counted from the innermost, from which
    blocks of weights, inputs and outputs are exchanged. Cycles are -1 if nothing fits.

    Large tiles of few inputs come first: they are good enough for most others to be ruled out by
    their floor, all tile shapes of two channel counts at once if possible. Machines share all that
    does not depend on their bandwidth; each drops out where nothing can gain on it.
    """
    best, scratch = starting(len(goal.rates))
    # Loops stand in the order in which bounds can be shared: channels settle the weights, the shape
    # of the map the inputs, and the batch comes last, so that one bound rules out all within.
    for rule in range(RULES):
        if not p.lane_rules >> rule & 1:
            continue
        t = all_candidates(p, rule)
        # Shapes come by the inputs they touch, which says little where tiles share lines: there the
        # whole map, the least that any shape touches, bounds all of them first.
        whole_map = 0
        if p.share_halos:
            whole_map = t.rows[0, ALL_TOUCHED] * t.columns[0, ALL_TOUCHED]
        for i_oc in range(len(t.out_channels)):
            oc = outs(t.out_channels, i_oc)
            for i_ic in range(len(t.in_channels)):
                ic = ins(t.in_channels, i_ic)
                number = hopeful(
                    p,
                    t,
                    rule,
                    whole_map,
                    ic,
                    oc,
                    goal,
                    scratch,
                    best,
                    ALL_MACHINES,
                    len(goal.rates),
                )
                if number > 0:
                    search_shapes(p, t, rule, ic, oc, goal, orders, scratch, best, number)
    return best.found, best.actions


@njit(cache=True, forceinline=True)
def starting(machines: int) -> tuple[Best, Scratch]:
    """No mapping yet on any of so many machines, and room to try some."""
    best = Best(
        np.full((machines, 17), -1, dtype=np.int64),
        np.zeros((machines, 12), dtype=np.int64),
        np.full(machines, np.inf),
    )
    scratch = Scratch(
        counts=np.empty(10, dtype=np.int64),
        actions=np.zeros(12, dtype=np.int64),
        nest=empty_nest(),
        inputs=np.empty((4, 4), dtype=np.int64),
        blocks=np.empty((3, 6, 4), dtype=np.int64),
        found=np.empty(3, dtype=np.int64),
        cycles=np.empty(machines, dtype=np.int64),
        energy=np.empty(machines, dtype=np.float64),
        machines=np.empty((4, machines), dtype=np.int64),
    )
    scratch.machines[ALL_MACHINES] = np.arange(machines)
    return best, scratch


@njit(cache=True, forceinline=True)
def search_shapes(
    p: Problem,
    t: Candidates,
    rule: int,
    ic: Ins,
    oc: Outs,
    goal: Goal,
    orders: np.ndarray,
    scratch: Scratch,
    best: Best,
    of_channels: int,
) -> None:
    """Try every tiling of the map and the batch for two channel counts, on so many machines."""
    # The last real batch tile is the smallest (after it comes the ideal one): no other leaves more
    # room for lines that tiles share.
    least_batch = split(t.batch, len(t.batch) - 2)
    for i_map in range(len(t.maps)):
        oh, ow = lines(t.rows, t.maps[i_map, 0]), lines(t.columns, t.maps[i_map, 1])
        touched = least_touched(p, rule, TileSizes(least_batch, oh, ow, ic, oc), scratch.inputs)
        of_map = hopeful(p, t, rule, touched, ic, oc, goal, scratch, best, OF_CHANNELS, of_channels)
        if not p.share_halos:  # the others touch no less
            scratch.machines[OF_CHANNELS, :of_map] = scratch.machines[OF_MAP, :of_map]
            of_channels = of_map
            if of_map == 0:
                break
        if of_map == 0:
            continue
        for i_batch in range(len(t.batch) - 2, -1, -1):
            tile = TileSizes(split(t.batch, i_batch), oh, ow, ic, oc)
            s = price_tile(p, rule, tile, scratch.inputs)
            # What does not fit is refused before it is bounded, which takes longer.
            if not holds(p, s):
                continue
            floor = floor_of(p, s, rule, tile, goal.prices, scratch)
            of_tiling = promised(p, floor, goal, scratch, best, OF_MAP, of_map)
            if of_tiling > 0:
                search_orders(p, s, floor, rule, goal, orders, scratch, best, of_tiling)


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
    level: int,
    number: int,
) -> int:
    """Machines, of so many at a level, on which any tiling of these channels, touching so much of
    the map, can beat the best: fill in the level below, return how many."""
    # The ideal candidate takes no room and wastes no lane, so its floor is that of every real one.
    batch, rows, columns = len(t.batch) - 1, len(t.rows) - 1, len(t.columns) - 1
    t.rows[rows, ALL_TOUCHED] = t.rows[rows, TOGETHER] = touched
    tile = TileSizes(split(t.batch, batch), lines(t.rows, rows), lines(t.columns, columns), ic, oc)
    s = price_tile(p, rule, tile, scratch.inputs)
    # Weights alone take room that channels decide whatever the map does.
    if s.w_held > p.weight_room:
        return 0
    floor = floor_of(p, s, rule, tile, goal.prices, scratch)
    return promised(p, floor, goal, scratch, best, level, number)


@inlined
def least_touched(p: Problem, rule: int, tile: TileSizes, inputs: np.ndarray) -> int:
    """Inputs of each channel of the map that a tiling of this or a larger batch tile has to fetch,
    at least."""
    _, oh, ow, _, _ = tile
    touched = oh.all_touched * ow.all_touched
    if p.share_halos:
        fill_inputs(p, rule, tile, inputs)
        for inside in range(1, 4):
            if inputs[inside, HELD] <= p.input_room:
                down, across = lines_of(p, oh, inside & 1 > 0)[1], lines_of(p, ow, inside > 1)[1]
                touched = min(touched, down * across)
    return touched


@inlined
def holds(p: Problem, s: Tiling) -> bool:
    """Whether a tile of each tensor fits its buffer."""
    return (
        s.w_held <= p.weight_room
        and s.inputs[0, HELD] <= p.input_room
        and s.q_held <= p.output_room
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
