"""Compiled: 3x3 convolutions of stride 1 by F(4x4, 3x3) of Winograd's minimal filtering.

An output tile of 4x4 is A' ((G w G') * (B' d B)) A of an input tile d of 6x6, a quarter of the
multiplications (Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016,
arXiv 1509.09308, section 4). Seen as a linear map, its transpose gives both gradients from the same
three transforms.

See `dfs_hw.fused.tiling` for padded images and grids.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from dfs_hw.fused.lanes import WIDTH, fma, load, small_product, splat, store
from dfs_hw.fused.tiling import (
    BLOCK,
    EDGE,
    OPTIONS,
    REACH,
    F,
    Tiling,
    grid_place,
    grid_row,
    grid_size,  # noqa: F401 (for those that make room)
    padded_place,
    padded_row,
    padded_size,  # noqa: F401
)

POINTS = REACH * REACH
"""Products per tile and pair of channels."""
PAD = WIDTH
"""Between the points of a block, so that they do not fall into one set of the cache."""

WEIGHT_TRANSFORM = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
"""G."""

LINE = REACH * WIDTH
"""From one line of a tile to the next."""

tall, tall_adding = small_product(16, 1, adds=False), small_product(16, 1, adds=True)
wide, wide_adding = small_product(8, 2, adds=False), small_product(8, 2, adds=True)


class Blocks(NamedTuple):
    """Room for one block of tiles: float32 [POINTS, BLOCK, channels] each, and one tile."""

    inputs: np.ndarray
    outputs: np.ndarray
    gradients: np.ndarray
    tile: np.ndarray


@njit(**OPTIONS)
def convolve_points(
    padded: np.ndarray,
    weights: np.ndarray,
    start: int,
    grid: np.ndarray,
    images: int,
    tiling: Tiling,
    blocks: Blocks,
) -> None:
    """Convolve padded images into grids; beyond the image, the grid holds what is of no use.

    Args:
        padded: [images] padded images.
        weights: [..., POINTS, channels in, channels out] transformed, those to use from `start` on.
        grid: [images] grids.
        images: how many.
        tiling: of each.
        blocks: room.
    """
    channels, tiles = tiling.channels, images * tiling.down * tiling.across
    point = BLOCK * channels + PAD
    for first in range(0, tiles, BLOCK):
        count = min(BLOCK, tiles - first)
        for tile in range(count):
            place = padded_place(first + tile, tiling)
            for channel in range(0, channels, WIDTH):
                to_points(
                    padded,
                    place + channel,
                    padded_row(tiling),
                    channels,
                    blocks.tile,
                    blocks.inputs,
                    tile * channels + channel,
                    point,
                )
        multiply(blocks.inputs, weights, start, blocks.outputs, channels, point)
        for tile in range(count):
            place = grid_place(first + tile, tiling)
            for channel in range(0, channels, WIDTH):
                from_points(
                    blocks.outputs,
                    tile * channels + channel,
                    point,
                    blocks.tile,
                    grid,
                    place + channel,
                    grid_row(tiling),
                    channels,
                )


@njit(**OPTIONS)
def convolve_points_back(
    padded: np.ndarray,
    weights: np.ndarray,
    start: int,
    grid: np.ndarray,
    padded_grad: np.ndarray,
    weight_grad: np.ndarray,
    images: int,
    tiling: Tiling,
    blocks: Blocks,
) -> None:
    """Gradients of `convolve_points`, added to what is there.

    Args:
        padded: [images] padded images that were convolved.
        weights: [..., POINTS, channels out, channels in] transformed, those used from `start` on.
        grid: [images] gradients of the output, 0 beyond the image.
        padded_grad: [images] of the padded images.
        weight_grad: [POINTS, channels in, channels out] of the transformed weights.
        images: how many.
        tiling: of each.
        blocks: room.
    """
    channels, tiles = tiling.channels, images * tiling.down * tiling.across
    point = BLOCK * channels + PAD
    for first in range(0, tiles, BLOCK):
        count = min(BLOCK, tiles - first)
        for tile in range(count):
            place = padded_place(first + tile, tiling)
            from_place = grid_place(first + tile, tiling)
            for channel in range(0, channels, WIDTH):
                to_points(
                    padded,
                    place + channel,
                    padded_row(tiling),
                    channels,
                    blocks.tile,
                    blocks.inputs,
                    tile * channels + channel,
                    point,
                )
                gradient_to_points(
                    grid,
                    from_place + channel,
                    grid_row(tiling),
                    channels,
                    blocks.tile,
                    blocks.gradients,
                    tile * channels + channel,
                    point,
                )
        multiply(blocks.gradients, weights, start, blocks.outputs, channels, point)
        correlate(blocks.inputs, blocks.gradients, weight_grad, channels, point, count)
        for tile in range(count):
            place = padded_place(first + tile, tiling)
            for channel in range(0, channels, WIDTH):
                gradient_from_points(
                    blocks.outputs,
                    tile * channels + channel,
                    point,
                    blocks.tile,
                    padded_grad,
                    place + channel,
                    padded_row(tiling),
                    channels,
                )


@njit(**OPTIONS)
def multiply(
    tiles: np.ndarray, weights: np.ndarray, start: int, out: np.ndarray, channels: int, point: int
) -> None:
    """At each point, [BLOCK, channels] by [channels, channels]."""
    for p in range(POINTS):
        here, w = p * point, start + p * channels * channels
        if channels % (2 * WIDTH):
            for column in range(0, channels, WIDTH):
                b, c = w + column, here + column
                tall(tiles, here, channels, 1, weights, b, channels, out, c, channels, channels)
            continue
        for column in range(0, channels, 2 * WIDTH):
            for row in range(0, BLOCK * channels, 8 * channels):
                a, b, c = here + row, w + column, here + row + column
                wide(tiles, a, channels, 1, weights, b, channels, out, c, channels, channels)


@njit(**OPTIONS)
def correlate(
    inputs: np.ndarray,
    gradients: np.ndarray,
    out: np.ndarray,
    channels: int,
    point: int,
    count: int,
) -> None:
    """At each point, add what the first `count` tiles say of the weights' gradient."""
    for p in range(POINTS):
        here, w = p * point, p * channels * channels
        if channels % (2 * WIDTH):
            for row in range(0, channels, 16):
                for column in range(0, channels, WIDTH):
                    a, b, c = here + row, here + column, w + row * channels + column
                    tall_adding(
                        inputs, a, 1, channels, gradients, b, channels, out, c, channels, count
                    )
            continue
        for row in range(0, channels, 8):
            for column in range(0, channels, 2 * WIDTH):
                a, b, c = here + row, here + column, w + row * channels + column
                wide_adding(inputs, a, 1, channels, gradients, b, channels, out, c, channels, count)


@njit(**OPTIONS)
def times_b(d: Any) -> Any:
    """B' of six numbers."""
    four, five = splat(F(4)), splat(F(-5))
    even, odd = fma(splat(F(-4)), d[2], d[4]), fma(splat(F(-4)), d[1], d[3])
    near, far = d[4] - d[2], splat(F(2)) * (d[3] - d[1])
    return (
        fma(four, d[0], fma(five, d[2], d[4])),
        even + odd,
        even - odd,
        near + far,
        near - far,
        fma(four, d[1], fma(five, d[3], d[5])),
    )


@njit(**OPTIONS)
def times_b_transposed(m: Any) -> Any:
    """B of six numbers."""
    four, five = splat(F(4)), splat(F(-5))
    near, far = m[1] + m[2], m[3] + m[4]
    apart, further = m[1] - m[2], splat(F(2)) * (m[4] - m[3])
    return (
        four * m[0],
        fma(four, m[5] - apart, further),
        fma(five, m[0], splat(F(-4)) * near - far),
        fma(five, m[5], apart - further),
        m[0] + near + far,
        m[5],
    )


@njit(**OPTIONS)
def times_a(m: Any) -> Any:
    """A' of six numbers."""
    near, far, apart, further = m[1] + m[2], m[3] + m[4], m[1] - m[2], m[3] - m[4]
    return (
        m[0] + near + far,
        fma(splat(F(2)), further, apart),
        fma(splat(F(4)), far, near),
        fma(splat(F(8)), further, apart) + m[5],
    )


@njit(**OPTIONS)
def times_a_transposed(y: Any) -> Any:
    """A of four numbers."""
    even, odd = y[0] + y[2], y[1] + y[3]
    far, further = fma(splat(F(4)), y[2], y[0]), fma(splat(F(8)), y[3], splat(F(2)) * y[1])
    return y[0], even + odd, even - odd, far + further, far - further, y[3]


@njit(**OPTIONS)
def to_points(
    image: np.ndarray,
    place: int,
    row: int,
    column: int,
    tile: np.ndarray,
    points: np.ndarray,
    first: int,
    step: int,
) -> None:
    """B' d B of the input tile at `place`, for 16 channels."""
    for j in range(REACH):
        put_six(tile, j * WIDTH, LINE, times_b(six(image, place + j * column, row)))
    for i in range(REACH):
        transformed = times_b(six(tile, i * LINE, WIDTH))
        put_six(points, first + REACH * i * step, step, transformed)


@njit(**OPTIONS)
def gradient_from_points(
    points: np.ndarray,
    first: int,
    step: int,
    tile: np.ndarray,
    image: np.ndarray,
    place: int,
    row: int,
    column: int,
) -> None:
    """Add the transpose of `to_points`: B m B', where tiles overlap."""
    for j in range(REACH):
        transformed = times_b_transposed(six(points, first + j * step, REACH * step))
        put_six(tile, j * WIDTH, LINE, transformed)
    for i in range(REACH):
        more, p = times_b_transposed(six(tile, i * LINE, WIDTH)), place + i * row
        there = six(image, p, column)
        total = (
            there[0] + more[0],
            there[1] + more[1],
            there[2] + more[2],
            there[3] + more[3],
            there[4] + more[4],
            there[5] + more[5],
        )
        put_six(image, p, column, total)


@njit(**OPTIONS)
def from_points(
    points: np.ndarray,
    first: int,
    step: int,
    tile: np.ndarray,
    grid: np.ndarray,
    place: int,
    row: int,
    column: int,
) -> None:
    """A' m A, the output tile at `place`, for 16 channels."""
    for j in range(REACH):
        put_four(tile, j * WIDTH, LINE, times_a(six(points, first + j * step, REACH * step)))
    for i in range(EDGE):
        put_four(grid, place + i * row, column, times_a(six(tile, i * LINE, WIDTH)))


@njit(**OPTIONS)
def gradient_to_points(
    grid: np.ndarray,
    place: int,
    row: int,
    column: int,
    tile: np.ndarray,
    points: np.ndarray,
    first: int,
    step: int,
) -> None:
    """The transpose of `from_points`: A y A'."""
    for j in range(EDGE):
        put_six(tile, j * WIDTH, LINE, times_a_transposed(four(grid, place + j * column, row)))
    for i in range(REACH):
        transformed = times_a_transposed(four(tile, i * LINE, WIDTH))
        put_six(points, first + REACH * i * step, step, transformed)


@njit(**OPTIONS)
def four(array: np.ndarray, first: int, step: int) -> Any:
    return (
        load(array, first),
        load(array, first + step),
        load(array, first + 2 * step),
        load(array, first + 3 * step),
    )


@njit(**OPTIONS)
def six(array: np.ndarray, first: int, step: int) -> Any:
    return (
        load(array, first),
        load(array, first + step),
        load(array, first + 2 * step),
        load(array, first + 3 * step),
        load(array, first + 4 * step),
        load(array, first + 5 * step),
    )


@njit(**OPTIONS)
def put_four(array: np.ndarray, first: int, step: int, values: Any) -> None:
    store(array, first, values[0])
    store(array, first + step, values[1])
    store(array, first + 2 * step, values[2])
    store(array, first + 3 * step, values[3])


@njit(**OPTIONS)
def put_six(array: np.ndarray, first: int, step: int, values: Any) -> None:
    store(array, first, values[0])
    store(array, first + step, values[1])
    store(array, first + 2 * step, values[2])
    store(array, first + 3 * step, values[3])
    store(array, first + 4 * step, values[4])
    store(array, first + 5 * step, values[5])
