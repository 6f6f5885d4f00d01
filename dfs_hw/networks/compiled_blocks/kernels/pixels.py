"""Compiled: what happens to an image between its convolutions.

Norms are by known statistics, so ``factor * y + term`` for each channel, given as [2, C]. How a
convolution rounds its input is given as `ROUNDING_NUMBERS` numbers, see `RoundingLevels`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dfs_hw.networks.compiled_blocks.kernels.lanes import (
    fma,
    jit,
    larger,
    load,
    nearest,
    smaller,
    splat,
    store,
    where_positive,
)
from dfs_hw.networks.compiled_blocks.kernels.layout import WIDTH
from dfs_hw.networks.compiled_blocks.kernels.tiling import ImageTiling, grid_row, image_row, inside

ROUNDING_NUMBERS = 6


class RoundingLevels(NamedTuple):
    """What to round to: ``low + scale * level``, with the level nearest to ``(x - low) / step``."""

    low: Any
    step: Any
    per_step: Any
    """1 / step."""
    bottom: Any
    """The lowest level, times the step."""
    top: Any
    """The highest."""
    scale: Any
    """The step, or 1 where sums are of integers."""


@jit
def levels_of(rounding: np.ndarray) -> RoundingLevels:
    """Levels in lanes, of numbers low, step, 1 / step, lowest and highest level, scale."""
    step = splat(rounding[1])
    return RoundingLevels(
        splat(rounding[0]),
        step,
        splat(rounding[2]),
        splat(rounding[3]) * step,
        splat(rounding[4]) * step,
        splat(rounding[5]),
    )


@jit
def rounds(rounding: np.ndarray) -> bool:
    """No if even the highest level is 0."""
    return rounding[4] > 0


@jit
def to_level(x: Any, to: RoundingLevels) -> Any:
    """The value of the nearest level. The quotient is as division gives it (Markstein, "Computation
    of elementary functions on the IBM RISC System/6000 processor", 1990), in less time."""
    above = smaller(to.top, larger(to.bottom, x - to.low))
    # A product with 1 / step is off by a rounding, which could be the other level than PyTorch's;
    # one step of correction makes it the quotient.
    quotient = above * to.per_step
    rest = fma(splat(0.0) - quotient, to.step, above)
    return nearest(fma(rest, to.per_step, quotient)) * to.scale + to.low


@jit
def round_input(
    x: np.ndarray, rounding: np.ndarray, tiling: ImageTiling, padded: np.ndarray
) -> None:
    """Copy an image into a padded one, rounded."""
    # The border of the padded image stays zero from when the room was made, and is never written.
    to, rounded, row_size = levels_of(rounding), rounds(rounding), image_row(tiling)
    for row in range(tiling.height):
        p, q = row * row_size, inside(row, tiling)
        for i in range(0, row_size, WIDTH):
            value = load(x, p + i)
            store(padded, q + i, to_level(value, to) if rounded else value)


@jit
def activate(
    y: np.ndarray,
    row_size: int,
    norm: np.ndarray,
    rounding: np.ndarray,
    tiling: ImageTiling,
    padded: np.ndarray,
    ends: np.ndarray,
) -> None:
    """Norm, ReLU and rounding of an image, into a padded one.

    Args:
        y: output of a convolution.
        row_size: from one of its rows to the next.
        norm: that follows.
        rounding: of the next convolution.
        tiling: of the image.
        padded: is written.
        ends: [2, 16] is written: extremes before rounding, in each lane. (A NaN does not count.)
    """
    # Channels outside: norms are by channel, so 16 of them keep factor and term in registers over
    # all pixels.
    channels, to, rounded = tiling.channels, levels_of(rounding), rounds(rounding)
    low, high = splat(np.inf), splat(-np.inf)
    for channel in range(0, channels, WIDTH):
        factor, term = load(norm, channel), load(norm, channels + channel)
        for row in range(tiling.height):
            p, q = row * row_size + channel, inside(row, tiling) + channel
            for _ in range(tiling.width):
                # The order of the operands lets a NaN through, as PyTorch does.
                value = larger(splat(0.0), fma(factor, load(y, p), term))
                low, high = smaller(low, value), larger(high, value)
                store(padded, q, to_level(value, to) if rounded else value)
                p += channels
                q += channels
    store(ends, 0, low)
    store(ends, WIDTH, high)


@jit
def normalize(grid: np.ndarray, norm: np.ndarray, tiling: ImageTiling) -> None:
    """A norm alone, in place."""
    channels = tiling.channels
    for channel in range(0, channels, WIDTH):
        factor, term = load(norm, channel), load(norm, channels + channel)
        for row in range(tiling.height):
            p = row * grid_row(tiling) + channel
            for _ in range(tiling.width):
                store(grid, p, fma(factor, load(grid, p), term))
                p += channels


@jit
def add_up(
    grid: np.ndarray,
    norm: np.ndarray,
    side: np.ndarray,
    row_size: int,
    tiling: ImageTiling,
    other: np.ndarray,
    scores: bool,
    tile: np.ndarray,
) -> float:
    """The end of a block: norm, plus the shortcut, and ReLU.

    Args:
        grid: output of the second convolution.
        norm: that follows.
        side: output of the shortcut.
        row_size: from one of its rows to the next.
        tiling: of the image.
        other: an image, where to write the result; or its gradient.
        scores: if it is a gradient.
        tile: room.

    Returns:
        inner product of the result and its gradient, or 0.
    """
    channels, total = tiling.channels, splat(0.0)
    for channel in range(0, channels, WIDTH):
        factor, term = load(norm, channel), load(norm, channels + channel)
        for row in range(tiling.height):
            p, q = row * grid_row(tiling) + channel, row * row_size + channel
            r, part = row * image_row(tiling) + channel, splat(0.0)
            for _ in range(tiling.width):
                value = fma(factor, load(grid, p), term) + load(side, q)
                value = larger(splat(0.0), value)
                if scores:
                    part = fma(value, load(other, r), part)
                else:
                    store(other, r, value)
                p += channels
                q += channels
                r += channels
            # Row by row, since rounding errors grow with the length of a sum.
            total = total + part
    return summed(total, tile) if scores else 0.0


@jit
def pass_on(
    y: np.ndarray,
    row_size: int,
    rectified: bool,
    tiling: ImageTiling,
    other: np.ndarray,
    scores: bool,
    tile: np.ndarray,
) -> float:
    """An image, after a ReLU if it is to be `rectified`; see `add_up` for the rest."""
    total = splat(0.0)
    for row in range(tiling.height):
        p, q, part = row * row_size, row * image_row(tiling), splat(0.0)
        for i in range(0, image_row(tiling), WIDTH):
            value = load(y, p + i)
            if rectified:
                value = larger(splat(0.0), value)
            if scores:
                part = fma(value, load(other, q + i), part)
            else:
                store(other, q + i, value)
        total = total + part
    return summed(total, tile) if scores else 0.0


@jit
def through_activation(
    y: np.ndarray,
    norm: np.ndarray,
    tiling: ImageTiling,
    padded_grad: np.ndarray,
    grid: np.ndarray,
    terms: np.ndarray,
) -> None:
    """The gradient of `activate` before the norm's factor, into a grid; and that of its terms
    [C]. `y` is an image."""
    channels = tiling.channels
    for channel in range(0, channels, WIDTH):
        factor, term = load(norm, channel), load(norm, channels + channel)
        total = splat(0.0)
        for row in range(tiling.height):
            p, q = row * image_row(tiling) + channel, inside(row, tiling) + channel
            r = row * grid_row(tiling) + channel
            for _ in range(tiling.width):
                # Where the activation was not positive the ReLU passed nothing on. Its sign is
                # computed as in the forward pass, to the bit.
                grad = where_positive(fma(factor, load(y, p), term), load(padded_grad, q))
                total = total + grad
                store(grid, r, grad)
                p += channels
                q += channels
                r += channels
        store(terms, channel, total)


@jit
def through_sum(
    out: np.ndarray,
    grad: np.ndarray,
    rectified: bool,
    tiling: ImageTiling,
    grid: np.ndarray,
    terms: np.ndarray,
) -> None:
    """The gradient of the last ReLU, if there is one, into a grid; and that of the norms' terms
    [C]. `out` and its gradient are images."""
    channels = tiling.channels
    for channel in range(0, channels, WIDTH):
        total = splat(0.0)
        for row in range(tiling.height):
            p, q = row * image_row(tiling) + channel, row * grid_row(tiling) + channel
            for _ in range(tiling.width):
                passed = load(grad, p)
                if rectified:
                    passed = where_positive(load(out, p), passed)
                total = total + passed
                store(grid, q, passed)
                p += channels
                q += channels
        store(terms, channel, total)


@jit
def note_sums(grid: np.ndarray, tiling: ImageTiling, sums: np.ndarray) -> None:
    """Sums and sums of squares over the pixels to `sums` [2, C]."""
    channels = tiling.channels
    for channel in range(0, channels, WIDTH):
        # Both moments in one pass over memory; means and variances are taken of them elsewhere.
        total, squares = splat(0.0), splat(0.0)
        for row in range(tiling.height):
            p = row * grid_row(tiling) + channel
            for _ in range(tiling.width):
                value = load(grid, p)
                total, squares = total + value, fma(value, value, squares)
                p += channels
        store(sums, channel, total)
        store(sums, channels + channel, squares)


@jit
def note_ends(ends: np.ndarray, extremes: np.ndarray) -> None:
    """Reduce all lanes of `ends` [2, 16] to minimum and maximum [2]."""
    extremes[0] = ends[:WIDTH].min()
    extremes[1] = ends[WIDTH : 2 * WIDTH].max()


@jit
def note_extremes(
    x: np.ndarray, tiling: ImageTiling, ends: np.ndarray, extremes: np.ndarray
) -> None:
    """Minimum and maximum of an image to `extremes` [2]; `ends` is room."""
    # Extremes do not depend on channels, so the image is one stretch of memory.
    low, high = splat(np.inf), splat(-np.inf)
    for p in range(0, tiling.height * image_row(tiling), WIDTH):
        value = load(x, p)
        low, high = smaller(low, value), larger(high, value)
    store(ends, 0, low)
    store(ends, WIDTH, high)
    note_ends(ends, extremes)


@jit
def summed(value: Any, tile: np.ndarray) -> float:
    """Sum over the lanes."""
    store(tile, 0, value)
    total = 0.0
    for lane in range(WIDTH):
        total += tile[lane]
    return total
