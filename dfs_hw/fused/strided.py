"""Compiled: convolutions of stride 2 and their gradients, tap by tap.

The kernel has 3x3 taps, or 1x1 in the middle. Padded images go in, grids of half their height and
width come out; see `dfs_hw.fused.tiling`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from dfs_hw.fused.lanes import WIDTH, small_product
from dfs_hw.fused.tiling import OPTIONS, Tiling, grid_line, padded_row, padded_size

STRIDE = 2
PIXELS = 4
"""Of an output row that are computed at once."""

narrow, narrow_adding = small_product(PIXELS, 1, adds=False), small_product(PIXELS, 1, adds=True)
broad, broad_adding = small_product(PIXELS, 2, adds=False), small_product(PIXELS, 2, adds=True)
square_adding = small_product(16, 1, adds=True)


@njit(**OPTIONS)
def tap_place(image: int, row: int, column: int, i: int, j: int, kernel: int, x: Tiling) -> int:
    """Where in padded images the pixel begins that tap (i, j) reads for an output pixel."""
    edge = (3 - kernel) // 2
    down, across = STRIDE * row + i + edge, STRIDE * column + j + edge
    return image * padded_size(x) + down * padded_row(x) + across * x.channels


@njit(**OPTIONS)
def convolve_strided(
    padded: np.ndarray,
    weights: np.ndarray,
    start: int,
    kernel: int,
    grid: np.ndarray,
    images: int,
    x: Tiling,
    out: Tiling,
) -> None:
    """Convolve padded images into grids; beyond the image, the grid holds what is of no use.

    Args:
        padded: [images] padded images.
        weights: [..., kernel, kernel, channels in, channels out], those to use from `start` on.
        start: see there.
        kernel: 3 or 1.
        grid: [images] grids.
        images: how many.
        x: tiling of an input.
        out: tiling of an output.
    """
    inputs, outputs = x.channels, out.channels
    for image in range(images):
        for row in range(out.height):
            for column in range(0, out.width, PIXELS):
                for i in range(kernel):
                    for j in range(kernel):
                        a = tap_place(image, row, column, i, j, kernel, x)
                        b = start + (i * kernel + j) * inputs * outputs
                        c = grid_line(image, row, out) + column * outputs
                        add = i + j > 0
                        step = STRIDE * inputs
                        multiply(
                            padded, a, step, weights, b, outputs, grid, c, outputs, inputs, add
                        )


@njit(**OPTIONS)
def convolve_strided_back(
    padded: np.ndarray,
    weights: np.ndarray,
    start: int,
    kernel: int,
    grid: np.ndarray,
    padded_grad: np.ndarray,
    weight_grad: np.ndarray,
    images: int,
    x: Tiling,
    out: Tiling,
) -> None:
    """Gradients of `convolve_strided`, added to what is there.

    Args:
        padded: [images] padded images that were convolved.
        weights: [..., kernel, kernel, channels out, channels in], those used from `start` on.
        start: see there.
        kernel: 3 or 1.
        grid: [images] gradients of the output, 0 beyond the image.
        padded_grad: [images] of the padded images.
        weight_grad: [kernel, kernel, channels in, channels out].
        images: how many.
        x: tiling of an input.
        out: tiling of an output.
    """
    inputs, outputs = x.channels, out.channels
    step = STRIDE * inputs
    for image in range(images):
        for row in range(out.height):
            line = grid_line(image, row, out)
            for i in range(kernel):
                for j in range(kernel):
                    tap = (i * kernel + j) * inputs * outputs
                    for column in range(0, out.width, PIXELS):
                        a = line + column * outputs
                        c = tap_place(image, row, column, i, j, kernel, x)
                        b = start + tap
                        multiply(
                            grid,
                            a,
                            outputs,
                            weights,
                            b,
                            inputs,
                            padded_grad,
                            c,
                            step,
                            outputs,
                            True,
                        )
                    a = tap_place(image, row, 0, i, j, kernel, x)
                    for channel in range(0, inputs, 16):
                        for other in range(0, outputs, WIDTH):
                            square_adding(
                                padded,
                                a + channel,
                                1,
                                step,
                                grid,
                                line + other,
                                outputs,
                                weight_grad,
                                tap + channel * outputs + other,
                                outputs,
                                out.width,
                            )


@njit(**OPTIONS)
def multiply(
    a: np.ndarray,
    a0: int,
    a_row: int,
    b: np.ndarray,
    b0: int,
    columns: int,
    c: np.ndarray,
    c0: int,
    c_row: int,
    depth: int,
    add: bool,
) -> None:
    """[PIXELS, depth] by [depth, columns], for one tap."""
    if columns % (2 * WIDTH):
        for v in range(0, columns, WIDTH):
            if add:
                narrow_adding(a, a0, a_row, 1, b, b0 + v, columns, c, c0 + v, c_row, depth)
            else:
                narrow(a, a0, a_row, 1, b, b0 + v, columns, c, c0 + v, c_row, depth)
        return
    for v in range(0, columns, 2 * WIDTH):
        if add:
            broad_adding(a, a0, a_row, 1, b, b0 + v, columns, c, c0 + v, c_row, depth)
        else:
            broad(a, a0, a_row, 1, b, b0 + v, columns, c, c0 + v, c_row, depth)
