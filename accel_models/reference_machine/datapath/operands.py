"""What the datapath is given: integers of a layer, checked to be what they are said to be.

One signed bit is a sign, -1 or 1, as quantisers make it; two's complement of one bit would be -1 or
0. Wider signed operands are two's complement, and unsigned ones begin at 0.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from accel_models.errors import InputError
from accel_models.workloads.windows import PaddingMode
from accel_models.workloads.workload import Layer

PADDED_BY: dict[PaddingMode, Literal["constant", "reflect", "edge", "wrap"]] = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}
"""How NumPy calls them."""


def checked_inputs(layer: Layer, inputs: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    """Inputs as int64 [batch, channel, row, column] with the layer's padding around them.

    Raises:
        InputError: if they are no integers of so many bits, or another layer's.
    """
    values = _integers(layer, "inputs", inputs, bits, signed)
    if values.ndim != 4 or values.shape[1] != layer.in_channels or not len(values):
        raise InputError(
            f"layer '{layer.name}': inputs are [batch, {layer.in_channels}, rows, columns], "
            f"got the shape {list(values.shape)}"
        )
    if values.shape[2:] != layer.in_size:
        raise InputError(
            f"layer '{layer.name}': its inputs are maps of {layer.in_size[0]} x "
            f"{layer.in_size[1]}, got {values.shape[2]} x {values.shape[3]}"
        )
    top, bottom, left, right = layer.padding
    sides = ((0, 0), (0, 0), (top, bottom), (left, right))
    return np.pad(values, sides, mode=PADDED_BY[layer.padding_mode])


def checked_weights(layer: Layer, weights: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    """Weights as int64 [output channel, input channel of its group, kernel row, kernel column].

    Raises:
        InputError: if they are no integers of so many bits, or another layer's.
    """
    values = _integers(layer, "weights", weights, bits, signed)
    shape = (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel)
    if values.shape != shape:
        raise InputError(
            f"layer '{layer.name}': weights have the shape {list(shape)}, got {list(values.shape)}"
        )
    return values


def side_by_side(weights: np.ndarray, groups: int, packed: int) -> np.ndarray:
    """Weights of a grouped convolution with `packed` of its groups as one: zeros between them.

    Args:
        weights: int64 [output channel, input channel of its group, kernel row, kernel column].
        groups: all groups of the layer.
        packed: how many lie side by side, a divisor of `groups`.

    Returns:
        int64 [output channel, input channel of its packed groups, kernel row, kernel column].
    """
    outputs, channels, *kernel = weights.shape
    made = outputs // groups
    wide = np.zeros((outputs, channels * packed, *kernel), dtype=np.int64)
    for group in range(groups):
        first = group % packed * channels
        of = slice(group * made, (group + 1) * made)
        wide[of, first : first + channels] = weights[of]
    return wide


def _integers(layer: Layer, operand: str, given: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    """`given` as int64, refused where it does not fit `bits`."""
    values = np.asarray(given)
    if values.dtype.kind not in "iu":
        raise InputError(f"layer '{layer.name}': {operand} are integers, got {values.dtype}")
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    sign = signed and bits == 1
    stray = np.abs(values) != 1 if sign else (values < low) | (values > high)
    if stray.any():
        kind = "-1 or 1" if sign else f"{low} to {high}"
        raise InputError(
            f"layer '{layer.name}': {operand} of {bits} {'signed' if signed else 'unsigned'} "
            f"bits are {kind}, got {values[stray][0]}"
        )
    return np.ascontiguousarray(values, dtype=np.int64)
