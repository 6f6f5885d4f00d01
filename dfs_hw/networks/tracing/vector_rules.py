"""Operators of the vector unit: norms, softmax, pools, upsampling, look-ups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from accel_models.workloads.graphs.passes import by_row, length, reduced, resized, windows
from accel_models.workloads.graphs.steps import row_of
from accel_models.workloads.graphs.values import Value, values_in
from dfs_hw.networks.tracing.call import OperatorCall
from dfs_hw.networks.tracing.reader import Reader, prices
from dfs_hw.networks.tracing.views import move


@prices("batch_norm", "_native_batch_norm_legit_no_training", "native_batch_norm")
def batch_norm(read: Reader, call: OperatorCall) -> Any:
    """Scale and shift of each channel."""
    made = read.elementwise(call, "batch_norm", "batch_norm", _first(call))
    return _with_statistics(call, made)


@prices("layer_norm", "native_layer_norm", "rms_norm", "_fused_rms_norm")
def layer_norm(read: Reader, call: OperatorCall) -> Any:
    """Normalisation along the last dimensions."""
    operator = "rms_norm" if "rms" in call.name else "layer_norm"
    row = math.prod(call["normalized_shape"])
    made = by_row(read, call, _first(call), operator, row)
    if made.channels is None and len(call["normalized_shape"]) == 1:
        made = replace(made, channels=len(made.shape) - 1)
    return _with_statistics(call, made)


@prices("group_norm", "native_group_norm")
def group_norm(read: Reader, call: OperatorCall) -> Any:
    """Normalisation of groups of channels, over all positions."""
    groups = call.get("num_groups") or call["group"]
    value = _first(call)
    row = value.elements // (value.shape[0] * groups)
    return _with_statistics(call, by_row(read, call, value, "layer_norm", row))


@prices("instance_norm")
def instance_norm(read: Reader, call: OperatorCall) -> Value:
    """Normalisation of each channel over all positions."""
    value = _first(call)
    return by_row(read, call, value, "layer_norm", row_of(value, range(2, len(value.shape))))


@prices("softmax", "_softmax", "log_softmax", "_log_softmax")
def softmax(read: Reader, call: OperatorCall) -> Value:
    """Softmax along a dimension; the logarithm of one is taken for one."""
    value = _first(call)
    row = value.shape[int(call["dim"])] if value.shape else 1
    return by_row(read, call, value, "softmax", row)


def _first(call: OperatorCall) -> Value:
    found = call.get("input")
    return found if isinstance(found, Value) else call["self"]


def _with_statistics(call: OperatorCall, made: Value) -> Any:
    """A result, or a list with the statistics beside it, which nothing reads."""
    if not isinstance(call.node.meta.get("val"), list | tuple):
        return made
    return [made, *(Value(shape, "constant") for shape in call.shapes[1:])]


@prices("embedding")
def embedding(read: Reader, call: OperatorCall) -> Value:
    """Rows of a table that whole numbers name."""
    return read.made(_looked_up(read, call, call["weight"], call["indices"]), call.shape, -1)


@prices("embedding_bag", "_embedding_bag")
def embedding_bag(read: Reader, call: OperatorCall) -> Any:
    """Sum, mean or largest of the rows that the numbers of a bag name; None where bags have
    different sizes, or rows weights."""
    table, places, bags = call["weight"], call["indices"], call.shape[0]
    if call.get("per_sample_weights") is not None or places.elements % bags:
        return None
    number = _looked_up(read, call, table, places)
    rows = read.made(number, (bags, places.elements // bags, table.shape[1]), -1)
    operator = "max_pool" if call.get("mode") == MAX_OF_BAG else "avg_pool"
    return _with_places(call, reduced(read, call, operator, "bag", rows, [1]))


@prices("index", "index_select")
def chosen(read: Reader, call: OperatorCall) -> Value | None:
    """Rows of a table of weights, as an embedding; of activations, elements that are moved."""
    table, *places = values_in(call.given)
    if table.kind == "data":
        return move(read, call)
    along = call.get("dim", 0) if call.name == "index_select" else len(call["indices"]) - 1
    if along or len(places) != 1 or len(table.shape) != 2 or places[0].kind != "index":
        return None
    return read.made(_looked_up(read, call, table, places[0]), call.shape, -1)


MAX_OF_BAG = 2
"""PyTorch's number for it."""


def _looked_up(read: Reader, call: OperatorCall, table: Value, places: Value) -> int:
    """Step that looks up rows."""
    rows, width = table.shape
    size = (max(1, places.elements), 1)
    return read.step(call, "embedding", "embedding", (rows, width), size, {"input": places})


def _numbers(given: Any, count: int, default: Sequence[int] = ()) -> tuple[int, ...]:
    if given is None or given == []:
        return tuple(default)
    listed = [int(one) for one in given] if isinstance(given, Sequence) else [int(given)]
    return tuple(listed * count if len(listed) == 1 else listed)


@prices(
    *(f"{kind}_pool{axes}d" for kind in ("max", "avg") for axes in (1, 2, 3)),
    *(f"max_pool{axes}d_with_indices" for axes in (1, 2, 3)),
)
def pool(read: Reader, call: OperatorCall) -> Any:
    """Largest element or mean of each window."""
    value, axes = _first(call), int(call.name[call.name.index("pool") + 4])
    kernel = _numbers(call["kernel_size"], axes)
    stride = _numbers(call.get("stride"), axes, kernel)
    padding = _numbers(call.get("padding"), axes, (0,) * axes)
    dilation = _numbers(call.get("dilation"), axes, (1,) * axes)
    sides = tuple(side for one in padding for side in (one, one))
    made = windows(read, call, _kind(call), value, kernel, stride, sides, dilation)
    return _with_places(call, made)


def _kind(call: OperatorCall) -> str:
    return "max_pool" if "max" in call.name else "avg_pool"


def _with_places(call: OperatorCall, made: Value) -> Any:
    """A result, or a list with the places of the largest elements beside it."""
    if not isinstance(call.node.meta.get("val"), list | tuple):
        return made
    return [made, *(Value(shape, "index", made.makers) for shape in call.shapes[1:])]


@prices(
    *(f"adaptive_{kind}_pool{axes}d" for kind in ("max", "avg") for axes in (1, 2, 3)),
    *("_adaptive_avg_pool2d", "_adaptive_avg_pool3d"),
)
def adaptive_pool(read: Reader, call: OperatorCall) -> Any:
    """A pool to maps of a size. Where that does not divide the map's, windows overlap and are all
    taken to be of the largest that any is."""
    value, axes = _first(call), int(call.name[call.name.index("pool") + 4])
    inner, outer = value.shape[-axes:], call.shape[-axes:]
    if inner == outer and len(call.shapes) == 1:
        return value
    stride = tuple(
        size // out if out > 1 and size > out else 1 for size, out in zip(inner, outer, strict=True)
    )
    kernel = tuple(
        max(1, size - (out - 1) * step)
        for size, out, step in zip(inner, outer, stride, strict=True)
    )
    none, ones = (0,) * 2 * axes, (1,) * axes
    made = windows(read, call, _kind(call), value, kernel, stride, none, ones)
    return _with_places(call, made)


@prices("linalg_vector_norm", "norm")
def vector_norm(read: Reader, call: OperatorCall) -> Value | None:
    """Lengths of vectors, as a network that looks at directions alone divides by; others than
    Euclidean have no price."""
    value, order = call["self"], call.get("ord", call.get("p"))
    if order not in (None, 2):
        return None
    return length(read, call, value, _dimensions(call, value), root=True)


def _dimensions(call: OperatorCall, value: Value) -> list[int]:
    """Dimensions that an operator goes along, in rising order; all, if it does not say."""
    given = call.get("dim")
    listed = [given] if isinstance(given, int) else given
    return sorted(at % len(value.shape) for at in listed or range(len(value.shape)))


@prices("mean", "sum", "amax", "amin", "max", "min")
def reduce(read: Reader, call: OperatorCall) -> Any:
    """Mean, sum or extreme along dimensions, as a pool whose windows are as long as these."""
    value = call["self"]
    if "other" in call.given and call["other"] is not None:
        return read.elementwise(call, "sum", call.name, value, other=call["other"])
    operator = "max_pool" if call.name[:4] in ("max", "amax", "min", "amin") else "avg_pool"
    made = reduced(read, call, operator, call.name, value, _dimensions(call, value))
    return _with_places(call, made)


@prices(
    *(f"upsample_nearest{axes}d" for axes in (1, 2, 3)),
    *(f"_upsample_nearest_exact{axes}d" for axes in (1, 2, 3)),
    *("upsample_bilinear2d", "upsample_linear1d", "_upsample_bilinear2d_aa"),
)
def upsample(read: Reader, call: OperatorCall) -> Value:
    """Maps made larger, or smaller, by the nearest element or between neighbours."""
    value = _first(call)
    return resized(read, call, "nearest" if "nearest" in call.name else "bilinear", value)
