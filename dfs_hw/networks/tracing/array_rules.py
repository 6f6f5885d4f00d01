"""Operators that the array multiplies for: convolutions, linear layers, products of matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from accel_models.errors import InputError
from accel_models.workloads.layer import MOST_AXES
from accel_models.workloads.operators import CONVOLUTION, MATMUL, TRANSPOSED
from dfs_hw.networks.tracing.call import OperatorCall
from dfs_hw.networks.tracing.reader import INDEX_GOES_ON, Reader, prices
from dfs_hw.networks.tracing.values import Border, Value, map_size
from dfs_hw.networks.tracing.views import turned

PIXEL_CHANNELS = 4
"""An example's tensor of at most so many channels, read by a convolution over two axes or three, is
an image."""


def _axes(call: OperatorCall, number: int, name: str, default: int) -> tuple[int, ...]:
    given = call.get(name)
    if given is None or isinstance(given, str):
        return (default,) * number
    listed = [int(one) for one in given] if isinstance(given, Sequence) else [int(given)]
    return tuple(listed * number if len(listed) == 1 else listed or [default] * number)


@prices(
    *("conv1d", "conv2d", "conv3d", "convolution", "_convolution"),
    *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
)
def convolution(read: Reader, call: OperatorCall) -> Value | None:
    """A convolution over one, two or three axes, or a transposed one."""
    value, weight = call["input"], call["weight"]
    if value.kind == "constant":
        return None
    axes = len(weight.shape) - 2
    transposed = "transpose" in call.name or bool(call.get("transposed"))
    groups = int(call["groups"])
    batch = math.prod(value.shape[: -axes - 1])
    kernel, stride = weight.shape[2:], _axes(call, axes, "stride", 1)
    dilation = _axes(call, axes, "dilation", 1)
    mode, sides, inner = _border(call, value, axes, kernel, dilation)
    fields: dict[str, Any] = {
        "kernel": kernel,
        "stride": stride,
        "dilation": dilation,
        "padding": sides,
        "padding_mode": mode,
        "groups": groups,
        "out_size": call.shape[-axes:],
    }
    size = inner
    missing = max(0, 2 - axes)
    if missing:  # a line is a map of one row
        size = (1, *size)
        fields |= {name: (1, *fields[name]) for name in ("kernel", "stride", "dilation")}
        fields |= {"out_size": (1, *fields["out_size"]), "padding": (0, 0, *sides)}
    if batch > 1:
        size, fields = _with_batch(call, size, fields, batch)
    channels = value.shape[-axes - 1]
    operator = TRANSPOSED if transposed else CONVOLUTION
    image = not value.makers and axes > 1 and channels <= PIXEL_CHANNELS
    _say_if_computed(read, call, weight)
    number = read.step(
        call,
        operator,
        call.called_by(weight, operator),
        (channels, call.shape[-axes - 1]),
        size,
        {"input": value},
        reads_image=image,
        **fields,
    )
    return read.made(number, call.shape, len(call.shape) - axes - 1)


def _border(
    call: OperatorCall, value: Value, axes: int, kernel: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """Mode and sides of the padding, and the map without it: what was put around by hand counts as
    the layer's own where the two go together."""
    own = _axes(call, axes, "padding", 0)
    if call.get("padding") == "same":
        reach = [(size - 1) * step for size, step in zip(kernel, dilation, strict=True)]
        sides = tuple(side for one in reach for side in (one // 2, one - one // 2))
    else:
        sides = tuple(side for one in own for side in (one, one))
    border: Border | None = value.border
    if border is None or any(border.sides[: -2 * axes]):
        return "zeros", sides, value.shape[-axes:]
    if border.mode != "zeros" and any(sides):
        return "zeros", sides, value.shape[-axes:]
    by_hand = border.sides[-2 * axes :]
    both = tuple(one + other for one, other in zip(sides, by_hand, strict=True))
    return border.mode, both, border.inner[-axes:]


def _with_batch(
    call: OperatorCall, size: tuple[int, ...], fields: dict[str, Any], batch: int
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


def _say_if_computed(read: Reader, call: OperatorCall, weight: Value) -> None:
    if weight.kind != "constant":
        read.said.append(
            f"'{call.path or call.name}' convolves with a kernel that the network computes: it is "
            "priced as if the kernel were weights"
        )


@prices("linear")
def linear(read: Reader, call: OperatorCall) -> Value | None:
    """A linear layer, over all positions; or a product of matrices, if its weights are computed."""
    value, weight = call["input"], call["weight"]
    if weight.kind != "constant":
        return _multiply(read, call, value, weight, weight.shape[-1:-3:-1])
    return _weighted(
        read, call, value, weight.shape[0], call.called_by(weight, "linear"), call.shape
    )


def _weighted(
    read: Reader,
    call: OperatorCall,
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


@prices("matmul", "mm", "bmm", "mv", "dot")
def matmul(read: Reader, call: OperatorCall) -> Value | None:
    """A product of matrices, batch by batch."""
    left, right = call["self"], call.get("other") or call.get("mat2") or call.get("vec")
    if right is None:
        right = call["tensor"]
    a = left.shape if len(left.shape) > 1 else (1, *left.shape)
    b = right.shape if len(right.shape) > 1 else (*right.shape, 1)
    rows, columns = a[-2], b[-1]
    heads, of_left, of_right = _batches(a[:-2], b[:-2])
    sizes = ProductSizes(heads, rows * of_left, a[-1], columns * of_right)
    return _product(read, call, left, right, sizes, swapped=of_left == 1 < of_right)


@prices("addmm", "addmv", "baddbmm", "addbmm")
def add_product(read: Reader, call: OperatorCall) -> Value | None:
    """A product of matrices and what is added to it: a bias, or another tensor."""
    left = call.get("mat1") or call.get("batch1") or call.get("mat")
    right = call.get("mat2") or call.get("batch2") or call.get("vec")
    added = call["self"]
    b = right.shape if len(right.shape) > 1 else (*right.shape, 1)
    heads = left.shape[0] if len(left.shape) == 3 else 1
    sizes = ProductSizes(heads, left.shape[-2], left.shape[-1], b[-1])
    made = _product(read, call, left, right, sizes)
    if made is None or added.kind == "constant" or call.get("beta") == 0:
        return made
    return read.elementwise(call, "sum", "sum", made, other=added, others=added.elements)


class ProductSizes(NamedTuple):
    """ProductSizes of a product of matrices, head by head."""

    heads: int
    rows: int
    """Rows of the left matrix."""
    summed: int
    columns: int
    """Columns of the right matrix."""


def _batches(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, int, int]:
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


def _product(
    read: Reader,
    call: OperatorCall,
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
            return _weighted(read, call, value, outputs, called or "linear", shape)
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


def _multiply(
    read: Reader, call: OperatorCall, left: Value, right: Value, matrix: tuple[int, ...]
) -> Value | None:
    """A linear layer whose weights are computed."""
    summed, columns = matrix[0], matrix[1] if len(matrix) > 1 else 1
    rows = left.elements // summed
    return _product(read, call, left, right, ProductSizes(1, rows, summed, columns))


@prices("einsum")
def einsum(read: Reader, call: OperatorCall) -> Value | None:
    """A product of two tensors, whose letters say what is summed over."""
    operands = call["tensors"]
    inputs, arrow, output = call["equation"].replace(" ", "").partition("->")
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
    return _product(read, call, operands[0], operands[1], sizes, "einsum")


@prices("scaled_dot_product_attention")
def attention(read: Reader, call: OperatorCall) -> Value | None:
    """Attention as a product of queries and keys, a softmax, and a product with the values.

    The scale is part of the requantisation of the scores. A causal mask that is asked for by name
    is which scores are left out, and costs nothing; all scores are computed all the same.
    """
    query, key, value = call["query"], call["key"], call["value"]
    heads, (rows, width), positions = math.prod(query.shape[:-2]), query.shape[-2:], key.shape[-2]
    sizes = ProductSizes(heads, rows, width, positions)
    scores = _product(read, call, query, key, sizes, "scores", shape=(*query.shape[:-1], positions))
    if scores is None:
        return None
    mask = call.get("attn_mask")
    if mask is not None and not _hides_nothing(read, call):
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
    return _product(read, call, chances, value, sizes, "context")


def _hides_nothing(read: Reader, call: OperatorCall) -> bool:
    """Whether a mask is known to be true everywhere."""
    node = call.node.args[3] if len(call.node.args) > 3 else call.node.kwargs.get("attn_mask")
    mask = read.known(node)
    if mask is None:
        return False
    return bool(mask.all()) if not mask.is_floating_point() else not bool(mask.any())


INDEX_GOES_ON.update(
    ("conv1d", "conv2d", "conv3d", "linear", "matmul", "mm", "bmm", "addmm", "einsum")
)

__all__ = ["ProductSizes"]
