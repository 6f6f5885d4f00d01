"""Layers taken apart, from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest


@pytest.mark.slow
def test_a_layer_is_explained_at_every_precision(printed: Callable[..., str]) -> None:
    words = ("simulate", "resnet8", "--explain", "block2.conv1", "--precision", "8")
    words = (*words, "--precision", "2", "--pareto")
    text, facts = printed(*words), json.loads(printed(*words, "--json"))
    assert "block2.conv1 at 8 bits on bitfusion" in text
    assert "block2.conv1 at 2 bits on bitfusion" in text
    for layer in facts.values():
        assert sum(layer["cycles_by_part"].values()) == layer["cycles"]
        assert f"{layer['cycles']:,} cycles" in text
        assert f"bottleneck: {layer['bottleneck']}" in text
        assert f"at least {layer['roofline']['cycles']:,} cycles" in text
        for loop in layer["loops"]:
            name = loop["name"].replace("_", " ")
            assert f"for {name} in {loop['trips']} tiles of {loop['size']}" in text
        assert [point["chosen"] for point in layer["pareto"]].count(True) == 1
        for point in layer["pareto"]:
            assert f"{point['cycles']:,} cycles" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "sentences"),
    [
        ("scores", ("product of activations, 3 heads of 197 x 64 by 64 x 197", "second operand")),
        ("softmax", ("softmax, 591 channels, 197 x 1 outputs, rows of 197", "of 32 lanes")),
    ],
)
def test_operators_are_named_and_explained(
    printed: Callable[..., str], layer: str, sentences: tuple[str, ...]
) -> None:
    name = f"encoder.layers.0.self_attention.{layer}"
    words = ("simulate", "vit_tiny", "--explain", name)
    text, facts = printed(*words), json.loads(printed(*words, "--json"))["8"]
    for sentence in sentences:
        assert sentence in " ".join(text.split())
    assert sum(facts["cycles_by_part"].values()) == facts["cycles"]
    assert f"bottleneck: {facts['bottleneck']}" in text
