"""Passes of the vector unit that several operators come to: pools, rows, sums and products."""

from __future__ import annotations

import math

from accel_models.workloads.graphs.steps import Steps, Use, row_of
from accel_models.workloads.graphs.values import Value


def by_row(read: Steps, call: Use, value: Value, operator: str, row: int) -> Value:
    """Note an operator of `operators.BY_ROW` on rows of so many elements."""
    channels, size, groups = read.map_of(value)
    number = read.step(
        call, operator, operator, channels, size, {"input": value}, row=row, groups=groups
    )
    return read.made(number, value.shape, value.channels)


def windows(
    read: Steps,
    call: Use,
    operator: str,
    value: Value,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Value:
    """Note a pool; gives its result. Windows that begin inside the map and end outside it find
    nothing there.

    Args:
        read: the steps so far.
        call: where it comes from.
        operator: ``max_pool`` or ``avg_pool``.
        value: what it works on; its last axes are those of the windows.
        kernel: one number for each axis, as `stride` and `dilation`.
        stride: steps between windows.
        padding: elements before and after each axis.
        dilation: steps inside a window.
    """
    axes = len(kernel)
    channels, inner, by_hand = math.prod(value.shape[:-axes]), value.shape[-axes:], (0,) * 2 * axes
    border = value.border
    if border and border.mode == "zeros" and not any(border.sides[: -2 * axes]):
        inner, by_hand = border.inner[-axes:], border.sides[-2 * axes :]
    sides = []
    for at, outputs in enumerate(call.shape[-axes:]):
        before = padding[2 * at] + by_hand[2 * at]
        reach = (outputs - 1) * stride[at] + (kernel[at] - 1) * dilation[at] + 1
        own = padding[2 * at + 1] + by_hand[2 * at + 1]
        sides += [before, max(own, reach - inner[at] - before)]
    line = (1,) * (axes == 1)
    number = read.step(
        call,
        operator,
        operator,
        channels,
        (*line, *inner),
        {"input": value},
        kernel=(*line, *kernel),
        stride=(*line, *stride),
        dilation=(*line, *dilation),
        padding=(*(0, 0) * len(line), *sides),
        out_size=(*line, *call.shape[-axes:]),
    )
    return read.made(number, call.shape, len(call.shape) - axes - 1)


def reduced(
    read: Steps, call: Use, operator: str, called: str, value: Value, dimensions: list[int]
) -> Value:
    """Note a mean, sum or extreme along dimensions, as a pool whose windows are as long as these.

    Args:
        read: the steps so far.
        call: where it comes from.
        operator: ``max_pool`` or ``avg_pool``.
        called: its name within its module.
        value: what it works on.
        dimensions: in rising order, counted from the first.
    """
    at = value.channels
    after = list(range(len(value.shape) - len(dimensions), len(value.shape)))
    maps = dimensions == after and len(dimensions) in (2, 3)
    if maps or at is None or at in dimensions:
        size = tuple(value.shape[place] for place in dimensions)
    else:
        size = (row_of(value, dimensions), 1)
    size = (*size, 1) if len(size) == 1 else size if len(size) <= 3 else (math.prod(size), 1)
    channels = value.elements // math.prod(size)
    ones = (1,) * len(size)
    number = read.step(
        call, operator, called, channels, size, {"input": value}, kernel=size, out_size=ones
    )
    return read.made(number, call.shape, _place_after(call, value, dimensions))


def length(read: Steps, call: Use, value: Value, dimensions: list[int], *, root: bool) -> Value:
    """Euclidean lengths along dimensions: squares, their sum, and its root if that is asked for."""
    squares = _times(read, call, value, value)
    total = reduced(read, call, "avg_pool", "sum", squares, dimensions)
    return read.elementwise(call, "square_root", "square_root", total) if root else total


def _place_after(call: Use, value: Value, dimensions: list[int]) -> int | None:
    """Dimension of channels once others are gone, or are of one element."""
    if value.channels is None or value.channels in dimensions:
        return None
    if len(call.shape) == len(value.shape):
        return value.channels
    return value.channels - sum(at < value.channels for at in dimensions)


def turned(read: Steps, call: Use, value: Value, at: int | None) -> Value:
    """A value with its channels along a dimension, moved there if they are known to lie elsewhere.

    Moving channels to where positions were takes every element through a buffer: it is a copy.
    """
    if at is None or value.channels in (None, at) or value.shape[value.channels or 0] < 2:
        return value
    moved = Value(value.shape, "data", value.makers, False, at)
    return read.elementwise(call, "copy", "transpose", moved)


def combined(
    read: Steps, call: Use, operator: str, one: Value, other: Value, called: str = ""
) -> Value:
    """A sum or product of two tensors, the smaller of which may be repeated over the larger."""
    if other.shape == call.shape and one.shape != call.shape:
        one, other = other, one
    if one.shape != call.shape:  # both are repeated
        one = Value(call.shape, "data", one.makers)
    if len(other.shape) == len(one.shape) and other.elements == one.elements:
        other = turned(read, call, other, one.channels)
    return read.elementwise(
        call, operator, called or operator, one, other=other, others=other.elements
    )


MULTIPLIED = {1: 0, 2: 1, 3: 2, 4: 2}
"""Products that a whole power takes."""


def powered(read: Steps, call: Use, value: Value, exponent: float) -> Value | None:
    """A power of each element, for exponents of quarters up to 4, as products, square roots and a
    reciprocal; None for others."""
    quarters = abs(exponent) * 4
    if quarters != int(quarters) or not 0 < quarters <= 4 * max(MULTIPLIED):
        return None
    whole, rest = divmod(int(quarters), 4)
    factors = []
    if whole:
        made = value
        for _ in range(MULTIPLIED[whole]):
            made = _times(read, call, made, made if whole == max(MULTIPLIED) else value)
        factors.append(made)
    if rest:
        root = read.elementwise(call, "square_root", "square_root", value)
        factors += [root] * (rest > 1)
        if rest % 2:
            factors.append(read.elementwise(call, "square_root", "square_root", root))
    made = factors[0]
    for factor in factors[1:]:
        made = _times(read, call, made, factor)
    return made if exponent > 0 else read.elementwise(call, "reciprocal", "reciprocal", made)


def _times(read: Steps, call: Use, one: Value, other: Value) -> Value:
    return read.elementwise(call, "product", "power", one, other=other, others=other.elements)


def quotient(read: Steps, call: Use, one: Value, other: Value) -> Value:
    """A tensor, or a constant, over an activation."""
    inverse = read.elementwise(call, "reciprocal", "reciprocal", other)
    if one.kind != "data" and one.elements == 1:
        return inverse
    if one.kind != "data" or inverse.shape == call.shape != one.shape:
        one, inverse = inverse, one
    return combined(read, call, "product", one, inverse)


def by_channel(value: Value, constant: Value) -> bool:
    """Whether a constant has a number for each channel of a tensor."""
    shape = (1,) * (len(value.shape) - len(constant.shape)) + constant.shape
    long = [at for at, size in enumerate(shape) if size > 1]
    if len(long) != 1:
        return False
    usual = (len(shape) - 1, len(shape) - 3, 1) if len(shape) > 2 else (len(shape) - 1,)
    return long[0] in ((value.channels,) if value.channels is not None else usual)


def resized(read: Steps, call: Use, operator: str, value: Value) -> Value:
    """Note maps made larger or smaller, ``nearest`` or ``bilinear``; gives the result."""
    axes = len(call.shape) - 2
    line = (1,) * (axes == 1)
    number = read.step(
        call,
        operator,
        operator,
        math.prod(value.shape[:2]),
        (*line, *value.shape[2:]),
        {"input": value},
        out_size=(*line, *call.shape[2:]),
    )
    return read.made(number, call.shape, 1)


def aligned(shape: tuple[int, ...], before: int, size: int) -> int | None:
    """The dimension of a size in front of which a reshape leaves so many elements."""
    passed = 1
    for place, one in enumerate(shape):
        if passed == before and one == size:
            return place
        passed *= one
    return None


__all__ = [
    "aligned",
    "by_channel",
    "by_row",
    "combined",
    "length",
    "powered",
    "quotient",
    "reduced",
    "resized",
    "turned",
    "windows",
]
