"""The `Workload` that a cost model prices, taken from a network's own modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from accel_models.errors import InputError
from accel_models.workloads.layer import Role
from accel_models.workloads.windows import PaddingMode
from accel_models.workloads.workload import Layer, Workload
from dfs_hw.networks.branches import GatedUnit
from dfs_hw.networks.dynamic import DynamicNetwork
from dfs_hw.networks.flow import IMAGE, Flow, maker, mark
from dfs_hw.networks.shadow import shadow_of
from dfs_hw.networks.tracing.model_workload import model_workload
from dfs_hw.quantize.layers import QuantizedConv2d, QuantizedLinear


def workload_of(model: nn.Module, example: Any = None, *, name: str = "") -> Workload:
    """Layers of a model, and the tensors between them.

    Any PyTorch model is taken as it is: its operators become layers one by one, in evaluation mode,
    called by the paths of its modules, and what has no cost model is named in `Workload.assumed`.
    Weights need not exist: a model and an example on the device "meta" will do. Of a
    `DynamicNetwork` the workload has the gates and decision units, too.

    Args:
        model: a module, or a network that decides.
        example: what the model is called with, one input of it: a tensor, a tuple of positional
            arguments or a dictionary of named ones; only sizes count. Of a `DynamicNetwork`, height
            and width of its images, by default those that it was made for.
        name: what to call the workload; by default the network's name, or that of the model's
            class.

    Raises:
        InputError: if the model does not run on the example, or if tensors of a `DynamicNetwork`
            meet in a way that cannot be priced.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"a model is a torch.nn.Module, not {type(model).__name__}")
    if not isinstance(model, DynamicNetwork):
        return model_workload(model, example, name)
    if isinstance(example, Tensor):
        example = tuple(example.shape[-2:])
    workload = _of_dynamic(model, example)
    return replace(workload, name=name) if name else workload


def _of_dynamic(network: DynamicNetwork, image_size: tuple[int, int] | None) -> Workload:
    """Layers, decision units and tensors of a network for images of the given height and width.

    Each decision is a few small layers, as the gate's family names them; pooling and activation
    functions are no layers. The network runs once on tensors without contents, at the highest
    precision everywhere; tensors are followed through all functions, so that the edges are those
    of the model's own forward, whatever it is; see `Flow` for sums of tensors.

    Args:
        image_size: by default that of the images the network was made for.

    Raises:
        InputError: if tensors meet in a way that cannot be priced.
    """
    height, width = image_size or network.image[1:]
    shadow = shadow_of(network).eval()
    trace = _Trace(shadow)
    for path, module in shadow.model.named_modules():
        if isinstance(module, QuantizedConv2d | QuantizedLinear):
            module.register_forward_hook(trace.after_layer(path))
    shadow.conductor.run = trace.run_unit
    images = torch.empty((1, network.image[0], height, width), device="meta")
    mark(images, IMAGE)
    with torch.no_grad(), trace:
        shadow.model(images)
    layers = tuple(trace.geometry[name] for name in trace.ordered())
    return Workload(network.name, layers, tuple(dict.fromkeys(trace.edges)))


class _Trace(Flow):
    """Notes the layers of a network while it runs."""

    def __init__(self, network: DynamicNetwork) -> None:
        super().__init__(self._refused)
        self.network = network
        self.geometry: dict[str, Layer] = {}
        self.unit: GatedUnit | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = super().__torch_function__(func, types, args, kwargs)
        if func is functional.pad:
            _note_padding(out, *args, **(kwargs or {}))
        return out

    def after_layer(self, path: str) -> Callable[..., None]:
        """A forward hook that notes the layer at `path`, and what feeds it."""

        def hook(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            layer = self._layer(path, module, inputs[0], output)
            self.geometry[layer.name] = layer
            self.layer(layer.name, inputs[0], output)

        return hook

    def run_unit(self, unit: GatedUnit, x: Tensor) -> Tensor:
        """Note the gate's layers, then run the block."""
        number, reads = self.network.units.index(unit.name), maker(x) or IMAGE
        memory = self.network.gate.memory
        for part, layer in self.network.gate.layers(number):
            outputs, inputs = layer.weight.shape
            name = f"{unit.name}.gate.{part}"
            remembers = number and part == memory
            before = [f"{self.network.units[number - 1]}.gate.{part}"] if remembers else []
            self.geometry[name] = Layer(name, inputs, outputs, role="gate", unit=unit.name)
            self.add(name, reads, *before)
            reads = name
        self.unit = unit
        output = unit.run(x, unit.index_of.index(unit.highest))
        self.unit = None
        return output

    def _refused(self, why: str) -> None:
        raise InputError(f"the layers of {self.network.name} cannot be priced: {why}")

    def _layer(
        self, path: str, module: QuantizedConv2d | QuantizedLinear, x: Tensor, out: Tensor
    ) -> Layer:
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
            # One that reads several positions is a 1x1 convolution over them.
            rows = out.shape[1] if out.ndim == 4 else 1
            positions = out[0].numel() // features
            return Layer(name, inputs, features, out_size=(rows, positions // rows), **about)
        out_channels, per_group, *kernel = module.weight.shape
        own = Padding(module.sides, module.padding_mode)
        by_hand = _padding(x)
        padding = _both(by_hand, own)
        if padding is None:  # what was put around by hand is part of the tensor that is read
            by_hand, padding = NONE, own
        top, bottom, left, right = by_hand.sides
        return Layer(
            name,
            per_group * module.groups,
            out_channels,
            kernel=(kernel[0], kernel[1]),
            out_size=(out.shape[2], out.shape[3]),
            stride=_pair(module.stride),
            padding=padding.sides,
            groups=module.groups,
            reads_image=module.reads_image,
            in_size=(x.shape[2] - top - bottom, x.shape[3] - left - right),
            dilation=_pair(module.dilation),
            padding_mode=padding.mode,
            **about,
        )


class Padding(NamedTuple):
    """What was put around a tensor: above, below, left and right, in elements."""

    sides: tuple[int, int, int, int]
    mode: PaddingMode = "zeros"


NONE = Padding((0, 0, 0, 0))


def _note_padding(
    padded: Tensor, x: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = 0
) -> None:
    """Remember what was put around a tensor by hand: zeros take no memory to fetch, and copies of
    its own elements are read where these lie."""
    left, right, top, bottom, *others = (*pad, 0, 0, 0, 0)
    if min(pad) < 0 or any(others) or (mode == "constant" and value):
        return
    known = cast(PaddingMode, "zeros" if mode == "constant" else mode)
    padding = _both(_padding(x), Padding((top, bottom, left, right), known))
    if padding:
        setattr(padded, "_padding", padding)  # noqa: B010 (tensors take attributes)


def _padding(x: Tensor) -> Padding:
    """What was put around a tensor by hand just before."""
    return getattr(x, "_padding", NONE)


def _both(inner: Padding, outer: Padding) -> Padding | None:
    """Padding around padding as one; None if that is no padding of the tensor inside."""
    if not any(inner.sides) or not any(outer.sides):
        return outer if any(outer.sides) else inner
    if (inner.mode, outer.mode) == ("zeros", "zeros"):
        top, bottom, left, right = map(sum, zip(inner.sides, outer.sides, strict=True))
        return Padding((top, bottom, left, right))
    return None


def _pair(value: Any) -> tuple[int, int]:
    first, second = value
    return int(first), int(second)
