"""Layers in words."""

from __future__ import annotations

import pytest

from accel_models import Layer
from dfs_hw.cli.show.shapes import shape

PAIR = {"kernel": (2, 2), "stride": (2, 2), "in_size": (8, 8)}


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Layer("a", 8, 4), "linear layer of 8 inputs and 4 outputs"),
        (
            Layer("a", 8, 8, (3, 3), (4, 4), groups=8, activation="silu"),
            "3 x 3 convolution of 8 into 8 channels, 4 x 4 outputs, 8 groups, then silu",
        ),
        (
            Layer("a", 8, 4, operator="transposed_conv", **PAIR),
            "2 x 2 transposed convolution of 8 into 4 channels, 16 x 16 outputs, stride 2 x 2",
        ),
        (
            Layer("a", 3, 8, (2, 3, 3), (4, 4, 4)),
            "2 x 3 x 3 3-d convolution of 3 into 8 channels, 4 x 4 x 4 outputs",
        ),
        (
            Layer("a", 8, 10, in_size=(5, 1), groups=2, operator="matmul"),
            "product of activations, 2 heads of 5 x 4 by 4 x 5",
        ),
        (
            Layer("a", 8, 8, operator="max_pool", **PAIR),
            "max_pool 2 x 2, 8 channels, 4 x 4 outputs, stride 2 x 2",
        ),
        (
            Layer("a", 100, 8, out_size=(6, 1), operator="embedding"),
            "embedding, 6 of 100 rows of 8",
        ),
        (Layer("a", 8, 8, operator="gelu"), "gelu, 8 channels, 1 x 1 outputs"),
    ],
    ids=lambda one: one.operator if isinstance(one, Layer) else "",
)
def test_operators_by_name(layer: Layer, words: str) -> None:
    assert shape(layer) == words
