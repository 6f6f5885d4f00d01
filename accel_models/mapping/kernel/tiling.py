"""Compiled: how much a tiling moves and computes, whatever the loop order. Volumes in elements.

Notation follows the published equations: W, A, Q are weights, activations and outputs. A tensor's
*tile* is what one step of the innermost loop touches, its *block* the largest part that stays on
chip, its *trips* how often it is moved because of loops that do not index it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from accel_models.mapping.kernel.array_side import positions
from accel_models.mapping.kernel.candidates import (
    ROW_STATIONARY,
    WINDOW,
    Lines,
    TileSizes,
    ceil_div,
)
from accel_models.mapping.kernel.inlined import inlined
from accel_models.mapping.kernel.row_stationary import row_stationary_steps
from accel_models.mapping.problem import Problem

BLOCK, HELD, ALL, WRITTEN = range(4)
"""Columns of `Tiling.inputs`: elements of a block of one tile's inputs and channels, bits of it in
the buffer (with windows laid out, if the lane rule asks for it), elements that come if every block
comes once, and elements that then enter the buffer."""


class Tiling(NamedTuple):
    """Everything about a tiling that no loop order changes; volumes in elements, all groups."""

    steps: int
    """Tiles of one group."""
    compute: int
    tile_cycles: int
    w_tile: int
    q_tile: int
    w_held: int
    """Bits of a tile of weights as its buffer holds it."""
    q_held: int
    """Bits of a tile of outputs as its buffer holds it."""
    w_all: int
    q_all: int
    inputs: np.ndarray
    """Figures of blocks of inputs, int64 [which of the map's loops a block takes in: none, rows,
    columns, both; what of it]."""


@njit(cache=True, forceinline=True)
def price_tile(p: Problem, rule: int, tile: TileSizes, inputs: np.ndarray) -> Tiling:
    """Size up a tiling, whatever the loop order. `inputs` is filled in, and becomes part of it."""
    b, oh, ow, ic, oc = tile
    fill_inputs(p, rule, tile, inputs)
    q_tile = b.size * oh.size * ow.size
    # Steps of one full tile pace the slots; steps of all tiles, true to size, are what is computed.
    one_block = all_blocks = 0
    if rule == ROW_STATIONARY:
        one, steps = row_stationary_steps(p, tile)
    else:
        one_block = b.size * ceil_div(oh.spans * ow.spans, p.windows) * oc.blocks
        all_blocks = b.covered * positions(p, oh, ow) * oc.all_blocks * p.groups
        one, steps = one_block * ic.steps, all_blocks * ic.all_steps
    # The array turns to other weights once for each fold of a tile, however few positions it has.
    streams = b.tiles * oh.tiles * ow.tiles * oc.all_blocks * ic.all_steps * p.groups
    turning = streams * p.stream_overhead + all_blocks * ic.tiles * p.block_overhead
    # Aligned weights are padded tile by tile, so that the sum over tiles may exceed the layer's.
    lanes_all = ic.tiles * ic.lanes if p.whole_tiles else ic.all_lanes
    return Tiling(
        steps=b.tiles * oh.tiles * ow.tiles * ic.tiles * oc.tiles,
        compute=ceil_div(steps, p.stagger) * p.cycles_per_step + turning + p.ramp,
        tile_cycles=ceil_div(one, p.stagger) * p.cycles_per_step
        + oc.blocks * ic.steps * p.stream_overhead
        + one_block * p.block_overhead,
        w_tile=ic.lanes * oc.size,
        q_tile=q_tile * oc.moved,
        w_held=ic.lanes * oc.size * p.weight_bits,
        q_held=q_tile * oc.held * p.accumulator_bits,
        w_all=lanes_all * oc.covered * p.groups,
        q_all=b.covered * oh.covered * ow.covered * oc.all_moved * p.groups,
        inputs=inputs,
    )


@inlined
def fill_inputs(p: Problem, rule: int, tile: TileSizes, inputs: np.ndarray) -> None:
    """A tiling's inputs, as `Tiling` has them."""
    b, oh, ow, ic, _ = tile
    # Bit 0 of `inside`: the block takes in the loop over rows; bit 1: that over columns. Lines that
    # tiles share make these four the only blocks that differ in more than a factor.
    window = p.kernel_rows * p.kernel_columns
    one, once = b.size * ic.size, b.covered * ic.covered * p.groups
    spread = once * oh.covered * ow.covered * window
    for inside in range(4):
        rows, lines_down = lines_of(p, oh, inside & 1 > 0)
        columns, lines_across = lines_of(p, ow, inside > 1)
        block, come = one * rows * columns, once * lines_down * lines_across
        # A window laid out holds a pixel once for every window it is in; over DRAM it comes once,
        # unless the windows are laid out there already.
        held, written = block, come
        if rule == WINDOW:
            held = one * window * span_of(p, oh, inside & 1 > 0) * span_of(p, ow, inside > 1)
            written = spread
            if p.gather_before_dram:
                block, come = held, spread
        inputs[inside, BLOCK], inputs[inside, HELD] = block, held * p.buffered_input_bits
        inputs[inside, ALL], inputs[inside, WRITTEN] = come, written


@inlined
def lines_of(p: Problem, lines: Lines, whole: bool) -> tuple[int, int]:
    """Input lines of a block, and of all blocks together."""
    if not whole:
        return lines.touched, lines.all_touched
    if p.share_halos:
        return lines.together, lines.together
    return lines.touched * lines.tiles, lines.all_touched


@inlined
def span_of(p: Problem, lines: Lines, whole: bool) -> int:
    """Output lines of a block."""
    if not whole:
        return lines.size
    return lines.covered if p.share_halos else lines.size * lines.tiles
