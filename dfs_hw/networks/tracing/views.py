"""Operators that only say where elements lie: free, but where elements must really be moved."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import fx

from accel_models.workloads.graphs.passes import aligned
from accel_models.workloads.graphs.values import Border, Value, values_in
from accel_models.workloads.windows import PaddingMode
from dfs_hw.networks.tracing.call import OperatorCall
from dfs_hw.networks.tracing.reader import FREE_OF_INDEX, Reader, prices

VIEWS = (
    *("view", "reshape", "_unsafe_view", "_reshape_alias", "view_as", "reshape_as", "flatten"),
    *("unflatten", "ravel", "transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis"),
    *("t", "numpy_T", "matrix_H", "mT", "unsqueeze", "squeeze", "atleast_1d", "atleast_2d"),
    *("expand", "expand_as", "broadcast_to", "repeat", "tile", "repeat_interleave"),
    *("slice", "select", "narrow", "diagonal", "unfold", "as_strided"),
    *("split", "split_with_sizes", "chunk", "unsafe_chunk", "unsafe_split", "tensor_split"),
    *("unbind", "unsafe_split_with_sizes", "hsplit", "vsplit", "dsplit", "channel_shuffle"),
    *("native_channel_shuffle", "view_copy", "slice_copy"),
)
SAME = (
    *("contiguous", "clone", "alias", "detach", "to", "_to_copy", "type_as", "lift_fresh_copy"),
    *("dropout", "feature_dropout", "alpha_dropout", "native_dropout", "positive", "neg", "float"),
    *("resolve_conj", "resolve_neg", "fill", "nan_to_num", "cpu", "cuda", "double", "half"),
    *("fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine"),
)
"""Operators that leave elements alone, change their type or sign, or round as the machine does."""
REPEATS = ("expand", "expand_as", "broadcast_to", "repeat_interleave")
MOVES = (
    *("roll", "gather", "take", "take_along_dim", "flip", "fliplr"),
    *("pixel_shuffle", "pixel_unshuffle", "im2col", "col2im", "rot90"),
)
FREE_OF_INDEX.update(
    VIEWS, SAME, ("broadcast_tensors", "cat", "stack", "zeros_like", "ones_like", "full_like")
)


@prices(*VIEWS)
def view(read: Reader, call: OperatorCall) -> Any:
    """Elements under other indices: a reader of part of them reads no more than that.

    A permutation of channels is one of the filters that make or read them. One that swaps channels
    and positions costs where a layer cannot read it so; see `array_rules.linear`.
    """
    value = next(values_in(call.given))
    places = _channels_after(call, value)
    found = [value.shaped(shape, at) for shape, at in zip(call.shapes, places, strict=True)]
    if call.name in REPEATS and value.elements:
        times = found[0].elements // value.elements
        found = [replace(one, repeats=value.repeats * times) for one in found]
    return found if isinstance(call.node.meta.get("val"), list | tuple) else found[0]


@prices("broadcast_tensors")
def broadcast(read: Reader, call: OperatorCall) -> list[Value]:
    """Tensors repeated until all have one shape, each for itself."""
    values = values_in(call.given)
    return [
        replace(value.shaped(shape), repeats=value.repeats * (math.prod(shape) // value.elements))
        for value, shape in zip(values, call.shapes, strict=True)
    ]


def _channels_after(call: OperatorCall, value: Value) -> list[int | None]:
    """Dimension of channels in each result: the operator is run on a tensor in which only that
    dimension has a stride, and its results are searched for it."""
    nowhere: list[int | None] = [None] * len(call.shapes)
    at = value.channels
    if at is None or value.shape[at] < 2 or 0 in value.shape:
        return nowhere
    if not call.name.startswith(("view", "reshape", "flatten", "unflatten", "_unsafe")):
        marker = torch.empty(value.shape[at], dtype=torch.uint8)
        strides = [1 if place == at else 0 for place in range(len(value.shape))]
        results = _run(call.node, marker.as_strided(value.shape, strides))
        found = [_only_stride(one) for one in results]
        return found if len(found) == len(nowhere) else nowhere
    before = 1
    for size in value.shape[:at]:
        before *= size
    return [aligned(shape, before, value.shape[at]) for shape in call.shapes]


def _run(node: fx.Node, marker: torch.Tensor) -> list[torch.Tensor]:
    assert callable(node.target)
    if any(isinstance(one, fx.Node) for one in fx.map_arg(list(node.args[1:]), lambda n: n)):
        return []
    try:
        found = node.target(marker, *node.args[1:], **node.kwargs)
    except (RuntimeError, IndexError, TypeError, ValueError):
        return []
    return list(found) if isinstance(found, list | tuple) else [found]


def _only_stride(tensor: torch.Tensor) -> int | None:
    places = [
        place
        for place, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True))
        if stride and size > 1
    ]
    return places[0] if len(places) == 1 else None


@prices(*SAME)
def same(read: Reader, call: OperatorCall) -> Value:
    """The tensor itself."""
    value: Value = next(values_in(call.given))
    return value


@prices(*MOVES)
def move(read: Reader, call: OperatorCall) -> Value | None:
    """Elements moved to other places, each read once and written once. Places that the network
    computes are waited for."""
    value, *places = values_in(call.given)
    if value.kind != "data" or not call.shapes:
        return None
    makers = tuple(dict.fromkeys(maker for one in (value, *places) for maker in one.makers))
    channels = value.channels if len(call.shape) == len(value.shape) else None
    moved = Value(call.shape, "data", makers, False, channels)
    return read.elementwise(call, "copy", call.name, moved)


@prices("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack")
def concatenate(read: Reader, call: OperatorCall) -> Value:
    """Tensors side by side: a reader finds each where it lies."""
    parts = [value for value in values_in(call.given) if value.elements]
    makers = tuple(dict.fromkeys(maker for value in parts for maker in value.makers))
    places = {value.channels for value in parts if value.kind == "data"}
    at = places.pop() if len(places) == 1 and call.name not in ("stack", "dstack") else None
    if len(parts) == 1:
        return parts[0].shaped(call.shape, at)
    kind = "data" if any(value.kind == "data" for value in parts) else parts[0].kind
    return Value(call.shape, kind, makers, False, at)


MODES: dict[str, PaddingMode] = {
    "constant": "zeros",
    "reflect": "reflect",
    "replicate": "replicate",
    "circular": "circular",
}


@prices("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d")
def pad(read: Reader, call: OperatorCall) -> Value:
    """Padding by hand: zeros are never fetched, other modes read the tensor where it lies."""
    value: Value = call["self"]
    numbers = [int(number) for number in call.get("pad") or call["padding"]]
    pairs = [(numbers[at], numbers[at + 1]) for at in range(0, len(numbers), 2)]
    pairs += [(0, 0)] * (len(value.shape) - len(pairs))
    sides = tuple(side for pair in reversed(pairs) for side in pair)
    if not any(sides):
        return value
    named = call.get("mode", "reflect" if call.name.startswith("reflection") else "constant")
    border = None
    if min(sides) >= 0 and (named != "constant" or not call.get("value")):
        border = _around(value, Border(value.shape, sides, MODES[named]))
    return Value(call.shape, value.kind, value.makers, False, value.channels, border)


def _around(value: Value, outer: Border) -> Border:
    """A border around a tensor, as one with the zeros that are around it already."""
    inner = value.border
    if inner is None or (inner.mode, outer.mode) != ("zeros", "zeros"):
        return outer
    both = tuple(one + other for one, other in zip(inner.sides, outer.sides, strict=True))
    return Border(inner.inner, both, "zeros")


@prices("copy", "slice_scatter", "select_scatter")
def write(read: Reader, call: OperatorCall) -> Value:
    """A tensor written into another one: its maker writes it there."""
    before, written = call["self"], call.get("src")
    makers = tuple(dict.fromkeys((*before.makers, *written.makers)))
    if before.shape == written.shape:
        return written if isinstance(written, Value) else before
    return Value(call.shape, "data", makers, False, before.channels)


__all__ = ["MODES", "VIEWS", "move"]
