"""Compiled: residual blocks of two 3x3 convolutions, each image at the precision of its own.

A block is ``relu(norm2(conv2(round2(relu(norm1(conv1(round1(x))))))) + x)``. An image goes through
all of it while it is in the cache; only what the backward pass needs is written out. Norms are by
known statistics, so ``a x + b`` for each channel. Images are float32 [N, H, W, C], channels a
multiple of 16.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from dfs_hw.fused import winograd  # noqa: F401 (for those that call this)
from dfs_hw.fused.lanes import WIDTH, fma, larger, load, splat, store, where_positive
from dfs_hw.fused.pixels import (
    activate,
    inner,
    inside,
    keep,
    note_extremes,
    note_sums,
    round_input,
    size_of,
    summed,
    through_activation,
    through_sum,
)
from dfs_hw.fused.winograd import (
    OPTIONS,
    POINTS,
    Blocks,
    F,
    Tiling,
    convolve,
    convolve_back,
    grid_row,
    grid_size,
)

SKIP = -1
"""In place of a precision: the block is not run."""


class Jobs(NamedTuple):
    """Images to be run, in groups of one precision."""

    images: np.ndarray
    """Int64, the numbers of the images."""
    starts: np.ndarray
    """Int64 [jobs + 1], where each group begins in `images`."""
    precisions: np.ndarray
    """Int64 [jobs], of each group, or `SKIP`."""


class Parameters(NamedTuple):
    """Of a block at each of its precisions, two convolutions each, flat float32 arrays."""

    weights: np.ndarray
    """[precisions, 2, POINTS, channels in, channels out], transformed."""
    transposed: np.ndarray
    """[precisions, 2, POINTS, channels out, channels in], times the norm's factor; may be empty if
    there is no backward pass."""
    norms: np.ndarray
    """[precisions, 2, 2, channels]: factor and term."""
    rounding: np.ndarray
    """[precisions, 2, 4]: lowest value, steps per unit, step, highest level; 0 does not round."""


class Seen(NamedTuple):
    """What a forward pass notes of each image, flat float32 arrays."""

    hidden: np.ndarray
    """[N, H, W, C] output of the first convolution."""
    sums: np.ndarray
    """[N, 2, 2, C]: sum and sum of squares of the output of each convolution."""
    ranges: np.ndarray
    """[N, 2, 2]: minimum and maximum of what each convolution reads, before it is rounded."""


class Room(NamedTuple):
    """Of one thread: images at hand and what is made of them."""

    first: np.ndarray
    """Padded images that the first convolution reads."""
    second: np.ndarray
    grid: np.ndarray
    gradient: np.ndarray
    """Grids; 0 beyond the image."""
    padded_grad: np.ndarray
    blocks: Blocks
    weight_grad: np.ndarray
    """[2, POINTS, channels, channels] of the precision at hand, before the norm's factor."""


class Gradients(NamedTuple):
    """Of one thread: what a backward pass finds besides the gradient of the input."""

    weights: np.ndarray
    """[2, POINTS, channels, channels]."""
    products: np.ndarray
    """[precisions, 2, C]: inner product of each convolution's output and the norm's gradient."""
    terms: np.ndarray
    """[N, 2, C]: gradient of the norms' terms."""
    chosen: np.ndarray
    """[N] inner product of the block's output and its gradient."""


@njit(**OPTIONS)
def forward(
    x: np.ndarray,
    jobs: Jobs,
    parameters: Parameters,
    tiling: Tiling,
    room: Room,
    out: np.ndarray,
    seen: Seen,
) -> None:
    """Run every image at its precision.

    Args:
        x: [N, H, W, C].
        jobs: each image once.
        parameters: of the block.
        tiling: of an image.
        room: to work in.
        out: [N, H, W, C], is written.
        seen: is written, unless it is empty.
    """
    channels, size = tiling.channels, size_of(tiling)
    for job in range(len(jobs.precisions)):
        images, k = jobs.images[jobs.starts[job] : jobs.starts[job + 1]], jobs.precisions[job]
        if k == SKIP:
            for image in images:
                out[image * size : (image + 1) * size] = x[image * size : (image + 1) * size]
            continue
        run(x, images, k, parameters, tiling, room, seen)
        norm = (4 * k + 2) * channels
        for number, image in enumerate(images):
            if len(seen.sums):
                note_sums(room.grid, number, tiling, seen.sums, (4 * image + 2) * channels)
            for channel in range(0, channels, WIDTH):
                a = load(parameters.norms, norm + channel)
                b = load(parameters.norms, norm + channels + channel)
                for row in range(tiling.height):
                    p = image * size + row * tiling.width * channels + channel
                    q = number * grid_size(tiling) + row * grid_row(tiling) + channel
                    for _ in range(tiling.width):
                        value = fma(a, load(room.grid, q), b) + load(x, p)
                        store(out, p, larger(splat(F(0)), value))
                        p += channels
                        q += channels


@njit(**OPTIONS)
def score(
    x: np.ndarray,
    grad: np.ndarray,
    jobs: Jobs,
    parameters: Parameters,
    tiling: Tiling,
    room: Room,
    found: np.ndarray,
    nothing: Seen,
) -> None:
    """Inner products of what branches would put out and a gradient.

    Args:
        x: [N, H, W, C].
        grad: of the block's output, as `x`.
        jobs: what to try.
        parameters: of the block.
        tiling: of an image.
        room: to work in.
        found: [as many as there are in ``jobs.images``], is written.
        nothing: empty.
    """
    channels, size = tiling.channels, size_of(tiling)
    for job in range(len(jobs.precisions)):
        start, k = jobs.starts[job], jobs.precisions[job]
        images = jobs.images[start : jobs.starts[job + 1]]
        if k == SKIP:
            for number, image in enumerate(images):
                found[start + number] = inner(x, grad, image, tiling, room.blocks.tile)
            continue
        run(x, images, k, parameters, tiling, room, nothing)
        norm = (4 * k + 2) * channels
        for number, image in enumerate(images):
            total = splat(F(0))
            for channel in range(0, channels, WIDTH):
                a = load(parameters.norms, norm + channel)
                b = load(parameters.norms, norm + channels + channel)
                for row in range(tiling.height):
                    p = image * size + row * tiling.width * channels + channel
                    q = number * grid_size(tiling) + row * grid_row(tiling) + channel
                    part = splat(F(0))
                    for _ in range(tiling.width):
                        value = fma(a, load(room.grid, q), b) + load(x, p)
                        part = fma(larger(splat(F(0)), value), load(grad, p), part)
                        p += channels
                        q += channels
                    total = total + part
            found[start + number] = summed(total, room.blocks.tile)


@njit(**OPTIONS)
def run(
    x: np.ndarray,
    images: np.ndarray,
    k: int,
    parameters: Parameters,
    tiling: Tiling,
    room: Room,
    seen: Seen,
) -> None:
    """Both convolutions of some images at precision number `k`; the output of the second is left
    in the grid."""
    channels, tile = tiling.channels, room.blocks.tile
    one, count = POINTS * channels * channels, len(images)
    rounding, norms = parameters.rounding, parameters.norms
    for number, image in enumerate(images):
        round_input(x, image, rounding, 8 * k, tiling, room.first, number)
    convolve(room.first, parameters.weights, 2 * k * one, room.grid, count, tiling, room.blocks)
    for number, image in enumerate(images):
        activate(
            room.grid,
            number * grid_size(tiling),
            grid_row(tiling),
            norms,
            4 * k * channels,
            rounding,
            8 * k + 4,
            tiling,
            room.second,
            number,
            tile,
        )
        if len(seen.hidden):
            put_ends(tile, seen.ranges, 4 * image + 2)
            note_extremes(x, image, tiling, tile)
            put_ends(tile, seen.ranges, 4 * image)
            keep(room.grid, number, tiling, seen.hidden, image)
            note_sums(room.grid, number, tiling, seen.sums, 4 * image * channels)
    convolve(
        room.second, parameters.weights, (2 * k + 1) * one, room.grid, count, tiling, room.blocks
    )


@njit(**OPTIONS)
def put_ends(tile: np.ndarray, ranges: np.ndarray, start: int) -> None:
    """Minimum and maximum over the lanes of ``tile[:16]`` and of ``tile[16:32]``."""
    ranges[start] = tile[:WIDTH].min()
    ranges[start + 1] = tile[WIDTH : 2 * WIDTH].max()


@njit(**OPTIONS)
def backward(
    x: np.ndarray,
    hidden: np.ndarray,
    out: np.ndarray,
    grad: np.ndarray,
    jobs: Jobs,
    parameters: Parameters,
    tiling: Tiling,
    room: Room,
    x_grad: np.ndarray,
    gradients: Gradients,
) -> None:
    """Gradients of `forward`. Rounding passes them on unchanged.

    Args:
        x: [N, H, W, C], as all that follow.
        hidden: as `Seen` has it.
        out: of the forward pass.
        grad: of `out`.
        jobs: of the forward pass, in the order of their precisions.
        parameters: of the block.
        tiling: of an image.
        room: to work in.
        x_grad: is written.
        gradients: are added to.
    """
    channels, size = tiling.channels, size_of(tiling)
    room.weight_grad[:] = 0
    before = SKIP
    for job in range(len(jobs.precisions)):
        images, k = jobs.images[jobs.starts[job] : jobs.starts[job + 1]], jobs.precisions[job]
        if k != before:
            collect(before, parameters, channels, room.weight_grad, gradients)
            before = k
        for image in images:
            gradients.chosen[image] = inner(out, grad, image, tiling, room.blocks.tile)
        if k == SKIP:
            for image in images:
                x_grad[image * size : (image + 1) * size] = grad[image * size : (image + 1) * size]
            continue
        run_back(x, hidden, out, grad, images, k, parameters, tiling, room, gradients)
        for number, image in enumerate(images):
            for row in range(tiling.height):
                p = image * size + row * tiling.width * channels
                q = inside(number, row, tiling)
                for i in range(0, tiling.width * channels, WIDTH):
                    side = where_positive(load(out, p + i), load(grad, p + i))
                    store(x_grad, p + i, load(room.padded_grad, q + i) + side)
    collect(before, parameters, channels, room.weight_grad, gradients)


@njit(**OPTIONS)
def run_back(
    x: np.ndarray,
    hidden: np.ndarray,
    out: np.ndarray,
    grad: np.ndarray,
    images: np.ndarray,
    k: int,
    parameters: Parameters,
    tiling: Tiling,
    room: Room,
    gradients: Gradients,
) -> None:
    """Gradients of `run` and of what follows it; what reaches `x` through the convolutions is left
    in ``room.padded_grad``."""
    channels, count = tiling.channels, len(images)
    one, line = POINTS * channels * channels, tiling.width * channels
    rounding, norms, terms = parameters.rounding, parameters.norms, gradients.terms
    norm, size = 4 * k * channels, size_of(tiling)
    for number, image in enumerate(images):
        round_input(x, image, rounding, 8 * k, tiling, room.first, number)
        activate(
            hidden,
            image * size,
            line,
            norms,
            norm,
            rounding,
            8 * k + 4,
            tiling,
            room.second,
            number,
            room.blocks.tile,
        )
        term = (2 * image + 1) * channels
        through_sum(out, grad, image, tiling, room.gradient, number, terms, term)
    for convolution in (1, 0):
        room.padded_grad[:] = 0
        convolve_back(
            room.second if convolution else room.first,
            parameters.transposed,
            (2 * k + convolution) * one,
            room.gradient,
            room.padded_grad,
            room.weight_grad[convolution * one : (convolution + 1) * one],
            count,
            tiling,
            room.blocks,
        )
        if convolution:
            for number, image in enumerate(images):
                through_activation(
                    hidden,
                    image,
                    norms,
                    norm,
                    tiling,
                    room.padded_grad,
                    number,
                    room.gradient,
                    terms,
                    2 * image * channels,
                )


@njit(**OPTIONS)
def collect(
    k: int, parameters: Parameters, channels: int, found: np.ndarray, gradients: Gradients
) -> None:
    """Add what was found for the weights at one precision to the rest, and start anew.

    `found` lacks the factor of the norm that follows: with it, it is the weights' gradient; summed
    with the weights, it is the inner product of the norm's gradient and its input.
    """
    if k == SKIP:
        return
    one = POINTS * channels * channels
    for convolution in range(2):
        norm, product = (4 * k + 2 * convolution) * channels, (2 * k + convolution) * channels
        for channel in range(0, channels, WIDTH):
            factor = load(parameters.norms, norm + channel)
            total = load(gradients.products, product + channel)
            for p in range(convolution * one + channel, (convolution + 1) * one, channels):
                here = load(found, p)
                total = fma(load(parameters.weights, 2 * k * one + p), here, total)
                store(gradients.weights, p, fma(factor, here, load(gradients.weights, p)))
            store(gradients.products, product + channel, total)
    found[:] = 0
