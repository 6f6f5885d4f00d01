"""Operators that the array multiplies for: convolutions, linear layers, products of matrices."""

from __future__ import annotations

from collections.abc import Sequence

from accel_models.workloads.graphs.products import (
    ProductSizes,
    Taps,
    attended,
    convolved,
    matrices,
    product,
    summed,
    weighted,
)
from accel_models.workloads.graphs.values import Value
from accel_models.workloads.operators import CONVOLUTION, TRANSPOSED
from dfs_hw.networks.tracing.call import OperatorCall
from dfs_hw.networks.tracing.reader import INDEX_GOES_ON, Reader, prices


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
    operator = TRANSPOSED if transposed else CONVOLUTION
    kernel, dilation = weight.shape[2:], _axes(call, axes, "dilation", 1)
    sides = tuple(side for one in _axes(call, axes, "padding", 0) for side in (one, one))
    if call.get("padding") == "same":
        reach = [(size - 1) * step for size, step in zip(kernel, dilation, strict=True)]
        sides = tuple(side for one in reach for side in (one // 2, one - one // 2))
    _say_if_computed(read, call, weight)
    taps = Taps(kernel, _axes(call, axes, "stride", 1), dilation, sides, int(call["groups"]))
    return convolved(read, call, value, taps, call.called_by(weight, operator), operator)


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
    return weighted(
        read, call, value, weight.shape[0], call.called_by(weight, "linear"), call.shape
    )


@prices("matmul", "mm", "bmm", "mv", "dot")
def matmul(read: Reader, call: OperatorCall) -> Value | None:
    """A product of matrices, batch by batch."""
    left, right = call["self"], call.get("other") or call.get("mat2") or call.get("vec")
    if right is None:
        right = call["tensor"]
    return matrices(read, call, left, right)


@prices("addmm", "addmv", "baddbmm", "addbmm")
def add_product(read: Reader, call: OperatorCall) -> Value | None:
    """A product of matrices and what is added to it: a bias, or another tensor."""
    left = call.get("mat1") or call.get("batch1") or call.get("mat")
    right = call.get("mat2") or call.get("batch2") or call.get("vec")
    added = call["self"]
    b = right.shape if len(right.shape) > 1 else (*right.shape, 1)
    heads = left.shape[0] if len(left.shape) == 3 else 1
    sizes = ProductSizes(heads, left.shape[-2], left.shape[-1], b[-1])
    made = product(read, call, left, right, sizes)
    if made is None or added.kind == "constant" or call.get("beta") == 0:
        return made
    return read.elementwise(call, "sum", "sum", made, other=added, others=added.elements)


def _multiply(
    read: Reader, call: OperatorCall, left: Value, right: Value, matrix: tuple[int, ...]
) -> Value | None:
    """A linear layer whose weights are computed."""
    summed, columns = matrix[0], matrix[1] if len(matrix) > 1 else 1
    rows = left.elements // summed
    return product(read, call, left, right, ProductSizes(1, rows, summed, columns))


@prices("einsum")
def einsum(read: Reader, call: OperatorCall) -> Value | None:
    """A product of two tensors, whose letters say what is summed over."""
    return summed(read, call, call["equation"], call["tensors"])


@prices("scaled_dot_product_attention")
def attention(read: Reader, call: OperatorCall) -> Value | None:
    """Attention as a product of queries and keys, a softmax, and a product with the values.

    The scale is part of the requantisation of the scores. A causal mask that is asked for by name
    is which scores are left out, and costs nothing; all scores are computed all the same.
    """
    query, key, value = call["query"], call["key"], call["value"]
    mask = call.get("attn_mask")
    hides = mask is not None and not _hides_nothing(read, call)
    return attended(read, call, query, key, value, mask if hides else None)


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
