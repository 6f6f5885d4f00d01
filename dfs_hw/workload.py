"""From a network's own modules to the `Workload` that a cost model prices."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import nn

from accel_models.precision import highest
from accel_models.workload import Layer, Role, Workload
from dfs_hw.networks import DFSResNet, GatedBlock, named_layers
from dfs_hw.quantize import QuantizedConv2d, QuantizedLinear

Edges = list[tuple[str, str]]


def workload_of(network: DFSResNet, image_size: tuple[int, int]) -> Workload:
    """Layers, decision units and tensors of a network for images of the given height and width.

    Each gate is three small layers: the projection of the pooled output of the block before, the
    LSTM's four gates as one matrix on input and state together, and the head. Pooling and
    activation functions are no layers.
    """
    sizes = _out_sizes(network, image_size)
    layers = [_layer("stem", network.stem, sizes, "fixed", "")]
    edges: Edges = []
    feeding = "stem"
    for number, block in enumerate(network.all_blocks, start=1):
        name = f"block{number}"
        unit = name if name in network.units else ""
        if unit:
            layers += _gate_layers(network, unit)
            edges += _gate_edges(network, unit, feeding)
        layers += _block_layers(block, name, unit, sizes)
        edges += _block_edges(block, name, feeding)
        feeding = f"{name}.conv2"
    classes, features = network.classifier.weight.shape
    layers.append(Layer("classifier", features, classes))
    edges.append((feeding, "classifier"))
    return Workload(network.name, tuple(layers), tuple(edges))


def _block_layers(
    block: GatedBlock, name: str, unit: str, sizes: dict[str, tuple[int, int]]
) -> Iterator[Layer]:
    body: Role = "body" if unit else "fixed"
    shortcut: Role = "shortcut" if unit else "fixed"
    if block.shortcut is not None:
        yield _layer(f"{name}.shortcut", block.shortcut, sizes, shortcut, unit)
    yield _layer(f"{name}.conv1", block.conv1, sizes, body, unit)
    yield _layer(f"{name}.conv2", block.conv2, sizes, body, unit)


def _block_edges(block: GatedBlock, name: str, feeding: str) -> Edges:
    """The block's input feeds its first convolution and, by way of the shortcut, the addition at
    the end of its second."""
    edges = [(feeding, f"{name}.conv1"), (f"{name}.conv1", f"{name}.conv2")]
    if block.shortcut is None:
        return [*edges, (feeding, f"{name}.conv2")]
    side = f"{name}.shortcut"
    return [(feeding, side), *edges, (side, f"{name}.conv2")]


def _gate_layers(network: DFSResNet, unit: str) -> list[Layer]:
    gate, number = network.gate, network.units.index(unit)
    parts = {"embed": gate.embed[number], "lstm": gate.cell, "head": gate.head}
    shapes = {part: cast(QuantizedLinear, layer).weight.shape for part, layer in parts.items()}
    return [
        Layer(f"{unit}.gate.{part}", inputs, outputs, role="gate", unit=unit)
        for part, (outputs, inputs) in shapes.items()
    ]


def _gate_edges(network: DFSResNet, unit: str, feeding: str) -> Edges:
    gate = f"{unit}.gate"
    edges = [
        (feeding, f"{gate}.embed"),
        (f"{gate}.embed", f"{gate}.lstm"),
        (f"{gate}.lstm", f"{gate}.head"),
    ]
    position = network.units.index(unit)
    if position:
        edges.append((f"{network.units[position - 1]}.gate.lstm", f"{gate}.lstm"))
    return edges


def _layer(
    name: str, conv: QuantizedConv2d, sizes: dict[str, tuple[int, int]], role: Role, unit: str
) -> Layer:
    out_channels, in_channels, height, width = conv.weight.shape
    return Layer(
        name,
        in_channels,
        out_channels,
        kernel=(height, width),
        out_size=sizes[name],
        stride=(conv.stride, conv.stride),
        padding=(conv.padding, conv.padding),
        reads_image=conv.reads_image,
        role=role,
        unit=unit,
    )


def _out_sizes(network: DFSResNet, image_size: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Height and width of every convolution's output, by letting a shape run through a copy."""
    shadow = copy.deepcopy(network).to("meta").eval()
    sizes: dict[str, tuple[int, int]] = {}

    def note(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: torch.Tensor) -> None:
            if output.ndim == 4:
                sizes[name] = (output.shape[2], output.shape[3])

        return hook

    for name, layer in named_layers(shadow):
        layer.register_forward_hook(note(name))
    image = torch.empty((1, network.stem.weight.shape[1], *image_size), device="meta")
    shadow(image, network.uniform(highest(network.choices)))
    return sizes
