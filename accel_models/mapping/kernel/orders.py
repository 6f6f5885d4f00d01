"""Compiled: all loop orders and blocks of one tiling, on all machines where it still promises
anything.
"""

from __future__ import annotations

import numpy as np

from accel_models.mapping.kernel.array_side import (
    ARRAY,
    DRAM_READ,
    DRAM_WRITE,
    Q_READ,
    Q_WRITE,
    STALL,
)
from accel_models.mapping.kernel.blocks import Blocks, grow, largest_block, levels
from accel_models.mapping.kernel.bounds import (
    OF_TILING,
    Best,
    Floor,
    Goal,
    Scratch,
    all_hopeless,
    better,
    hopeless,
    repeated_bits,
)
from accel_models.mapping.kernel.cost import (
    energy_of,
    exchanged,
    fluid_cycles,
    pipelined_cycles,
    traffic,
)
from accel_models.mapping.kernel.inlined import inlined
from accel_models.mapping.kernel.tiling import ALL, Tiling
from accel_models.mapping.problem import LATENCY, OUT_COLUMNS, OUT_ROWS, Problem

FACTORIAL = (1, 1, 2, 6, 24, 120)


@inlined
def search_orders(
    p: Problem,
    s: Tiling,
    floor: Floor,
    rule: int,
    goal: Goal,
    orders: np.ndarray,
    scratch: Scratch,
    best: Best,
    machines: int,
) -> None:
    """Try every loop order of one tiling, and note any mapping that beats the best so far on one of
    so many machines.

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
            if mirrored or all_hopeless(floor, again, goal, scratch, best, machines):
                same = FACTORIAL[loops - depth]
        if same > 0:
            index += same
            continue
        order = orders[active, index]
        index += 1
        search_blocks(p, s, floor, rule, goal, order, loops, scratch, best, machines)


@inlined
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
    machines: int,
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
                again = weights + inputs + sums
                if all_hopeless(floor, again, goal, scratch, best, machines):
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
                try_blocks(p, s, blocks, floor, again, rule, goal, order, scratch, best, machines)


@inlined
def try_blocks(
    p: Problem,
    s: Tiling,
    k: Blocks,
    floor: Floor,
    again: int,
    rule: int,
    goal: Goal,
    order: np.ndarray,
    scratch: Scratch,
    best: Best,
    machines: int,
) -> None:
    """Price one mapping, and note it on each machine where it beats the best so far."""
    actions, counts = scratch.actions, scratch.counts
    # What moves is the same over every port; how long it takes is not.
    traffic(p, s, k, actions)
    slots = exchanged(p, s, k, counts)
    # Set anew, for the mapping tried before may have added its own.
    actions[Q_READ] = actions[Q_WRITE] = floor.sums
    if p.published_array_side:  # outputs pass through their buffer once more on their way out
        sums = s.q_all * p.accumulator_bits
        actions[Q_READ] += sums * k.q_trips
        actions[Q_WRITE] += sums * (k.q_trips - 1 + p.first_reload)
    actions[ARRAY] = s.compute
    for place in range(machines):
        machine = scratch.machines[OF_TILING, place]
        if hopeless(floor, again, goal, scratch, best, machine):
            continue
        # Cycles come before energy: they rule most mappings out, and stalls and leakage depend on
        # them.
        rate, least = goal.rates[machine], best.found[machine, 0]
        if p.fluid:
            cycles = fluid_cycles(p, rate, s, k, actions[DRAM_READ] + actions[DRAM_WRITE])
        else:
            cycles = pipelined_cycles(p, rate, s.steps, slots, k, order, counts)
        if cycles > goal.limits[machine] or (goal.objective == LATENCY and cycles > least >= 0):
            continue
        actions[STALL] = cycles - s.compute
        energy = energy_of(actions, cycles, goal.prices, goal.cycle_pj[machine])
        if better(goal.objective, cycles, energy, least, best.energy[machine]):
            note(best, machine, s, k, floor, rule, cycles, energy, order, scratch)


@inlined
def note(
    best: Best,
    machine: int,
    s: Tiling,
    k: Blocks,
    floor: Floor,
    rule: int,
    cycles: int,
    energy: float,
    order: np.ndarray,
    scratch: Scratch,
) -> None:
    """Note a mapping as the best of a machine."""
    # Copied, for the next trial overwrites all of it.
    found = best.found[machine]
    found[0], found[1], found[2], found[3] = cycles, s.compute, floor.stays, rule
    for loop in range(5):
        found[4 + loop] = scratch.counts[5 + loop]
    fill_order(found[9:14], order)
    found[14], found[15], found[16] = k.w_from, k.a_from, k.q_from
    for action in range(12):
        best.actions[machine, action] = scratch.actions[action]
    best.energy[machine] = energy


@inlined
def columns_first(orders: np.ndarray, active: int, index: int, depth: int) -> bool:
    """Whether the loop at a depth is that over columns, and the one over rows comes outside."""
    if orders[active, index, depth] != OUT_COLUMNS:
        return False
    rows_before = False
    for inner in range(depth):
        rows_before |= orders[active, index, inner] == OUT_ROWS
    return not rows_before


@inlined
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
