"""Compiled: the row-stationary lane rule, as `accelerators.arrays.eyeriss` states it."""

from __future__ import annotations

from typing import NamedTuple

from accel_models.mapping.kernel.candidates import TileSizes, ceil_div
from accel_models.mapping.kernel.inlined import inlined
from accel_models.mapping.problem import Problem


class RowStationaryPasses(NamedTuple):
    """How one pass through the array is made up, and how many of them a tile takes."""

    kernel_folds: int
    row_folds: int
    in_channels: int
    out_channels: int
    passes: int


@inlined
def row_stationary_sets(
    p: Problem, out_rows: int, in_channels: int, out_channels: int
) -> RowStationaryPasses:
    """The sets of a tile, `ElementSets` of `arrays.eyeriss`, and the passes they take."""
    # A set is as high as the kernel and as wide as the map has rows. What it leaves of the array
    # takes more strips of the same map first, for they share weights, then other channels.
    slots = max(1, p.array_rows // p.kernel_rows)
    folds = ceil_div(out_rows, p.array_columns)
    stacked = min(slots, folds)
    beside = max(1, p.array_columns // out_rows)
    spare = slots // stacked
    summed, others, least = 0, 0, -1
    # Sets side by side either sum over input channels or make other outputs. Rounding decides which
    # split takes the fewest passes; of equals, the one that sums most sends fewest sums out.
    for channels in range(spare, 0, -1):
        beyond = spare // channels * beside
        passes = ceil_div(in_channels, channels) * ceil_div(out_channels, beyond)
        if least < 0 or passes < least:
            summed, others, least = channels, beyond, passes
    kernel_folds = ceil_div(p.kernel_rows, p.array_rows)
    row_folds = ceil_div(folds, stacked)
    return RowStationaryPasses(
        kernel_folds, row_folds, summed, others, kernel_folds * row_folds * least
    )


@inlined
def row_stationary_steps(p: Problem, tile: TileSizes) -> tuple[int, int]:
    """Steps of one full tile, and of all tiles of all groups, true to size."""
    b, oh, ow, ic, oc = tile
    if oh.size == 0:  # the ideal candidate: every element busy in every step
        elements = p.array_rows * p.array_columns
        window = p.kernel_rows * p.kernel_columns
        outputs = b.covered * oh.covered * ow.covered * oc.covered
        return 0, ceil_div(outputs * ic.covered * window, elements) * p.groups
    # Passes are rounded up tile by tile and do not add up: each size of tile is counted apart.
    passes = 0
    for rows, row_tiles in ((oh.size, oh.tiles - 1), (oh.last, 1)):
        for inputs, in_tiles in ((ic.size, ic.tiles - 1), (ic.last, 1)):
            for outputs, out_tiles in ((oc.size, oc.tiles - 1), (oc.last, 1)):
                times = row_tiles * in_tiles * out_tiles
                passes += times * row_stationary_sets(p, rows, inputs, outputs).passes
    full = row_stationary_sets(p, oh.size, ic.size, oc.size).passes
    one = b.size * ow.size * p.kernel_columns * full
    return one, b.covered * ow.covered * p.kernel_columns * passes * p.groups
