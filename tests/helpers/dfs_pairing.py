"""One network twice: this project's in the paper's design, and the plain reference, with the same
weights. Shared by tests and by the benchmark of training steps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from dfs_reference import DFS
from torch import Tensor

from dfs_hw.networks import Design, DynamicNetwork, build_network
from dfs_hw.networks.statistics import settle
from dfs_hw.quantize import PrecisionNorm
from dfs_hw.quantize.minmax import MinMaxActivations

CHOICES = "skip,8,10,12,14,16,full"
WIDTHS = (16, 32, 64)


def paper_network(
    depth: int,
    faults: Collection[str] = (),
    *,
    widths: Sequence[int] = WIDTHS,
    image_size: tuple[int, int] = (32, 32),
) -> DynamicNetwork:
    """The project's network in the paper's design, in training mode."""
    design = Design(gate="lstm", quantizer="minmax", faults=tuple(faults))
    return build_network(
        f"resnet{depth}", CHOICES, 10, image_size=image_size, widths=widths, design=design
    ).train()


def reference_of(network: DynamicNetwork) -> DFS:
    """The plain reference with the weights and statistics of a network in the paper's design."""
    depth, widths = int(network.name.removeprefix("resnet")), network.shape["widths"]
    reference = DFS(depth, 10, widths, network.design.faults).to(network.shift.dtype)
    with torch.no_grad():
        copy_weights(network, reference)
        for ours, theirs in twins(network, reference):
            if isinstance(ours, PrecisionNorm):
                theirs.mean.copy_(ours.mean)
                theirs.variance.copy_(ours.variance)
            elif isinstance(ours.activations, MinMaxActivations) and hasattr(theirs, "low"):
                theirs.low.copy_(ours.activations.range[0, 0])
                theirs.high.copy_(ours.activations.range[0, 1])
    return reference.train(network.training)


def twins(network: DynamicNetwork, reference: DFS) -> Iterator[tuple[Any, Any]]:
    """Layers that are the same in both, but for the LSTM."""
    model: Any = network.model
    gate: Any = network.gate
    yield model.stem, reference.stem
    yield model.stem_norm, reference.stem_norm
    theirs: Any
    ours: Any
    for number, theirs in enumerate(reference.blocks, start=1):
        ours = model.get_submodule(f"block{number}")
        ours = ours if number == 1 else ours.block
        for name in ("conv1", "norm1", "conv2", "norm2"):
            yield getattr(ours, name), getattr(theirs, name)
        if theirs.changes:
            yield ours.shortcut[0], theirs.conv3
            yield ours.shortcut[1], theirs.norm3
    yield model.classifier, reference.classifier
    for projection, embed in zip(gate.embed, reference.gate.embed, strict=False):
        yield projection.linear, embed
    yield gate.head, reference.gate.head


def copy_weights(network: DynamicNetwork, reference: DFS) -> None:
    """The LSTM of the reference has two biases for our one: its second is zero."""
    for ours, theirs in twins(network, reference):
        theirs.weight.copy_(ours.weight.view_as(theirs.weight))
        if getattr(ours, "bias", None) is not None:
            theirs.bias.copy_(ours.bias)
    cell, lstm = _memories(network, reference)
    lstm.weight_ih_l0.copy_(cell.weight[:, : lstm.input_size])
    lstm.weight_hh_l0.copy_(cell.weight[:, lstm.input_size :])
    lstm.bias_ih_l0.copy_(cell.bias)
    lstm.bias_hh_l0.zero_()


def _memories(network: DynamicNetwork, reference: DFS) -> tuple[Any, Any]:
    return network.gate.cell, reference.gate.lstm


def gradients(network: DynamicNetwork, reference: DFS) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, our gradient and the reference's, for every parameter of the network; none is zeros."""
    names = {module: name for name, module in network.named_modules()}
    for ours, theirs in twins(network, reference):
        for kind, parameter in ours.named_parameters(recurse=False):
            other = _grad(getattr(theirs, kind)).view_as(parameter)
            yield f"{names[ours]}.{kind}", _grad(parameter), other
    cell, lstm = _memories(network, reference)
    both = torch.cat([_grad(lstm.weight_ih_l0), _grad(lstm.weight_hh_l0)], 1)
    yield "gate.cell.weight", _grad(cell.weight), both
    yield "gate.cell.bias", _grad(cell.bias), _grad(lstm.bias_ih_l0)


def _grad(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def adopt_statistics(network: DynamicNetwork, images: Tensor) -> None:
    """Set norms and ranges to what one batch shows at every precision, as after long training."""
    norms = [module for module in network.modules() if isinstance(module, PrecisionNorm)]
    momenta = [norm.momentum for norm in norms]
    network.train().normalize_by_batch(True)
    for norm in norms:
        norm.momentum = 1.0
    network(images)
    settle(network)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def spread_choices(network: DynamicNetwork, images: Tensor, seed: int = 0) -> None:
    """Give the recurrent gates random weights with which all choices occur in every unit.

    Each projection is whitened for the features that arrive at it, so that inputs differ in what
    the LSTM reads.
    """
    generator = torch.Generator().manual_seed(seed)

    def whiten(layer: Any, inputs: tuple[Tensor, ...]) -> None:
        mean, deviation = inputs[0].mean(0), inputs[0].std(0) + 1e-6
        normal = _normal(layer.weight.shape, generator).to(mean)
        layer.weight.copy_(normal / deviation / len(mean) ** 0.5)
        layer.bias.copy_(-layer.weight @ mean)

    network.train().normalize_by_batch(True)
    gate: Any = network.gate
    gate.cell.weight.copy_(_normal(gate.cell.weight.shape, generator) * 0.5)
    gate.head.weight.copy_(_normal(gate.head.weight.shape, generator) * 2)
    hooks = [each.linear.register_forward_pre_hook(whiten) for each in gate.embed]
    network(images)
    for hook in hooks:
        hook.remove()


def _normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
