"""Operators of the vector unit: norms, softmax, pools, resizing, look-ups."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from accel_models.workloads.graphs.passes import (
    by_row,
    combined,
    length,
    powered,
    reduced,
    resized,
    windows,
)
from accel_models.workloads.graphs.products import Taps
from accel_models.workloads.graphs.steps import Steps, row_of
from accel_models.workloads.graphs.values import Value
from accel_models.workloads.onnx_file.array_nodes import sides_of
from accel_models.workloads.onnx_file.node import OnnxNode

REDUCTIONS = {"ReduceMean": "mean", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min"}
LENGTHS = ("ReduceL2", "ReduceSumSquare")
"""What reductions are called within their module."""


def batch_norm(read: Steps, node: OnnxNode) -> Value:
    """Scale and shift of each channel."""
    return read.elementwise(node, "batch_norm", "batch_norm", node.value(0))


def layer_norm(read: Steps, node: OnnxNode) -> Value:
    """Normalisation along the last dimensions."""
    value = node.value(0)
    operator = "rms_norm" if "RMS" in node.name or "Simplified" in node.name else "layer_norm"
    at = int(node.attributes.get("axis", -1)) % len(value.shape)
    return by_row(read, node, value, operator, math.prod(value.shape[at:]))


def group_norm(read: Steps, node: OnnxNode) -> Value:
    """Normalisation of groups of channels, over all positions."""
    value = node.value(0)
    row = value.elements // (value.shape[0] * int(node.attributes["num_groups"]))
    return by_row(read, node, value, "layer_norm", row)


def instance_norm(read: Steps, node: OnnxNode) -> Value:
    """Normalisation of each channel over all positions."""
    value = node.value(0)
    return by_row(read, node, value, "layer_norm", row_of(value, range(2, len(value.shape))))


def local_response_norm(read: Steps, node: OnnxNode) -> Value | None:
    """Each element over a power of the mean square of its neighbours in other channels."""
    value, size = node.value(0), int(node.attributes["size"])
    if len(value.shape) != 4:
        return None
    square = powered(read, node, value, 2)
    assert square is not None
    before = (size - 1) // 2
    ones, sides = (1, 1, 1), (before, size - 1 - before, 0, 0, 0, 0)
    mean = windows(read, node, "avg_pool", square, (size, 1, 1), ones, sides, ones)
    inverse = powered(
        read, node, mean.shaped(node.shape, 1), -float(node.attributes.get("beta", 0.75))
    )
    return None if inverse is None else combined(read, node, "product", value, inverse)


def softmax(read: Steps, node: OnnxNode) -> Value:
    """Softmax along a dimension or, before opset 13, along all from one on; the logarithm of one
    is taken for one."""
    value = node.value(0)
    if node.opset < 13:
        at = int(node.attributes.get("axis", 1)) % len(value.shape)
        return by_row(read, node, value, "softmax", math.prod(value.shape[at:]))
    at = int(node.attributes.get("axis", -1))
    return by_row(read, node, value, "softmax", value.shape[at])


def pool(read: Steps, node: OnnxNode) -> Value:
    """Largest element or mean of each window."""
    value, kernel = node.value(0), tuple(node.attributes["kernel_shape"])
    axes = len(kernel)
    dilation = node.numbers("dilations", axes, 1)
    taps = Taps(kernel, node.numbers("strides", axes, 1), dilation, (), 1)
    sides = sides_of(node, value.shape[-axes:], taps)
    operator = "max_pool" if "Max" in node.name else "avg_pool"
    return windows(read, node, operator, value, kernel, taps.stride, sides, dilation)


def global_pool(read: Steps, node: OnnxNode) -> Value:
    """Largest element or mean of each channel."""
    value = node.value(0)
    operator = "max_pool" if "Max" in node.name else "avg_pool"
    return reduced(read, node, operator, operator, value, list(range(2, len(value.shape))))


def reduction(read: Steps, node: OnnxNode) -> Value | None:
    """Mean, sum or extreme along dimensions."""
    value, given = node.value(0), node.attributes.get("axes")
    if node.given(1) is not None:
        held = node.held(1)
        if held is None:
            return None
        given = held.ravel().tolist()
    if not given and node.attributes.get("noop_with_empty_axes"):
        return value
    dimensions = sorted({at % len(value.shape) for at in given or range(len(value.shape))})
    if node.name in LENGTHS:
        return length(read, node, value, dimensions, root=node.name == "ReduceL2")
    operator = "max_pool" if node.name in ("ReduceMax", "ReduceMin") else "avg_pool"
    return reduced(read, node, operator, REDUCTIONS[node.name], value, dimensions)


def resize(read: Steps, node: OnnxNode) -> Value | None:
    """Maps made larger, or smaller, by the nearest element or between neighbours."""
    value, mode = node.value(0), node.attributes.get("mode", "nearest")
    if value.shape == node.shape:
        return value
    if mode not in ("nearest", "linear", "bilinear") or value.shape[:2] != node.shape[:2]:
        return None
    return resized(read, node, "nearest" if mode == "nearest" else "bilinear", value)


def gather(read: Steps, node: OnnxNode) -> Value | None:
    """Rows of a table that whole numbers name; of an activation, one place or a run of places is
    read where it lies, and others are copied."""
    table, places = node.value(0), node.value(1)
    at = int(node.attributes.get("axis", 0)) % max(1, len(table.shape))
    if table.kind != "data":
        if at or len(table.shape) != 2 or places.kind == "constant":
            return None if places.kind == "data" else Value(node.shape, places.kind)
        ends, size = (table.shape[0], table.shape[1]), (max(1, places.elements), 1)
        number = read.step(node, "embedding", "embedding", ends, size, {"input": places})
        return read.made(number, node.shape, -1)
    held, channels = node.held(1), table.channels
    if held is not None and held.ndim == 0 and channels is not None:
        channels = None if channels == at else channels - (at < channels)
    elif held is None or held.ndim != 1:
        channels = None
    if held is not None and (held.size == 1 or bool((np.diff(held.ravel()) == 1).all())):
        return table.shaped(node.shape, channels)
    makers = tuple(dict.fromkeys((*table.makers, *places.makers)))
    moved = Value(node.shape, "data", makers, False, channels)
    return read.elementwise(node, "copy", "gather", moved)


def move(read: Steps, node: OnnxNode) -> Value:
    """Elements moved to other places, each read once and written once."""
    value = next(one for one in node.values if one.kind == "data")
    same = len(node.shape) == len(value.shape)
    makers = tuple(dict.fromkeys(maker for one in node.values for maker in one.makers))
    moved = Value(node.shape, "data", makers, False, value.channels if same else None)
    return read.elementwise(node, "copy", node.name, moved)


Rule = Callable[[Steps, OnnxNode], Any]
VECTOR_RULES: dict[str, Rule] = {
    "BatchNormalization": batch_norm,
    **dict.fromkeys(
        ("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"), layer_norm
    ),
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LRN": local_response_norm,
    **dict.fromkeys(("Softmax", "LogSoftmax"), softmax),
    **dict.fromkeys(("MaxPool", "AveragePool"), pool),
    **dict.fromkeys(("GlobalMaxPool", "GlobalAveragePool"), global_pool),
    **dict.fromkeys((*REDUCTIONS, *LENGTHS), reduction),
    **dict.fromkeys(("Resize", "Upsample"), resize),
    "Gather": gather,
    **dict.fromkeys(
        (
            *("DepthToSpace", "SpaceToDepth", "GatherElements", "GatherND", "ReverseSequence"),
            *("Col2Im", "ScatterND", "ScatterElements"),
        ),
        move,
    ),
}

__all__ = ["VECTOR_RULES"]
