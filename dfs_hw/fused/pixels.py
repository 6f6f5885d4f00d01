"""Compiled: what happens to an image between its convolutions."""

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
from dfs_hw.fused.winograd import OPTIONS, F, Tiling, grid_row, grid_size, padded_row, padded_size


class Grid(NamedTuple):
    """How to round: to ``low + level * step``."""

    low: Any
    per_unit: Any
    step: Any
    highest: Any
    """Level, the lowest being 0; lanes all of them."""


@njit(**OPTIONS)
def rounding_of(rounding: np.ndarray, start: int) -> Grid:
    """From `Parameters.rounding`."""
    return Grid(
        splat(rounding[start]),
        splat(rounding[start + 1]),
        splat(rounding[start + 2]),
        splat(rounding[start + 3]),
    )


@njit(**OPTIONS)
def to_level(x: Any, to: Grid) -> Any:
    """The nearest value of a grid."""
    level = larger(splat(F(0)), nearest((x - to.low) * to.per_unit))
    return fma(smaller(to.highest, level), to.step, to.low)


@njit(**OPTIONS)
def size_of(tiling: Tiling) -> int:
    """Of an image as it is."""
    return tiling.height * tiling.width * tiling.channels


@njit(**OPTIONS)
def inside(number: int, row: int, tiling: Tiling) -> int:
    """Where row number `row` of an image begins in padded images."""
    return number * padded_size(tiling) + (row + 1) * padded_row(tiling) + tiling.channels


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
    length, to = tiling.width * tiling.channels, rounding_of(rounding, start)
    rounds = rounding[start + 3] > 0
    for row in range(tiling.height):
        p, q = image * size_of(tiling) + row * length, inside(number, row, tiling)
        for i in range(0, length, WIDTH):
            value = load(x, p + i)
            store(padded, q + i, to_level(value, to) if rounds else value)


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
        norms: as `Parameters.norms`.
        norm: where the norm's factors begin in them, then its terms.
        rounding: as `Parameters.rounding`.
        start: where the convolution's begins.
        tiling: of the image.
        padded: is written.
        number: of the image in it.
        ends: [2, 16] is written: extremes before rounding, in each lane.
    """
    channels, to = tiling.channels, rounding_of(rounding, start)
    rounds = rounding[start + 3] > 0
    low, high = splat(F(np.inf)), splat(F(-np.inf))
    for channel in range(0, channels, WIDTH):
        a, b = load(norms, norm + channel), load(norms, norm + channels + channel)
        for row in range(tiling.height):
            p = first + row * row_size + channel
            q = inside(number, row, tiling) + channel
            for _ in range(tiling.width):
                value = larger(splat(F(0)), fma(a, load(y, p), b))
                low, high = smaller(low, value), larger(high, value)
                store(padded, q, to_level(value, to) if rounds else value)
                p += channels
                q += channels
    store(ends, 0, low)
    store(ends, WIDTH, high)


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
    term: int,
) -> None:
    """The gradient of `activate` before the norm's factor, into a grid; and that of its terms."""
    channels = tiling.channels
    for channel in range(0, channels, WIDTH):
        a, b = load(norms, norm + channel), load(norms, norm + channels + channel)
        total = splat(F(0))
        for row in range(tiling.height):
            p = image * size_of(tiling) + row * tiling.width * channels + channel
            q = inside(number, row, tiling) + channel
            r = number * grid_size(tiling) + row * grid_row(tiling) + channel
            for _ in range(tiling.width):
                grad = where_positive(fma(a, load(y, p), b), load(padded_grad, q))
                total = total + grad
                store(grid, r, grad)
                p += channels
                q += channels
                r += channels
        store(terms, term + channel, total)


@njit(**OPTIONS)
def through_sum(
    out: np.ndarray,
    grad: np.ndarray,
    image: int,
    tiling: Tiling,
    grid: np.ndarray,
    number: int,
    terms: np.ndarray,
    term: int,
) -> None:
    """The gradient of the last ReLU into a grid; and that of the norm's terms."""
    channels = tiling.channels
    for channel in range(0, channels, WIDTH):
        total = splat(F(0))
        for row in range(tiling.height):
            p = image * size_of(tiling) + row * tiling.width * channels + channel
            r = number * grid_size(tiling) + row * grid_row(tiling) + channel
            for _ in range(tiling.width):
                passed = where_positive(load(out, p), load(grad, p))
                total = total + passed
                store(grid, r, passed)
                p += channels
                r += channels
        store(terms, term + channel, total)


@njit(**OPTIONS)
def note_sums(grid: np.ndarray, number: int, tiling: Tiling, sums: np.ndarray, start: int) -> None:
    """Sums and sums of squares over an image of a grid, for each channel, to ``sums[start:]``."""
    channels = tiling.channels
    for channel in range(0, channels, WIDTH):
        total, squares = splat(F(0)), splat(F(0))
        for row in range(tiling.height):
            p = number * grid_size(tiling) + row * grid_row(tiling) + channel
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
def keep(grid: np.ndarray, number: int, tiling: Tiling, kept: np.ndarray, image: int) -> None:
    """Copy an image of a grid to `kept` [N, H, W, C]."""
    length = tiling.width * tiling.channels
    for row in range(tiling.height):
        p = number * grid_size(tiling) + row * grid_row(tiling)
        q = image * size_of(tiling) + row * length
        for i in range(0, length, WIDTH):
            store(kept, q + i, load(grid, p + i))


@njit(**OPTIONS)
def inner(a: np.ndarray, b: np.ndarray, image: int, tiling: Tiling, tile: np.ndarray) -> float:
    """Inner product of an image of two tensors [N, H, W, C]."""
    total, line, first = splat(F(0)), tiling.width * tiling.channels, image * size_of(tiling)
    for row in range(first, first + size_of(tiling), line):
        part = splat(F(0))
        for p in range(row, row + line, WIDTH):
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
