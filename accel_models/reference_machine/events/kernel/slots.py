"""Compiled: the events of one layer, as its tiles pass through DRAM, array and vector unit.

Every resource does one thing at a time, in the order it is asked for. The controller looks one step
ahead: it issues a slot when the slot before is over. A slot is the array computing a tile, the
vector unit draining it, and DRAM fetching what the next tile waits for into the free halves of the
buffers, and exchanging the block of outputs if this tile is its last. Blocks of a buffer that has
no halves are exchanged when all this is done, at the end of the slot.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from accel_models.mapping.kernel.cost import transfer
from accel_models.mapping.kernel.walk import (
    ARRAY,
    DRAIN,
    INPUTS,
    RESIDUAL,
    RESTORED,
    STORED,
    SUMS,
    WEIGHTS,
)
from accel_models.mapping.problem import Problem

RESOURCE, KIND, START, END, BITS, TILE = range(6)
"""Columns of an event; times in cycles from the layer's start, bits over the DRAM port."""
EVENT_COLUMNS = 6

DRAM_PORT, COMPUTE_ARRAY, VECTOR_UNIT, GATE = range(4)
RESOURCES = ("DRAM", "array", "vector unit", "gate")

KINDS = (
    "latency",
    "weights",
    "inputs",
    "partial sums in",
    "outputs",
    "partial sums out",
    "residual",
    "compute",
    "ramp",
    "fill",
    "drain",
    "idle",
    "prefetch",
    "fetched in vain",
    "decide",
    "reconfigure",
)
(
    LATENCY,
    WEIGHTS_IN,
    INPUTS_IN,
    SUMS_IN,
    OUTPUTS_OUT,
    SUMS_OUT,
    RESIDUAL_IN,
    COMPUTE,
    RAMP,
    FILL,
    DRAINING,
    IDLE,
    PREFETCH,
    IN_VAIN,
    DECIDE,
    RECONFIGURE,
) = range(16)
EVENTS_OF_A_STEP = 10
"""Events that one step adds, at most."""
EVENTS_AT_THE_ENDS = 10
"""Events before the first step and after the last together, at most."""


def room_for_events(steps: int) -> np.ndarray:
    """Empty rows for the events of so many steps; none if there are no steps."""
    rows = steps * EVENTS_OF_A_STEP + EVENTS_AT_THE_ENDS if steps else 0
    return np.zeros((rows, EVENT_COLUMNS), dtype=np.int64)


@njit(cache=True)
def note(
    events: np.ndarray,
    number: int,
    resource: int,
    kind: int,
    start: int,
    end: int,
    bits: int,
    tile: int,
) -> int:
    """Write an event down, if events are wanted and it takes any time; how many there are now."""
    # Cycles are wanted far more often than pictures: without room nothing is written down.
    if len(events) == 0 or (end == start and bits == 0):
        return number
    event = events[number]
    event[RESOURCE], event[KIND], event[START] = resource, kind, start
    event[END], event[BITS], event[TILE] = end, bits, tile
    return number + 1


@njit(cache=True)
def play(
    p: Problem, steps: np.ndarray, early: int, events: np.ndarray
) -> tuple[int, int, int, int]:
    """One layer from its first load to its last store.

    Args:
        p: the layer on its machine.
        steps: int64 [step, part], as in `accel_models.mapping.kernel.walk`.
        early: cycles of its first weights' transfer that have passed before.
        events: int64 [capacity, column] to be filled in; none are kept if it is empty.

    Returns:
        Cycles in all; of these, those in which DRAM idles after the last block of weights is there;
        how many events there are, and the first of those that happen after that.
    """
    # Before the first slot nothing overlaps. Weights come first, so that what arrived early, during
    # the layer before, shortens this load from its beginning.
    first, number = steps[0], 0
    number = note(events, number, DRAM_PORT, LATENCY, 0, p.dram_latency, 0, 0)
    others = transfer(p, first[INPUTS] + first[SUMS])
    here = p.dram_latency + transfer(p, first[WEIGHTS] + first[INPUTS] + first[SUMS])
    # All three transfers are one in a row: cycles are rounded up over them together, so the weights
    # end where the others have to begin.
    here -= others + early
    bits = first[WEIGHTS]
    number = note(events, number, DRAM_PORT, WEIGHTS_IN, p.dram_latency, here, bits, 0)
    inputs_end = here + transfer(p, first[INPUTS])
    number = note(events, number, DRAM_PORT, INPUTS_IN, here, inputs_end, first[INPUTS], 0)
    issued = here + others
    number = note(events, number, DRAM_PORT, SUMS_IN, inputs_end, issued, first[SUMS], 0)
    dram = array = vector = issued
    idle, free_from = 0, number
    for tile in range(len(steps)):
        step, ends = steps[tile], tile == len(steps) - 1
        # No resource starts a slot before the controller issues it.
        dram, array, vector = max(dram, issued), max(array, issued), max(vector, issued)
        # The vector unit drains outputs as they come and so runs beside the array, not after it.
        computed, drained = array + step[ARRAY], max(vector, array) + step[DRAIN]
        number = note(events, number, COMPUTE_ARRAY, COMPUTE, array, computed, 0, tile)
        number = note(
            events, number, VECTOR_UNIT, DRAINING, drained - step[DRAIN], drained, 0, tile
        )
        array, vector = computed, drained
        if not ends:
            following = steps[tile + 1]
            dram, number = exchange(p, step, following, True, dram, events, number, tile)
        else:  # the last results come out of the array's pipeline
            out = max(array, vector)
            number = note(events, number, COMPUTE_ARRAY, RAMP, out, out + p.ramp, 0, tile)
            array = out + p.ramp + p.fill
            number = note(events, number, COMPUTE_ARRAY, FILL, out + p.ramp, array, 0, tile)
        # The next slot waits for the slowest. Then DRAM idles, and once the last weights are there,
        # weights of the next layer could come: from there on idle cycles count.
        issued = max(dram, array, vector)
        idle += issued - dram
        number = note(events, number, DRAM_PORT, IDLE, dram, issued, 0, tile)
        if not ends:
            following = steps[tile + 1]
            dram, number = exchange(p, step, following, False, issued, events, number, tile)
            issued = dram
            if following[WEIGHTS] > 0:
                idle, free_from = 0, number
    if not p.weights_overlap and first[WEIGHTS] > 0:  # the only buffer was in use to the end
        idle, free_from = 0, number
    end, number = leave(p, steps[-1], 0, issued, events, number, len(steps) - 1)
    return end, idle, number, free_from


@njit(cache=True)
def exchange(
    p: Problem,
    step: np.ndarray,
    following: np.ndarray,
    beside: bool,
    dram: int,
    events: np.ndarray,
    number: int,
    tile: int,
) -> tuple[int, int]:
    """DRAM in a slot, from when it is free, on the tensors that move beside the tile or on those
    that wait for it: until when it is busy, and how many events there are."""
    # Weights and inputs are requests of their own, each rounded up to cycles, as in the closed
    # form.
    if p.weights_overlap == beside:
        end, bits = dram + transfer(p, following[WEIGHTS]), following[WEIGHTS]
        number = note(events, number, DRAM_PORT, WEIGHTS_IN, dram, end, bits, tile + 1)
        dram = end
    if p.inputs_overlap == beside:
        end, bits = dram + transfer(p, following[INPUTS]), following[INPUTS]
        number = note(events, number, DRAM_PORT, INPUTS_IN, dram, end, bits, tile + 1)
        dram = end
    if p.outputs_overlap == beside:
        dram, number = leave(p, step, following[SUMS], dram, events, number, tile)
    return dram, number


@njit(cache=True)
def leave(
    p: Problem,
    step: np.ndarray,
    sums: int,
    dram: int,
    events: np.ndarray,
    number: int,
    tile: int,
) -> tuple[int, int]:
    """What a block of outputs sends to DRAM and gets from it, in one go, and the partial sums of
    the block after it."""
    # One transfer in parts: rounding up after each part, but over the sum so far, makes them end
    # where the whole does.
    bits, end = 0, dram
    for kind, part in ((OUTPUTS_OUT, STORED), (SUMS_OUT, RESTORED), (RESIDUAL_IN, RESIDUAL)):
        bits += step[part]
        start, end = end, dram + transfer(p, bits)
        number = note(events, number, DRAM_PORT, kind, start, end, step[part], tile)
    start, end = end, dram + transfer(p, bits + sums)
    number = note(events, number, DRAM_PORT, SUMS_IN, start, end, sums, tile + 1)
    return end, number
