"""The `Workload` that a cost model prices, taken from a network's own modules."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from accel_models.errors import InputError
from accel_models.workloads.graphs.steps import Steps
from accel_models.workloads.layer import Role
from accel_models.workloads.workload import Layer, Workload
from dfs_hw.gates.estimated_error import strides
from dfs_hw.networks.branches import GatedUnit
from dfs_hw.networks.cifar_resnet import CifarResNet
from dfs_hw.networks.dynamic import DynamicNetwork
from dfs_hw.networks.halves import SplitBlock
from dfs_hw.networks.inputs import empty_input, random_inputs
from dfs_hw.networks.shadow import for_shapes, shadow_of
from dfs_hw.networks.tracing.capture import unwrapped
from dfs_hw.networks.tracing.model_workload import model_workload, read_model


def workload_of(model: nn.Module, example: Any = None, *, name: str = "") -> Workload:
    """Layers of a model, and the tensors between them.

    Any PyTorch model is taken as it is: its operators become layers one by one, in evaluation mode,
    called by the paths of its modules, and what has no cost model is named in `Workload.assumed`.
    Weights need not exist: a model and an example on the device "meta" will do. A `DynamicNetwork`
    has the layers of the model that it was made of, under the same names, and gates and decision
    units besides; a CIFAR ResNet has those layers that have weights. Each decision is a few small
    layers, as the gate's family names them; what pools and functions a gate has are no layers.

    Args:
        model: a module, or a network that decides.
        example: what the model is called with, one input of it: a tensor, a tuple of positional
            arguments or a dictionary of named ones; only sizes count. Of a `DynamicNetwork`, height
            and width of its images or how many tokens, by default as it was made for.
        name: what to call the workload; by default the network's name, or that of the model's
            class.

    Raises:
        InputError: if the model does not run on the example.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"a model is a torch.nn.Module, not {type(model).__name__}")
    model = unwrapped(model)
    if not isinstance(model, DynamicNetwork):
        return model_workload(model, example, name)
    if isinstance(example, Tensor):
        example = _size_of(example, model)
    return _of_dynamic(model, example, name or model.name)


def _size_of(example: Tensor, network: DynamicNetwork) -> tuple[int, ...]:
    """Height and width of an image, or how many tokens there are.

    Raises:
        InputError: if it is nothing that the network reads.
    """
    size = tuple(example.shape[1:] if example.ndim > len(network.image) else example.shape)
    channels = network.image[:1] if len(network.image) == 3 else ()
    if len(size) != len(network.image) or size[: len(channels)] != channels:
        wanted = [1, *network.image]
        raise InputError(f"{network.name} reads inputs as {wanted}, not as {list(example.shape)}")
    return size[len(channels) :]


def _of_dynamic(network: DynamicNetwork, size: tuple[int, ...] | None, name: str) -> Workload:
    channels = network.image[:1] if len(network.image) == 3 else ()
    size = (*channels, *size) if size else network.image
    try:
        bare = _read(shadow_of(network, norms=True), empty_input(size), name)
    except InputError:  # as of a model that looks at what is in its tensors
        copied = for_shapes(copy.deepcopy(network), norms=True)
        bare = _read(copied, random_inputs(1, size), name)
    if isinstance(network.model, CifarResNet):
        bare = _as_listed(bare)
    return _with_gates(network, bare)


def _read(network: DynamicNetwork, images: Tensor, name: str) -> Workload:
    network.eval().conductor.whole = True
    return read_model(network.model, images, name, _Units(network).settle).workload


def _as_listed(workload: Workload) -> Workload:
    """Layers of a CIFAR ResNet as `accel_models.workloads.cifar_resnet` lists them, and the papers
    that use it count: those with weights alone, so that machines without a vector unit, as most
    published ones are, run it, too. What is left out is the mean of each map; rectifying is part of
    rounding anyway."""
    layers = tuple(replace(layer, activation="") for layer in workload.layers if layer.on_array)
    makers = {layer.name: [layer.name] for layer in layers}
    for layer in workload.layers:
        if not layer.on_array:
            before = workload.makers[layer.name]
            makers[layer.name] = [name for maker in before for name in makers[maker]]
    edges = [
        (name, reader)
        for maker, reader, *_ in workload.edges
        for name in makers[maker]
        if makers[reader] == [reader]
    ]
    return Workload(workload.name, layers, tuple(edges), workload.assumed)


class _Units:
    """Says of each step of a network's graph which unit it belongs to."""

    def __init__(self, network: DynamicNetwork) -> None:
        self.whole: dict[str, GatedUnit] = {}
        """Units that are a block each, by its path."""
        self.split: dict[str, SplitBlock] = {}
        for path, module in network.model.named_modules():
            if isinstance(module, SplitBlock):
                self.split[path] = module
        for path, unit in zip(network.unit_paths, network.blocks, strict=True):
            if path.rpartition(".")[0] not in self.split:
                self.whole[path] = unit

    def settle(self, read: Steps) -> None:
        """Give every step the path it has in the model itself, and every layer its unit."""
        half_of: dict[tuple[str, int], int] = {}
        for number, step in enumerate(read.steps):
            for path in _prefixes(step.path):
                inside = step.path.removeprefix(path).removeprefix(".block").removeprefix(".")
                if path in self.whole or path in self.split:
                    step.path = ".".join(part for part in (path, inside) if part)
                if step.layer is None:
                    continue
                if path in self.whole:
                    unit = self.whole[path]
                    role = _role(inside, unit.skip_path or ())
                    step.layer = replace(step.layer, unit=unit.name, role=role)
                elif path in self.split:
                    split = self.split[path]
                    before = [half_of.get((path, one.maker), 0) for one in step.reads]
                    half = half_of[path, number] = split.half_of(inside, before)
                    unit_name = f"{path}.{split.unit_names[half]}"
                    step.layer = replace(step.layer, unit=unit_name, role="body")


def _prefixes(path: str) -> Iterator[str]:
    parts = path.split(".")
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])


def _role(inside: str, skip_path: Sequence[str]) -> Role:
    """Whether a layer runs when its unit is skipped."""
    return "shortcut" if any(f"{inside}.".startswith(f"{s}.") for s in skip_path) else "body"


def _with_gates(network: DynamicNetwork, bare: Workload) -> Workload:
    """The layers with each unit's exit and gate before its first one. Both read what their unit
    reads."""
    unit_of = {layer.name: layer.unit for layer in bare.layers}
    reads: dict[str, dict[str, None]] = {unit: {} for unit in network.units}
    for maker, reader, *_ in bare.edges:
        if unit_of[reader] and unit_of[maker] != unit_of[reader]:
            reads[unit_of[reader]][maker] = None
    layers: list[Layer] = []
    gate_edges: list[tuple[str, ...]] = []
    decided: set[str] = set()
    for layer in bare.layers:
        if layer.unit and layer.unit not in decided:
            decided.add(layer.unit)
            number = network.units.index(layer.unit)
            for deciding in (_exit, _gates):
                found, read = deciding(network, number, layer, list(reads[layer.unit]))
                layers += found
                gate_edges += read
        layers.append(layer)
    place = {layer.name: number for number, layer in enumerate(layers)}
    edges = sorted(dict.fromkeys((*bare.edges, *gate_edges)), key=lambda edge: place[edge[1]])
    return Workload(bare.name, tuple(layers), tuple(edges), bare.assumed)


def _exit(
    network: DynamicNetwork, number: int, first: Layer, before: list[str]
) -> tuple[list[Layer], list[tuple[str, ...]]]:
    """Layers of the exit before a unit, whose first layer is given, and what they read; none where
    there is no exit."""
    unit, layers, edges = network.units[number], list[Layer](), list[tuple[str, ...]]()
    head = network.exit_before(number)
    for part, linear in head.layers() if head else ():
        outputs, inputs = linear.weight.shape
        name = f"{unit}.exit.{part}"
        layers.append(Layer(name, inputs, outputs, role="exit", unit=unit))
        edges += [(maker, name, *("input",) * (len(before) > 1)) for maker in before]
        before = [name]
    return layers, edges


def _gates(
    network: DynamicNetwork, number: int, first: Layer, before: list[str]
) -> tuple[list[Layer], list[tuple[str, ...]]]:
    """Layers of the decision about a unit, whose first layer is given, and what they read."""
    unit, memory = network.units[number], network.gate.memory
    layers, edges = [], []
    if sampled := network.gate.sampled:
        name, size = f"{unit}.gate.squares", first.in_size
        channels, stride = network.reads.channels[number], strides(size, sampled)
        layers.append(Layer(name, channels, 1, stride=stride, in_size=size, role="gate", unit=unit))
        edges += [(maker, name, *("input",) * (len(before) > 1)) for maker in before]
        before = [name]
    for part, linear in network.gate.layers(number):
        outputs, inputs = linear.weight.shape
        name = f"{unit}.gate.{part}"
        layers.append(Layer(name, inputs, outputs, role="gate", unit=unit))
        side_by_side = ("input",) * (len(before) > 1)
        edges += [(maker, name, *side_by_side) for maker in before]
        if number and part == memory:
            edges.append((f"{network.units[number - 1]}.gate.{part}", name))
        before = [name]
    return layers, edges


__all__ = ["workload_of"]
