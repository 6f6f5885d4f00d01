"""Compiled: what the array and its buffers exchange under a tiling, whatever the loop order."""

from __future__ import annotations

import numpy as np
from numba import njit

from accel_models.mapping import Problem
from accel_models.row_stationary import row_stationary_sets
from accel_models.tiling import (
    ALL_BLOCKS,
    ALL_STEPS,
    ALL_TOUCHED,
    BLOCKS,
    COUNT,
    COVERED,
    LAST,
    ROW_STATIONARY,
    SIZE,
    STEPS,
    Tables,
    ceil_div,
)

OPERATIONS, ARRAY, STALL, VECTOR = range(4)
W_READ, W_WRITE, A_READ, A_WRITE, Q_READ, Q_WRITE, DRAM_READ, DRAM_WRITE = range(4, 12)

Place = tuple[int, int, int, int, int]
"""Which candidate of each table a tiling takes, in the order of `mapping.LOOPS`."""

INPUT_STATIONARY, OUTPUT_STATIONARY, WEIGHT_STATIONARY, ROWS_STATIONARY = range(4)
"""What stays in the array while a tile is computed, as in `mapping.STATIONARY`."""


@njit(cache=True)
def positions(p: Problem, oh: np.ndarray, ow: np.ndarray) -> int:
    """Groups of `windows` output positions of one input, over tiles true to size."""
    if p.windows == 1:
        return oh[COVERED] * ow[COVERED]
    more_rows, more_columns = oh[COUNT] - 1, ow[COUNT] - 1
    return (
        more_rows * more_columns * ceil_div(oh[SIZE] * ow[SIZE], p.windows)
        + more_rows * ceil_div(oh[SIZE] * ow[LAST], p.windows)
        + more_columns * ceil_div(oh[LAST] * ow[SIZE], p.windows)
        + ceil_div(oh[LAST] * ow[LAST], p.windows)
    )


@njit(cache=True)
def array_side(
    p: Problem, t: Tables, rule: int, place: Place, prices: np.ndarray, actions: np.ndarray
) -> int:
    """Fill in what array and buffers exchange, which no loop order changes; say what stays put."""
    b, oh, ow = t.batch[place[0]], t.rows[place[1]], t.columns[place[2]]
    ic, oc = t.in_channels[place[3]], t.out_channels[place[4]]
    window = p.kernel_rows * p.kernel_columns
    weights = window * ic[COVERED] * oc[COVERED] * p.groups
    inputs = b[COVERED] * oh[COVERED] * ow[COVERED] * window * ic[COVERED] * p.groups
    outputs = b[COVERED] * oh[COVERED] * ow[COVERED] * oc[COVERED] * p.groups
    macs = inputs * oc[COVERED]
    reads = inputs * oc[ALL_BLOCKS] if p.share_input_reads else macs
    actions[OPERATIONS] = (
        p.batch * p.out_rows * p.out_columns * window * p.in_channels * p.out_channels * p.groups
    ) * p.operations_per_mac
    actions[A_READ] = reads * p.activation_bits + outputs * p.kept_residual_bits
    per_weight = b[COVERED] * positions(p, oh, ow)
    visits = b[COUNT] * oh[COUNT] * ow[COUNT]
    steps = ic[ALL_STEPS] - ic[COUNT] * p.fold_overhead
    if rule == ROW_STATIONARY:
        return row_side(p, t, place, weights, outputs, actions)
    by_output = (
        per_weight * weights * p.weight_bits,
        outputs * p.accumulator_bits * ic[COUNT],
    )
    if p.published_array_side:
        return published_side(p, t, place, macs, inputs * oc[COUNT], weights * visits, actions)
    by_weight = (weights * visits * p.weight_bits, outputs * p.accumulator_bits * steps)
    q_price = prices[Q_READ] + prices[Q_WRITE]
    spared = (by_output[0] - by_weight[0]) * prices[W_READ]
    weights_stay = (by_weight[1] - by_output[1]) * q_price < spared
    actions[W_READ], sums = by_weight if weights_stay else by_output
    actions[Q_READ] = actions[Q_WRITE] = sums
    return WEIGHT_STATIONARY if weights_stay else OUTPUT_STATIONARY


@njit(cache=True)
def published_side(
    p: Problem,
    t: Tables,
    place: Place,
    macs: int,
    inputs: int,
    weights: int,
    actions: np.ndarray,
) -> int:
    """The published tool's choice between three stationarities, by its own estimate."""
    b, oh, ow = t.batch[place[0]], t.rows[place[1]], t.columns[place[2]]
    ic, oc = t.in_channels[place[3]], t.out_channels[place[4]]
    a, w, acc = p.activation_bits, p.weight_bits, p.accumulator_bits
    here = b[SIZE] * oh[SIZE] * ow[SIZE]
    padded_out = oc[BLOCKS] * p.array_columns
    padded_in = ic[STEPS] * p.array_rows * p.passes[0][0]
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
        positions = b[COVERED] * oh[COVERED] * ow[COVERED]
        sums = positions * oc[COVERED] * ic[COUNT] * acc
    actions[Q_READ] = actions[Q_WRITE] = sums
    return stays


@njit(cache=True)
def row_side(
    p: Problem, t: Tables, place: Place, weights: int, outputs: int, actions: np.ndarray
) -> int:
    """Row-stationary: every pass hands its inputs to all sets that share them, weights to all rows
    of a map, and adds up what its sets of several input channels make."""
    b, oh, ow = t.batch[place[0]], t.rows[place[1]], t.columns[place[2]]
    ic, oc = t.in_channels[place[3]], t.out_channels[place[4]]
    inputs = b[COVERED] * ic[COVERED] * oh[ALL_TOUCHED] * ow[ALL_TOUCHED] * p.groups
    if oh[SIZE] == 0:  # the ideal candidate: everything passes once
        folds, in_passes, out_passes = 1, 1, 1
    else:
        sets = row_stationary_sets(p, oh[SIZE], ic[SIZE], oc[SIZE])
        folds = sets.row_folds * oh[COUNT] * ow[COUNT]
        in_passes = ic[COUNT] * ceil_div(ic[SIZE], sets.in_channels)
        out_passes = oc[COUNT] * ceil_div(oc[SIZE], sets.out_channels)
    kept = outputs * p.kept_residual_bits
    actions[A_READ] = inputs * out_passes * p.activation_bits + kept
    actions[W_READ] = weights * b[COVERED] * folds * p.weight_bits
    actions[Q_READ] = actions[Q_WRITE] = outputs * in_passes * p.accumulator_bits
    return ROWS_STATIONARY
