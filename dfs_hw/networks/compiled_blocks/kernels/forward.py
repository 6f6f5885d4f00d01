"""Compiled: residual blocks of two 3x3 convolutions, each image at the precision of its own.

A block is ``relu(norm(conv(relu(norm(conv(x))))) + shortcut(x))``, where every convolution first
rounds what it reads. The shortcut is x itself, or the norm of a 1x1 convolution with the stride of
the block's first convolution. An image goes through all of it while it is in the cache; only what
the backward pass needs is written out. Images are float32 [N, H, W, C], channels a multiple of 16.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dfs_hw.networks.compiled_blocks.kernels.lanes import jit
from dfs_hw.networks.compiled_blocks.kernels.layout import FIRST, SECOND, SIDE, SKIPPED
from dfs_hw.networks.compiled_blocks.kernels.pixels import (
    activate,
    add_up,
    normalize,
    note_ends,
    note_extremes,
    note_sums,
    pass_on,
    round_input,
)
from dfs_hw.networks.compiled_blocks.kernels.taps import Convolution, convolve_taps
from dfs_hw.networks.compiled_blocks.kernels.tiling import ImageTiling, grid_row, image_row
from dfs_hw.networks.compiled_blocks.kernels.winograd import WinogradScratch, convolve_points


class Jobs(NamedTuple):
    """Images to be run, in groups of one precision."""

    images: np.ndarray
    """Int64, the numbers of the images."""
    starts: np.ndarray
    """Int64 [jobs + 1], where each group begins in `images`."""
    precisions: np.ndarray
    """Int64 [jobs], of each group, or `SKIPPED`."""


class BlockShape(NamedTuple):
    """Geometry of a block."""

    x: ImageTiling
    out: ImageTiling
    stride: int
    """Stride of the first convolution and of a projected shortcut."""
    projects: bool
    """Whether the shortcut is a convolution."""
    first_by_points: bool
    """Whether Winograd's filtering serves the first convolution; otherwise it goes tap by tap."""
    second_by_points: bool
    highest: int
    """Precision of the shortcut where the block is skipped."""
    rectifies: bool
    """Whether a ReLU follows the shortcut then."""


class Parameters(NamedTuple):
    """Parameters of a block at each of its precisions, float32."""

    first: np.ndarray
    """Weights of the first convolution, [precisions, taps or points * channels in * channels
    out]."""
    second: np.ndarray
    """Weights of the second convolution, [precisions, taps or points * channels * channels]."""
    side: np.ndarray
    """[precisions, channels in * channels out]; none without projection."""
    norms: np.ndarray
    """Factor and term of the norm after each convolution, [precisions, 3, 2, C]."""
    rounding: np.ndarray
    """How each convolution rounds its input, [precisions, 3, ROUNDING_NUMBERS]; see `Levels`."""


class ForwardNotes(NamedTuple):
    """What a forward pass notes of each image, float32; or of none."""

    hidden: np.ndarray
    """[N, H, W, C] output of the first convolution."""
    sums: np.ndarray
    """[N, 3, 2, C]: sum and sum of squares of the output of each convolution."""
    ranges: np.ndarray
    """[N, 3, 2]: minimum and maximum of what each convolution reads, before it is rounded."""


class Room(NamedTuple):
    """Working memory of one thread, for the images at hand."""

    first: np.ndarray
    """Padded images, what the first convolution reads, rounded; and so for the others."""
    second: np.ndarray
    side: np.ndarray
    out: np.ndarray
    """Grids, what a convolution put out; and so for the shortcut's."""
    side_out: np.ndarray
    blocks: WinogradScratch


@jit
def forward(
    x: np.ndarray,
    jobs: Jobs,
    parameters: Parameters,
    shape: BlockShape,
    room: Room,
    out: np.ndarray,
    seen: ForwardNotes,
) -> None:
    """Run every image of x [N, H, W, C] at its precision; write `out`, and what was `seen`."""
    for job in range(len(jobs.precisions)):
        images, k = jobs.images[jobs.starts[job] : jobs.starts[job + 1]], jobs.precisions[job]
        # A job's images go through the whole block together: as many as fill a block of tiles, few
        # enough to stay in the cache from one convolution to the next.
        run(x, images, k, parameters, shape, room, seen)
        for number, image in enumerate(images):
            finish(x[image], number, k, parameters, shape, room, out[image], False)


@jit
def score(
    x: np.ndarray,
    grad: np.ndarray,
    jobs: Jobs,
    parameters: Parameters,
    shape: BlockShape,
    room: Room,
    nothing: ForwardNotes,
    found: np.ndarray,
) -> None:
    """Inner products of what the jobs would put out and its gradient `grad` [N, H, W, C], to
    `found` in the order of ``jobs.images``."""
    for job in range(len(jobs.precisions)):
        start, k = jobs.starts[job], jobs.precisions[job]
        images = jobs.images[start : jobs.starts[job + 1]]
        run(x, images, k, parameters, shape, room, nothing)
        for number, image in enumerate(images):
            found[start + number] = finish(
                x[image], number, k, parameters, shape, room, grad[image], True
            )


@jit
def run(
    x: np.ndarray,
    images: np.ndarray,
    k: int,
    parameters: Parameters,
    shape: BlockShape,
    room: Room,
    seen: ForwardNotes,
) -> None:
    """All convolutions of some images at precision number `k`: leaves the output of the second in
    ``room.out`` and the shortcut, if it is projected, in ``room.side_out``."""
    # A skipped block keeps its shortcut where that changes the shape, and nothing else.
    if shape.projects:
        project(x, images, shape.highest if k == SKIPPED else k, parameters, shape, room, seen)
    if k == SKIPPED:
        return
    norms, rounding, tile = parameters.norms[k], parameters.rounding[k], room.blocks.tile
    count, tiling = len(images), shape.out
    # Into a padded copy, so that the convolution needs no case for edges; rounded on the way, since
    # each precision of the block rounds the same image differently.
    for number, image in enumerate(images):
        round_input(x[image], rounding[FIRST], shape.x, room.first[number])
    first = Convolution(3, shape.stride, shape.x, tiling)
    by_points = shape.first_by_points
    convolve(room.first, parameters.first[k], room.out, count, first, by_points, room.blocks)
    # Norm, ReLU and the next rounding take one pass over what is still in the cache. Statistics are
    # noted in training only: they take passes of their own.
    for number, image in enumerate(images):
        y, padded = room.out[number], room.second[number]
        activate(y, grid_row(tiling), norms[FIRST], rounding[SECOND], tiling, padded, tile)
        if len(seen.hidden):
            note_ends(tile, seen.ranges[image, SECOND])  # as `activate` left them
            note_first(x[image], y, image, shape, seen, tile)
    # The grid is free again by now, since `activate` has moved its contents on.
    again = Convolution(3, 1, tiling, tiling)
    by_points = shape.second_by_points
    convolve(room.second, parameters.second[k], room.out, count, again, by_points, room.blocks)
    if len(seen.hidden):
        for number, image in enumerate(images):
            note_sums(room.out[number], tiling, seen.sums[image, SECOND])


@jit
def note_first(
    x: np.ndarray,
    y: np.ndarray,
    image: int,
    shape: BlockShape,
    seen: ForwardNotes,
    tile: np.ndarray,
) -> None:
    """What the first convolution read and put out; `tile` is room."""
    note_extremes(x, shape.x, tile, seen.ranges[image, FIRST])
    pass_on(y, grid_row(shape.out), False, shape.out, seen.hidden[image], False, tile)
    note_sums(y, shape.out, seen.sums[image, FIRST])


@jit
def convolve(
    padded: np.ndarray,
    weights: np.ndarray,
    grid: np.ndarray,
    images: int,
    how: Convolution,
    by_points: bool,
    blocks: WinogradScratch,
) -> None:
    """One convolution of padded images into grids."""
    if by_points:
        convolve_points(padded, weights, grid, images, how.x, blocks)
    else:
        for image in range(images):
            convolve_taps(padded[image], weights, grid[image], how)


@jit
def project(
    x: np.ndarray,
    images: np.ndarray,
    k: int,
    parameters: Parameters,
    shape: BlockShape,
    room: Room,
    seen: ForwardNotes,
) -> None:
    """The shortcut of some images at precision number `k`, into ``room.side_out``."""
    rounding, norm, tile = parameters.rounding[k], parameters.norms[k, SIDE], room.blocks.tile
    how = Convolution(1, shape.stride, shape.x, shape.out)
    for number, image in enumerate(images):
        padded, grid = room.side[number], room.side_out[number]
        round_input(x[image], rounding[SIDE], shape.x, padded)
        convolve_taps(padded, parameters.side[k], grid, how)
        if len(seen.hidden):
            note_extremes(x[image], shape.x, tile, seen.ranges[image, SIDE])
            note_sums(grid, shape.out, seen.sums[image, SIDE])
    # Statistics are those before the norm, so the norm comes after them.
    for number in range(len(images)):
        normalize(room.side_out[number], norm, shape.out)


@jit
def finish(
    x: np.ndarray,
    number: int,
    k: int,
    parameters: Parameters,
    shape: BlockShape,
    room: Room,
    other: np.ndarray,
    scores: bool,
) -> float:
    """What follows `run` for an image: write the block's output to `other`; or, if it `scores`,
    return its inner product with what stands there."""
    tiling, tile = shape.out, room.blocks.tile
    # An identity shortcut is added from the image itself and never copied.
    side, row_size = x, image_row(tiling)
    if shape.projects:
        side, row_size = room.side_out[number], grid_row(tiling)
    if k == SKIPPED:
        rectified = shape.projects and shape.rectifies
        return pass_on(side, row_size, rectified, tiling, other, scores, tile)
    norm = parameters.norms[k, SECOND]
    return add_up(room.out[number], norm, side, row_size, tiling, other, scores, tile)
