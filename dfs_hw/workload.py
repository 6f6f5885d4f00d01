"""From a network's own modules to the `Workload` that a cost model prices."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from accel_models.workload import Layer, Role, Workload
from dfs_hw.networks.branches import GatedUnit
from dfs_hw.networks.dynamic import DynamicNetwork
from dfs_hw.quantize.layers import QuantizedConv2d, QuantizedLinear


def workload_of(network: DynamicNetwork, image_size: tuple[int, int] | None = None) -> Workload:
    """Layers, decision units and tensors of a network for images of the given height and width.

    Each decision is a few small layers, as the gate's family names them; pooling and activation
    functions are no layers. The network runs once on tensors without contents, at the highest
    precision everywhere; tensors are followed through all functions, so that the edges are those
    of the model's own forward, whatever it is. Where tensors are added, the one made last counts
    as the result, to which the others are added.

    Args:
        image_size: by default that of the images the network was made for.
    """
    height, width = image_size or network.image[1:]
    shadow = copy.deepcopy(network).to(torch.device("meta")).eval()
    trace = _Trace(shadow)
    hooks = [
        module.register_forward_hook(trace.after_layer(path))
        for path, module in shadow.model.named_modules()
        if isinstance(module, QuantizedConv2d | QuantizedLinear)
    ]
    shadow.conductor.run = trace.run_unit
    with torch.no_grad(), trace:
        shadow.model(torch.empty((1, network.image[0], height, width), device="meta"))
    for hook in hooks:
        hook.remove()
    return Workload(network.name, tuple(trace.layers), tuple(dict.fromkeys(trace.edges)))


class _Trace(TorchFunctionMode):
    """Follows tensors from layer to layer: each carries the name of the layer that made it."""

    def __init__(self, network: DynamicNetwork) -> None:
        super().__init__()
        self.network = network
        self.layers: list[Layer] = []
        self.edges: list[tuple[str, str]] = []
        self.unit: GatedUnit | None = None
        self._maker: dict[int, str] = {}
        self._kept: list[Tensor] = []  # an id stays a tensor's own while the tensor lives

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        makers = {self._maker[id(x)] for x in _tensors((args, kwargs)) if id(x) in self._maker}
        if makers and isinstance(out, Tensor):
            names = [layer.name for layer in self.layers]
            *others, last = sorted(makers, key=names.index)
            self._mark(out, last)
            self.edges += [(other, last) for other in others]
        return out

    def after_layer(self, path: str) -> Callable[..., None]:
        """A forward hook that notes the layer at `path`, and what feeds it."""

        def hook(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            layer = self._layer(path, module, output)
            self.layers.append(layer)
            if id(inputs[0]) in self._maker:
                self.edges.append((self._maker[id(inputs[0])], layer.name))
            self._mark(output, layer.name)

        return hook

    def run_unit(self, unit: GatedUnit, x: Tensor) -> Tensor:
        """Note the gate's layers, then run the block."""
        number, feeding = self.network.units.index(unit.name), self._maker.get(id(x))
        for part, layer in self.network.gate.layers(number):
            outputs, inputs = layer.weight.shape
            name = f"{unit.name}.gate.{part}"
            self.layers.append(Layer(name, inputs, outputs, role="gate", unit=unit.name))
            if feeding is not None:
                self.edges.append((feeding, name))
            feeding = name
            if part == self.network.gate.memory and number:
                self.edges.append((f"{self.network.units[number - 1]}.gate.{part}", name))
        self.unit = unit
        output = unit.run(x, unit.index_of.index(unit.highest))
        self.unit = None
        return output

    def _layer(self, path: str, module: QuantizedConv2d | QuantizedLinear, out: Tensor) -> Layer:
        role: Role = "fixed"
        unit, name = self.unit, path
        if unit is not None:
            inside = path.removeprefix(f"{unit.name}.block.")
            name = f"{unit.name}.{inside}"
            skip = unit.skip_path or ()
            role = "shortcut" if any(f"{inside}.".startswith(f"{s}.") for s in skip) else "body"
        about: dict[str, Any] = {"role": role, "unit": unit.name if unit else ""}
        if isinstance(module, QuantizedLinear):
            features, inputs = module.weight.shape
            return Layer(name, inputs, features, **about)
        out_channels, per_group, *kernel = module.weight.shape
        return Layer(
            name,
            per_group * module.groups,
            out_channels,
            kernel=(kernel[0], kernel[1]),
            out_size=(out.shape[2], out.shape[3]),
            stride=_pair(module.stride),
            padding=_pair(module.padding),
            groups=module.groups,
            reads_image=module.reads_image,
            **about,
        )

    def _mark(self, x: Tensor, maker: str) -> None:
        self._maker[id(x)] = maker
        self._kept.append(x)


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)


def _pair(value: Any) -> tuple[int, int]:
    first, second = value
    return int(first), int(second)
