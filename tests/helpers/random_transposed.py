"""Random transposed convolutions, and their pieces found by where every input adds to.

Input i, under tap t, adds to output ``i * stride + t * dilation - before``.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch.nn import functional

from accel_models import Layer

TRANSPOSED = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)


@st.composite
def transposed_layers(draw: st.DrawFn, axes: int, largest: int = 4) -> Layer:
    """Kernels smaller than the stride and larger, dilations that share a factor with it, outputs
    cut off on both sides and some that no input adds to, groups."""
    found: dict[str, list[int]] = {"kernel": [], "stride": [], "dilation": [], "in_size": []}
    padding, out_size = [], []
    for _ in range(axes):
        kernel, stride, dilation = (draw(st.integers(1, most)) for most in (4, 4, 4))
        size = draw(st.integers(1, largest))
        full = (size - 1) * stride + (kernel - 1) * dilation + 1
        before = draw(st.integers(0, full - 1 + max(stride, dilation) // 2))
        beyond = draw(st.integers(0, max(stride, dilation) - 1))
        after = draw(st.integers(0, max(0, full - 1 - before)))
        after = min(after, full + beyond - before - 1)
        if after < 0:
            before, after = before + after, 0
        for name, value in zip(found, (kernel, stride, dilation, size), strict=True):
            found[name].append(value)
        padding += [before, after]
        out_size.append(full - before - after + beyond)
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    given: dict[str, Any] = {name: tuple(values) for name, values in found.items()}
    if axes == 1:  # rows of one
        given = {name: (1, *values) for name, values in given.items()}
        padding, out_size = [0, 0, *padding], [1, *out_size]
    return Layer(
        "transposed",
        groups * draw(st.integers(1, 3)),
        groups * draw(st.integers(1, 3)),
        groups=groups,
        padding=tuple(padding),
        out_size=tuple(out_size),
        operator="transposed_conv",
        **given,
    )


def transposed(layer: Layer, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """torch's transposed convolution of 64-bit integers: all outputs that some input adds to, cut
    at both ends, and zeros beyond.

    Args:
        layer: the layer.
        x: [batch, input channel, *in_size].
        w: [input channel, output channel of its group, *kernel].
    """
    full = TRANSPOSED[len(layer.kernel) - 1](
        torch.from_numpy(x),
        torch.from_numpy(w),
        stride=layer.stride,
        dilation=layer.dilation,
        groups=layer.groups,
    ).numpy()
    for axis, outputs in enumerate(layer.out_size):
        first = layer.padding[2 * axis]
        place = [slice(None)] * full.ndim
        place[2 + axis] = slice(first, first + outputs)
        cut = full[tuple(place)]
        beyond = [(0, 0)] * full.ndim
        beyond[2 + axis] = (0, outputs - cut.shape[2 + axis])
        full = np.pad(cut, beyond)
    return full


Taps = dict[int, int]
"""Taps of the kernel by how far from an output's own place the input lies that they meet."""


class Part(NamedTuple):
    """What one axis of a piece is made of."""

    taps: tuple[Taps, ...]
    """Of each phase that the piece makes."""
    offsets: list[int]
    first: int
    """The first input that it reads."""


def taps_of(layer: Layer, axis: int, phase: int) -> Taps:
    """The taps that outputs `phase`, `phase` + stride and so on see."""
    found: Taps = {}
    for tap in range(layer.kernel[axis]):
        place = phase + layer.padding[2 * axis] - tap * layer.dilation[axis]
        if place % layer.stride[axis] == 0:
            found[place // layer.stride[axis]] = tap
    return found


def _stretched(layer: Layer, piece: Layer, axis: int) -> Part:
    """An axis of the piece over the map with zeros between its elements."""
    stride, before = layer.stride[axis], layer.padding[2 * axis]
    taps = {before - tap * layer.dilation[axis]: tap for tap in range(layer.kernel[axis])}
    offsets = sorted(taps)
    last = piece.out_size[axis] - 1 + offsets[-1]
    if max(offsets[0], 0) > min(last, (layer.in_size[axis] - 1) * stride):
        return Part(({},), [0], 0)
    return Part((taps,), offsets, max(offsets[0], 0))


def part(layer: Layer, piece: Layer, axis: int, phases: list[int], *, filled: bool) -> Part:
    """An axis of the piece that makes these phases."""
    taps = tuple(taps_of(layer, axis, phase) for phase in phases)
    offsets = sorted({offset for each in taps for offset in (each or {0: 0})})
    if filled:
        offsets = list(range(offsets[0], offsets[-1] + 1))
    last = piece.out_size[axis] - 1 + offsets[-1]
    if max(offsets[0], 0) > min(last, layer.in_size[axis] - 1):  # no window reaches the input
        return Part(tuple({} for _ in taps), [0], 0)
    return Part(taps, offsets, max(offsets[0], 0))


def piece_operands(
    layer: Layer, piece: Layer, parts: list[Part], x: np.ndarray, w: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and weights of a piece as a plain convolution: of each group, the channels of all its
    phases."""
    read = tuple(
        slice(one.first, one.first + size) for one, size in zip(parts, piece.in_size, strict=True)
    )
    inside, made = layer.in_channels // layer.groups, w.shape[1]
    phases = list(product(*(range(len(one.taps)) for one in parts)))
    found = np.zeros((layer.groups, len(phases), made, inside, *piece.kernel), dtype=np.int64)
    by_group = w.reshape(layer.groups, inside, made, *layer.kernel)
    for number, phase in enumerate(phases):
        for at in product(*(range(taps) for taps in piece.kernel)):
            taps = [
                one.taps[which].get(one.offsets[place])
                for one, which, place in zip(parts, phase, at, strict=True)
            ]
            if None not in taps:
                here = by_group[(slice(None), slice(None), slice(None), *taps)]
                found[(slice(None), number, slice(None), slice(None), *at)] = here.swapaxes(1, 2)
    return x[(slice(None), slice(None), *read)], found.reshape(-1, inside, *piece.kernel)


Convolve = Callable[[Layer, np.ndarray, np.ndarray], np.ndarray]


def assembled(
    layer: Layer, way: tuple[Layer, ...], x: np.ndarray, w: np.ndarray, convolve: Convolve
) -> np.ndarray:
    """The layer's outputs, from those of the pieces of one way: arguments as `transposed` has
    them."""
    out = np.full((len(x), layer.out_channels, *layer.out_size), 1 << 40)
    strides = (1,) * len(layer.stride)
    axes = range(len(strides))
    if way in layer.ways[2:]:
        x = _with_zeros_between(x, layer.stride)
        phased = [[[0] for _ in strides]]
        parts = [[_stretched(layer, way[0], axis) for axis in axes]]
    else:
        strides, together = layer.stride, way in layer.ways[1:]
        every = [range(min(s, o)) for s, o in zip(strides, layer.out_size, strict=True)]
        apart = [[[phase] for phase in phases] for phases in product(*every)]
        phased = [[list(range(stride)) for stride in strides]] if together else apart
        parts = [
            [part(layer, piece, axis, phases[axis], filled=together) for axis in axes]
            for piece, phases in zip(way, phased, strict=True)
        ]
    for piece, phases, of_axes in zip(way, phased, parts, strict=True):
        made = convolve(piece, *piece_operands(layer, piece, of_axes, x, w))
        split = made.reshape(len(x), layer.groups, -1, w.shape[1], *piece.out_size)
        for number, phase in enumerate(product(*phases)):
            places = tuple(slice(p, None, s) for p, s in zip(phase, strides, strict=True))
            target = out[(slice(None), slice(None), *places)]
            cut = tuple(slice(size) for size in target.shape[2:])
            mine = split[:, :, number].reshape(len(x), layer.out_channels, *piece.out_size)
            target[...] = mine[(slice(None), slice(None), *cut)]
    return out


def _with_zeros_between(x: np.ndarray, strides: tuple[int, ...]) -> np.ndarray:
    sizes = ((size - 1) * stride + 1 for size, stride in zip(x.shape[2:], strides, strict=True))
    wide = np.zeros((*x.shape[:2], *sizes), dtype=x.dtype)
    wide[(slice(None), slice(None), *(slice(None, None, stride) for stride in strides))] = x
    return wide
