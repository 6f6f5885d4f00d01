"""Compiled: the blocks of each tensor that stay on chip under a loop order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from accel_models.mapping.kernel.inlined import inlined
from accel_models.mapping.kernel.tiling import ALL, BLOCK, HELD, Tiling
from accel_models.mapping.problem import (
    BATCH,
    IN_CHANNELS,
    NEVER,
    OUT_CHANNELS,
    OUT_COLUMNS,
    OUT_ROWS,
    Problem,
)

INDEXES_WEIGHTS = 1 << IN_CHANNELS | 1 << OUT_CHANNELS
INDEXES_INPUTS = 1 << BATCH | 1 << OUT_ROWS | 1 << OUT_COLUMNS | 1 << IN_CHANNELS
INDEXES_OUTPUTS = 1 << BATCH | 1 << OUT_ROWS | 1 << OUT_COLUMNS | 1 << OUT_CHANNELS

INSIDE = 9
"""Place in a nest's row of which of `Tiling.inputs` holds."""


class Blocks(NamedTuple):
    """What a loop order decides for each tensor: trips, tiles in a block, and the loop position
    from which the block has to be exchanged."""

    w_trips: int
    w_tiles: int
    w_from: int
    a_trips: int
    a_tiles: int
    a_from: int
    q_trips: int
    q_tiles: int
    q_from: int
    inside: int
    """Row of `Tiling.inputs` that holds."""


@inlined
def grow(p: Problem, s: Tiling, loop: int, count: int, depth: int, nest: np.ndarray) -> None:
    """Fill in row ``depth + 1`` of a nest of loops from row `depth`, the loops inside this one.

    A row holds trips, tiles in a block, and the loop position from which blocks are exchanged, of
    weights, inputs and outputs; and last which of `Tiling.inputs` holds. Blocks grow outwards while
    they fit: a loop that does not index the tensor is then free. From the first block that does not
    fit, every such loop moves the whole tensor again.
    """
    grow_tensor(nest, depth, 0, INDEXES_WEIGHTS >> loop & 1, s.w_held, p.weight_room, count)
    inside = nest[depth, INSIDE]
    grown = inside | (loop == OUT_ROWS) | (loop == OUT_COLUMNS) << 1
    # A loop over the map makes other inputs of the block, not more blocks of the same.
    more = 1 if loop in (OUT_ROWS, OUT_COLUMNS) else count
    held = s.inputs[grown, HELD]
    grow_tensor(nest, depth, 3, INDEXES_INPUTS >> loop & 1, held, p.input_room, more)
    # Once a block has stopped growing it stays as it is, whatever loops come outside.
    if nest[depth + 1, 5] != NEVER:
        grown = inside
    nest[depth + 1, INSIDE] = grown
    grow_tensor(nest, depth, 6, INDEXES_OUTPUTS >> loop & 1, s.q_held, p.output_room, count)


@inlined
def grow_tensor(
    nest: np.ndarray, depth: int, tensor: int, indexes: int, held: int, room: int, count: int
) -> None:
    """Fill in one tensor's part of row ``depth + 1`` of a nest; see `grow`."""
    trips, tiles, since = nest[depth, tensor], nest[depth, tensor + 1], nest[depth, tensor + 2]
    # A loop that does not index the tensor finds the block again inside of it for free, and moves
    # everything once more outside; one that does makes the block larger as long as that fits.
    if not indexes:
        if since != NEVER:
            trips *= count
    elif since == NEVER:
        if held * tiles * count <= room:
            tiles *= count
        else:
            since = depth
    nest[depth + 1, tensor] = trips
    nest[depth + 1, tensor + 1] = tiles
    nest[depth + 1, tensor + 2] = since


@njit(cache=True, forceinline=True)
def empty_nest() -> np.ndarray:
    """A nest of up to five loops; row 0 says that a tile is moved once."""
    nest = np.zeros((6, 10), dtype=np.int64)
    for tensor in range(0, 9, 3):
        nest[0, tensor], nest[0, tensor + 1], nest[0, tensor + 2] = 1, 1, NEVER
    return nest


@inlined
def blocks_of_row(row: np.ndarray) -> Blocks:
    """Blocks that a row of a nest describes."""
    return Blocks(
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[INSIDE]
    )


@inlined
def levels(
    p: Problem,
    s: Tiling,
    tensor: int,
    order: np.ndarray,
    loops: int,
    counts: np.ndarray,
    table: np.ndarray,
) -> int:
    """Blocks of one tensor worth trying under a loop order: fill in its (trips, tiles in a block,
    loop position from which blocks are exchanged, which of `Tiling.inputs` holds), return how many.

    A larger block takes longer to load before the first step. So blocks grow over one more loop
    only where that saves traffic: some loop in between, or further out, finds the block again, or
    tiles of the map share the lines between them.
    """
    indexes = (INDEXES_WEIGHTS, INDEXES_INPUTS, INDEXES_OUTPUTS)[tensor]
    room = (p.weight_room, p.input_room, p.output_room)[tensor]
    # From the innermost loop outwards: all loops that do not index the tensor repeat it at first,
    # and each that the block takes in no longer does.
    found, tiles, inside, saves, rest = 0, 1, 0, True, 1
    for depth in range(loops):
        if not indexes >> order[depth] & 1:
            rest *= counts[order[depth]]
    for depth in range(loops):
        loop = order[depth]
        if not indexes >> loop & 1:
            rest //= counts[loop]
            saves = True
            continue
        if saves:
            fill_block(table, tensor, found, rest, tiles, depth, inside)
            found += 1
        more, beside, held = counts[loop], inside, (s.w_held, 0, s.q_held)[tensor]
        # A block larger by this loop alone pays only if something outside finds it again.
        saves = False
        if tensor == 1:
            # Tiles of the map overlap: one block of two may need less than two blocks.
            if loop in (OUT_ROWS, OUT_COLUMNS):
                more, beside = 1, inside | (loop == OUT_ROWS) | (loop == OUT_COLUMNS) << 1
                saves = s.inputs[beside, ALL] < s.inputs[inside, ALL]
            held = s.inputs[beside, HELD]
        # Larger blocks hold this one, so none of them fits either.
        if held * tiles * more > room:
            return found
        tiles, inside = tiles * more, beside
    if saves:
        fill_block(table, tensor, found, 1, tiles, NEVER, inside)
        found += 1
    return found


@inlined
def largest_block(nest: np.ndarray, depth: int, tensor: int, table: np.ndarray) -> int:
    """The block of one tensor that a nest of loops ends up with, as the only one to try."""
    at = 3 * tensor
    trips, tiles, since = nest[depth, at], nest[depth, at + 1], nest[depth, at + 2]
    fill_block(table, tensor, 0, trips, tiles, since, nest[depth, INSIDE])
    return 1


@inlined
def fill_block(
    table: np.ndarray, tensor: int, place: int, trips: int, tiles: int, since: int, inside: int
) -> None:
    """Write one block of a tensor into a table of blocks."""
    table[tensor, place, 0], table[tensor, place, 1] = trips, tiles
    table[tensor, place, 2], table[tensor, place, 3] = since, inside


@njit(cache=True, forceinline=True)
def blocks_until(
    s: Tiling, order: np.ndarray, counts: np.ndarray, stops: tuple[int, int, int]
) -> Blocks:
    """The blocks of a mapping that exchanges weights, inputs and outputs from these positions of
    its loops, innermost first."""
    row = np.zeros(10, dtype=np.int64)
    for tensor in range(3):
        indexes = (INDEXES_WEIGHTS, INDEXES_INPUTS, INDEXES_OUTPUTS)[tensor]
        trips, tiles = 1, 1
        for depth, loop in enumerate(order):
            if loop < 0:
                break
            uses = indexes >> loop & 1
            if depth >= stops[tensor]:
                trips *= 1 if uses else counts[loop]
            elif uses and tensor == 1 and loop in (OUT_ROWS, OUT_COLUMNS):
                row[INSIDE] |= (loop == OUT_ROWS) | (loop == OUT_COLUMNS) << 1
            elif uses:
                tiles *= counts[loop]
        row[3 * tensor], row[3 * tensor + 1], row[3 * tensor + 2] = trips, tiles, stops[tensor]
    return blocks_of_row(row)


@inlined
def input_block(s: Tiling, k: Blocks) -> int:
    """Elements of a block of inputs."""
    return s.inputs[k.inside, BLOCK] * k.a_tiles
