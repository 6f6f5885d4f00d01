"""Transposed convolutions: their sizes as torch has them, and the pieces that they come to."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
import torch
from datapaths import convolved
from hypothesis import given, settings
from hypothesis import strategies as st
from random_transposed import TRANSPOSED, assembled, transposed, transposed_layers

from accel_models import InputError, Layer

each = st.integers(1, 3).flatmap(transposed_layers)


def sizes_of_torch(
    size: int, kernel: int, stride: int, dilation: int, padding: int
) -> dict[int, int]:
    """Output padding by the number of outputs that it gives."""
    found = {}
    x, w = (torch.ones(1, 1, length, dtype=torch.float64) for length in (size, kernel))
    for beyond in range(stride + dilation + 1):
        try:
            out = TRANSPOSED[0](x, w, None, stride, padding, beyond, 1, dilation)
        except RuntimeError:
            continue
        found[out.shape[2]] = beyond
    return found


@given(*(st.integers(1, most) for most in (5, 4, 4, 4)), st.integers(0, 5))
def test_out_sizes_are_those_that_torch_can_make(
    size: int, kernel: int, stride: int, dilation: int, padding: int
) -> None:
    """From the input alone, those without output padding; stated ones, if torch makes them."""
    given: dict[str, Any] = {
        "kernel": (1, kernel),
        "stride": (1, stride),
        "dilation": (1, dilation),
        "padding": (0, padding),
        "in_size": (1, size),
        "operator": "transposed_conv",
    }
    can = sizes_of_torch(size, kernel, stride, dilation, padding)
    for outputs in range(1, max(can, default=0) + 4):
        if outputs in can:
            assert Layer("stated", 2, 3, out_size=(1, outputs), **given).in_size == (1, size)
        else:
            with pytest.raises(InputError):
                Layer("stated", 2, 3, out_size=(1, outputs), **given)
    without = [outputs for outputs, beyond in can.items() if beyond == 0]
    if without:
        assert Layer("followed", 2, 3, **given).out_size == (1, without[0])
    else:
        with pytest.raises(InputError):
            Layer("followed", 2, 3, **given)


@given(each)
def test_input_from_the_output_alone_is_the_smallest_that_gives_it(layer: Layer) -> None:
    fields = ("kernel", "stride", "dilation", "padding", "out_size", "operator")
    given = {name: getattr(layer, name) for name in fields}
    least = Layer("least", 1, 1, **given)
    assert all(size <= given for size, given in zip(least.in_size, layer.in_size, strict=True))
    for axis, size in enumerate(least.in_size):
        smaller = (*least.in_size[:axis], size - 1, *least.in_size[axis + 1 :])
        with pytest.raises(InputError):
            Layer("smaller", 1, 1, in_size=smaller, **given)


def test_twice_the_size_is_made_from_half_of_it() -> None:
    """As decoders double their maps: 3x3, stride 2, padding 1, output padding 1."""
    given: dict[str, Any] = {"kernel": (3, 3), "stride": (2, 2), "padding": 1}
    layer = Layer("up", 8, 4, out_size=(8, 8), operator="transposed_conv", **given)
    assert layer.in_size == (4, 4)


@settings(max_examples=300)
@given(each, st.integers(0, 2**32 - 1))
def test_pieces_put_together_are_the_transposed_convolution(layer: Layer, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-9, 10, (2, layer.in_channels, *layer.in_size))
    made = layer.out_channels // layer.groups
    w = rng.integers(-9, 10, (layer.in_channels, made, *layer.kernel))
    expected = transposed(layer, x, w)
    for way in layer.ways:
        assert (assembled(layer, way, x, w, convolved) == expected).all()
    assert len(layer.ways) == (3 if max(layer.stride) > 1 else 1)


@given(each)
def test_pieces_apart_multiply_by_every_tap_once_for_an_output(layer: Layer) -> None:
    """Together they have as many taps as the kernel, but where a phase that no tap meets needs one
    to write zeros; where all outputs are whole strides, they multiply as often as inputs do."""
    apart = layer.ways[0]
    phases = prod(min(s, o) for s, o in zip(layer.stride, layer.out_size, strict=True))
    assert len(apart) == phases
    assert sum(prod(piece.out_size) for piece in apart) == prod(layer.out_size)
    assert all(
        inside <= whole
        for piece in apart
        for inside, whole in zip(piece.in_size, layer.in_size, strict=True)
    )
    if layer.kernel == layer.stride and not any(layer.padding) and max(layer.dilation) == 1:
        assert sum(prod(piece.kernel) for piece in apart) == prod(layer.kernel)


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (4, 2), (4, 4), (3, 3), (1, 1)])
def test_multiplications_of_the_pieces_are_those_of_the_layer(kernel: int, stride: int) -> None:
    """Where kernels are as large as strides and outputs are not cut off, every tap meets every
    input once."""
    layer = Layer(
        *("up", 8, 4),
        kernel=(kernel, kernel),
        stride=(stride, stride),
        in_size=(5, 7),
        operator="transposed_conv",
    )
    apart = sum(piece.macs for piece in layer.ways[0])
    assert apart == layer.macs if kernel % stride == 0 and kernel == stride else apart >= layer.macs


def test_no_padding_but_zeros() -> None:
    with pytest.raises(InputError, match="a transposed convolution has no reflect padding"):
        Layer(
            "up", 1, 1, (3, 3), padding=1, in_size=(4, 4), operator="transposed_conv",
            padding_mode="reflect",
        )  # fmt: skip
