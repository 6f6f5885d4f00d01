"""Operators that the array multiplies for: convolutions, linear layers, products of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accel_models.errors import InputError
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
from accel_models.workloads.graphs.steps import Steps
from accel_models.workloads.graphs.values import Value
from accel_models.workloads.onnx_file.node import OnnxNode
from accel_models.workloads.operators import CONVOLUTION, TRANSPOSED


def sides_of(node: OnnxNode, size: tuple[int, ...], taps: Taps) -> tuple[int, ...]:
    """Padding before and after each axis, as ``pads`` or ``auto_pad`` say.

    Args:
        node: a convolution or a pool, its first result known.
        size: of its input map.
        taps: its windows, but for their padding.
    """
    axes = len(size)
    automatic = node.attributes.get("auto_pad", "NOTSET")
    if automatic in ("NOTSET", ""):
        pads = node.numbers("pads", 2 * axes, 0)
        return tuple(side for at in range(axes) for side in (pads[at], pads[axes + at]))
    if automatic == "VALID":
        return (0,) * 2 * axes
    found: list[int] = []
    for at in range(axes):
        reach = (taps.kernel[at] - 1) * taps.dilation[at] + 1
        whole = max(0, (node.shape[2 + at] - 1) * taps.stride[at] + reach - size[at])
        less = whole // 2
        found += (less, whole - less) if automatic == "SAME_UPPER" else (whole - less, less)
    return tuple(found)


def convolution(read: Steps, node: OnnxNode) -> Value | None:
    """A convolution over one, two or three axes, or a transposed one."""
    value, weight = node.value(0), node.value(3 if node.name == "QLinearConv" else 1)
    if value.kind == "constant":
        return None
    axes = len(weight.shape) - 2
    size = value.shape[-axes:]
    ones, none = node.numbers("dilations", axes, 1), (0,) * 2 * axes
    groups = int(node.attributes.get("group", 1))
    transposed = node.name == "ConvTranspose"
    _check(node, value, weight, groups, transposed=transposed)
    taps = Taps(weight.shape[2:], node.numbers("strides", axes, 1), ones, none, groups)
    if weight.kind != "constant":
        read.said.append(
            f"'{node.path}' convolves with a kernel that the network computes: it is priced as if "
            "the kernel were weights"
        )
    sides = (_cut if transposed else sides_of)(node, size, taps)
    operator = TRANSPOSED if transposed else CONVOLUTION
    return convolved(read, node, value, taps._replace(sides=sides), operator, operator)


def _check(node: OnnxNode, value: Value, weight: Value, groups: int, *, transposed: bool) -> None:
    """Refuse maps that are not what a convolution's weights are for, which ONNX lets pass."""
    fits = len(value.shape) == len(weight.shape) > 2
    if not fits or value.shape[1] != (weight.shape[0] if transposed else weight.shape[1] * groups):
        raise InputError(
            f"'{node.path}' convolves maps of shape {value.shape} with weights of shape "
            f"{weight.shape} in {groups} groups, which do not go together"
        )


def _cut(node: OnnxNode, size: tuple[int, ...], taps: Taps) -> tuple[int, ...]:
    """Outputs of a transposed convolution that are cut off at each side."""
    axes = len(size)
    stated = node.attributes.get("auto_pad", "NOTSET") in ("NOTSET", "")
    if stated and not node.attributes.get("output_shape"):
        return sides_of(node, size, taps)
    more = node.numbers("output_padding", axes, 0)
    found: list[int] = []
    for at in range(axes):
        reach = (taps.kernel[at] - 1) * taps.dilation[at] + 1
        whole = (size[at] - 1) * taps.stride[at] + more[at] + reach - node.shape[2 + at]
        less = max(0, whole) // 2
        upper = node.attributes.get("auto_pad") == "SAME_UPPER"
        found += (less, max(0, whole) - less) if upper else (max(0, whole) - less, less)
    return tuple(found)


def linear(read: Steps, node: OnnxNode) -> Value | None:
    """A product of two matrices, and what is added to it: a bias, or another tensor."""
    left, right = node.value(0), node.value(1)
    if left.kind == right.kind == "constant":
        return None
    rows, inner = left.shape[::-1] if node.attributes.get("transA") else left.shape
    columns = right.shape[0] if node.attributes.get("transB") else right.shape[1]
    if right.kind == "constant" and not node.attributes.get("transA"):
        made: Value | None = weighted(read, node, left, columns, "linear", node.shape)
    else:
        made = product(read, node, left, right, ProductSizes(1, rows, inner, columns))
    added = node.given(2)
    if made is None or added is None or added.value.kind == "constant":
        return made
    others = added.value.elements
    return read.elementwise(node, "sum", "sum", made, other=added.value, others=others)


def matmul(read: Steps, node: OnnxNode) -> Value | None:
    """A product of matrices, batch by batch."""
    right = node.value(3 if node.name == "QLinearMatMul" else 1)
    return matrices(read, node, node.value(0), right)


def einsum(read: Steps, node: OnnxNode) -> Value | None:
    """A product of two tensors, whose letters say what is summed over."""
    return summed(read, node, node.attributes["equation"], list(node.values))


def attention(read: Steps, node: OnnxNode) -> Any:
    """Attention of opset 23: what came before in a cache is read with the keys and values."""
    query, key, value = (_by_head(node, at) for at in range(3))
    if query is None or key is None or value is None:
        return None
    before = node.given(4)
    if before is not None:
        more = before.value.shape[-2]
        key, value = (
            Value((*one.shape[:-2], one.shape[-2] + more, one.shape[-1]), "data", one.makers)
            for one in (key, value)
        )
    shared = query.shape[1] // key.shape[1]
    if shared > 1:  # heads that share keys
        key, value = (
            Value(
                (one.shape[0], query.shape[1], *one.shape[2:]), "data", one.makers, repeats=shared
            )
            for one in (key, value)
        )
    mask = node.given(3)
    made = attended(read, node, query, key, value, None if mask is None else mask.value)
    if made is None:
        return None
    kept = [
        Value(shape, "data", one.makers)
        for shape, one in zip(node.shapes[1:3], (key, value), strict=False)
    ]
    return [made.shaped(node.shape), *kept]


def _by_head(node: OnnxNode, at: int) -> Value | None:
    """Queries, keys or values as batch, heads, positions and channels."""
    value = node.value(at)
    if len(value.shape) == 4:
        return value
    heads = node.attributes.get("q_num_heads" if at == 0 else "kv_num_heads")
    if not heads or len(value.shape) != 3:
        return None
    batch, positions, width = value.shape
    return value.shaped((batch, heads, positions, width // heads))


Rule = Callable[[Steps, OnnxNode], Any]
ARRAY_RULES: dict[str, Rule] = {
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv", "ConvTranspose"), convolution),
    "Gemm": linear,
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), matmul),
    "Einsum": einsum,
    "Attention": attention,
}

__all__ = ["ARRAY_RULES", "sides_of"]
