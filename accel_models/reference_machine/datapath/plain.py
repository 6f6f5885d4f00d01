"""What the compiled array is given, as plain numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BIT_FUSION, BITBLADE, STRIPES, LOOM, UNPU = range(5)
"""Families whose datapath is here."""

IDLE = -1
"""Stand-in for an index where a tile or the layer has ended."""


class Arithmetic(NamedTuple):
    """How an array multiplies a layer's operands, beside its passes."""

    family: int
    input_bits: int
    weight_bits: int
    input_signed: bool
    weight_signed: bool
    serial_bits: int
    """Bits of an input that Loom takes in a cycle."""
    table_inputs: int
    """Activations in one of UNPU's tables."""
    parallel_bits: int
    """Wires of an operand that comes in one piece to an array that takes the other in several."""
    accumulator_bits: int
    sum_signed: bool
    watched: bool
    """Whether toggled bits are counted."""


class TileSchedule(NamedTuple):
    """What the array works through for one tile; int64 arrays, for compiled code."""

    order: np.ndarray
    """[step, (group of positions, column block, taps)], as they are issued."""
    positions: np.ndarray
    """Output position of each window, [group, window, (image, row, column)]."""
    columns: np.ndarray
    """[block, column]: output channels."""
    taps: np.ndarray
    """Weight position of each lane, [taps, lane, (channel of its group, kernel row, column)]."""
    passes: np.ndarray
    """[taps]: which pass each belongs to."""
    first_input: int
    """Channel at which the inputs of the group begin."""
