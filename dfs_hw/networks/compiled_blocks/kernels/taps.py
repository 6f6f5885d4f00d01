"""Compiled: convolutions tap by tap, for what `winograd` cannot do: strides, other channels out
than in, kernels of 1x1, and sums of integers, which are exact here.

A padded image goes in, a grid comes out; see `tiling`. Of a row of the grid a few pixels too many
are computed; they are overwritten by the next row, or lie after the last.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dfs_hw.networks.compiled_blocks.kernels.lanes import jit, small_product
from dfs_hw.networks.compiled_blocks.kernels.layout import WIDTH
from dfs_hw.networks.compiled_blocks.kernels.tiling import EDGE, ImageTiling, grid_row, padded_row

PIXELS = 8
"""Pixels of an output row that are computed at once; with few channels, fewer would wait for each
other's sums."""

narrow, narrow_more = small_product(PIXELS, 1, adds=False), small_product(PIXELS, 1, adds=True)
broad, broad_more = small_product(PIXELS, 2, adds=False), small_product(PIXELS, 2, adds=True)
back_more = small_product(EDGE, 1, adds=True)
square_more = small_product(WIDTH, 1, adds=True)


class Convolution(NamedTuple):
    """A convolution."""

    kernel: int
    """Side of the kernel: 3, or 1, which is the tap in the middle of 3x3."""
    stride: int
    x: ImageTiling
    out: ImageTiling


@jit
def window(row: int, column: int, how: Convolution) -> int:
    """Where in a padded image the first tap of an output pixel reads."""
    edge = (3 - how.kernel) // 2
    down, across = how.stride * row + edge, how.stride * column + edge
    return down * padded_row(how.x) + across * how.x.channels


@jit
def convolve_taps(
    padded: np.ndarray, weights: np.ndarray, grid: np.ndarray, how: Convolution
) -> None:
    """Convolve a padded image into a grid; beyond the image, it then holds what is of no use.

    Args:
        padded: the image.
        weights: [kernel, kernel, channels in, channels out].
        grid: is written, and a few pixels after it.
        how: to do it.
    """
    outputs, step = how.out.channels, how.stride * how.x.channels
    line = how.kernel * how.x.channels  # the taps of a line are one stretch of a padded image
    # A few pixels at a time, all taps each: sums stay in registers over a line of taps, whose
    # weights are read once for all these pixels.
    for row in range(how.out.height):
        for column in range(0, how.out.width, PIXELS):
            a, c = window(row, column, how), row * grid_row(how.out) + column * outputs
            for i in range(how.kernel):
                multiply(
                    padded, a, step, weights, i * line * outputs, outputs, grid, c, line, i > 0
                )
                a += padded_row(how.x)


@jit
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
    # Two vectors of columns use each loaded input twice; an odd number leaves one.
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


@jit
def convolve_taps_back(
    padded: np.ndarray,
    weights: np.ndarray,
    grid: np.ndarray,
    padded_grad: np.ndarray,
    weight_grad: np.ndarray,
    how: Convolution,
) -> None:
    """Gradients of `convolve_taps`, added to what is there.

    Args:
        padded: the image that was convolved.
        weights: [kernel, kernel, channels out, channels in].
        grid: gradient of the output, 0 beyond the image.
        padded_grad: of the padded image.
        weight_grad: [kernel, kernel, channels in, channels out].
        how: it was done.
    """
    inputs, outputs = how.x.channels, how.out.channels
    step = how.stride * inputs
    for row in range(how.out.height):
        line = row * grid_row(how.out)
        for tap in range(how.kernel * how.kernel):
            i, j = divmod(tap, how.kernel)
            first = window(row, 0, how) + i * padded_row(how.x) + j * inputs
            # To the image: each tap adds its share to the pixels it read, with strides in between.
            # Grids are zero beyond the image, so whole steps of it may be taken.
            for column in range(0, how.out.width, EDGE):
                a, c = line + column * outputs, first + column * step
                for v in range(0, inputs, WIDTH):
                    b = tap * inputs * outputs + v
                    back_more(
                        grid, a, outputs, 1, weights, b, inputs, padded_grad, c + v, step, outputs
                    )
            # To the weights: 16 channels by 16, summed over a row's pixels in registers before any
            # of it goes to memory.
            for channel in range(0, inputs, WIDTH):
                a, w = first + channel, (tap * inputs + channel) * outputs
                for v in range(0, outputs, WIDTH):
                    b, c = line + v, w + v
                    square_more(
                        padded, a, 1, step, grid, b, outputs, weight_grad, c, outputs, how.out.width
                    )
