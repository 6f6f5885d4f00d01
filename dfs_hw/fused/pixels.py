"""Compiled: what happens to images between their convolutions.

Norms are by known statistics, so ``factor * y + term`` for each channel; the arrays of parameters
are those of `dfs_hw.fused.forward.Parameters`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from dfs_hw.fused.lanes import (
    WIDTH,
    fma,
    larger,
    load,
    nearest,
    smaller,
    splat,
    store,
    where_positive,
)
from dfs_hw.fused.tiling import (
    OPTIONS,
    F,
    Tiling,
    grid_line,
    image_line,
    padded_line,
    size_of,
)

ROUNDING = 6
"""Numbers that say how a convolution rounds its input, see `Levels`."""


class Levels(NamedTuple):
    """What to round to: level ``(x - low) / step``, and its value ``low + level * unit``."""

    low: Any
    step: Any
    per_step: Any
    """1 / step."""
    lowest: Any
    highest: Any
    """Levels; both 0 if nothing is rounded."""
    unit: Any
    """The step, or 1 where sums are of integers."""


@njit(**OPTIONS)
def levels_of(rounding: np.ndarray, start: int) -> Levels:
    return Levels(
        splat(rounding[start]),
        splat(rounding[start + 1]),
        splat(rounding[start + 2]),
        splat(rounding[start + 3]),
        splat(rounding[start + 4]),
        splat(rounding[start + 5]),
    )


@njit(**OPTIONS)
def rounds(rounding: np.ndarray, start: int) -> bool:
    return rounding[start + 4] > 0


@njit(**OPTIONS)
def to_level(x: Any, to: Levels) -> Any:
    """The value of the nearest level. The quotient is as division gives it (Markstein, "Computation
    of elementary functions on the IBM RISC System/6000 processor", 1990), in a fifth of the time.
    """
    above = x - to.low
    quotient = above * to.per_step
    rest = fma(splat(F(0)) - quotient, to.step, above)
    level = nearest(fma(rest, to.per_step, quotient))
    return smaller(to.highest, larger(to.lowest, level)) * to.unit + to.low


@njit(**OPTIONS)
def round_input(
    x: np.ndarray,
    image: int,
    rounding: np.ndarray,
    start: int,
    tiling: Tiling,
    padded: np.ndarray,
    number: int,
) -> None:
    """Copy an image of `x` [N, H, W, C] into padded ones, rounded."""
    to, rounded = levels_of(rounding, start), rounds(rounding, start)
    for row in range(tiling.height):
        p, q = image_line(image, row, tiling), padded_line(number, row, tiling)
        for i in range(0, tiling.width * tiling.channels, WIDTH):
            value = load(x, p + i)
            store(padded, q + i, to_level(value, to) if rounded else value)


@njit(**OPTIONS)
def activate(
    y: np.ndarray,
    first: int,
    row_size: int,
    norms: np.ndarray,
    norm: int,
    rounding: np.ndarray,
    start: int,
    tiling: Tiling,
    padded: np.ndarray,
    number: int,
    ends: np.ndarray,
) -> None:
    """Norm, ReLU and rounding of the image that begins at `first`, into padded ones.

    Args:
        y: flat, output of a convolution.
        first: where the image begins in it.
        row_size: from one of its rows to the next.
        norms: of the block.
        norm: where the factors begin in them, then the terms.
        rounding: of the block.
        start: where the convolution's begins.
        tiling: of the image.
        padded: is written.
        number: of the image in it.
        ends: [2, 16] is written: extremes before rounding, in each lane.
    """
    channels, to = tiling.channels, levels_of(rounding, start)
    rounded = rounds(rounding, start)
    low, high = splat(F(np.inf)), splat(F(-np.inf))
    for channel in range(0, channels, WIDTH):
        factor, term = load(norms, norm + channel), load(norms, norm + channels + channel)
        for row in range(tiling.height):
            p = first + row * row_size + channel
            q = padded_line(number, row, tiling) + channel
            for _ in range(tiling.width):
                value = larger(splat(F(0)), fma(factor, load(y, p), term))
                low, high = smaller(low, value), larger(high, value)
                store(padded, q, to_level(value, to) if rounded else value)
                p += channels
                q += channels
    store(ends, 0, low)
    store(ends, WIDTH, high)


@njit(**OPTIONS)
def normalize(grid: np.ndarray, number: int, norms: np.ndarray, norm: int, tiling: Tiling) -> None:
    """A norm alone, of an image of a grid, in place."""
    channels = tiling.channels
    for channel in range(0, channels, WIDTH):
        factor, term = load(norms, norm + channel), load(norms, norm + channels + channel)
        for row in range(tiling.height):
            p = grid_line(number, row, tiling) + channel
            for _ in range(tiling.width):
                store(grid, p, fma(factor, load(grid, p), term))
                p += channels


@njit(**OPTIONS)
def add_up(
    grid: np.ndarray,
    number: int,
    norms: np.ndarray,
    norm: int,
    side: np.ndarray,
    first: int,
    row_size: int,
    tiling: Tiling,
    other: np.ndarray,
    image: int,
    scores: bool,
    tile: np.ndarray,
) -> float:
    """The end of a block: norm of an image of a grid, plus the shortcut, and ReLU.

    Args:
        grid: with output of the second convolution.
        number: of the image in it.
        norms: of the block.
        norm: where the factors begin in them, then the terms.
        side: flat, with the shortcut's output.
        first: where the image begins in it.
        row_size: from one of its rows to the next.
        tiling: of the image.
        other: [N, H, W, C], the result is written there; or a gradient.
        image: its number in there.
        scores: if it is a gradient.
        tile: room.

    Returns:
        inner product of the result and the gradient.
    """
    channels, total = tiling.channels, splat(F(0))
    for channel in range(0, channels, WIDTH):
        factor, term = load(norms, norm + channel), load(norms, norm + channels + channel)
        for row in range(tiling.height):
            p, q = grid_line(number, row, tiling) + channel, first + row * row_size + channel
            r, part = image_line(image, row, tiling) + channel, splat(F(0))
            for _ in range(tiling.width):
                value = fma(factor, load(grid, p), term) + load(side, q)
                value = larger(splat(F(0)), value)
                if scores:
                    part = fma(value, load(other, r), part)
                else:
                    store(other, r, value)
                p += channels
                q += channels
                r += channels
            total = total + part
    return summed(total, tile) if scores else F(0)


@njit(**OPTIONS)
def through_activation(
    y: np.ndarray,
    image: int,
    norms: np.ndarray,
    norm: int,
    tiling: Tiling,
    padded_grad: np.ndarray,
    number: int,
    grid: np.ndarray,
    terms: np.ndarray,
    start: int,
) -> None:
    """The gradient of `activate` before the norm's factor, into a grid; and that of its terms."""
    channels = tiling.channels
    for channel in range(0, channels, WIDTH):
        factor, term = load(norms, norm + channel), load(norms, norm + channels + channel)
        total = splat(F(0))
        for row in range(tiling.height):
            p = image_line(image, row, tiling) + channel
            q = padded_line(number, row, tiling) + channel
            r = grid_line(number, row, tiling) + channel
            for _ in range(tiling.width):
                grad = where_positive(fma(factor, load(y, p), term), load(padded_grad, q))
                total = total + grad
                store(grid, r, grad)
                p += channels
                q += channels
                r += channels
        store(terms, start + channel, total)


@njit(**OPTIONS)
def through_sum(
    out: np.ndarray,
    grad: np.ndarray,
    image: int,
    rectified: bool,
    tiling: Tiling,
    grid: np.ndarray,
    number: int,
    terms: np.ndarray,
    start: int,
) -> None:
    """The gradient of the last ReLU, if there is one, into a grid; and that of the norms' terms."""
    channels = tiling.channels
    for channel in range(0, channels, WIDTH):
        total = splat(F(0))
        for row in range(tiling.height):
            p = image_line(image, row, tiling) + channel
            r = grid_line(number, row, tiling) + channel
            for _ in range(tiling.width):
                passed = load(grad, p)
                if rectified:
                    passed = where_positive(load(out, p), passed)
                total = total + passed
                store(grid, r, passed)
                p += channels
                r += channels
        store(terms, start + channel, total)


@njit(**OPTIONS)
def note_sums(grid: np.ndarray, number: int, tiling: Tiling, sums: np.ndarray, start: int) -> None:
    """Sums and sums of squares over an image of a grid, for each channel, to ``sums[start:]``."""
    channels = tiling.channels
    for channel in range(0, channels, WIDTH):
        total, squares = splat(F(0)), splat(F(0))
        for row in range(tiling.height):
            p = grid_line(number, row, tiling) + channel
            for _ in range(tiling.width):
                value = load(grid, p)
                total, squares = total + value, fma(value, value, squares)
                p += channels
        store(sums, start + channel, total)
        store(sums, start + channels + channel, squares)


@njit(**OPTIONS)
def note_extremes(x: np.ndarray, image: int, tiling: Tiling, ends: np.ndarray) -> None:
    """Extremes of an image of `x` [N, H, W, C] to `ends` [2, 16], in each lane."""
    low, high, first = splat(F(np.inf)), splat(F(-np.inf)), image * size_of(tiling)
    for p in range(first, first + size_of(tiling), WIDTH):
        value = load(x, p)
        low, high = smaller(low, value), larger(high, value)
    store(ends, 0, low)
    store(ends, WIDTH, high)


@njit(**OPTIONS)
def pass_on(
    grid: np.ndarray,
    number: int,
    rectified: bool,
    tiling: Tiling,
    other: np.ndarray,
    image: int,
    scores: bool,
    tile: np.ndarray,
) -> float:
    """An image of a grid, after a ReLU if it is `rectified`; see `add_up` for the rest."""
    total = splat(F(0))
    for row in range(tiling.height):
        p, q, part = grid_line(number, row, tiling), image_line(image, row, tiling), splat(F(0))
        for i in range(0, tiling.width * tiling.channels, WIDTH):
            value = load(grid, p + i)
            if rectified:
                value = larger(splat(F(0)), value)
            if scores:
                part = fma(value, load(other, q + i), part)
            else:
                store(other, q + i, value)
        total = total + part
    return summed(total, tile) if scores else F(0)


@njit(**OPTIONS)
def inner(a: np.ndarray, b: np.ndarray, image: int, tiling: Tiling, tile: np.ndarray) -> float:
    """Inner product of an image of two tensors [N, H, W, C]."""
    total = splat(F(0))
    for row in range(tiling.height):
        part, first = splat(F(0)), image_line(image, row, tiling)
        for p in range(first, first + tiling.width * tiling.channels, WIDTH):
            part = fma(load(a, p), load(b, p), part)
        total = total + part
    return summed(total, tile)


@njit(**OPTIONS)
def summed(value: Any, tile: np.ndarray) -> float:
    """Over the lanes."""
    store(tile, 0, value)
    total = F(0)
    for lane in range(WIDTH):
        total += tile[lane]
    return total
