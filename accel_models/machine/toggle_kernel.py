"""Compiled: bits that toggle at the inputs of multipliers from one operand to the next.

An operand comes as words, one or, where it is serial, several in turn. A word is compared with what
lay on the same wires before; operands that stay where they are load nothing. Every wire is counted
as often as it enters a multiplier.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from accel_models.machine.brick_kernel import W_BITS, W_SHIFT, X_BITS, X_SHIFT, chunks
from accel_models.machine.families import BIT_FUSION, BITBLADE, LOOM, STRIPES, Arithmetic
from accel_models.machine.switching import INPUTS, SUMS, WEIGHTS
from accel_models.machine.tiles import IDLE, Tile

LOADED, TOGGLED = range(2)


@njit(cache=True)
def ones(value: int) -> int:
    """Bits that are set, of a number of up to 64 bits."""
    v = np.uint64(value)
    v = v - ((v >> np.uint64(1)) & np.uint64(0x5555555555555555))
    v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
    v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int((v * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True)
def lowest(value: int, bits: int) -> int:
    return value if bits >= 64 else value & ((1 << bits) - 1)


@njit(cache=True)
def watch_sum(before: int, after: int, bits: int, toggles: np.ndarray) -> None:
    toggles[SUMS, LOADED] += min(bits, 64)
    toggles[SUMS, TOGGLED] += ones(lowest(before ^ after, bits))


@njit(cache=True)
def ports(a: Arithmetic, cut: np.ndarray) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """How an input and a weight come: (bits of a word, words, how often these are repeated)."""
    whole = (a.parallel_bits, 1, 1)
    if a.family == BIT_FUSION or a.family == BITBLADE:
        return (2 * chunks(cut[X_BITS]), 1, 1), (2 * chunks(cut[W_BITS]), 1, 1)
    if a.family == STRIPES:
        return (1, a.input_bits, 1), whole
    if a.family == LOOM:
        pieces = -(-a.input_bits // a.serial_bits)
        return (a.serial_bits, pieces, a.weight_bits), (1, a.weight_bits, 1)
    return whole, (1, a.weight_bits, 1)


@njit(cache=True)
def fan_out(a: Arithmetic, cut: np.ndarray, windows: int, columns: int) -> tuple[int, int]:
    """Multipliers that an input and a weight enter: bricks, lanes, tables."""
    if a.family == BIT_FUSION or a.family == BITBLADE:
        return columns * chunks(cut[W_BITS]), windows * chunks(cut[X_BITS])
    if a.family == STRIPES or a.family == LOOM:
        return columns, windows
    return 1, windows


@njit(cache=True)
def stream(old: int, value: int, port: tuple[int, int, int]) -> tuple[int, int]:
    """(bits toggled, the word that is left on the wires) as an operand's words go past."""
    bits, words, repeats = port
    toggled = 0
    for _ in range(repeats):
        for word in range(words):
            new = lowest(value >> (word * bits), bits)
            toggled += ones(old ^ new)
            old = new
    return toggled, old


@njit(cache=True)
def watch_operands(
    tile: Tile,
    p: int,
    q: int,
    s: int,
    a: Arithmetic,
    cut: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    state: Any,
) -> None:
    """Count what the operands of a step toggle."""
    windows = columns = 0
    for window in range(x.shape[0]):
        windows += tile.positions[p, window, 0] != IDLE
    for column in range(w.shape[0]):
        columns += tile.columns[q, column] != IDLE
    x_port, w_port = ports(a, cut)
    x_fan, w_fan = fan_out(a, cut, windows, columns)
    turn = state.clock[1]  # the one that the step is about to take
    held = state.held[turn]
    if x_port[1] * x_port[2] > 1 or held[0] != p or held[2] != s:
        one_sign = a.input_signed and a.input_bits == 1
        for window in range(x.shape[0]):
            if tile.positions[p, window, 0] != IDLE:
                old = state.input_words[turn + window]
                watch_row(
                    x[window],
                    cut[X_SHIFT],
                    one_sign,
                    x_port,
                    x_fan,
                    tile,
                    s,
                    old,
                    state.toggles[INPUTS],
                )
    if w_port[1] * w_port[2] > 1 or held[1] != q or held[2] != s:
        one_sign = a.weight_signed and a.weight_bits == 1
        for column in range(w.shape[0]):
            if tile.columns[q, column] != IDLE:
                old = state.weight_words[turn, column]
                watch_row(
                    w[column],
                    cut[W_SHIFT],
                    one_sign,
                    w_port,
                    w_fan,
                    tile,
                    s,
                    old,
                    state.toggles[WEIGHTS],
                )
    held[0], held[1], held[2] = p, q, s


@njit(cache=True)
def watch_row(
    values: np.ndarray,
    shift: int,
    one_sign: bool,
    port: tuple[int, int, int],
    fan: int,
    tile: Tile,
    s: int,
    old: np.ndarray,
    toggles: np.ndarray,
) -> None:
    """Operands of all lanes at work; one signed bit is 1 on its wire for 1 and 0 for -1."""
    for lane in range(len(values)):
        if tile.taps[s, lane, 0] == IDLE:
            continue
        value = values[lane] >> shift
        if one_sign and port[0] == 1:
            value = int(value > 0)
        toggled, old[lane] = stream(old[lane], value, port)
        toggles[LOADED] += fan * port[0] * port[1] * port[2]
        toggles[TOGGLED] += fan * toggled
