"""Compiled: bits that enter and leave the three buffers, counted tile by tile.

The search has closed forms for them (`mapping.kernel.array_side`); here they are added up along the
walk through a mapping. Row-stationary arrays are left to their closed form, which takes all tiles
for full ones.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from accel_models.mapping.kernel.array_side import (
    A_READ,
    A_WRITE,
    INPUT_STATIONARY,
    OUTPUT_STATIONARY,
    Q_READ,
    Q_WRITE,
    W_READ,
    W_WRITE,
    WEIGHT_STATIONARY,
)
from accel_models.mapping.kernel.candidates import WINDOW, ceil_div, reduction_steps
from accel_models.mapping.kernel.walk import (
    Walk,
    advance,
    extent,
    input_block,
    number_of_steps,
    output_block,
    part,
    position_blocks,
    walk,
    weight_block,
)
from accel_models.mapping.problem import (
    BATCH,
    IN_CHANNELS,
    NEVER,
    OUT_CHANNELS,
    OUT_COLUMNS,
    OUT_ROWS,
    Problem,
)


@njit(cache=True)
def buffer_bits(
    p: Problem,
    stays: int,
    rule: int,
    tile: np.ndarray,
    order: np.ndarray,
    stops: np.ndarray,
) -> np.ndarray:
    """Bits of a mapping by action, int64 [action], of the buffers alone.

    Args:
        stays: what stays in the array while a tile is computed, as in `problem.STATIONARY`.
        rule, tile, order, stops: as `walk.walk` has them.
    """
    w = walk(p, rule, tile, order, stops)
    bits = np.zeros(12, dtype=np.int64)
    moved = NEVER
    for _ in range(number_of_steps(p, w)):
        # Blocks enter when they come over DRAM; the first of each comes before any loop has moved.
        if moved >= stops[0]:
            bits[W_WRITE] += weight_block(p, w) * p.weight_bits
        if moved >= stops[1]:
            bits[A_WRITE] += written_inputs(p, rule, w) * p.buffered_input_bits
        # The array side is counted tile by tile, true to size, from what stays and not from totals.
        read_operands(p, stays, w, bits)
        add_sums(p, stays, rule, w, bits)
        # The published tool counts outputs through their buffer once more, as they come and go.
        block, first, last = output_block(p, rule, w), moved >= stops[2], last_visit(w)
        if first and p.published_array_side and (p.first_reload or w.at[IN_CHANNELS] > 0):
            bits[Q_WRITE] += block * p.accumulator_bits
        if last:
            keep_outputs(p, w, bits)
        moved = advance(w)
        if moved >= stops[2] and p.published_array_side:
            bits[Q_READ] += block * p.accumulator_bits
    return bits


@njit(cache=True)
def last_visit(w: Walk) -> bool:
    """Whether a tile of outputs is complete after this step."""
    return w.at[IN_CHANNELS] == w.tiles[IN_CHANNELS] - 1


@njit(cache=True)
def positions(w: Walk) -> int:
    """Output positions of the current tile, over its inputs."""
    return extent(w, BATCH) * extent(w, OUT_ROWS) * extent(w, OUT_COLUMNS)


@njit(cache=True)
def read_operands(p: Problem, stays: int, w: Walk, bits: np.ndarray) -> None:
    """What the array reads for the current tile."""
    window, outputs = p.kernel_rows * p.kernel_columns, extent(w, OUT_CHANNELS)
    reduction = window * extent(w, IN_CHANNELS)
    side_by_side = position_blocks(p, extent(w, OUT_ROWS), extent(w, OUT_COLUMNS))
    # A weight is read once for every block of positions computed side by side, or, if it stays,
    # once.
    weight_reads = extent(w, BATCH) * side_by_side * reduction * outputs
    bits[W_READ] += p.weight_bits * (
        reduction * outputs if stays == WEIGHT_STATIONARY else weight_reads
    )
    # An input serves all columns of the array at once where reads are shared, else one.
    columns = ceil_div(outputs, p.array_columns) if p.share_input_reads else outputs
    if stays == INPUT_STATIONARY:
        columns = 1
    bits[A_READ] += positions(w) * reduction * columns * p.activation_bits


@njit(cache=True)
def add_sums(p: Problem, stays: int, rule: int, w: Walk, bits: np.ndarray) -> None:
    """Partial sums of the current tile, read and written."""
    sums = positions(w) * extent(w, OUT_CHANNELS) * p.accumulator_bits
    channels = extent(w, IN_CHANNELS)
    # Sums that do not stay go to their buffer and come back in every step of the reduction.
    if stays != OUTPUT_STATIONARY:
        if p.published_array_side:
            sums *= p.kernel_rows * p.kernel_columns * channels
        else:
            sums *= reduction_steps(p, rule, channels)
    bits[Q_READ] += sums
    bits[Q_WRITE] += sums


@njit(cache=True)
def keep_outputs(p: Problem, w: Walk, bits: np.ndarray) -> None:
    """Finished outputs that stay on chip, and what is added to them from there."""
    outputs = positions(w) * extent(w, OUT_CHANNELS)
    bits[A_WRITE] += outputs * p.kept_output_bits
    bits[A_READ] += outputs * p.kept_residual_bits


@njit(cache=True)
def written_inputs(p: Problem, rule: int, w: Walk) -> int:
    """Inputs that enter the buffer with the current block, windows laid out if the lane rule asks
    for it."""
    # Windows that are laid out as they enter repeat the pixels they share.
    if rule != WINDOW:
        return input_block(p, rule, w)
    places = part(w, BATCH, 1) * part(w, OUT_ROWS, 1) * part(w, OUT_COLUMNS, 1)
    return places * p.kernel_rows * p.kernel_columns * part(w, IN_CHANNELS, 1)
