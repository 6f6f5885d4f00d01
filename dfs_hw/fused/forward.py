"""Compiled: residual blocks of two 3x3 convolutions, each image at the precision of its own.

A block is ``relu(norm(conv(relu(norm(conv(x))))) + shortcut(x))``, where every convolution first
rounds what it reads, and the shortcut is x itself, or the norm of a 1x1 convolution of stride 2,
and then the first convolution has that stride too. An image goes through all of it while it is in
the cache; only what the backward pass needs is written out. Images are float32 [N, H, W, C],
channels a multiple of 16.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from dfs_hw.fused.lanes import WIDTH
from dfs_hw.fused.pixels import (
    ROUNDING,
    activate,
    add_up,
    inner,
    normalize,
    note_extremes,
    note_sums,
    pass_on,
    round_input,
)
from dfs_hw.fused.taps import Convolution, convolve_taps
from dfs_hw.fused.tiling import (
    OPTIONS,
    F,
    Tiling,
    grid_line,
    grid_row,
    image_line,
    size_of,
)
from dfs_hw.fused.winograd import POINTS, Blocks, convolve_points

SKIP = -1
"""In place of a precision: the block is not run."""
FIRST, SECOND, SIDE = range(3)
"""Convolutions of a block, the last being the shortcut's."""


class Jobs(NamedTuple):
    """Images to be run, in groups of one precision."""

    images: np.ndarray
    """Int64, the numbers of the images."""
    starts: np.ndarray
    """Int64 [jobs + 1], where each group begins in `images`."""
    precisions: np.ndarray
    """Int64 [jobs], of each group, or `SKIP`."""


class Shape(NamedTuple):
    """Of a block."""

    x: Tiling
    out: Tiling
    stride: int
    """Of the first convolution and of a projected shortcut."""
    projects: bool
    """Whether the shortcut is a convolution."""
    exact: bool
    """Whether sums are of integers, and must be exact."""
    highest: int
    """Precision of the shortcut where the block is skipped."""
    rectifies: bool
    """Whether a ReLU follows the shortcut then."""


class Parameters(NamedTuple):
    """Of a block at each of its precisions, flat float32 arrays."""

    first: np.ndarray
    """[precisions, taps or POINTS, channels in, channels out], see `first_points`."""
    second: np.ndarray
    """[precisions, taps or POINTS, channels out, channels out], see `second_points`."""
    side: np.ndarray
    """[precisions, channels in, channels out]; empty without projection."""
    norms: np.ndarray
    """[precisions, 3, 2, channels out]: factor and term."""
    rounding: np.ndarray
    """[precisions, 3, ROUNDING]."""


class Seen(NamedTuple):
    """What a forward pass notes of each image, flat float32 arrays; all may be empty."""

    hidden: np.ndarray
    """[N, H, W, C] output of the first convolution."""
    sums: np.ndarray
    """[N, 3, 2, C]: sum and sum of squares of the output of each convolution."""
    ranges: np.ndarray
    """[N, 3, 2]: minimum and maximum of what each convolution reads, before it is rounded."""


class Room(NamedTuple):
    """Of one thread, for the images at hand."""

    first: np.ndarray
    """Padded images, what the first convolution reads, rounded; and so for the others."""
    second: np.ndarray
    side: np.ndarray
    out: np.ndarray
    """Grids, what a convolution put out; and so for the shortcut's."""
    side_out: np.ndarray
    blocks: Blocks


@njit(**OPTIONS)
def first_points(shape: Shape) -> bool:
    """Whether Winograd's filtering serves the first convolution."""
    return not shape.exact and not shape.projects


@njit(**OPTIONS)
def forward(
    x: np.ndarray,
    jobs: Jobs,
    parameters: Parameters,
    shape: Shape,
    room: Room,
    out: np.ndarray,
    seen: Seen,
) -> None:
    """Run every image at its precision, and write `out` [N, H, W, C] and what was `seen`."""
    for job in range(len(jobs.precisions)):
        images, k = jobs.images[jobs.starts[job] : jobs.starts[job + 1]], jobs.precisions[job]
        run(x, images, k, parameters, shape, room, seen)
        for number, image in enumerate(images):
            finish(x, image, number, k, parameters, shape, room, out, False)


@njit(**OPTIONS)
def score(
    x: np.ndarray,
    grad: np.ndarray,
    jobs: Jobs,
    parameters: Parameters,
    shape: Shape,
    room: Room,
    nothing: Seen,
    found: np.ndarray,
) -> None:
    """Inner products of what the jobs would put out and its gradient `grad` [N, H, W, C], in the
    order of ``jobs.images``, to `found`."""
    for job in range(len(jobs.precisions)):
        start, k = jobs.starts[job], jobs.precisions[job]
        images = jobs.images[start : jobs.starts[job + 1]]
        run(x, images, k, parameters, shape, room, nothing)
        for number, image in enumerate(images):
            found[start + number] = finish(x, image, number, k, parameters, shape, room, grad, True)


@njit(**OPTIONS)
def run(
    x: np.ndarray,
    images: np.ndarray,
    k: int,
    parameters: Parameters,
    shape: Shape,
    room: Room,
    seen: Seen,
) -> None:
    """All convolutions of some images at precision number `k`: leaves the output of the second in
    ``room.out`` and the shortcut, if it is projected, in ``room.side_out``."""
    if shape.projects:
        project(x, images, shape.highest if k == SKIP else k, parameters, shape, room, seen)
    if k == SKIP:
        return
    norms, rounding, blocks = parameters.norms, parameters.rounding, room.blocks
    tiling, channels, count = shape.out, shape.out.channels, len(images)
    for number, image in enumerate(images):
        round_input(x, image, rounding, 3 * k * ROUNDING, shape.x, room.first, number)
    first = Convolution(3, shape.stride, shape.x, tiling)
    convolve(room.first, parameters.first, k, room.out, count, first, first_points(shape), blocks)
    for number, image in enumerate(images):
        activate(
            room.out,
            grid_line(number, 0, tiling),
            grid_row(tiling),
            norms,
            6 * k * channels,
            rounding,
            (3 * k + 1) * ROUNDING,
            tiling,
            room.second,
            number,
            blocks.tile,
        )
        if len(seen.hidden):
            put_ends(blocks.tile, seen.ranges, 6 * image + 2)
            note_extremes(x, image, shape.x, blocks.tile)
            put_ends(blocks.tile, seen.ranges, 6 * image)
            pass_on(room.out, number, False, tiling, seen.hidden, image, False, blocks.tile)
            note_sums(room.out, number, tiling, seen.sums, 6 * image * channels)
    second = Convolution(3, 1, tiling, tiling)
    convolve(room.second, parameters.second, k, room.out, count, second, not shape.exact, blocks)
    if len(seen.sums):
        for number, image in enumerate(images):
            note_sums(room.out, number, tiling, seen.sums, (6 * image + 2) * channels)


@njit(**OPTIONS)
def convolve(
    padded: np.ndarray,
    weights: np.ndarray,
    k: int,
    grid: np.ndarray,
    images: int,
    how: Convolution,
    by_points: bool,
    blocks: Blocks,
) -> None:
    """One convolution at precision number `k`."""
    one = how.x.channels * how.out.channels
    if by_points:
        convolve_points(padded, weights, k * POINTS * one, grid, images, how.x, blocks)
    else:
        convolve_taps(padded, weights, k * how.kernel * how.kernel * one, grid, images, how)


@njit(**OPTIONS)
def put_ends(tile: np.ndarray, ranges: np.ndarray, start: int) -> None:
    """Minimum and maximum over the lanes of ``tile[:16]`` and of ``tile[16:32]``."""
    ranges[start] = tile[:WIDTH].min()
    ranges[start + 1] = tile[WIDTH : 2 * WIDTH].max()


@njit(**OPTIONS)
def project(
    x: np.ndarray,
    images: np.ndarray,
    k: int,
    parameters: Parameters,
    shape: Shape,
    room: Room,
    seen: Seen,
) -> None:
    """The shortcut of some images at precision number `k`, into ``room.side_out``."""
    channels = shape.out.channels
    for number, image in enumerate(images):
        round_input(
            x, image, parameters.rounding, (3 * k + 2) * ROUNDING, shape.x, room.side, number
        )
    side = Convolution(1, shape.stride, shape.x, shape.out)
    convolve(room.side, parameters.side, k, room.side_out, len(images), side, False, room.blocks)
    for number, image in enumerate(images):
        if len(seen.sums):
            note_extremes(x, image, shape.x, room.blocks.tile)
            put_ends(room.blocks.tile, seen.ranges, 6 * image + 4)
            note_sums(room.side_out, number, shape.out, seen.sums, (6 * image + 4) * channels)
        normalize(room.side_out, number, parameters.norms, (6 * k + 4) * channels, shape.out)


@njit(**OPTIONS)
def finish(
    x: np.ndarray,
    image: int,
    number: int,
    k: int,
    parameters: Parameters,
    shape: Shape,
    room: Room,
    other: np.ndarray,
    scores: bool,
) -> float:
    """What follows `run`: write the block's output to its place in `other`; or, if it `scores`,
    return its inner product with what stands there."""
    tiling, norms, tile = shape.out, parameters.norms, room.blocks.tile
    norm = (6 * k + 2) * tiling.channels
    if k != SKIP:
        side, first, row = x, image_line(image, 0, tiling), tiling.width * tiling.channels
        if shape.projects:
            side, first, row = room.side_out, grid_line(number, 0, tiling), grid_row(tiling)
        return add_up(
            room.out, number, norms, norm, side, first, row, tiling, other, image, scores, tile
        )
    if shape.projects:
        rectifies = shape.rectifies
        return pass_on(room.side_out, number, rectifies, tiling, other, image, scores, tile)
    if scores:
        return inner(x, other, image, tiling, tile)
    size = size_of(tiling)
    other[image * size : (image + 1) * size] = x[image * size : (image + 1) * size]
    return F(0)
