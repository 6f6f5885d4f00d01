"""Operators that only say where elements lie, or round as the machine does: they are free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from accel_models.workloads.graphs.passes import aligned
from accel_models.workloads.graphs.steps import Steps
from accel_models.workloads.graphs.values import Border, Value
from accel_models.workloads.onnx_file.node import OnnxNode
from accel_models.workloads.onnx_file.widths import QUANTISERS
from accel_models.workloads.windows import PaddingMode

SAME = ("Identity", "Cast", "CastLike", "Dropout", "Neg", "FloatQuant", *QUANTISERS)


def same(read: Steps, node: OnnxNode) -> Value:
    """The tensor itself."""
    return next(one for one in node.values if one.kind != "constant")


def reshape(read: Steps, node: OnnxNode) -> Value:
    """Elements in another shape, in the same order."""
    value, at = node.value(0), node.value(0).channels
    place = None
    if at is not None and value.shape[at] > 1:
        before = 1
        for size in value.shape[:at]:
            before *= size
        place = aligned(node.shape, before, value.shape[at])
    return value.shaped(node.shape, place)


def transpose(read: Steps, node: OnnxNode) -> Value:
    """Dimensions in another order; see `products.weighted` on when that costs something."""
    value = node.value(0)
    order = list(node.attributes.get("perm") or reversed(range(len(value.shape))))
    at = None if value.channels is None else order.index(value.channels)
    return value.shaped(node.shape, at)


def part(read: Steps, node: OnnxNode) -> list[Value]:
    """Parts of a tensor: their readers read no more than that."""
    value = node.value(0)
    return [value.shaped(shape, value.channels) for shape in node.shapes]


def expand(read: Steps, node: OnnxNode) -> Value:
    """Elements repeated, each stored once."""
    value = node.value(0)
    more = len(node.shape) - len(value.shape)
    at = None if value.channels is None else value.channels + more
    found = value.shaped(node.shape, at)
    return replace(found, repeats=value.repeats * max(1, found.elements // max(1, value.elements)))


def concatenate(read: Steps, node: OnnxNode) -> Value:
    """Tensors side by side: a reader finds each where it lies."""
    parts = [value for value in node.values if value.elements]
    if len(parts) == 1:
        return parts[0].shaped(node.shape, parts[0].channels)
    makers = tuple(dict.fromkeys(maker for value in parts for maker in value.makers))
    places = {value.channels for value in parts if value.kind == "data"}
    return Value(node.shape, "data", makers, False, places.pop() if len(places) == 1 else None)


MODES: dict[str, PaddingMode] = {
    "constant": "zeros",
    "reflect": "reflect",
    "edge": "replicate",
    "wrap": "circular",
}


def pad(read: Steps, node: OnnxNode) -> Value | None:
    """Padding by hand: zeros are never fetched, other modes read the tensor where it lies."""
    value, given = node.value(0), node.attributes.get("pads")
    if given is None and (held := node.held(1)) is not None:
        given = held.ravel().tolist()
    if given is None:
        return None
    rank = len(value.shape)
    axes = node.held(3)
    along = list(range(rank)) if axes is None else [int(at) % rank for at in axes.ravel()]
    pairs = dict(
        zip(along, zip(given[: len(along)], given[len(along) :], strict=True), strict=True)
    )
    sides = tuple(int(side) for at in range(rank) for side in pairs.get(at, (0, 0)))
    if not any(sides):
        return value
    mode = MODES[node.attributes.get("mode", "constant")]
    border = Border(value.shape, sides, mode) if min(sides) >= 0 else None
    return Value(node.shape, value.kind, value.makers, False, value.channels, border)


Rule = Callable[[Steps, OnnxNode], Any]
VIEW_RULES: dict[str, Rule] = {
    **dict.fromkeys(SAME, same),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshape),
    "Transpose": transpose,
    **dict.fromkeys(("Slice", "Split"), part),
    **dict.fromkeys(("Expand", "Tile"), expand),
    "Concat": concatenate,
    "Pad": pad,
}

__all__ = ["VIEW_RULES"]
