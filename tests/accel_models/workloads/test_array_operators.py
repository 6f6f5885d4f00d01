"""Layers of the array against torch: sizes of maps with one to three axes, and multiplications."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_layers import geometries
from random_transposed import TRANSPOSED, transposed_layers
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from accel_models import InputError, Layer

CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)
axes = st.integers(1, 3)
channels = st.tuples(st.sampled_from([1, 1, 2, 3]), st.integers(1, 3), st.integers(1, 3))


def multiplied(operation: Any, *operands: torch.Tensor, **options: Any) -> tuple[Any, int]:
    """Result on operands without values, and multiplications that PyTorch counts: half its FLOPs
    (`torch.utils.flop_counter`)."""
    with FlopCounterMode(display=False) as counted:
        out = operation(*(operand.to("meta") for operand in operands), **options)
    assert counted.get_total_flops() % 2 == 0
    return out, counted.get_total_flops() // 2


def one_row(geometry: dict[str, Any]) -> dict[str, Any]:
    """The same along columns, of maps with a single row."""
    lines = {"kernel": 1, "stride": 1, "dilation": 1, "in_size": 1}
    pairs = {name: (lines[name], *geometry[name]) for name in lines}
    return {**geometry, **pairs, "padding": (0, 0, *geometry["padding"])}


@settings(max_examples=150)
@given(st.data(), axes, channels)
def test_a_convolution_of_one_to_three_axes_makes_what_torch_makes(
    data: st.DataObject, axes: int, channels: tuple[int, int, int]
) -> None:
    groups, inside, made = channels
    zeros = geometries(axes=axes).filter(lambda one: one["padding_mode"] == "zeros")
    geometry = data.draw(zeros)
    laid = one_row(geometry) if axes == 1 else geometry
    layer = Layer("conv", groups * inside, groups * made, groups=groups, **laid)
    before_last = [side for pair in reversed(_pairs(geometry["padding"])) for side in pair]
    out, products = multiplied(
        CONVOLUTIONS[axes - 1],
        functional.pad(torch.empty(5, layer.in_channels, *geometry["in_size"]), before_last),
        torch.empty(layer.out_channels, inside, *geometry["kernel"]),
        stride=geometry["stride"],
        dilation=geometry["dilation"],
        groups=groups,
    )
    assert (layer.out_channels, *layer.out_size[-axes:]) == out.shape[1:]
    assert 5 * layer.macs == products
    assert layer.weights == layer.out_channels * inside * prod(geometry["kernel"])


def _pairs(sides: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(zip(sides[::2], sides[1::2], strict=True))


@settings(max_examples=150)
@given(st.data(), axes)
def test_a_transposed_convolution_multiplies_as_often_as_torch_counts(
    data: st.DataObject, axes: int
) -> None:
    layer = data.draw(transposed_layers(axes))
    made = layer.out_channels // layer.groups
    _, products = multiplied(
        TRANSPOSED[axes - 1],
        torch.empty(5, layer.in_channels, *layer.in_size[-axes:]),
        torch.empty(layer.in_channels, made, *layer.kernel[-axes:]),
        stride=layer.stride[-axes:],
        dilation=layer.dilation[-axes:],
        groups=layer.groups,
    )
    assert 5 * layer.macs == products
    assert layer.weights == layer.in_channels * made * prod(layer.kernel)


@given(*(st.integers(1, 9),) * 4)
def test_a_linear_layer_over_a_sequence(batch: int, positions: int, inside: int, made: int) -> None:
    layer = Layer("linear", inside, made, out_size=(positions, 1))
    out, products = multiplied(
        functional.linear, torch.empty(batch, positions, inside), torch.empty(made, inside)
    )
    assert (batch * layer.macs, batch * layer.outputs) == (products, out.numel())


@given(*(st.integers(1, 6),) * 6)
def test_products_of_activations_head_by_head(
    batch: int, heads: int, shared: int, queries: int, keys: int, width: int
) -> None:
    """Attention: scores of queries and keys, and of scores and values. Where `shared` heads of
    queries meet the same keys, these heads are further positions."""
    positions = shared * queries
    query, key = (torch.empty(batch * heads, length, width) for length in (positions, keys))
    scores = Layer(
        "scores", heads * width, heads * keys, out_size=(positions, 1), groups=heads,
        operator="matmul",
    )  # fmt: skip
    context = Layer(
        "context", heads * keys, heads * width, out_size=(positions, 1), groups=heads,
        operator="matmul",
    )  # fmt: skip
    found, products = multiplied(torch.bmm, query, key.transpose(1, 2))
    assert (batch * scores.macs, batch * scores.outputs) == (products, found.numel())
    out, products = multiplied(torch.bmm, found, torch.empty(batch * heads, keys, width))
    assert (batch * context.macs, batch * context.outputs) == (products, out.numel())
    assert scores.weights == context.weights == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kernel": (3, 3, 3), "in_size": (2, 5, 5)}, "planes: no window of 3 fits an input of 2"),
        (
            {"kernel": (1, 3, 3), "in_size": (4, 5, 5), "out_size": (3, 3, 3)},
            "planes: an input of 4 with 0 and 0 of padding gives 4 outputs",
        ),
        ({"kernel": (3, 3, 3), "in_size": (5, 5)}, "in_size .* a number for each of 3 axes"),
        ({"kernel": (2, 2, 2, 2), "in_size": (5, 5, 5, 5)}, "a number for each of 3 axes"),
        ({"kernel": (3, 3, 3), "in_size": (5, 5, 5), "padding": (1, 2)}, "one number, 3 or 6"),
        (
            {"kernel": (3, 3), "in_size": (3, 3), "operator": "matmul"},
            "only convolutions and pools have windows",
        ),
    ],
)
def test_maps_that_no_layer_has_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Layer("layer", 1, 1, **given)
