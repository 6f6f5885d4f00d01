"""Compiled: gradients of the blocks of `dfs_hw.fused.forward`, but for those that must be exact.

Rounding passes gradients on unchanged. What the norms need is found without their inputs: as
``y = sum over u of U[u] x[u]``, the inner product of y with its gradient is that of the weights U
with theirs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from dfs_hw.fused import winograd  # noqa: F401 (for those that call this module)
from dfs_hw.fused.forward import (  # noqa: F401 (as above)
    FIRST,
    SECOND,
    SIDE,
    SKIP,
    Jobs,
    Parameters,
    Room,
    Seen,
    Shape,
    forward,
    score,
)
from dfs_hw.fused.lanes import WIDTH, fma, load, store, where_positive
from dfs_hw.fused.pixels import (
    ROUNDING,
    activate,
    inner,
    round_input,
    through_activation,
    through_sum,
)
from dfs_hw.fused.taps import Convolution, convolve_taps_back
from dfs_hw.fused.tiling import OPTIONS, image_line, padded_line, size_of
from dfs_hw.fused.winograd import POINTS, convolve_points_back


class Weights(NamedTuple):
    """Of the convolutions of a block or gradients of them, as `Parameters` has them."""

    first: np.ndarray
    second: np.ndarray
    side: np.ndarray


class RoomBack(NamedTuple):
    """Of one thread, for the images at hand."""

    grad: np.ndarray
    """Grids: gradient of what a convolution put out, 0 beyond the image."""
    x_grad: np.ndarray
    """Padded images, gradient of what the convolutions read."""
    hidden_grad: np.ndarray
    weights: Weights
    """Gradients at the precision at hand, before the norms' factors."""


class Gradients(NamedTuple):
    """What a backward pass finds besides the gradient of the input, flat float32 arrays."""

    weights: Weights
    """Of one thread."""
    products: np.ndarray
    """[precisions, 3, C] inner products of each convolution's output and its gradient before the
    norm's factor; of one thread."""
    terms: np.ndarray
    """[N, 2, C]: gradient of the terms of the first norm, and of the other two."""
    chosen: np.ndarray
    """[N] inner product of the block's output and its gradient."""


@njit(**OPTIONS)
def backward(
    x: np.ndarray,
    hidden: np.ndarray,
    out: np.ndarray,
    grad: np.ndarray,
    jobs: Jobs,
    parameters: Parameters,
    transposed: Weights,
    shape: Shape,
    room: Room,
    back: RoomBack,
    x_grad: np.ndarray,
    gradients: Gradients,
) -> None:
    """Gradients of `forward`.

    Args:
        x: [N, H, W, C].
        hidden: as `Seen` has it.
        out: of the forward pass.
        grad: of `out`.
        jobs: of the forward pass, in the order of their precisions.
        parameters: of the block.
        transposed: the same weights with channels out before channels in, times the factors of the
            norms that follow.
        shape: of the block.
        room: to work in.
        back: more room.
        x_grad: is written.
        gradients: weights and products are added to, the others written.
    """
    clear(back.weights)
    before = jobs.precisions[0]
    for job in range(len(jobs.precisions)):
        images, k = jobs.images[jobs.starts[job] : jobs.starts[job + 1]], jobs.precisions[job]
        if k != before:
            collect(before, parameters, shape, back.weights, gradients)
            before = k
        for image in images:
            gradients.chosen[image] = inner(out, grad, image, shape.out, room.blocks.tile)
        if k == SKIP and not shape.projects:
            size = size_of(shape.x)
            for image in images:
                x_grad[image * size : (image + 1) * size] = grad[image * size : (image + 1) * size]
            continue
        rectified, terms = k != SKIP or shape.rectifies, gradients.terms
        for number, image in enumerate(images):
            start = (2 * image + 1) * shape.out.channels
            through_sum(out, grad, image, rectified, shape.out, back.grad, number, terms, start)
        back.x_grad[:] = 0
        if shape.projects:
            used = shape.highest if k == SKIP else k
            project_back(x, images, used, parameters, transposed, shape, room, back)
        if k != SKIP:
            run_back(x, hidden, images, k, parameters, transposed, shape, room, back, terms)
        for number, image in enumerate(images):
            add_gradient(out, grad, image, number, shape, back.x_grad, x_grad)
    collect(before, parameters, shape, back.weights, gradients)


@njit(**OPTIONS)
def run_back(
    x: np.ndarray,
    hidden: np.ndarray,
    images: np.ndarray,
    k: int,
    parameters: Parameters,
    transposed: Weights,
    shape: Shape,
    room: Room,
    back: RoomBack,
    terms: np.ndarray,
) -> None:
    """Gradients of both convolutions of a block, that of its output being in ``back.grad``."""
    tiling, blocks, count = shape.out, room.blocks, len(images)
    channels, rounding, norms = tiling.channels, parameters.rounding, parameters.norms
    norm, points = 6 * k * channels, k * POINTS * channels * channels
    for number, image in enumerate(images):
        round_input(x, image, rounding, 3 * k * ROUNDING, shape.x, room.first, number)
        activate(
            hidden,
            image_line(image, 0, tiling),
            tiling.width * channels,
            norms,
            norm,
            rounding,
            (3 * k + 1) * ROUNDING,
            tiling,
            room.second,
            number,
            blocks.tile,
        )
    back.hidden_grad[:] = 0
    convolve_points_back(
        room.second,
        transposed.second,
        points,
        back.grad,
        back.hidden_grad,
        back.weights.second,
        count,
        tiling,
        blocks,
    )
    for number, image in enumerate(images):
        start = 2 * image * channels
        through_activation(
            hidden, image, norms, norm, tiling, back.hidden_grad, number, back.grad, terms, start
        )
    if shape.projects:
        convolve_taps_back(
            room.first,
            transposed.first,
            k * 9 * shape.x.channels * channels,
            back.grad,
            back.x_grad,
            back.weights.first,
            count,
            Convolution(3, shape.stride, shape.x, tiling),
        )
    else:
        convolve_points_back(
            room.first,
            transposed.first,
            points,
            back.grad,
            back.x_grad,
            back.weights.first,
            count,
            tiling,
            blocks,
        )


@njit(**OPTIONS)
def project_back(
    x: np.ndarray,
    images: np.ndarray,
    k: int,
    parameters: Parameters,
    transposed: Weights,
    shape: Shape,
    room: Room,
    back: RoomBack,
) -> None:
    """Gradients of a projected shortcut, that of its output being in ``back.grad``."""
    for number, image in enumerate(images):
        round_input(
            x, image, parameters.rounding, (3 * k + 2) * ROUNDING, shape.x, room.side, number
        )
    convolve_taps_back(
        room.side,
        transposed.side,
        k * shape.x.channels * shape.out.channels,
        back.grad,
        back.x_grad,
        back.weights.side,
        len(images),
        Convolution(1, shape.stride, shape.x, shape.out),
    )


@njit(**OPTIONS)
def add_gradient(
    out: np.ndarray,
    grad: np.ndarray,
    image: int,
    number: int,
    shape: Shape,
    padded_grad: np.ndarray,
    x_grad: np.ndarray,
) -> None:
    """What reached x through the convolutions, and through a shortcut that is x itself."""
    tiling = shape.x
    for row in range(tiling.height):
        p, q = image_line(image, row, tiling), padded_line(number, row, tiling)
        for i in range(0, tiling.width * tiling.channels, WIDTH):
            value = load(padded_grad, q + i)
            if not shape.projects:
                value = value + where_positive(load(out, p + i), load(grad, p + i))
            store(x_grad, p + i, value)


@njit(**OPTIONS)
def collect(
    k: int, parameters: Parameters, shape: Shape, found: Weights, gradients: Gradients
) -> None:
    """Add what was found at one precision to the rest, and start anew."""
    if k != SKIP:
        collect_one(
            k,
            FIRST,
            parameters.first,
            parameters,
            shape,
            found.first,
            gradients.weights.first,
            gradients.products,
        )
        collect_one(
            k,
            SECOND,
            parameters.second,
            parameters,
            shape,
            found.second,
            gradients.weights.second,
            gradients.products,
        )
    if shape.projects:
        used = shape.highest if k == SKIP else k
        collect_one(
            used,
            SIDE,
            parameters.side,
            parameters,
            shape,
            found.side,
            gradients.weights.side,
            gradients.products,
        )
    clear(found)


@njit(**OPTIONS)
def collect_one(
    k: int,
    convolution: int,
    weights: np.ndarray,
    parameters: Parameters,
    shape: Shape,
    found: np.ndarray,
    total: np.ndarray,
    products: np.ndarray,
) -> None:
    """Of one convolution: its weights' gradient takes the norm's factor; summed with the weights,
    without the factor, it is the inner product that the norm needs."""
    channels = shape.out.channels
    norm, product = (6 * k + 2 * convolution) * channels, (3 * k + convolution) * channels
    for channel in range(0, channels, WIDTH):
        factor, sum_of = load(parameters.norms, norm + channel), load(products, product + channel)
        for p in range(channel, len(found), channels):
            here = load(found, p)
            sum_of = fma(load(weights, k * len(found) + p), here, sum_of)
            store(total, p, fma(factor, here, load(total, p)))
        store(products, product + channel, sum_of)


@njit(**OPTIONS)
def clear(weights: Weights) -> None:
    weights.first[:] = 0
    weights.second[:] = 0
    weights.side[:] = 0
