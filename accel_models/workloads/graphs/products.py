"""What the array multiplies for, whatever its graph calls it: products of matrices, and batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from accel_models.errors import InputError
from accel_models.workloads.graphs.passes import turned
from accel_models.workloads.graphs.steps import Steps, Use
from accel_models.workloads.graphs.values import Border, Value, map_size
from accel_models.workloads.layer import MOST_AXES
from accel_models.workloads.operators import CONVOLUTION, MATMUL

PIXEL_CHANNELS = 4
"""An input of at most so many channels, read by a convolution over two axes or three, is an
image."""


class ProductSizes(NamedTuple):
    """ProductSizes of a product of matrices, head by head."""

    heads: int
    rows: int
    """Rows of the left matrix."""
    summed: int
    columns: int
    """Columns of the right matrix."""


def batches(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, int, int]:
    """How many matrices both have, only the left one, and only the right one."""
    length = max(len(left), len(right))
    pairs = zip(
        (1,) * (length - len(left)) + left, (1,) * (length - len(right)) + right, strict=True
    )
    both = of_left = of_right = 1
    for one, other in pairs:
        if one == other:
            both *= one
        elif other == 1:
            of_left *= one
        else:
            of_right *= other
    return both, of_left, of_right


def weighted(
    read: Steps,
    call: Use,
    value: Value,
    outputs: int,
    called: str,
    shape: tuple[int, ...],
) -> Value:
    """Every row of a value multiplied by one matrix of weights.

    Rows must lie channel by channel: where channels are positions, and positions channels, elements
    are moved before.
    """
    last = len(value.shape) - 1
    value = turned(read, call, value, last)
    channels, size = value.shape[-1], map_size(value.shape[:-1])
    number = read.step(call, CONVOLUTION, called, (channels, outputs), size, {"input": value})
    return read.made(number, shape, -1)


def product(
    read: Steps,
    call: Use,
    left: Value,
    right: Value,
    sizes: ProductSizes,
    called: str = "",
    *,
    swapped: bool = False,
    shape: tuple[int, ...] = (),
) -> Value | None:
    """A product of two values, either of which may be weights.

    Of two activations the right one goes through the weights' buffer, or the left one if `swapped`,
    because it alone is a single matrix a head: either can be read the other way round.
    """
    heads, rows, summed, columns = sizes
    if left.kind == right.kind == "constant":
        return None
    shape = shape or call.shape
    if "constant" in (left.kind, right.kind):
        value, outputs, positions = (left, columns, rows)
        if left.kind == "constant":
            value, outputs, positions = right, rows, columns
        if heads == 1 and right.kind == "constant" and value.shape[-1] == summed:
            return weighted(read, call, value, outputs, called or "linear", shape)
        size = (positions, 1)
        number = read.step(
            call,
            CONVOLUTION,
            called or "linear",
            (heads * summed, heads * outputs),
            size,
            {"input": value},
            groups=heads,
        )
        return read.made(number, shape)
    if swapped:
        left, right, rows, columns = right, left, columns, rows
    shared = heads * summed * columns // max(1, right.elements // right.repeats)
    if shared > 1 and heads % shared == 0:  # heads that share a matrix are more rows of one head
        heads, rows = heads // shared, rows * shared
    number = read.step(
        call,
        MATMUL,
        called or MATMUL,
        (heads * summed, heads * columns),
        (rows, 1),
        {"input": left, "other": right},
        groups=heads,
    )
    return read.made(number, shape, -1 if heads == 1 else None)


def _with_batch(
    call: Use, size: tuple[int, ...], fields: dict[str, Any], batch: int
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Several maps as planes of one that no window joins."""
    if len(size) >= MOST_AXES:
        raise InputError(
            f"'{call.path or call.name}' convolves {batch} maps with depth at once: give an "
            "example of one input"
        )
    ones = {name: (1, *fields[name]) for name in ("kernel", "stride", "dilation")}
    more = {"out_size": (batch, *fields["out_size"]), "padding": (0, 0, *fields["padding"])}
    return (batch, *size), {**fields, **ones, **more}


class Taps(NamedTuple):
    """Windows of a convolution over one, two or three axes."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    sides: tuple[int, ...]
    """Padding before and after each axis."""
    groups: int


def convolved(
    read: Steps, call: Use, value: Value, taps: Taps, called: str, operator: str
) -> Value:
    """A convolution, or a transposed one, of maps that may have been padded by hand; its result has
    the shape of `call`.

    Raises:
        InputError: if it convolves several maps with depth at once.
    """
    axes = len(taps.kernel)
    batch = math.prod(value.shape[: -axes - 1])
    mode, sides, size = _border(value, axes, taps.sides)
    fields: dict[str, Any] = {
        "kernel": taps.kernel,
        "stride": taps.stride,
        "dilation": taps.dilation,
        "padding": sides,
        "padding_mode": mode,
        "groups": taps.groups,
        "out_size": call.shape[-axes:],
    }
    if axes < 2:  # a line is a map of one row
        size = (1, *size)
        fields |= {name: (1, *fields[name]) for name in ("kernel", "stride", "dilation")}
        fields |= {"out_size": (1, *fields["out_size"]), "padding": (0, 0, *sides)}
    if batch > 1:
        size, fields = _with_batch(call, size, fields, batch)
    channels = value.shape[-axes - 1]
    image = not value.makers and axes > 1 and channels <= PIXEL_CHANNELS
    ends = (channels, call.shape[-axes - 1])
    number = read.step(
        call, operator, called, ends, size, {"input": value}, reads_image=image, **fields
    )
    return read.made(number, call.shape, len(call.shape) - axes - 1)


def _border(
    value: Value, axes: int, sides: tuple[int, ...]
) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """Mode and sides of the padding, and the map without it: what was put around by hand counts as
    the layer's own where the two go together."""
    border: Border | None = value.border
    if border is None or any(border.sides[: -2 * axes]):
        return "zeros", sides, value.shape[-axes:]
    if border.mode != "zeros" and any(sides):
        return "zeros", sides, value.shape[-axes:]
    by_hand = border.sides[-2 * axes :]
    both = tuple(one + other for one, other in zip(sides, by_hand, strict=True))
    return border.mode, both, border.inner[-axes:]


def matrices(read: Steps, call: Use, left: Value, right: Value) -> Value | None:
    """A product of matrices, batch by batch; None if neither is an activation."""
    a = left.shape if len(left.shape) > 1 else (1, *left.shape)
    b = right.shape if len(right.shape) > 1 else (*right.shape, 1)
    rows, columns = a[-2], b[-1]
    heads, of_left, of_right = batches(a[:-2], b[:-2])
    sizes = ProductSizes(heads, rows * of_left, a[-1], columns * of_right)
    return product(read, call, left, right, sizes, swapped=of_left == 1 < of_right)


def summed(read: Steps, call: Use, equation: str, operands: Sequence[Value]) -> Value | None:
    """A product of two tensors, whose letters say what is summed over; None if it is of another
    form."""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    names = inputs.split(",")
    if len(operands) != 2 or not arrow or "." in inputs:
        return None
    first, second = names
    if any(len(set(name)) != len(name) for name in names) or set(output) - set(inputs):
        return None
    size = dict(zip(first, operands[0].shape, strict=True))
    size |= {
        letter: max(one, size.get(letter, 1))
        for letter, one in zip(second, operands[1].shape, strict=True)
    }

    def total(letters: set[str]) -> int:
        return math.prod(size[letter] for letter in letters)

    both = set(first) & set(second)
    sizes = ProductSizes(
        total(both & set(output)),
        total(set(first) - both),
        total(both - set(output)),
        total(set(second) - both),
    )
    if sizes.summed == 1 and not both - set(output):
        return None  # nothing is summed over
    return product(read, call, operands[0], operands[1], sizes, "einsum")


def attended(
    read: Steps, call: Use, query: Value, key: Value, value: Value, mask: Value | None
) -> Value | None:
    """Attention as a product of queries and keys, a softmax, and a product with the values.

    All are head by head, with positions and channels last.
    """
    heads, (rows, width), positions = math.prod(query.shape[:-2]), query.shape[-2:], key.shape[-2]
    sizes = ProductSizes(heads, rows, width, positions)
    scores = product(read, call, query, key, sizes, "scores", shape=(*query.shape[:-1], positions))
    if scores is None:
        return None
    if mask is not None:
        scores = read.elementwise(call, "sum", "mask", scores, other=mask, others=mask.elements)
    number = read.step(
        call,
        "softmax",
        "softmax",
        heads * positions,
        (rows, 1),
        {"input": scores},
        groups=heads,
        row=positions,
    )
    chances = read.made(number, scores.shape)
    sizes = ProductSizes(heads, rows, positions, value.shape[-1])
    return product(read, call, chances, value, sizes, "context")


__all__ = [
    "ProductSizes",
    "Taps",
    "attended",
    "convolved",
    "matrices",
    "product",
    "summed",
    "weighted",
]
