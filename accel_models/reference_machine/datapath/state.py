"""What the compiled array reads, adds to and remembers: int64 arrays, handed in from outside."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from accel_models.reference_machine.datapath.plain import IDLE

STEPS, OPERATIONS = range(2)
"""Places of `ArrayState.counts`."""
NEXT, TURN, LAST = range(3)
"""Places of `ArrayState.clock`."""
INPUTS, WEIGHTS, SUMS = range(3)
"""Rows of `ArrayState.toggles`: both operands of the multipliers, and the partial sums."""
LOADED, TOGGLED = range(2)
"""Columns of `ArrayState.toggles`."""


class LayerTensors(NamedTuple):
    """What the array reads and adds to."""

    inputs: np.ndarray
    """[image, channel, row, column], padding included."""
    weights: np.ndarray
    """Weights [output channel, channel of its group, kernel row, kernel column]."""
    sums: np.ndarray
    """[image, output channel, row, column], partial sums at the accumulator's width."""
    row_of: np.ndarray
    """Row of the inputs under each kernel row, for each row of outputs: [row, kernel row]. Rows of
    maps with depth, and kernel rows, are counted one plane after the other."""
    column_of: np.ndarray
    """Column under each kernel column, for each column of outputs: [column, kernel column]."""


class Lanes(NamedTuple):
    """Operands of one step, and what becomes of them."""

    x: np.ndarray
    """Inputs [window, lane]."""
    w: np.ndarray
    """Weights [column, lane]."""
    x_from: np.ndarray
    """Where in memory each input came from, [window, lane]; `IDLE` where there is none."""
    w_from: np.ndarray
    """Where in memory each weight came from, [column, lane]; `IDLE` where there is none."""
    partial: np.ndarray
    """The step's sums, [window, column]."""


class ArrayState(NamedTuple):
    """What stays from step to step."""

    clock: np.ndarray
    """[3]: the cycle in which the next step can be issued, the turn it takes, and how many cycles
    the last one took."""
    ends: np.ndarray
    """[turn]: the cycle in which its last step is through."""
    counts: np.ndarray
    """[2]: steps issued, operations done."""
    input_words: np.ndarray
    """[turn or window, lane]: what last lay on each input of a multiplier."""
    weight_words: np.ndarray
    """Word that last lay on each weight input of a multiplier, [turn, column, lane]."""
    input_from: np.ndarray
    """Operand that an input word belonged to: as in `Lanes.x_from`, and of which slice."""
    weight_from: np.ndarray
    toggles: np.ndarray
    """Counts of bits, [operand, (loaded, toggled)]."""


def lanes(windows: int, columns: int, width: int) -> Lanes:
    """Room for the operands of a step."""
    x, w = (np.zeros((n, width), dtype=np.int64) for n in (windows, columns))
    return Lanes(x, w, x.copy(), w.copy(), np.zeros((windows, columns), dtype=np.int64))


def before_all(turns: int, windows: int, columns: int, width: int) -> ArrayState:
    """Nothing issued yet, zeros on all wires.

    Args:
        turns: window columns that steps go round.
        windows: output positions side by side.
        columns: outputs side by side.
        width: most lanes of a step.
    """
    at_inputs, at_weights = (max(turns, windows), width), (turns, columns, width)
    return ArrayState(
        clock=np.zeros(3, dtype=np.int64),
        ends=np.zeros(turns, dtype=np.int64),
        counts=np.zeros(2, dtype=np.int64),
        input_words=np.zeros(at_inputs, dtype=np.int64),
        weight_words=np.zeros(at_weights, dtype=np.int64),
        input_from=np.full(at_inputs, IDLE, dtype=np.int64),
        weight_from=np.full(at_weights, IDLE, dtype=np.int64),
        toggles=np.zeros((3, 2), dtype=np.int64),
    )
