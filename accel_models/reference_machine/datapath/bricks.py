"""Bit Fusion's bricks, and how operands are cut to be multiplied by them.

A brick multiplies two chunks of 2 bits. An operand of a wide product is several chunks, of which
only the uppermost can carry a sign; each pair of chunks takes a brick, whose product is shifted to
its place and added (Sharma et al., ISCA 2018, section 3). Operands wider than a Fusion Unit are
first cut into slices, every pair of which is a pass of its own.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from accel_models.accelerators.arrays.bit_fusion import BitFusion
from accel_models.precision import Precision

BRICK_BITS = 2
PRODUCT_BITS = 6
"""Bits of a brick's product: two operands of 3 bits, the third their sign."""


class Pass(NamedTuple):
    """One pair of operand slices: where each lies, the width it is fused at, whether it holds the
    operand's sign. Compiled code reads these as a row of integers."""

    input_shift: int
    input_bits: int
    input_signed: int
    weight_shift: int
    weight_bits: int
    weight_signed: int
    lanes: int
    """Products of this pass that each row adds up in a step."""
    operations: int
    """Operations of the array for each product."""


def brick(x: int, w: int, x_signed: bool, w_signed: bool) -> int:
    """Product of two chunks, made of AND gates and full adders as in hardware.

    Args:
        x: 2 bits, 0 to 3.
        w: 2 bits, 0 to 3.
        x_signed: whether `x` stands for a number in two's complement, -2 to 1.
        w_signed: whether `w` stands for a number in two's complement, -2 to 1.
    """
    x_bits = _sign_extended(x, x_signed)
    w_bits = _sign_extended(w, w_signed)
    total = [0] * PRODUCT_BITS
    for place, w_bit in enumerate(w_bits):
        partial = [0] * place + [x_bit & w_bit for x_bit in x_bits]
        total = _ripple(total, partial[:PRODUCT_BITS])
    value = sum(bit << place for place, bit in enumerate(total))
    return value - (total[-1] << PRODUCT_BITS)


@cache
def brick_products() -> np.ndarray:
    """What a brick makes of every pair of chunks, int64 [x signed, w signed, x, w]."""
    table = np.empty((2, 2, 4, 4), dtype=np.int64)
    for index in np.ndindex(table.shape):
        x_signed, w_signed, x, w = index
        table[index] = brick(x, w, bool(x_signed), bool(w_signed))
    return table


def _sign_extended(chunk: int, signed: bool) -> list[int]:
    """Bits of a chunk from the lowest, as wide as the product."""
    low, high = chunk & 1, chunk >> 1
    return [low, high, *[high & int(signed)] * (PRODUCT_BITS - 2)]


def _ripple(a: list[int], b: list[int]) -> list[int]:
    """Sum of two numbers by a chain of full adders, its last carry dropped."""
    carry, total = 0, []
    for p, q in zip(a, b, strict=True):
        total.append(p ^ q ^ carry)
        carry = (p & q) | (carry & (p ^ q))
    return total


def passes(array: BitFusion, widths: Precision, x_signed: bool, w_signed: bool) -> list[Pass]:
    """The pairs of slices that a product of these widths is made of."""
    found = []
    for w_shift, w_bits, w_top in _slices(array, widths.weight_bits):
        for x_shift, x_bits, x_top in _slices(array, widths.activation_bits):
            one = Pass(
                *(x_shift, x_bits, int(x_signed and x_top)),
                *(w_shift, w_bits, int(w_signed and w_top)),
                lanes=(array.max_bits // x_bits) * (array.max_bits // w_bits),
                operations=_chunks(x_bits) * _chunks(w_bits),
            )
            found.append(one)
    return found


def _chunks(bits: int) -> int:
    return -(-bits // BRICK_BITS)


def _slices(array: BitFusion, bits: int) -> list[tuple[int, int, bool]]:
    """Shift, width it is fused at, and whether it is the uppermost, of each slice of an operand."""
    starts = range(0, bits, array.max_bits)
    slices = []
    for start in starts:
        left = min(array.max_bits, bits - start)
        fits = len(starts) == 1 or array.temporal == "sliced"
        slices.append((start, _fused(array, left) if fits else array.max_bits, start == starts[-1]))
    return slices


def _fused(array: BitFusion, bits: int) -> int:
    """Width at which a Fusion Unit takes an operand of so many bits: an even share of its own."""
    return array.max_bits // (array.max_bits // max(bits, array.min_bits))
