"""Compiled: products of the bit-serial arrays, one cycle after the other.

An operand of b bits is a row of digits, 0 or 1, that count 2^k; in two's complement the last counts
-2^(b-1). One signed bit is a sign: its digit is -1 or 1, and 0 where a lane is switched off, such
as over zero padding.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True)
def digit(value: int, place: int, is_sign: bool) -> int:
    """Digit of an operand at a place: a bit, or, where the operand is a sign, the sign itself."""
    return value if is_sign else (value >> place) & 1


@njit(cache=True)
def counts_negative(place: int, bits: int, signed: bool) -> bool:
    """Whether a digit is the sign bit of two's complement."""
    return signed and bits > 1 and place == bits - 1


@njit(cache=True)
def stripes_sums(
    x: np.ndarray, w: np.ndarray, x_bits: int, x_signed: bool, partial: np.ndarray
) -> int:
    """A step of Stripes: whole weights, and one bit of every activation in a cycle.

    Args:
        x: inputs, int64 [window, lane].
        w: weights, int64 [column, lane].
        x_bits: width of an input.
        x_signed: whether inputs have a sign.
        partial: int64 [window, column], the sums of this step.

    Returns:
        Cycles it took.
    """
    partial[:] = 0
    cycles = 0
    digits = np.empty(x.shape[1], dtype=np.int64)
    is_sign = x_signed and x_bits == 1
    for place in range(x_bits):
        # The sign bit of two's complement subtracts: one cycle in which the sum is turned round.
        minus = counts_negative(place, x_bits, x_signed)
        for window in range(x.shape[0]):
            for lane in range(x.shape[1]):
                digits[lane] = digit(x[window, lane], place, is_sign)
            for column in range(w.shape[0]):
                total = 0
                for lane in range(x.shape[1]):
                    total += w[column, lane] * digits[lane]  # each lane an AND of all weight bits
                total <<= place
                partial[window, column] += -total if minus else total
        cycles += 1
    return cycles


@njit(cache=True)
def loom_sums(
    x: np.ndarray,
    w: np.ndarray,
    widths: tuple[int, int],
    signed: tuple[bool, bool],
    serial_bits: int,
    partial: np.ndarray,
) -> int:
    """A step of Loom: one bit of every weight and `serial_bits` of every activation in a cycle.

    A weight bit stays while all bits of the activations go past. Arguments as `stripes_sums`, with
    widths and signs of inputs and weights.

    Returns:
        Cycles it took.
    """
    (x_bits, w_bits), (x_signed, w_signed) = widths, signed
    x_is_sign, w_is_sign = x_signed and x_bits == 1, w_signed and w_bits == 1
    partial[:] = 0
    cycles = 0
    windows, columns, lanes = x.shape[0], w.shape[0], x.shape[1]
    # Activations are cut into digits once; the array sees them again for every weight bit.
    x_digits = np.empty((x_bits, windows, lanes), dtype=np.int64)
    for place in range(x_bits):
        for window in range(windows):
            for lane in range(lanes):
                x_digits[place, window, lane] = digit(x[window, lane], place, x_is_sign)
    w_digits = np.empty((columns, lanes), dtype=np.int64)
    # Weight bits outside: each is loaded once and waits while all activation bits go past.
    for w_place in range(w_bits):
        w_minus = counts_negative(w_place, w_bits, w_signed)
        for column in range(columns):
            for lane in range(lanes):
                w_digits[column, lane] = digit(w[column, lane], w_place, w_is_sign)
        for first in range(0, x_bits, serial_bits):
            # These bits go past side by side, in one cycle. Two sign bits make a positive product.
            for x_place in range(first, min(first + serial_bits, x_bits)):
                minus = w_minus != counts_negative(x_place, x_bits, x_signed)
                for window in range(windows):
                    for column in range(columns):
                        total = 0
                        for lane in range(lanes):  # an AND, or of two signs an XNOR
                            total += x_digits[x_place, window, lane] * w_digits[column, lane]
                        total <<= x_place + w_place
                        partial[window, column] += -total if minus else total
            cycles += 1
    return cycles


@njit(cache=True)
def unpu_sums(
    x: np.ndarray, w: np.ndarray, w_bits: int, w_signed: bool, inputs: int, partial: np.ndarray
) -> int:
    """A step of UNPU: every table holds sums of `inputs` activations, weight bits select one.

    Weights of several bits select, each cycle by one bit of each, the sum over those activations
    whose bit is set. Signs select among sums in which every activation is added or subtracted: with
    the first one added, and negated where the first is subtracted. Arguments as `stripes_sums`.

    Returns:
        Cycles it took.
    """
    partial[:] = 0
    cycles = 0
    # Where weights are signs, half of the sums are the others negated: the table holds the half
    # with the first activation added.
    signs = w_signed and w_bits == 1
    windows, columns, tables = x.shape[0], w.shape[0], x.shape[1] // inputs
    sums = np.empty((windows, tables, 1 << (inputs - signs)), dtype=np.int64)
    for window in range(windows):
        for table in range(tables):
            fill_table(x[window, table * inputs : (table + 1) * inputs], signs, sums[window, table])
    # Tables are filled once and looked up for all columns and weight bits: that is what saves work.
    for place in range(w_bits):
        minus = counts_negative(place, w_bits, w_signed)
        for column in range(columns):
            for window in range(windows):
                total = 0
                for table in range(tables):
                    chosen = w[column, table * inputs : (table + 1) * inputs]
                    total += look_up(chosen, place, signs, sums[window, table])
                total <<= place
                partial[window, column] += -total if minus else total
        cycles += 1
    return cycles


@njit(cache=True)
def fill_table(x: np.ndarray, signs: bool, sums: np.ndarray) -> None:
    """All sums of a few activations, int64 [address]."""
    for address in range(len(sums)):
        total = x[0] if signs else 0
        for index in range(1 if signs else 0, len(x)):
            bit = (address >> (index - 1 if signs else index)) & 1
            if signs:
                total += x[index] if bit else -x[index]
            elif bit:
                total += x[index]
        sums[address] = total


@njit(cache=True)
def look_up(w: np.ndarray, place: int, signs: bool, sums: np.ndarray) -> int:
    """The sum that one bit of each weight selects."""
    address = 0
    if not signs:
        for index in range(len(w)):
            address |= ((w[index] >> place) & 1) << index
        return sums[address]
    for index in range(1, len(w)):  # 0, an idle lane, goes with an activation of 0
        address |= int(w[index] * w[0] > 0) << (index - 1)
    return sums[address] if w[0] > 0 else -sums[address]
