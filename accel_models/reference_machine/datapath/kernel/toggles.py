"""Compiled: bits that toggle at the inputs of multipliers from one operand to the next.

An operand comes as words, one or, where it is serial, several in turn. A word is compared with what
lay on the same wires before; operands that stay where they are load nothing. Every wire is counted
as often as it enters a multiplier.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from accel_models.reference_machine.datapath.kernel.bricks import (
    W_BITS,
    W_SHIFT,
    X_BITS,
    X_SHIFT,
    chunks,
)
from accel_models.reference_machine.datapath.plain import (
    BIT_FUSION,
    BITBLADE,
    IDLE,
    LOOM,
    STRIPES,
    Arithmetic,
)
from accel_models.reference_machine.datapath.state import (
    INPUTS,
    LOADED,
    SUMS,
    TOGGLED,
    TURN,
    WEIGHTS,
    ArrayState,
    Lanes,
)


class Wires(NamedTuple):
    """What lies on the wires of a window or column, int64 [lane]: words, and which operands."""

    words: np.ndarray
    operands: np.ndarray


@njit(cache=True)
def ones(value: int) -> int:
    """Bits that are set, of a number of up to 64 bits."""
    # Sums of bits in pairs, fours and bytes, added up by a multiplication: no loop over 64 bits.
    v = np.uint64(value)
    v = v - ((v >> np.uint64(1)) & np.uint64(0x5555555555555555))
    v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
    v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int((v * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True)
def lowest(value: int, bits: int) -> int:
    """Lowest bits of a word."""
    return value if bits >= 64 else value & ((1 << bits) - 1)


@njit(cache=True)
def watch_sum(before: int, after: int, bits: int, toggles: np.ndarray) -> None:
    """Count the bits that toggle as a sum is added to."""
    toggles[SUMS, LOADED] += min(bits, 64)
    toggles[SUMS, TOGGLED] += ones(lowest(before ^ after, bits))


@njit(cache=True)
def ports(a: Arithmetic, cut: np.ndarray) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """How an input and a weight come: (bits of a word, words, how often these are repeated)."""
    # What is serial comes again in every step, and Loom's activations once for each weight bit;
    # what is parallel comes as one word as wide as the multiplier, whatever the operand's width.
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
    # An operand toggles the wires of every multiplier it enters, so bits count once for each.
    if a.family == BIT_FUSION or a.family == BITBLADE:
        return columns * chunks(cut[W_BITS]), windows * chunks(cut[X_BITS])
    if a.family == STRIPES or a.family == LOOM:
        return columns, windows
    return 1, windows


@njit(cache=True)
def stream(old: int, value: int, port: tuple[int, int, int]) -> tuple[int, int]:
    """Bits toggled, and the word that is left on the wires, as an operand's words go past."""
    bits, words, repeats = port
    toggled = 0
    # From word to word, and from the last back to the first where words come again.
    for _ in range(repeats):
        for word in range(words):
            new = lowest(value >> (word * bits), bits)
            toggled += ones(old ^ new)
            old = new
    return toggled, old


@njit(cache=True)
def watch_operands(how: Arithmetic, cut: np.ndarray, lanes: Lanes, state: ArrayState) -> None:
    """Count what the operands of a step toggle."""
    turn = state.clock[TURN]  # the one that the step is about to take
    # Fan-out goes by windows and columns that have operands: an idle one's wires are gated.
    x_port, w_port = ports(how, cut)
    x_fan, w_fan = fan_out(how, cut, at_work(lanes.x_from), at_work(lanes.w_from))
    x_is_sign = how.input_signed and how.input_bits == 1
    w_is_sign = how.weight_signed and how.weight_bits == 1
    for window in range(lanes.x.shape[0]):
        on = Wires(state.input_words[turn + window], state.input_from[turn + window])
        came = lanes.x[window], lanes.x_from[window], cut[X_SHIFT]
        watch_row(came, x_is_sign, x_port, x_fan, on, state.toggles[INPUTS])
    for column in range(lanes.w.shape[0]):
        on = Wires(state.weight_words[turn, column], state.weight_from[turn, column])
        came = lanes.w[column], lanes.w_from[column], cut[W_SHIFT]
        watch_row(came, w_is_sign, w_port, w_fan, on, state.toggles[WEIGHTS])


@njit(cache=True)
def at_work(places: np.ndarray) -> int:
    """Windows or columns that have any operand."""
    number = 0
    for row in range(places.shape[0]):
        number += int(np.any(places[row] != IDLE))
    return number


@njit(cache=True)
def watch_row(
    came: tuple[np.ndarray, np.ndarray, int],
    is_sign: bool,
    port: tuple[int, int, int],
    fan: int,
    on: Wires,
    toggles: np.ndarray,
) -> None:
    """Operands of all lanes of a window or column: values, where they came from, and from which bit
    on they are used. One that lies on its wires already loads nothing, unless it is serial. A
    single sign is 1 on its wire for 1 and 0 for -1."""
    values, places, shift = came
    serial = port[1] * port[2] > 1
    for lane in range(len(values)):
        # Place and first bit together name a slice of an operand: another slice of it is loaded
        # anew.
        here = places[lane] * 64 + shift
        if places[lane] == IDLE or (on.operands[lane] == here and not serial):
            continue
        value = values[lane] >> shift
        # A sign is -1 or 1 to the adder, and 0 or 1 on its wire.
        if is_sign and port[0] == 1:
            value = int(value > 0)
        toggled, on.words[lane] = stream(on.words[lane], value, port)
        on.operands[lane] = here
        toggles[LOADED] += fan * port[0] * port[1] * port[2]
        toggles[TOGGLED] += fan * toggled
