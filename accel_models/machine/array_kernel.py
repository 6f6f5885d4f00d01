"""Compiled: the array at work, one issued step after the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from accel_models.machine.brick_kernel import PER_PRODUCT, fused_sums, grouped_sums
from accel_models.machine.families import BIT_FUSION, BITBLADE, LOOM, STRIPES, Arithmetic
from accel_models.machine.serial_kernel import loom_sums, stripes_sums, unpu_sums
from accel_models.machine.tiles import IDLE, Tile
from accel_models.machine.toggle_kernel import watch_operands, watch_sum

STEPS, OPERATIONS = range(2)
"""Places of `State.counts`."""
NEXT, TURN, LAST = range(3)
"""Places of `State.clock`."""


class Memory(NamedTuple):
    """What the array reads and adds to, int64."""

    inputs: np.ndarray
    """[image, channel, row, column], zero padding included."""
    weights: np.ndarray
    """[output channel, channel of its group, kernel row, kernel column]."""
    sums: np.ndarray
    """[image, output channel, row, column], partial sums at the accumulator's width."""
    strides: np.ndarray
    """[2]: of rows and columns."""


class State(NamedTuple):
    """What stays from step to step, int64."""

    clock: np.ndarray
    """[3]: the cycle in which the next step can be issued, the turn it takes, and how many cycles
    the last one took."""
    ends: np.ndarray
    """[turn]: the cycle in which its last step is through."""
    counts: np.ndarray
    """[2]: steps issued, operations done."""
    input_words: np.ndarray
    """[turn or window, lane]: what last lay on each input of a multiplier; likewise the next."""
    weight_words: np.ndarray
    """[turn, column, lane]."""
    held: np.ndarray
    """[turn, 3]: group of positions, column block and taps of the turn's last step."""
    toggles: np.ndarray
    """[operand, (bits loaded, bits toggled)], as `switching.OPERANDS` has them."""


@njit(cache=True)
def run_tile(
    tile: Tile,
    arithmetic: Arithmetic,
    passes: np.ndarray,
    brick: np.ndarray,
    memory: Memory,
    state: State,
) -> None:
    """Issue all steps of a tile: bring operands to the lanes, multiply, add to the partial sums."""
    windows, columns, lanes = tile.positions.shape[1], tile.columns.shape[1], tile.taps.shape[1]
    x = np.zeros((windows, lanes), dtype=np.int64)
    w = np.zeros((columns, lanes), dtype=np.int64)
    partial = np.zeros((windows, columns), dtype=np.int64)
    state.held[:] = IDLE
    for number in range(len(tile.order)):
        p, q, s = tile.order[number]
        feed_inputs(tile, p, s, memory, x)
        feed_weights(tile, q, s, memory, w)
        cut = passes[tile.passes[s]]
        cycles = multiply(arithmetic, cut, brick, x, w, partial)
        products = add_up(tile, p, q, s, arithmetic, partial, memory.sums, state.toggles)
        if arithmetic.watched:
            watch_operands(tile, p, q, s, arithmetic, cut, x, w, state)
        state.counts[OPERATIONS] += products * cut[PER_PRODUCT]
        issue(cycles, state)
        state.counts[STEPS] += 1


@njit(cache=True)
def issue(cycles: int, state: State) -> None:
    """Let a step of so many cycles begin, a cycle after the last one or when its turn is free."""
    turn = state.clock[TURN]
    start = max(state.clock[NEXT], state.ends[turn])
    state.ends[turn] = start + cycles
    state.clock[NEXT] = start + 1
    state.clock[TURN] = (turn + 1) % len(state.ends)
    state.clock[LAST] = cycles


@njit(cache=True)
def end_round(state: State) -> None:
    """Let turns that no step is left for pass idle, where the others still wait for each other, as
    the released simulator of Stripes and Loom counts it."""
    while state.clock[TURN] > 0 and state.clock[LAST] > len(state.ends):
        issue(state.clock[LAST], state)


@njit(cache=True)
def feed_inputs(tile: Tile, p: int, s: int, memory: Memory, x: np.ndarray) -> None:
    """Inputs of every window and lane; 0 where there is none."""
    for window in range(x.shape[0]):
        image, row, column = tile.positions[p, window]
        top, left = row * memory.strides[0], column * memory.strides[1]
        for lane in range(x.shape[1]):
            channel, down, across = tile.taps[s, lane]
            if image == IDLE or channel == IDLE:
                x[window, lane] = 0
            else:
                channel += tile.first_input
                x[window, lane] = memory.inputs[image, channel, top + down, left + across]


@njit(cache=True)
def feed_weights(tile: Tile, q: int, s: int, memory: Memory, w: np.ndarray) -> None:
    """Weights of every column and lane; 0 where there is none."""
    for column in range(w.shape[0]):
        output = tile.columns[q, column]
        for lane in range(w.shape[1]):
            channel, down, across = tile.taps[s, lane]
            if output == IDLE or channel == IDLE:
                w[column, lane] = 0
            else:
                w[column, lane] = memory.weights[output, channel, down, across]


@njit(cache=True)
def multiply(
    arithmetic: Arithmetic,
    cut: np.ndarray,
    brick: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    partial: np.ndarray,
) -> int:
    """Sums of one step, int64 [window, column], by the family's arithmetic; cycles it took."""
    a = arithmetic
    if a.family == BIT_FUSION:
        return fused_sums(x, w, cut, brick, partial)
    if a.family == BITBLADE:
        return grouped_sums(x, w, cut, brick, partial)
    if a.family == STRIPES:
        return stripes_sums(x, w, a.input_bits, a.input_signed, partial)
    if a.family == LOOM:
        widths, signed = (a.input_bits, a.weight_bits), (a.input_signed, a.weight_signed)
        return loom_sums(x, w, widths, signed, a.serial_bits, partial)
    return unpu_sums(x, w, a.weight_bits, a.weight_signed, a.table_inputs, partial)


@njit(cache=True)
def add_up(
    tile: Tile,
    p: int,
    q: int,
    s: int,
    arithmetic: Arithmetic,
    partial: np.ndarray,
    sums: np.ndarray,
    toggles: np.ndarray,
) -> int:
    """Add a step's sums to the accumulators, which wrap; how many products that were."""
    at_work = 0
    for window in range(partial.shape[0]):
        image, row, across = tile.positions[p, window]
        if image == IDLE:
            continue
        for column in range(partial.shape[1]):
            output = tile.columns[q, column]
            if output == IDLE:
                continue
            at_work += 1
            before = sums[image, output, row, across]
            after = wrapped(before + partial[window, column], arithmetic)
            sums[image, output, row, across] = after
            if arithmetic.watched:
                watch_sum(before, after, arithmetic.accumulator_bits, toggles)
    lanes = 0
    for lane in range(tile.taps.shape[1]):
        lanes += tile.taps[s, lane, 0] != IDLE
    return at_work * lanes


@njit(cache=True)
def wrapped(value: int, arithmetic: Arithmetic) -> int:
    """A sum as an accumulator holds it: modulo 2^bits, in two's complement if it has a sign."""
    bits = arithmetic.accumulator_bits
    if bits >= 64:
        return value
    value &= (1 << bits) - 1
    if arithmetic.sum_signed and value >> (bits - 1):
        value -= 1 << bits
    return value
