"""Compiled: gradients of the blocks of `forward`, but of those that must be exact.

Rounding passes gradients on unchanged. What the norms need is found without their inputs: as y is a
sum of products of weights and inputs, the inner product of y with its gradient is that of the
weights with theirs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dfs_hw.networks.compiled_blocks.kernels.forward import BlockShape, Jobs, Parameters, Room
from dfs_hw.networks.compiled_blocks.kernels.lanes import fma, jit, load, store, where_positive
from dfs_hw.networks.compiled_blocks.kernels.layout import FIRST, SECOND, SIDE, SKIPPED, WIDTH
from dfs_hw.networks.compiled_blocks.kernels.pixels import (
    activate,
    pass_on,
    round_input,
    through_activation,
    through_sum,
)
from dfs_hw.networks.compiled_blocks.kernels.taps import Convolution, convolve_taps_back
from dfs_hw.networks.compiled_blocks.kernels.tiling import image_row, inside
from dfs_hw.networks.compiled_blocks.kernels.winograd import convolve_points_back


class Weights(NamedTuple):
    """Weights of the convolutions of a block, or gradients of them; laid out as in `Parameters` at
    all precisions, or of one."""

    first: np.ndarray
    second: np.ndarray
    side: np.ndarray


class RoomBack(NamedTuple):
    """Working memory of one thread, for the images at hand."""

    grad: np.ndarray
    """Grids: gradient of what a convolution put out, 0 beyond the image."""
    x_grad: np.ndarray
    """Padded images, gradient of what the block read."""
    hidden_grad: np.ndarray
    """Padded images, of what the second convolution read."""
    weights: Weights
    """Gradients at the precision at hand, before the norms' factors."""


class Gradients(NamedTuple):
    """What a backward pass finds besides the gradient of the input, float32."""

    weights: Weights
    """Gradients of one thread's images."""
    products: np.ndarray
    """[precisions, 3, C] inner products of each convolution's output and its gradient before the
    norm's factor; of one thread."""
    terms: np.ndarray
    """[N, 2, C]: gradient of the terms of the first norm, and of the other two."""
    chosen: np.ndarray
    """[N] inner product of the block's output and its gradient."""


class Passed(NamedTuple):
    """What a forward pass leaves to the backward pass, float32 [N, H, W, C] each."""

    x: np.ndarray
    hidden: np.ndarray
    """Output of the first convolution; see `ForwardNotes`."""
    out: np.ndarray
    grad: np.ndarray
    """Gradient of `out`."""


@jit
def backward(
    passed: Passed,
    jobs: Jobs,
    parameters: Parameters,
    transposed: Weights,
    shape: BlockShape,
    room: Room,
    back: RoomBack,
    x_grad: np.ndarray,
    gradients: Gradients,
) -> None:
    """Gradients of `forward`.

    Args:
        passed: from there.
        jobs: of it, in the order of their precisions.
        parameters: of the block.
        transposed: its weights with channels out before channels in, times the factors of the norms
            that follow.
        shape: of the block.
        room: to work in.
        back: more room.
        x_grad: is written.
        gradients: weights and products are added to, the others written.
    """
    # Jobs come in the order of precisions: gradients of one precision are summed up before the
    # norms' factors, which differ between precisions, are applied once for all of its images.
    clear(back.weights)
    before = jobs.precisions[0]
    for job in range(len(jobs.precisions)):
        images, k = jobs.images[jobs.starts[job] : jobs.starts[job + 1]], jobs.precisions[job]
        if k != before:
            collect(before, parameters, shape, back.weights, gradients)
            before = k
        for image in images:
            # Gates learn from the inner product of what the block put out with its gradient,
            # skipped or not.
            gradients.chosen[image] = pass_on(
                passed.out[image],
                image_row(shape.out),
                False,
                shape.out,
                passed.grad[image],
                True,
                room.blocks.tile,
            )
        # The block was the identity, and so is its gradient; nothing is left to do.
        if k == SKIPPED and not shape.projects:
            for image in images:
                x_grad[image] = passed.grad[image]
            continue
        run_back(passed, images, k, parameters, transposed, shape, room, back, gradients.terms)
        for number, image in enumerate(images):
            out, grad, there = passed.out[image], passed.grad[image], x_grad[image]
            add_gradient(out, grad, shape, back.x_grad[number], there)
    collect(before, parameters, shape, back.weights, gradients)


@jit
def run_back(
    passed: Passed,
    images: np.ndarray,
    k: int,
    parameters: Parameters,
    transposed: Weights,
    shape: BlockShape,
    room: Room,
    back: RoomBack,
    terms: np.ndarray,
) -> None:
    """Gradients of all convolutions of some images at precision number `k`."""
    # From the end to the beginning: the last ReLU, the shortcut, the second convolution, the first.
    rectified = k != SKIPPED or shape.rectifies
    for number, image in enumerate(images):
        out, grad = passed.out[image], passed.grad[image]
        through_sum(out, grad, rectified, shape.out, back.grad[number], terms[image, 1])
    back.x_grad[:] = 0
    if shape.projects:
        used = shape.highest if k == SKIPPED else k
        project_back(passed.x, images, used, parameters, transposed, shape, room, back)
    if k == SKIPPED:
        return
    # Rounded inputs are made again from the image: to keep them would cost a write and a read of
    # memory, and rounding costs less than either.
    second_back(passed, images, k, parameters, transposed, shape, room, back, terms)
    for number, image in enumerate(images):
        round_input(passed.x[image], parameters.rounding[k, FIRST], shape.x, room.first[number])
    weights, found, count = transposed.first[k], back.weights.first, len(images)
    if shape.first_by_points:
        convolve_points_back(
            room.first, weights, back.grad, back.x_grad, found, count, shape.x, room.blocks
        )
        return
    how = Convolution(3, shape.stride, shape.x, shape.out)
    for number in range(count):
        padded, grad, to = room.first[number], back.grad[number], back.x_grad[number]
        convolve_taps_back(padded, weights, grad, to, found, how)


@jit
def second_back(
    passed: Passed,
    images: np.ndarray,
    k: int,
    parameters: Parameters,
    transposed: Weights,
    shape: BlockShape,
    room: Room,
    back: RoomBack,
    terms: np.ndarray,
) -> None:
    """Gradients of the second convolution, and on to that of the first one's output: both are in
    ``back.grad``, one before and one after."""
    # The forward pass left the first convolution's output; what the second read is made of it
    # again.
    norm, tiling = parameters.norms[k, FIRST], shape.out
    for number, image in enumerate(images):
        activate(
            passed.hidden[image],
            image_row(tiling),
            norm,
            parameters.rounding[k, SECOND],
            tiling,
            room.second[number],
            room.blocks.tile,
        )
    # Gradients of overlapping tiles are added up, so they begin at zero.
    back.hidden_grad[:] = 0
    convolve_points_back(
        room.second,
        transposed.second[k],
        back.grad,
        back.hidden_grad,
        back.weights.second,
        len(images),
        tiling,
        room.blocks,
    )
    for number, image in enumerate(images):
        grad, found = back.hidden_grad[number], back.grad[number]
        through_activation(passed.hidden[image], norm, tiling, grad, found, terms[image, 0])


@jit
def project_back(
    x: np.ndarray,
    images: np.ndarray,
    k: int,
    parameters: Parameters,
    transposed: Weights,
    shape: BlockShape,
    room: Room,
    back: RoomBack,
) -> None:
    """Gradients of a projected shortcut, that of its output being in ``back.grad``."""
    how, found = Convolution(1, shape.stride, shape.x, shape.out), back.weights.side
    for number, image in enumerate(images):
        padded, grad, to = room.side[number], back.grad[number], back.x_grad[number]
        round_input(x[image], parameters.rounding[k, SIDE], shape.x, padded)
        convolve_taps_back(padded, transposed.side[k], grad, to, found, how)


@jit
def add_gradient(
    out: np.ndarray,
    grad: np.ndarray,
    shape: BlockShape,
    padded_grad: np.ndarray,
    x_grad: np.ndarray,
) -> None:
    """What reached an image through the convolutions, and through a shortcut that passes it on."""
    for row in range(shape.x.height):
        p, q = row * image_row(shape.x), inside(row, shape.x)
        for i in range(0, image_row(shape.x), WIDTH):
            value = load(padded_grad, q + i)
            # Through the identity the gradient passes where the last ReLU let the value through.
            if not shape.projects:
                value = value + where_positive(load(out, p + i), load(grad, p + i))
            store(x_grad, p + i, value)


@jit
def collect(
    k: int, parameters: Parameters, shape: BlockShape, found: Weights, gradients: Gradients
) -> None:
    """Add what was found at one precision to the rest, and start anew."""
    total, norms, products = gradients.weights, parameters.norms, gradients.products
    # A skipped block has no gradient but its shortcut's, which ran at the highest precision.
    if k != SKIPPED:
        first, second = parameters.first[k], parameters.second[k]
        collect_one(found.first, first, norms[k, FIRST, 0], total.first, products[k, FIRST])
        collect_one(found.second, second, norms[k, SECOND, 0], total.second, products[k, SECOND])
    if shape.projects:
        used = shape.highest if k == SKIPPED else k
        side = parameters.side[used]
        collect_one(found.side, side, norms[used, SIDE, 0], total.side, products[used, SIDE])
    clear(found)


@jit
def collect_one(
    found: np.ndarray,
    weights: np.ndarray,
    factors: np.ndarray,
    total: np.ndarray,
    products: np.ndarray,
) -> None:
    """Gradient of one convolution. What was found lacks the factors of the norm [C]; with them, it
    is the gradient of the weights, and summed with the weights, the norm's product [C]."""
    channels = len(factors)
    for channel in range(0, channels, WIDTH):
        factor, product = load(factors, channel), load(products, channel)
        # One pass for both sums while weights and gradient are in registers.
        for p in range(channel, len(found), channels):
            here = load(found, p)
            product = fma(load(weights, p), here, product)
            store(total, p, fma(factor, here, load(total, p)))
        store(products, channel, product)


@jit
def clear(weights: Weights) -> None:
    """Set gradients to zero."""
    weights.first[:] = 0
    weights.second[:] = 0
    weights.side[:] = 0
