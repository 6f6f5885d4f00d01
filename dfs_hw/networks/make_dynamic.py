"""The way from an ordinary PyTorch model to one that decides, per input, how each of its blocks
runs."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from accel_models.errors import InputError
from accel_models.precision import Precision, highest, parse_choices
from dfs_hw.gates import make_gate
from dfs_hw.networks.branches import Conductor, GatedUnit, executed
from dfs_hw.networks.convert import Converter, replace_everywhere
from dfs_hw.networks.design import Design
from dfs_hw.networks.dynamic import DynamicNetwork
from dfs_hw.networks.refusals import refusals
from dfs_hw.networks.shadow import shadow_of
from dfs_hw.networks.survey import ObservedModule, Survey, survey
from dfs_hw.quantize.layers import Dial, QuantizedConv2d, QuantizedLinear

RESIDUAL_BLOCKS = (
    "BasicBlock",
    "Bottleneck",
    "InvertedResidual",
    "_InvertedResidual",
    "ResBottleneckBlock",
    "ResNetBasicLayer",
    "ResNetBottleNeckLayer",
    "MobileNetV2InvertedResidual",
)
"""Class names of the blocks that are found without being named: those of torchvision and timm,
then those of transformers."""

SHORTCUTS = ("shortcut", "downsample", "proj")
"""What a block calls the submodule that changes the shape of its input to that of its output."""

RECTIFIER = "skip_activation"
"""Added to a block that ends in a ReLU by function call, and whose skip path can be negative."""


def make_dynamic(
    model: nn.Module,
    choices: str | Iterable[str | int | Precision] = "skip,2,4,8",
    *,
    image: Sequence[int] = (3, 224, 224),
    blocks: str | Sequence[str] | type[nn.Module] | None = None,
    design: Design | None = None,
    name: str = "",
    shape: Mapping[str, Any] | None = None,
) -> DynamicNetwork:
    """Gate the residual blocks of a model; the model itself stays as it is.

    >>> from torchvision.models import resnet18                        # doctest: +SKIP
    >>> network = make_dynamic(resnet18(), choices="skip,4,8")         # doctest: +SKIP
    >>> network(images).choices                                        # doctest: +SKIP

    Every convolution and linear layer is quantised, at the precision chosen for its block or, if
    it is in none, at the highest of the choices. A block can be skipped if its output has its
    input's shape, or if one of `SHORTCUTS` makes it so; other blocks are always run, at one of the
    precisions. The network is in float32 (use autocast for less), on the model's device, and in
    training mode: its quantisers have seen nothing yet.

    Args:
        model: takes one batch of images, returns logits [N, classes] or an object that has them.
        choices: of every unit.
        image: channels, height and width of the images.
        blocks: path or paths of the blocks to gate, or their class; by default the classes in
            `RESIDUAL_BLOCKS`. The first block of a class is always run, see `Design.first_block`.
        design: gates and quantisers.
        name: of the network; by default that of the model's class.
        shape: see `DynamicNetwork`.

    Raises:
        InputError: if there are no blocks, or parts that would be computed or priced wrongly: all
            are named.
    """
    options, design = parse_choices(choices), design or Design()
    model = copy.deepcopy(model).float()
    size = (image[0], image[1], image[2])
    seen = survey(model, size)
    paths = _block_paths(model, seen, blocks, design.first_block)
    if problems := refusals(model, seen, paths):
        raise InputError(
            f"{type(model).__name__} cannot be made dynamic without changing what it computes or "
            f"what it costs: {'; '.join(problems)}"
        )
    bodies = [model.get_submodule(path) for path in paths]
    converter = Converter(model, seen, design)
    converter.convert(model, (highest(options),), outside=bodies)
    conductor = Conductor()
    units = []
    for path, body in zip(paths, bodies, strict=True):
        skip = _skip_path(path, body, seen, design) if _can_skip(options) else None
        dial = Dial()
        converter.convert(body, executed(options), dial)
        units.append(GatedUnit(path, body, options, dial, conductor, skip))
        replace_everywhere(model, body, units[-1])
    gate = make_gate(
        design.gate,
        [seen.modules[path].in_shape[0] for path in paths],
        len(options),
        highest(options),
        signed=any(seen.modules[path].signed for path in paths),
        knob=design.knob,
    )
    name = name or type(model).__name__
    device = next(model.parameters()).device
    network = DynamicNetwork(name, model, units, gate, options, design, size, shape or {})
    _require_all_parts_to_run(network)
    return network.to(device).train()


def _block_paths(
    model: nn.Module,
    seen: Survey,
    blocks: str | Sequence[str] | type[nn.Module] | None,
    first_block: bool,
) -> list[str]:
    """Paths of the blocks to gate, in execution order."""
    ran = [path for path in seen.runs if path in seen.blocks or path in seen.no_block]
    if blocks is not None and not isinstance(blocks, type):
        wanted = {blocks} if isinstance(blocks, str) else set(blocks)
        if unknown := sorted(wanted - set(ran)):
            raise InputError(
                f"{type(model).__name__} runs no block '{unknown[0]}': "
                f"choose from {', '.join(seen.blocks)}"
            )
        found = [path for path in ran if path in wanted]
    else:
        found = [path for path in ran if _is_of_class(model.get_submodule(path), blocks)]
        if len(found) == 1 and not first_block:
            raise InputError(
                f"'{found[0]}' is the only block of {type(model).__name__} to gate, and the first "
                f"is always run: ask for it with Design(first_block=True), or by blocks=[...]"
            )
        found = found if first_block else found[1:]
    if not found:
        names = ", ".join(RESIDUAL_BLOCKS) if blocks is None else getattr(blocks, "__name__", "")
        raise InputError(
            f"{type(model).__name__} has no blocks to gate{names and ' of the class '}{names}: "
            f"name them with blocks=[...], paths as in named_modules(), or blocks=YourBlock"
        )
    return found


def _is_of_class(module: nn.Module, wanted: type[nn.Module] | None) -> bool:
    if wanted is None:
        return type(module).__name__ in RESIDUAL_BLOCKS
    return isinstance(module, wanted)


def _can_skip(choices: tuple[Precision, ...]) -> bool:
    return any(choice.is_skip for choice in choices)


def _skip_path(path: str, block: nn.Module, seen: Survey, design: Design) -> tuple[str, ...] | None:
    """What a skipped block still runs: nothing, or its shortcut; and the activation it ends in,
    where a sign could get past it that the next layers have never seen."""
    facts = seen.modules[path]
    for name in SHORTCUTS:
        shortcut = seen.modules.get(f"{path}.{name}")
        if shortcut and name in facts.beside and shortcut.out_shape == facts.out_shape:
            has_weights = any(True for _ in block.get_submodule(name).parameters())
            if has_weights or facts.in_shape != facts.out_shape:
                return (name, *_activation(block, facts, shortcut.puts_out_signed, design))
    if facts.in_shape != facts.out_shape:
        return None
    return _activation(block, facts, facts.signed, design)


def _activation(
    block: nn.Module, facts: ObservedModule, signed: bool, design: Design
) -> tuple[str, ...]:
    if facts.puts_out_signed or not signed or "free-shortcut" in design.faults:
        return ()
    if facts.last_leaf is None:
        block.add_module(RECTIFIER, nn.ReLU())
    return (facts.last_leaf or RECTIFIER,)


def _require_all_parts_to_run(network: DynamicNetwork) -> None:
    """Refuse a model that still runs layers that have been replaced, or cannot without them."""
    shadow, ran = shadow_of(network).eval(), []
    parts = {
        path: module
        for path, module in shadow.model.named_modules()
        if isinstance(module, GatedUnit | QuantizedConv2d | QuantizedLinear)
    }
    for path, module in parts.items():
        module.register_forward_hook(lambda *_, path=path: ran.append(path))
    try:
        with torch.no_grad():
            shadow.model(torch.empty((1, *network.image), device="meta"))
    except Exception as error:  # whatever a stranger's model may raise
        raise InputError(
            f"{network.name} does not run with its layers replaced, on tensors without contents: "
            f"{error} (constants must be buffers, and no layer's own attributes may be used)"
        ) from error
    if missing := [path for path in parts if path not in ran]:
        raise InputError(
            f"{network.name} does not call what '{', '.join(missing)}' was replaced by: is it kept "
            f"in a plain list or dictionary? Use ModuleList or ModuleDict"
        )
