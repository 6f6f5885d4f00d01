"""A mapping walked through: which tile comes when, and what its steps put on the array's lanes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np

from accel_models.mapping.problem import LOOPS, Mapping
from accel_models.reference_machine.datapath.plain import IDLE, TileSchedule


class TileExtent(NamedTuple):
    """A tile's part of one dimension: where it begins, what it holds, and what is charged."""

    first: int
    held: int
    charged: int
    """More than it holds if tiles at the end cost as much as full ones."""


class ArrayShape(NamedTuple):
    """How much an array takes side by side, and in what shape a layer is given to it."""

    rows: int
    columns: int
    windows: int
    window_rows: int
    window_columns: int
    lanes: tuple[int, ...]
    """Products that each row adds up, for each pass."""
    lane_rule: str
    stationary: str
    whole_tiles: bool


class Sizes(NamedTuple):
    """A layer: channels are those of one group."""

    groups: int
    loops: dict[str, int]
    """Elements of each of `problem.LOOPS`."""
    kernel: tuple[int, int]


def tiles(sizes: Sizes, shape: ArrayShape, mapping: Mapping) -> Iterator[TileSchedule]:
    """All tiles of a layer, group by group, in the order of the mapping's loops."""
    spans = {
        loop: _spans(sizes.loops[loop], size, shape.whole_tiles)
        for loop, size in zip(LOOPS, mapping.tile, strict=True)
    }
    for group in range(sizes.groups):
        for nest in product(*(spans[loop] for loop in mapping.order)):
            yield _tile(group, dict(zip(mapping.order, nest, strict=True)), sizes, shape)


def _spans(size: int, tile: int, whole: bool) -> list[TileExtent]:
    found = []
    for first in range(0, size, tile):
        held = min(tile, size - first)
        found.append(TileExtent(first, held, tile if whole else held))
    return found


def _tile(group: int, part: dict[str, TileExtent], sizes: Sizes, shape: ArrayShape) -> TileSchedule:
    positions = _positions(part["batch"], part["out_rows"], part["out_columns"], shape)
    columns = _columns(part["out_channels"], shape.columns)
    columns[columns != IDLE] += group * sizes.loops["out_channels"]
    span = part["in_channels"]
    taps, passes = _taps(
        sizes.kernel, span.held, span.charged, shape.rows, shape.lane_rule, shape.lanes
    )
    shifted = np.where(taps == IDLE, IDLE, taps + np.array([span.first, 0, 0]))
    order = _order(len(positions), len(columns), len(taps), shape.stationary)
    return TileSchedule(
        order, positions, columns, shifted, passes, group * sizes.loops["in_channels"]
    )


def _positions(
    batch: TileExtent, rows: TileExtent, columns: TileExtent, shape: ArrayShape
) -> np.ndarray:
    """Output positions of a tile, a block at a time and none of two images together."""
    high, wide = shape.window_rows, shape.window_columns
    corners = list(product(range(0, rows.charged, high), range(0, columns.charged, wide)))
    blocks = []
    for image in range(batch.charged):
        for begin in range(0, len(corners), shape.windows):
            block = [(IDLE, IDLE, IDLE)] * (shape.windows * high * wide)
            of_block = product(corners[begin : begin + shape.windows], np.ndindex(high, wide))
            for place, ((top, left), (down, across)) in enumerate(of_block):
                row, column = top + down, left + across
                if image < batch.held and row < rows.held and column < columns.held:
                    block[place] = (batch.first + image, rows.first + row, columns.first + column)
            blocks.append(block)
    return np.array(blocks, dtype=np.int64)


def _columns(channels: TileExtent, columns: int) -> np.ndarray:
    """Output channels of a tile, one column block after the other."""
    blocks = []
    for begin in range(0, channels.charged, columns):
        block = [IDLE] * columns
        for column in range(min(columns, channels.charged - begin)):
            if begin + column < channels.held:
                block[column] = channels.first + begin + column
        blocks.append(block)
    return np.array(blocks, dtype=np.int64)


@lru_cache(maxsize=256)
def _taps(
    kernel: tuple[int, int],
    held: int,
    charged: int,
    rows: int,
    lane_rule: str,
    lanes_of: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """What the lanes reduce, step by step, for one output: (taps, passes) of a `TileSchedule`.

    Rows whose lanes no step of the tile uses are left out at the end.
    """
    taps, passes = [], []
    for number, lanes in enumerate(lanes_of):
        for step in FILLINGS[lane_rule](kernel, charged, rows, lanes):
            taps.append([tap if tap[0] < held else (IDLE,) * 3 for tap in step])
            passes.append(number)
    used = max(len(step) for step in taps)
    most = -(-used // max(lanes_of)) * max(lanes_of)
    filled = [step + [(IDLE,) * 3] * (most - len(step)) for step in taps]
    return np.array(filled, dtype=np.int64), np.array(passes, dtype=np.int64)


Tap = tuple[int, int, int]


def _by_channels(
    kernel: tuple[int, int], channels: int, rows: int, lanes: int
) -> Iterator[list[Tap]]:
    """Input channels side by side, one kernel position after the other."""
    for down, across in np.ndindex(kernel):
        for first in range(0, channels, rows * lanes):
            last = min(first + rows * lanes, channels)
            yield [(channel, down, across) for channel in range(first, last)]


def _by_kernel_row(
    kernel: tuple[int, int], channels: int, rows: int, lanes: int
) -> Iterator[list[Tap]]:
    """Each row of the array has every so-many-th channel, and a kernel row of each in a register
    that its lanes draw from."""
    depth = -(-channels // rows)
    queue = [(turn, across) for turn in range(depth) for across in range(kernel[1])]
    for down in range(kernel[0]):
        for first in range(0, len(queue), lanes):
            yield [
                (channel, down, across) if channel < channels else (IDLE,) * 3
                for row in range(rows)
                for turn, across in _padded(queue[first : first + lanes], lanes)
                for channel in [turn * rows + row if turn != IDLE else channels]
            ]


def _by_window(
    kernel: tuple[int, int], channels: int, rows: int, lanes: int
) -> Iterator[list[Tap]]:
    """The whole window laid out, as much at a time as there are lanes."""
    window = [(c, down, across) for down, across in np.ndindex(kernel) for c in range(channels)]
    for first in range(0, len(window), rows * lanes):
        yield window[first : first + rows * lanes]


def _padded(turns: Sequence[tuple[int, int]], lanes: int) -> list[tuple[int, int]]:
    return [*turns, *[(IDLE, IDLE)] * (lanes - len(turns))]


FILLINGS = {"channels": _by_channels, "kernel-row": _by_kernel_row, "window": _by_window}
"""What each lane rule puts on the lanes, step by step."""


def _order(positions: int, blocks: int, taps: int, stationary: str) -> np.ndarray:
    """The steps of a tile: the innermost loop is the one that keeps `stationary` in the array."""
    p, q, s = range(3)
    nest = {"output": (p, q, s), "weight": (q, s, p), "input": (p, s, q)}[stationary]
    counts = (positions, blocks, taps)
    steps = np.indices([counts[axis] for axis in nest], dtype=np.int64).reshape(3, -1)
    return np.ascontiguousarray(steps[np.argsort(nest)].T)
