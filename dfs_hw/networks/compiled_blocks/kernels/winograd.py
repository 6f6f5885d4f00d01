"""Compiled: 3x3 convolutions of stride 1 by F(4x4, 3x3) of Winograd's minimal filtering.

An output tile of 4x4 is A' ((G w G') * (B' d B)) A of an input tile d of 6x6, a quarter of the
multiplications (Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016,
arXiv 1509.09308, section 4). Seen as a linear map, its transpose gives both gradients from the same
three transforms.

See `tiling` for padded images and grids.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dfs_hw.networks.compiled_blocks.kernels.lanes import (
    fma,
    jit,
    load_four,
    load_six,
    small_product,
    splat,
    store_four,
    store_six,
)
from dfs_hw.networks.compiled_blocks.kernels.layout import WIDTH
from dfs_hw.networks.compiled_blocks.kernels.tiling import (
    BLOCK,
    EDGE,
    REACH,
    ImageTiling,
    grid_row,
    padded_row,
)

POINTS = REACH * REACH
"""Products per tile and pair of channels."""
PAD = WIDTH
"""Gap between the points of a block, so that they do not fall into one set of the cache."""

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
"""Distance from one line of a tile to the next."""

tall, tall_adding = small_product(BLOCK, 1, adds=False), small_product(WIDTH, 1, adds=True)
ROWS = 8
wide, wide_adding = small_product(ROWS, 2, adds=False), small_product(ROWS, 2, adds=True)


class WinogradScratch(NamedTuple):
    """Room for one block of tiles: float32 [POINTS * point_size] each, and one tile."""

    inputs: np.ndarray
    outputs: np.ndarray
    gradients: np.ndarray
    tile: np.ndarray


@jit
def point_size(channels: int) -> int:
    """Distance from one point of a block [POINTS, BLOCK, channels] to the next."""
    return BLOCK * channels + PAD


@jit
def convolve_points(
    padded: np.ndarray,
    weights: np.ndarray,
    grid: np.ndarray,
    images: int,
    tiling: ImageTiling,
    blocks: WinogradScratch,
) -> None:
    """Convolve padded images into grids; beyond the image, these then hold what is of no use.

    Args:
        padded: [images] padded images.
        weights: [POINTS, channels in, channels out] transformed.
        grid: [images] grids.
        images: how many.
        tiling: of each.
        blocks: room.
    """
    channels, tiles = tiling.channels, images * tiling.down * tiling.across
    # Block by block: transformed tiles take more than twice the room of the image, and must not
    # leave the cache before they are multiplied.
    for first in range(0, tiles, BLOCK):
        count = min(BLOCK, tiles - first)
        for tile in range(count):
            place = padded_place(first + tile, tiling)
            for channel in range(0, channels, WIDTH):
                p = tile * channels + channel
                to_points(padded, place + channel, tiling, blocks.tile, blocks.inputs, p)
        # At every point a product of matrices over channels; the last block multiplies stale tiles
        # too, which takes no longer than to leave them out and is never read.
        multiply(blocks.inputs, weights, blocks.outputs, channels)
        for tile in range(count):
            place = grid_place(first + tile, tiling)
            for channel in range(0, channels, WIDTH):
                p = tile * channels + channel
                from_points(blocks.outputs, p, blocks.tile, grid, place + channel, tiling)


@jit
def convolve_points_back(
    padded: np.ndarray,
    weights: np.ndarray,
    grid: np.ndarray,
    padded_grad: np.ndarray,
    weight_grad: np.ndarray,
    images: int,
    tiling: ImageTiling,
    blocks: WinogradScratch,
) -> None:
    """Gradients of `convolve_points`, added to what is there.

    Args:
        padded: [images] padded images that were convolved.
        weights: [POINTS, channels out, channels in] transformed.
        grid: [images] gradients of the output, 0 beyond the image.
        padded_grad: [images] of the padded images.
        weight_grad: [POINTS, channels in, channels out] of the transformed weights.
        images: how many.
        tiling: of each.
        blocks: room.
    """
    channels, tiles = tiling.channels, images * tiling.down * tiling.across
    for first in range(0, tiles, BLOCK):
        count = min(BLOCK, tiles - first)
        for tile in range(count):
            place, made = padded_place(first + tile, tiling), grid_place(first + tile, tiling)
            for channel in range(0, channels, WIDTH):
                p = tile * channels + channel
                # Inputs are transformed again rather than kept from the forward pass, which would
                # be a multiple of the image in memory.
                to_points(padded, place + channel, tiling, blocks.tile, blocks.inputs, p)
                back_to_points(grid, made + channel, tiling, blocks.tile, blocks.gradients, p)
        multiply(blocks.gradients, weights, blocks.outputs, channels)
        # Here stale tiles would count, so only `count` of them are taken.
        correlate(blocks.inputs, blocks.gradients, weight_grad, channels, count)
        for tile in range(count):
            place = padded_place(first + tile, tiling)
            for channel in range(0, channels, WIDTH):
                p = tile * channels + channel
                back_from_points(
                    blocks.outputs, p, blocks.tile, padded_grad, place + channel, tiling
                )


@jit
def padded_place(tile: int, tiling: ImageTiling) -> int:
    """Where input tile number `tile` of padded images, one after the other, begins."""
    image, row, column = located(tile, tiling)
    rows = image * (EDGE * tiling.down + 2) + EDGE * row
    return rows * padded_row(tiling) + EDGE * column * tiling.channels


@jit
def grid_place(tile: int, tiling: ImageTiling) -> int:
    """Where output tile number `tile` of grids, one after the other, begins."""
    image, row, column = located(tile, tiling)
    rows = EDGE * (image * tiling.down + row)
    return rows * grid_row(tiling) + EDGE * column * tiling.channels


@jit
def located(tile: int, tiling: ImageTiling) -> tuple[int, int, int]:
    """Image, row and column of a tile."""
    line, column = divmod(tile, tiling.across)
    image, row = divmod(line, tiling.down)
    return image, row, column


@jit
def multiply(tiles: np.ndarray, weights: np.ndarray, out: np.ndarray, channels: int) -> None:
    """Multiply, at each point, [BLOCK, channels] by [channels, channels]."""
    for p in range(POINTS):
        here, w = p * point_size(channels), p * channels * channels
        # Registers hold either sixteen rows of one vector or eight of two; two use each number of
        # `tiles` twice.
        if channels % (2 * WIDTH):
            for column in range(0, channels, WIDTH):
                b, c = w + column, here + column
                tall(tiles, here, channels, 1, weights, b, channels, out, c, channels, channels)
            continue
        for column in range(0, channels, 2 * WIDTH):
            for row in range(0, BLOCK * channels, ROWS * channels):
                a, b, c = here + row, w + column, here + row + column
                wide(tiles, a, channels, 1, weights, b, channels, out, c, channels, channels)


@jit
def correlate(
    inputs: np.ndarray,
    gradients: np.ndarray,
    out: np.ndarray,
    channels: int,
    count: int,
) -> None:
    """Add, at each point, what the first `count` tiles say of the weights' gradient."""
    for p in range(POINTS):
        here, w = p * point_size(channels), p * channels * channels
        if channels % (2 * WIDTH):
            for row in range(0, channels, WIDTH):
                for column in range(0, channels, WIDTH):
                    a, b, c = here + row, here + column, w + row * channels + column
                    tall_adding(
                        inputs, a, 1, channels, gradients, b, channels, out, c, channels, count
                    )
            continue
        for row in range(0, channels, ROWS):
            for column in range(0, channels, 2 * WIDTH):
                a, b, c = here + row, here + column, w + row * channels + column
                wide_adding(inputs, a, 1, channels, gradients, b, channels, out, c, channels, count)


@jit
def times_b(d: Any) -> Any:
    """B' of six numbers."""
    # Sums and differences that two lines share are taken once; every product is a power of two or
    # five, so few roundings are added.
    four, five = splat(4.0), splat(-5.0)
    even, odd = fma(splat(-4.0), d[2], d[4]), fma(splat(-4.0), d[1], d[3])
    near, far = d[4] - d[2], splat(2.0) * (d[3] - d[1])
    return (
        fma(four, d[0], fma(five, d[2], d[4])),
        even + odd,
        even - odd,
        near + far,
        near - far,
        fma(four, d[1], fma(five, d[3], d[5])),
    )


@jit
def times_b_transposed(m: Any) -> Any:
    """B of six numbers."""
    four, five = splat(4.0), splat(-5.0)
    near, far = m[1] + m[2], m[3] + m[4]
    apart, further = m[1] - m[2], splat(2.0) * (m[4] - m[3])
    return (
        four * m[0],
        fma(four, m[5] - apart, further),
        fma(five, m[0], splat(-4.0) * near - far),
        fma(five, m[5], apart - further),
        m[0] + near + far,
        m[5],
    )


@jit
def times_a(m: Any) -> Any:
    """A' of six numbers."""
    near, far, apart, further = m[1] + m[2], m[3] + m[4], m[1] - m[2], m[3] - m[4]
    return (
        m[0] + near + far,
        fma(splat(2.0), further, apart),
        fma(splat(4.0), far, near),
        fma(splat(8.0), further, apart) + m[5],
    )


@jit
def times_a_transposed(y: Any) -> Any:
    """A of four numbers."""
    even, odd = y[0] + y[2], y[1] + y[3]
    far, further = fma(splat(4.0), y[2], y[0]), fma(splat(8.0), y[3], splat(2.0) * y[1])
    return y[0], even + odd, even - odd, far + further, far - further, y[3]


@jit
def to_points(
    padded: np.ndarray,
    place: int,
    tiling: ImageTiling,
    tile: np.ndarray,
    points: np.ndarray,
    first: int,
) -> None:
    """B' d B of the input tile at `place`, for 16 channels."""
    step = point_size(tiling.channels)
    for j in range(REACH):
        # Columns, then lines: the same six-number transform twice. Sixteen channels go side by
        # side, so nothing is shuffled between lanes.
        column = load_six(padded, place + j * tiling.channels, padded_row(tiling))
        store_six(tile, j * WIDTH, LINE, times_b(column))
    for i in range(REACH):
        store_six(points, first + REACH * i * step, step, times_b(load_six(tile, i * LINE, WIDTH)))


@jit
def back_from_points(
    points: np.ndarray,
    first: int,
    tile: np.ndarray,
    padded: np.ndarray,
    place: int,
    tiling: ImageTiling,
) -> None:
    """Add the transpose of `to_points`: B m B', where tiles overlap."""
    step = point_size(tiling.channels)
    for j in range(REACH):
        column = load_six(points, first + j * step, REACH * step)
        store_six(tile, j * WIDTH, LINE, times_b_transposed(column))
    for i in range(REACH):
        more, p = (
            times_b_transposed(load_six(tile, i * LINE, WIDTH)),
            place + i * padded_row(tiling),
        )
        # Input tiles overlap by two pixels, whose gradients come from several tiles: they are
        # added.
        there = load_six(padded, p, tiling.channels)
        total = (
            there[0] + more[0],
            there[1] + more[1],
            there[2] + more[2],
            there[3] + more[3],
            there[4] + more[4],
            there[5] + more[5],
        )
        store_six(padded, p, tiling.channels, total)


@jit
def from_points(
    points: np.ndarray,
    first: int,
    tile: np.ndarray,
    grid: np.ndarray,
    place: int,
    tiling: ImageTiling,
) -> None:
    """A' m A, the output tile at `place`, for 16 channels."""
    step = point_size(tiling.channels)
    for j in range(REACH):
        column = load_six(points, first + j * step, REACH * step)
        store_four(tile, j * WIDTH, LINE, times_a(column))
    for i in range(EDGE):
        line = times_a(load_six(tile, i * LINE, WIDTH))
        store_four(grid, place + i * grid_row(tiling), tiling.channels, line)


@jit
def back_to_points(
    grid: np.ndarray,
    place: int,
    tiling: ImageTiling,
    tile: np.ndarray,
    points: np.ndarray,
    first: int,
) -> None:
    """The transpose of `from_points`: A y A'."""
    step = point_size(tiling.channels)
    for j in range(EDGE):
        column = load_four(grid, place + j * tiling.channels, grid_row(tiling))
        store_six(tile, j * WIDTH, LINE, times_a_transposed(column))
    for i in range(REACH):
        line = times_a_transposed(load_four(tile, i * LINE, WIDTH))
        store_six(points, first + REACH * i * step, step, line)
