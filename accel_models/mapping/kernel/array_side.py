"""Compiled: what the array and its buffers exchange under a tiling, whatever the loop order."""

from __future__ import annotations

import numpy as np

from accel_models.mapping.kernel.candidates import ROW_STATIONARY, Lines, TileSizes, ceil_div
from accel_models.mapping.kernel.inlined import inlined
from accel_models.mapping.kernel.row_stationary import row_stationary_sets
from accel_models.mapping.problem import Problem

OPERATIONS, ARRAY, STALL, VECTOR = range(4)
W_READ, W_WRITE, A_READ, A_WRITE, Q_READ, Q_WRITE, DRAM_READ, DRAM_WRITE = range(4, 12)

INPUT_STATIONARY, OUTPUT_STATIONARY, WEIGHT_STATIONARY, ROWS_STATIONARY = range(4)
"""What stays in the array while a tile is computed, as in `problem.STATIONARY`."""


@inlined
def positions(p: Problem, oh: Lines, ow: Lines) -> int:
    """Blocks of output positions of one input, over tiles true to size."""
    more_rows, more_columns = oh.tiles - 1, ow.tiles - 1
    if p.windows == 1:
        return (more_rows * oh.spans + oh.last_spans) * (more_columns * ow.spans + ow.last_spans)
    # Quotients rounded up do not add up: full tiles, those at either edge and the corner are
    # counted apart.
    return (
        more_rows * more_columns * ceil_div(oh.spans * ow.spans, p.windows)
        + more_rows * ceil_div(oh.spans * ow.last_spans, p.windows)
        + more_columns * ceil_div(oh.last_spans * ow.spans, p.windows)
        + ceil_div(oh.last_spans * ow.last_spans, p.windows)
    )


@inlined
def array_side(
    p: Problem, rule: int, tile: TileSizes, prices: np.ndarray, actions: np.ndarray
) -> int:
    """Fill in what array and buffers exchange, which no loop order changes; say what stays put."""
    b, oh, ow, ic, oc = tile
    window = p.kernel_rows * p.kernel_columns
    # Reads and sums go by what tiles cover, more than the layer where they count as whole;
    # operations are the layer's own.
    weights = window * ic.covered * oc.covered * p.groups
    inputs = b.covered * oh.covered * ow.covered * window * ic.covered * p.groups
    outputs = b.covered * oh.covered * ow.covered * oc.covered * p.groups
    macs = inputs * oc.covered
    reads = inputs * oc.all_blocks if p.share_input_reads else macs
    actions[OPERATIONS] = (
        p.batch * p.out_rows * p.out_columns * window * p.in_channels * p.out_channels * p.groups
    ) * p.operations_per_mac
    actions[A_READ] = reads * p.activation_bits + outputs * p.kept_residual_bits
    per_weight = b.covered * positions(p, oh, ow)
    visits = b.tiles * oh.tiles * ow.tiles
    if rule == ROW_STATIONARY:
        return row_side(p, tile, weights, outputs, actions)
    # Each way to keep something in the array trades reads of weights for exchanges of sums.
    by_output = (
        per_weight * weights * p.weight_bits,
        outputs * p.accumulator_bits * ic.tiles,
    )
    # The published tool decides by an estimate of its own, right or wrong.
    if p.published_array_side:
        return published_side(p, tile, macs, inputs * oc.tiles, weights * visits, actions)
    by_weight = (weights * visits * p.weight_bits, outputs * p.accumulator_bits * ic.all_steps)
    # Both ways compute the same in the same time, so the cheaper one is taken, by buffer prices
    # alone.
    q_price = prices[Q_READ] + prices[Q_WRITE]
    spared = (by_output[0] - by_weight[0]) * prices[W_READ]
    weights_stay = (by_weight[1] - by_output[1]) * q_price < spared
    actions[W_READ], sums = by_weight if weights_stay else by_output
    actions[Q_READ] = actions[Q_WRITE] = sums
    return WEIGHT_STATIONARY if weights_stay else OUTPUT_STATIONARY


@inlined
def published_side(
    p: Problem,
    tile: TileSizes,
    macs: int,
    inputs: int,
    weights: int,
    actions: np.ndarray,
) -> int:
    """The published tool's choice between three stationarities, by its own estimate."""
    b, oh, ow, ic, oc = tile
    a, w, acc = p.activation_bits, p.weight_bits, p.accumulator_bits
    positions = b.covered * oh.covered * ow.covered
    once = positions * oc.covered * ic.tiles * acc
    here = b.size * oh.size * ow.size
    if here == 0:  # the ideal candidate: the least of any of the three
        actions[W_READ], actions[A_READ] = weights * w, inputs * a
        actions[Q_READ] = actions[Q_WRITE] = once
        return OUTPUT_STATIONARY
    # It takes lanes and columns for full, though what is charged afterwards is true to size.
    padded_out = oc.blocks * p.array_columns
    padded_in = ic.steps * p.array_rows * p.passes[0][0]
    costs = (
        padded_in * here * (a + padded_out * (w + acc)),
        padded_out * here * (acc + padded_in * (a + w)),
        padded_in * padded_out * (w + here * (a + acc)),
    )
    stays = INPUT_STATIONARY
    if costs[OUTPUT_STATIONARY] < costs[stays]:
        stays = OUTPUT_STATIONARY
    if costs[WEIGHT_STATIONARY] < costs[stays]:
        stays = WEIGHT_STATIONARY
    actions[W_READ] = (weights if stays == WEIGHT_STATIONARY else macs) * w
    sums = macs * acc
    if stays == INPUT_STATIONARY:
        actions[A_READ] = inputs * a
    elif stays == OUTPUT_STATIONARY:
        sums = once
    actions[Q_READ] = actions[Q_WRITE] = sums
    return stays


@inlined
def row_side(p: Problem, tile: TileSizes, weights: int, outputs: int, actions: np.ndarray) -> int:
    """Row-stationary: every pass hands its inputs to all sets that share them, weights to all rows
    of a map, and adds up what its sets of several input channels make."""
    b, oh, ow, ic, oc = tile
    # A pass hands each input to all sets at once, so reads go by passes and not by MACs.
    inputs = b.covered * ic.covered * oh.all_touched * ow.all_touched * p.groups
    if oh.size == 0:  # the ideal candidate: everything passes once
        folds, in_passes, out_passes = 1, 1, 1
    else:
        sets = row_stationary_sets(p, oh.size, ic.size, oc.size)
        folds = sets.row_folds * oh.tiles * ow.tiles
        in_passes = ic.tiles * ceil_div(ic.size, sets.in_channels)
        out_passes = oc.tiles * ceil_div(oc.size, sets.out_channels)
    kept = outputs * p.kept_residual_bits
    actions[A_READ] = inputs * out_passes * p.activation_bits + kept
    actions[W_READ] = weights * b.covered * folds * p.weight_bits
    actions[Q_READ] = actions[Q_WRITE] = outputs * in_passes * p.accumulator_bits
    return ROWS_STATIONARY
