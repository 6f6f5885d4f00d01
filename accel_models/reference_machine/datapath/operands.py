"""What the datapath is given: integers of a layer, checked to be what they are said to be.

One signed bit is a sign, -1 or 1, as quantisers make it; two's complement of one bit would be -1 or
0. Wider signed operands are two's complement, and unsigned ones begin at 0.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from accel_models.errors import InputError
from accel_models.workloads.layer import AXES
from accel_models.workloads.planes import flat
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
    """Inputs as int64 [batch, channel, row, column] with the layer's padding around them; the rows
    of a map with depth one plane after the other.

    Raises:
        InputError: if they are no integers of so many bits, or another layer's.
    """
    values = _integers(layer, "inputs", inputs, bits, signed)
    axes = ", ".join(AXES[-len(layer.kernel) :])
    if (
        values.ndim != 2 + len(layer.kernel)
        or values.shape[1] != layer.in_channels
        or not len(values)
    ):
        raise InputError(
            f"layer '{layer.name}': inputs are [batch, {layer.in_channels}, {axes}], "
            f"got the shape {list(values.shape)}"
        )
    if values.shape[2:] != layer.in_size:
        raise InputError(
            f"layer '{layer.name}': its inputs are maps of {_by(layer.in_size)}, "
            f"got {_by(values.shape[2:])}"
        )
    sides = [(axis.before, axis.after) for axis in layer.axes]
    padded = np.pad(values, ((0, 0), (0, 0), *sides), mode=PADDED_BY[layer.padding_mode])
    return padded.reshape(*padded.shape[:2], -1, padded.shape[-1])


def _by(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))


def lines_under_windows(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Lines of the padded input under each element of the kernel, for each output: int64 [output
    row, kernel row] and [output column, kernel column]."""
    *depth, down, across = (
        np.arange(axis.outputs)[:, None] * axis.stride + np.arange(axis.kernel) * axis.dilation
        for axis in layer.axes
    )
    if depth:
        inner = layer.axes[1]
        rows = inner.before + inner.size + inner.after
        down = (depth[0][:, None, :, None] * rows + down[None, :, None, :]).reshape(
            len(depth[0]) * len(down), -1
        )
    return down, across


def plane_by_plane(layer: Layer, inputs: np.ndarray) -> tuple[Layer, np.ndarray]:
    """A layer whose windows have one plane as the flat one that it is for each, `flat`, and
    its checked inputs, the planes that it reads as so many inputs of a batch."""
    single, planes = flat(layer)
    depth, *_ = layer.axes
    batch, channels, _, columns = inputs.shape
    deep = inputs.reshape(batch, channels, depth.size, -1, columns)
    read = deep[:, :, : planes * depth.stride : depth.stride].swapaxes(1, 2)
    return single, np.ascontiguousarray(read).reshape(batch * planes, channels, -1, columns)


def checked_weights(layer: Layer, weights: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    """Weights as int64 [output channel, input channel of its group, kernel row, kernel column],
    the rows of a kernel with depth one plane after the other.

    Raises:
        InputError: if they are no integers of so many bits, or another layer's.
    """
    values = _integers(layer, "weights", weights, bits, signed)
    shape = (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel)
    if values.shape != shape:
        raise InputError(
            f"layer '{layer.name}': weights have the shape {list(shape)}, got {list(values.shape)}"
        )
    return values.reshape(*shape[:2], -1, shape[-1])


def as_groups(
    layer: Layer, inputs: np.ndarray, matrices: np.ndarray
) -> tuple[Layer, np.ndarray, np.ndarray]:
    """A product of activations as the array takes it: every head of every input is a group of its
    own, whose weights are the head's second matrix.

    Args:
        layer: a ``matmul``.
        inputs: [batch, input channel, *position].
        matrices: [batch, output channel, input channel of its head].

    Raises:
        InputError: if they have other shapes, or not the same number of inputs.
    """
    batch, channels = len(inputs), layer.in_channels // layer.groups
    if matrices.shape != (batch, layer.out_channels, channels):
        raise InputError(
            f"layer '{layer.name}': what it multiplies by has the shape "
            f"{[batch, layer.out_channels, channels]}, got {list(matrices.shape)}"
        )
    if inputs.shape[1:] != (layer.in_channels, *layer.in_size):
        raise InputError(
            f"layer '{layer.name}': its input has the shape "
            f"{[batch, layer.in_channels, *layer.in_size]}, got {list(inputs.shape)}"
        )
    # Positions have nothing in common but the matrix, however many axes they lie along.
    positions = (math.prod(layer.out_size[:-1]), layer.out_size[-1])
    together = Layer(
        layer.name,
        in_channels=batch * layer.in_channels,
        out_channels=batch * layer.out_channels,
        groups=batch * layer.groups,
        out_size=positions,
    )
    return (
        together,
        inputs.reshape(1, -1, *positions),
        matrices.reshape(-1, channels, 1, 1),
    )


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
