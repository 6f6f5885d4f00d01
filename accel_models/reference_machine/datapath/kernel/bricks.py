"""Compiled: products of Bit Fusion's elements, brick by brick."""

from __future__ import annotations

import numpy as np
from numba import njit

X_SHIFT, X_BITS, X_SIGNED, W_SHIFT, W_BITS, W_SIGNED, LANES, PER_PRODUCT = range(8)
"""Columns of passes, in the order of `bricks.Pass`."""


@njit(cache=True)
def chunks(bits: int) -> int:
    """Number of 2-bit chunks of an operand."""
    return (bits + 1) // 2


@njit(cache=True)
def fused_product(x: int, w: int, cut: np.ndarray, brick: np.ndarray) -> int:
    """Product of two operand slices: one brick for each pair of chunks, shifted and added."""
    x_chunks, w_chunks = chunks(cut[X_BITS]), chunks(cut[W_BITS])
    # Only the topmost chunk of an operand carries its sign; the others are plain digits of base 4.
    product = 0
    for i in range(x_chunks):
        x_sign = cut[X_SIGNED] if i == x_chunks - 1 else 0
        x_chunk = (x >> (2 * i)) & 3
        for j in range(w_chunks):
            w_sign = cut[W_SIGNED] if j == w_chunks - 1 else 0
            w_chunk = (w >> (2 * j)) & 3
            product += brick[x_sign, w_sign, x_chunk, w_chunk] << (2 * (i + j))
    return product


@njit(cache=True)
def fused_sums(
    x: np.ndarray, w: np.ndarray, cut: np.ndarray, brick: np.ndarray, partial: np.ndarray
) -> int:
    """One cycle of a pass: every element multiplies, every column adds up its elements.

    Args:
        x: inputs, int64 [window, lane].
        w: weights, int64 [column, lane].
        cut: the pass, as `bricks.Pass`.
        brick: `bricks.brick_products`.
        partial: int64 [window, column], the sums of this cycle.

    Returns:
        Cycles it took: 1.
    """
    # An operand wider than a unit comes in slices, one pass each: its place is made good in the
    # sum, once for all lanes.
    x_shift, w_shift = cut[X_SHIFT], cut[W_SHIFT]
    for window in range(x.shape[0]):
        for column in range(w.shape[0]):
            total = 0
            for lane in range(x.shape[1]):
                total += fused_product(
                    x[window, lane] >> x_shift, w[column, lane] >> w_shift, cut, brick
                )
            partial[window, column] = total << (x_shift + w_shift)
    return 1


@njit(cache=True)
def grouped_sums(
    x: np.ndarray, w: np.ndarray, cut: np.ndarray, brick: np.ndarray, partial: np.ndarray
) -> int:
    """Sums the way of BitBlade: bricks of a column whose products shift equally are added up first,
    over all its rows, and each of these sums is shifted once."""
    x_shift, w_shift = cut[X_SHIFT], cut[W_SHIFT]
    x_chunks, w_chunks = chunks(cut[X_BITS]), chunks(cut[W_BITS])
    for window in range(x.shape[0]):
        for column in range(w.shape[0]):
            total = 0
            # Bricks outside, lanes inside: products of equal weight meet before the one shifter
            # they share.
            for i in range(x_chunks):
                x_sign = cut[X_SIGNED] if i == x_chunks - 1 else 0
                for j in range(w_chunks):
                    w_sign = cut[W_SIGNED] if j == w_chunks - 1 else 0
                    alike = 0
                    for lane in range(x.shape[1]):
                        x_chunk = (x[window, lane] >> (x_shift + 2 * i)) & 3
                        w_chunk = (w[column, lane] >> (w_shift + 2 * j)) & 3
                        alike += brick[x_sign, w_sign, x_chunk, w_chunk]
                    total += alike << (2 * (i + j))
            partial[window, column] = total << (x_shift + w_shift)
    return 1
