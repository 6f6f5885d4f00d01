"""The way from an ordinary PyTorch model to one that decides, per input, how each of its blocks
runs."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from accel_models.errors import InputError
from accel_models.precision import Precision, highest, parse_choices
from dfs_hw.gates import make_gate
from dfs_hw.networks.branches import GatedUnit
from dfs_hw.networks.convert import Converter
from dfs_hw.networks.design import Design
from dfs_hw.networks.dynamic import DynamicNetwork
from dfs_hw.networks.found_blocks import RESIDUAL_BLOCKS, Blocks, block_paths
from dfs_hw.networks.inputs import empty_input, input_size, random_inputs
from dfs_hw.networks.refusals import refusals
from dfs_hw.networks.shadow import for_shapes, shadow_of
from dfs_hw.networks.states import plain_copy
from dfs_hw.networks.survey import survey
from dfs_hw.networks.units import SHORTCUTS, UnitMaker
from dfs_hw.quantize.layers import QuantizedConv2d, QuantizedLinear


@torch.inference_mode(False)
def make_dynamic(
    model: nn.Module,
    choices: str | Iterable[str | int | Precision] = "skip,2,4,8",
    *,
    image: Sequence[int] = (3, 224, 224),
    blocks: Blocks = None,
    design: Design | None = None,
    name: str = "",
    shape: Mapping[str, Any] | None = None,
) -> DynamicNetwork:
    """Gate the residual blocks of a model; the model itself stays as it is.

    >>> from torchvision.models import resnet18                        # doctest: +SKIP
    >>> network = make_dynamic(resnet18(), choices="skip,4,8")         # doctest: +SKIP
    >>> network(images).choices                                        # doctest: +SKIP

    Every convolution, linear layer and product of activations is quantised, at the precision chosen
    for its block or, if it is in none, at the highest of the choices; all else stays in floating
    point. A block can be skipped if its output has its input's shape, or if one of `SHORTCUTS`
    makes it so, or if it appends channels to its input; other blocks are always run, at one of the
    precisions. A block that adds to its input twice, with a product of activations between, as
    that of a transformer, is two units. The network is in float32 (use autocast for less), on the
    model's device, and in training mode: its quantisers have seen nothing yet.

    Args:
        model: takes one batch of images, returns logits [N, classes] or an object that has them.
        choices: of every unit.
        image: channels, height and width of the images; of a model that reads numbers of tokens
            [N, tokens], how many, such as ``(128,)``.
        blocks: path, class, or pattern of paths or class names (as of `fnmatch`) of the blocks to
            gate, or several of those; by default the classes in `RESIDUAL_BLOCKS`. The first block
            that is found by its class is always run, see `Design.first_block`.
        design: gates and quantisers.
        name: of the network; by default that of the model's class.
        shape: see `DynamicNetwork`.

    Raises:
        InputError: if there are no blocks, or parts that would be computed or priced wrongly: all
            are named.
    """
    options, design = parse_choices(choices), design or Design()
    if any(choice.exits for choice in options):
        raise InputError("choices: networks have no exits to train yet, leave out 'exit'")
    if isinstance(model, DynamicNetwork):
        raise InputError(f"{model.name} is dynamic already: make it anew from the model itself")
    size = input_size(image)
    model = plain_copy(model, size)
    seen = survey(model, size)
    paths = block_paths(model, seen, blocks, design.first_block)
    if problems := refusals(model, seen, paths):
        raise InputError(
            f"{type(model).__name__} cannot be made dynamic without changing what it computes or "
            f"what it costs: {'; '.join(problems)}"
        )
    bodies = [model.get_submodule(path) for path in paths]
    converter = Converter(model, seen, design)
    converter.convert(model, (highest(options),), outside=bodies)
    maker = UnitMaker(model, seen, converter, options, design)
    units = [unit for path in paths for unit in maker.units(path)]
    gate = make_gate(
        design.gate,
        maker.channels,
        len(options),
        highest(options),
        signed=maker.signed,
        knob=design.knob,
    )
    name = name or type(model).__name__
    device = next(model.parameters()).device
    network = DynamicNetwork(name, model, units, gate, options, design, size, shape or {})
    _require_all_parts_to_run(network)
    return network.to(device).train()


def _require_all_parts_to_run(network: DynamicNetwork) -> None:
    """Refuse a model that still runs layers that have been replaced, or cannot without them."""
    try:
        missing = _left_out(shadow_of(network), empty_input(network.image))
    except Exception:  # as of a model that looks at what is in its tensors
        try:
            copied, device = copy.deepcopy(network), next(network.parameters()).device
            missing = _left_out(for_shapes(copied), random_inputs(1, network.image).to(device))
        except Exception as error:  # whatever a stranger's model may raise
            raise InputError(
                f"{network.name} does not run with its layers replaced: {error} (no layer's own "
                "attributes may be used)"
            ) from error
    if missing:
        raise InputError(
            f"{network.name} does not call what '{', '.join(missing)}' was replaced by: is it kept "
            f"in a plain list or dictionary? Use ModuleList or ModuleDict"
        )


@torch.no_grad()
def _left_out(network: DynamicNetwork, images: Tensor) -> list[str]:
    """Paths of the replaced parts that the network does not run."""
    ran: list[str] = []
    parts = {
        path: module
        for path, module in network.eval().model.named_modules()
        if isinstance(module, GatedUnit | QuantizedConv2d | QuantizedLinear)
    }
    for path, module in parts.items():
        module.register_forward_hook(lambda *_, path=path: ran.append(path))
    network.model(images)
    return [path for path in parts if path not in ran]


__all__ = ["RESIDUAL_BLOCKS", "SHORTCUTS", "make_dynamic"]
