"""Compiled: the row-stationary lane rule, as `accel_models.arrays.eyeriss` states it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from accel_models.mapping import Problem
from accel_models.tiling import COUNT, COVERED, LAST, SIZE, ceil_div


class Sets(NamedTuple):
    """How one pass through the array is made up, and how many of them a tile takes."""

    kernel_folds: int
    row_folds: int
    in_channels: int
    out_channels: int
    passes: int


@njit(cache=True)
def row_stationary_sets(p: Problem, out_rows: int, in_channels: int, out_channels: int) -> Sets:
    """The sets of a tile, `Sets` of `arrays.eyeriss` and the passes they take."""
    slots = max(1, p.array_rows // p.kernel_rows)
    folds = ceil_div(out_rows, p.array_columns)
    stacked = min(slots, folds)
    beside = max(1, p.array_columns // out_rows)
    spare = slots // stacked
    summed, others, least = 0, 0, -1
    for channels in range(spare, 0, -1):
        beyond = spare // channels * beside
        passes = ceil_div(in_channels, channels) * ceil_div(out_channels, beyond)
        if least < 0 or passes < least:
            summed, others, least = channels, beyond, passes
    kernel_folds = ceil_div(p.kernel_rows, p.array_rows)
    row_folds = ceil_div(folds, stacked)
    return Sets(kernel_folds, row_folds, summed, others, kernel_folds * row_folds * least)


@njit(cache=True)
def row_stationary_steps(
    p: Problem, b: np.ndarray, oh: np.ndarray, ow: np.ndarray, ic: np.ndarray, oc: np.ndarray
) -> tuple[int, int]:
    """Steps of one full tile, and of all tiles of all groups, true to size."""
    if oh[SIZE] == 0:  # the ideal candidate: every element busy in every step
        elements = p.array_rows * p.array_columns
        window = p.kernel_rows * p.kernel_columns
        outputs = b[COVERED] * oh[COVERED] * ow[COVERED] * oc[COVERED]
        return 0, ceil_div(outputs * ic[COVERED] * window, elements) * p.groups
    passes = 0
    for rows in range(2):
        for ins in range(2):
            for outs in range(2):
                times = tiles(oh, rows) * tiles(ic, ins) * tiles(oc, outs)
                if times > 0:
                    sets = row_stationary_sets(p, size(oh, rows), size(ic, ins), size(oc, outs))
                    passes += times * sets.passes
    full = row_stationary_sets(p, oh[SIZE], ic[SIZE], oc[SIZE]).passes
    one = b[SIZE] * ow[SIZE] * p.kernel_columns * full
    return one, b[COVERED] * ow[COVERED] * p.kernel_columns * passes * p.groups


@njit(cache=True)
def tiles(row: np.ndarray, last: int) -> int:
    """How many tiles are full, or 1 for the last one."""
    return 1 if last else row[COUNT] - 1


@njit(cache=True)
def size(row: np.ndarray, last: int) -> int:
    return row[LAST] if last else row[SIZE]
