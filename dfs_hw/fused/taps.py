"""Compiled: convolutions tap by tap, for what `dfs_hw.fused.winograd` cannot do: strides, other
channels out than in, kernels of 1x1, and sums of integers, which are exact here.

Padded images go in, grids come out; see `dfs_hw.fused.tiling`. Of a row of a grid a few pixels too
many are computed; they are overwritten by the next row, or lie beyond the last.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from dfs_hw.fused.lanes import WIDTH, small_product
from dfs_hw.fused.tiling import EDGE, OPTIONS, Tiling, grid_line, padded_row, padded_size

PIXELS = 8
"""Of an output row that are computed at once."""

narrow, narrow_more = small_product(PIXELS, 1, adds=False), small_product(PIXELS, 1, adds=True)
broad, broad_more = small_product(PIXELS, 2, adds=False), small_product(PIXELS, 2, adds=True)
back_more = small_product(EDGE, 1, adds=True)
square_more = small_product(WIDTH, 1, adds=True)


class Convolution(NamedTuple):
    """A convolution."""

    kernel: int
    """3, or 1: the tap in the middle of those."""
    stride: int
    x: Tiling
    out: Tiling


@njit(**OPTIONS)
def window(image: int, row: int, column: int, how: Convolution) -> int:
    """Where in padded images the first tap of an output pixel reads."""
    edge, x = (3 - how.kernel) // 2, how.x
    down, across = how.stride * row + edge, how.stride * column + edge
    return image * padded_size(x) + down * padded_row(x) + across * x.channels


@njit(**OPTIONS)
def convolve_taps(
    padded: np.ndarray,
    weights: np.ndarray,
    start: int,
    grid: np.ndarray,
    images: int,
    how: Convolution,
) -> None:
    """Convolve padded images into grids; beyond the image, a grid holds what is of no use.

    Args:
        padded: [images] padded images.
        weights: [..., kernel, kernel, channels in, channels out], those to use from `start` on.
        start: see there.
        grid: [images] grids.
        images: how many.
        how: to do it.
    """
    outputs, step = how.out.channels, how.stride * how.x.channels
    line = how.kernel * how.x.channels  # the taps of a line are one stretch of a padded image
    for image in range(images):
        for row in range(how.out.height):
            for column in range(0, how.out.width, PIXELS):
                a = window(image, row, column, how)
                c = grid_line(image, row, how.out) + column * outputs
                for i in range(how.kernel):
                    b = start + i * line * outputs
                    multiply(padded, a, step, weights, b, outputs, grid, c, line, i > 0)
                    a += padded_row(how.x)


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
    depth: int,
    adds: bool,
) -> None:
    """[PIXELS, depth] by [depth, columns]."""
    if columns % (2 * WIDTH):
        for v in range(0, columns, WIDTH):
            if adds:
                narrow_more(a, a0, a_row, 1, b, b0 + v, columns, c, c0 + v, columns, depth)
            else:
                narrow(a, a0, a_row, 1, b, b0 + v, columns, c, c0 + v, columns, depth)
        return
    for v in range(0, columns, 2 * WIDTH):
        if adds:
            broad_more(a, a0, a_row, 1, b, b0 + v, columns, c, c0 + v, columns, depth)
        else:
            broad(a, a0, a_row, 1, b, b0 + v, columns, c, c0 + v, columns, depth)


@njit(**OPTIONS)
def convolve_taps_back(
    padded: np.ndarray,
    weights: np.ndarray,
    start: int,
    grid: np.ndarray,
    padded_grad: np.ndarray,
    weight_grad: np.ndarray,
    images: int,
    how: Convolution,
) -> None:
    """Gradients of `convolve_taps`, added to what is there.

    Args:
        padded: [images] padded images that were convolved.
        weights: [..., kernel, kernel, channels out, channels in], those used from `start` on.
        start: see there.
        grid: [images] gradients of the output, 0 beyond the image.
        padded_grad: [images] of the padded images.
        weight_grad: [kernel, kernel, channels in, channels out].
        images: how many.
        how: to do it.
    """
    x, out, inputs, outputs = how.x, how.out, how.x.channels, how.out.channels
    step = how.stride * inputs
    for image in range(images):
        for row in range(out.height):
            line = grid_line(image, row, out)
            for tap in range(how.kernel * how.kernel):
                i, j = divmod(tap, how.kernel)
                first = window(image, row, 0, how) + i * padded_row(x) + j * inputs
                b = start + tap * inputs * outputs
                for column in range(0, out.width, EDGE):
                    a, c = line + column * outputs, first + column * step
                    for v in range(0, inputs, WIDTH):
                        back_more(
                            grid,
                            a,
                            outputs,
                            1,
                            weights,
                            b + v,
                            inputs,
                            padded_grad,
                            c + v,
                            step,
                            outputs,
                        )
                for channel in range(0, inputs, WIDTH):
                    for v in range(0, outputs, WIDTH):
                        square_more(
                            padded,
                            first + channel,
                            1,
                            step,
                            grid,
                            line + v,
                            outputs,
                            weight_grad,
                            (tap * inputs + channel) * outputs + v,
                            outputs,
                            out.width,
                        )
