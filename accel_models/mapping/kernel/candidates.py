"""Compiled: the candidate tile sizes of each dimension of a layer, and what each moves.

Row t of a table describes one candidate size: how many tiles there are, what they cover, and sums
over them, so that the search only multiplies.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from accel_models.mapping.kernel.windows import Windows, line_count, windows_across, windows_down
from accel_models.mapping.problem import Problem

CHANNELS, KERNEL_ROW, WINDOW, ROW_STATIONARY = range(4)
"""Lane rules in the order of `accel_models.accelerators.arrays.array.LANE_RULES`."""

SIZE, COUNT, COVERED, LAST = range(4)
"""Columns of every table: tile size, number of tiles, elements charged in all, size of the last."""
TOUCHED, ALL_TOUCHED, TOGETHER, SPANS, LAST_SPANS = 4, 5, 6, 7, 8
"""Columns of rows' and columns' tables: input lines that the largest tile's windows touch, summed
over tiles, and those that all windows touch; and rectangles of positions that take in a tile, and
the last one."""
BLOCKS, ALL_BLOCKS, MOVED, ALL_MOVED, BUFFERED = 4, 5, 6, 7, 8
"""Columns of output channels' tables: column blocks of a tile and in all, outputs moved of a tile
and in all, and outputs of a tile as their buffer holds them."""
STEPS, ALL_STEPS, LANES, ALL_LANES = 4, 5, 6, 7
"""Columns of input channels' tables: steps per output, and weights per output as the buffer holds
them."""
CANDIDATE_COLUMNS = 9


class DimensionSplit(NamedTuple):
    """A candidate tile of one dimension: its size, how many there are, elements charged in all, and
    the size of the last one. So begin the candidates of every dimension."""

    size: int
    tiles: int
    covered: int
    last: int


class Lines(NamedTuple):
    """A candidate for rows or columns: input lines under the windows of its largest tile, summed
    over all tiles, and under all windows together; and how many rectangles of output positions one
    beside the other take in a tile, and the last one."""

    size: int
    tiles: int
    covered: int
    last: int
    touched: int
    all_touched: int
    together: int
    spans: int
    last_spans: int


class Ins(NamedTuple):
    """A candidate for input channels: steps per output, weights per output as their buffer holds
    them, each of a tile and summed over all tiles."""

    size: int
    tiles: int
    covered: int
    last: int
    steps: int
    all_steps: int
    lanes: int
    all_lanes: int


class Outs(NamedTuple):
    """A candidate for output channels: column blocks and outputs moved, each of a tile and summed
    over all tiles, and outputs of a tile as their buffer holds them."""

    size: int
    tiles: int
    covered: int
    last: int
    blocks: int
    all_blocks: int
    moved: int
    all_moved: int
    held: int


class TileSizes(NamedTuple):
    """One tiling: a candidate of every dimension, in the order of `problem.LOOPS`."""

    batch: DimensionSplit
    rows: Lines
    columns: Lines
    ins: Ins
    outs: Outs


class Candidates(NamedTuple):
    """Candidates of each dimension, int64 [candidate, column], the largest first.

    Behind the last candidate of batch, rows and columns comes an ideal one: it covers the
    dimension, yet a tile of it takes no room and no time. It stands for 'any' in bounds.
    """

    batch: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    in_channels: np.ndarray
    out_channels: np.ndarray
    maps: np.ndarray
    """Pairs of row and column candidates, int64 [pair, (row, column)]; the fewer inputs their tiles
    touch, the earlier they come."""


@njit(cache=True)
def split(t: np.ndarray, i: int) -> DimensionSplit:
    """Row `i` of a table of tiles along the batch."""
    return DimensionSplit(t[i, 0], t[i, 1], t[i, 2], t[i, 3])


@njit(cache=True)
def lines(t: np.ndarray, i: int) -> Lines:
    """Row `i` of a table of tiles along the map's rows or columns."""
    return Lines(t[i, 0], t[i, 1], t[i, 2], t[i, 3], t[i, 4], t[i, 5], t[i, 6], t[i, 7], t[i, 8])


@njit(cache=True)
def ins(t: np.ndarray, i: int) -> Ins:
    """Row `i` of a table of tiles along the input channels."""
    return Ins(t[i, 0], t[i, 1], t[i, 2], t[i, 3], t[i, 4], t[i, 5], t[i, 6], t[i, 7])


@njit(cache=True)
def outs(t: np.ndarray, i: int) -> Outs:
    """Row `i` of a table of tiles along the output channels."""
    return Outs(t[i, 0], t[i, 1], t[i, 2], t[i, 3], t[i, 4], t[i, 5], t[i, 6], t[i, 7], t[i, 8])


@njit(cache=True)
def ceil_div(a: int, b: int) -> int:
    """Quotient of two integers, rounded up."""
    return -(-a // b)


@njit(cache=True)
def all_candidates(p: Problem, rule: int) -> Candidates:
    """Candidate tile sizes of every dimension of a layer, with the sums that the search needs."""
    # The published tool tiles square, by powers of two, and goes on until the longer side is
    # covered.
    side = max(p.out_rows, p.out_columns)
    gathered = p.gather_before_dram and rule == WINDOW
    step = 1 if gathered or not p.square_powers else p.array_columns
    batch = candidates(p.batch, p.batch, 1, p)
    rows = candidates(p.out_rows, side if p.square_powers else p.out_rows, 1, p)
    columns = candidates(p.out_columns, side if p.square_powers else p.out_columns, 1, p)
    fill_touched(rows, windows_down(p), p)
    fill_touched(columns, windows_across(p), p)
    down, across = p.window_rows, p.window_columns
    fill_spans(rows, down)
    fill_spans(columns, across)
    in_channels = candidates(p.in_channels, p.in_channels, 1, p)
    fill_reduction(in_channels, rule, p)
    out_channels = candidates(p.out_channels, p.out_channels, step, p)
    fill_blocks(out_channels, rule, p)
    # Before the ideal candidate is appended: it stands for all shapes and pairs with none.
    maps = pairs(p, rows, columns)
    batch = with_ideal(batch, p.batch, 1)
    rows, columns = with_ideal(rows, p.out_rows, down), with_ideal(columns, p.out_columns, across)
    return Candidates(batch, rows, columns, in_channels, out_channels, maps)


@njit(cache=True)
def with_ideal(table: np.ndarray, size: int, span: int) -> np.ndarray:
    """Table with one more row, the ideal candidate: one tile that covers the dimension and takes no
    room, so that none can be priced below it."""
    grown = np.zeros((len(table) + 1, CANDIDATE_COLUMNS), dtype=np.int64)
    grown[:-1] = table
    grown[-1, COUNT], grown[-1, COVERED] = 1, size
    grown[-1, LAST] = size
    grown[-1, ALL_TOUCHED] = grown[-1, TOGETHER] = 1
    grown[-1, LAST_SPANS] = ceil_div(size, span)
    return grown


@njit(cache=True)
def pairs(p: Problem, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Tile shapes of the map. Where rows and columns are alike, one of each mirrored pair."""
    alike = rows.shape == columns.shape and np.all(rows == columns)
    found = np.empty((len(rows) * len(columns), 2), dtype=np.int64)
    touched = np.empty(len(found), dtype=np.int64)
    number = 0
    for i in range(len(rows)):
        for j in range(len(columns)):
            # The published tool's tiles are square. Others come in mirrored pairs where rows and
            # columns are alike, and cost the same.
            if (p.square_powers and i != j) or (alike and j < i):
                continue
            touched[number] = rows[i, ALL_TOUCHED] * columns[j, ALL_TOUCHED]
            found[number, 0], found[number, 1] = i, j
            number += 1
    # A stable sort: which of equal mappings is found must not depend on the platform.
    return found[np.argsort(touched[:number], kind="mergesort")]


@njit(cache=True)
def candidates(size: int, longest: int, step: int, p: Problem) -> np.ndarray:
    """All tile sizes of a dimension: step, 2 step, 4 step ... up to `longest`, or all ceil(D/n)."""
    # Any other size makes as many tiles as one of these and a smaller last one: it needs more room
    # and saves nothing. Counted first, for compiled arrays have a fixed size.
    count = 0
    if p.square_powers:
        tile = step
        count = 1
        while tile < longest:
            tile *= 2
            count += 1
    else:
        previous = 0
        for parts in range(1, size + 1):
            tile = ceil_div(size, parts)
            count += tile != previous
            previous = tile
    table = np.zeros((count, CANDIDATE_COLUMNS), dtype=np.int64)
    if p.square_powers:
        for index in range(count):
            fill_size(table[count - 1 - index], min(step << index, size), size, p)
    else:
        index, previous = 0, 0
        for parts in range(1, size + 1):
            tile = ceil_div(size, parts)
            if tile != previous:
                fill_size(table[index], tile, size, p)
                index += 1
            previous = tile
    return table


@njit(cache=True)
def fill_size(row: np.ndarray, tile: int, size: int, p: Problem) -> None:
    """Fill in what every table says of a tile size: how many tiles, what they cover, the last
    one."""
    count = ceil_div(size, tile)
    row[SIZE], row[COUNT] = tile, count
    row[COVERED] = count * tile if p.whole_tiles else size
    row[LAST] = tile if p.whole_tiles else size - (count - 1) * tile


@njit(cache=True)
def fill_touched(table: np.ndarray, windows: Windows, p: Problem) -> None:
    """Input rows (or columns) under the windows of each tile: zero padding is not there, and rows
    between the windows are not touched, unless the published tool's view is asked for."""
    for row in table:
        for tile in range(row[COUNT]):
            length = row[LAST] if tile == row[COUNT] - 1 else row[SIZE]
            lines = line_count(p, tile * row[SIZE], length, windows)
            row[ALL_TOUCHED] += lines
            row[TOUCHED] = max(row[TOUCHED], lines)
    table[:, TOGETHER] = table[0, ALL_TOUCHED]


@njit(cache=True)
def fill_spans(table: np.ndarray, span: int) -> None:
    """Fill in how many rectangles of positions, each of so many lines, take in a tile."""
    for row in table:
        row[SPANS], row[LAST_SPANS] = ceil_div(row[SIZE], span), ceil_div(row[LAST], span)


@njit(cache=True)
def fill_blocks(table: np.ndarray, rule: int, p: Problem) -> None:
    """Fill in the column blocks of output-channel tiles, and the outputs that move and are held."""
    # Row-stationary arrays spread outputs over rows of the map, not over columns of channels.
    width = 1 if rule == ROW_STATIONARY else p.array_columns
    for row in table:
        row[BLOCKS] = ceil_div(row[SIZE], width)
        row[ALL_BLOCKS] = (row[COUNT] - 1) * row[BLOCKS] + ceil_div(row[LAST], width)
        row[BUFFERED] = row[BLOCKS] * width
        row[MOVED] = row[BLOCKS] * width if p.pad_outputs else row[SIZE]
        row[ALL_MOVED] = row[ALL_BLOCKS] * width if p.pad_outputs else row[COVERED]


@njit(cache=True)
def fill_reduction(table: np.ndarray, rule: int, p: Problem) -> None:
    """Fill in the steps and weight lanes of input-channel tiles."""
    for row in table:
        before = row[COUNT] - 1
        row[STEPS] = reduction_steps(p, rule, row[SIZE])
        row[ALL_STEPS] = before * row[STEPS] + reduction_steps(p, rule, row[LAST])
        row[LANES] = weight_lanes(p, row[SIZE])
        row[ALL_LANES] = before * row[LANES] + weight_lanes(p, row[LAST])


@njit(cache=True)
def reduction_steps(p: Problem, rule: int, channels: int) -> int:
    """Steps to accumulate one output position of one column block over `channels` inputs."""
    steps = 0
    for lanes, count in p.passes:
        if count == 0:
            continue
        if rule == WINDOW:
            window = p.kernel_rows * p.kernel_columns
            one = ceil_div(window * channels, p.array_rows * lanes)
        elif rule == KERNEL_ROW:
            one = p.kernel_rows * ceil_div(
                p.kernel_columns * ceil_div(channels, p.array_rows), lanes
            )
        else:
            window = p.kernel_rows * p.kernel_columns
            one = window * ceil_div(channels, p.array_rows * lanes)
        steps += count * one
    return steps


@njit(cache=True)
def weight_lanes(p: Problem, channels: int) -> int:
    """Weights per output, as the buffer holds them."""
    weights = p.kernel_rows * p.kernel_columns * channels
    if not p.align_weights:
        return weights
    reduction = p.array_rows * p.passes[0][0]
    return ceil_div(weights, reduction) * reduction
