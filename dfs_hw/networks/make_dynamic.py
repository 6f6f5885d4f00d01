"""The way from an ordinary PyTorch model to one that decides, per input, how each of its blocks
runs."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from accel_models.errors import InputError, quoted
from accel_models.precision import EXIT, Precision, highest, parse_choices
from dfs_hw.gates import TableGate
from dfs_hw.networks.branches import GatedUnit
from dfs_hw.networks.convert import Converter
from dfs_hw.networks.design import Design
from dfs_hw.networks.dynamic import DynamicNetwork, Reads
from dfs_hw.networks.exits import ExitHead, exit_places
from dfs_hw.networks.found_blocks import RESIDUAL_BLOCKS, Blocks, block_paths
from dfs_hw.networks.inputs import empty_input, input_size, random_inputs
from dfs_hw.networks.leaving import gate_for, require_leaving
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
    exits: str | Iterable[str] = (),
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
        exits: units at which inputs may leave, by name or pattern (as of `fnmatch`): each gets a
            head that reads its input, and ``exit`` is one of the choices. By default those of the
            design; all, if the choices have ``exit`` and nothing says where.
        design: gates and quantisers.
        name: of the network; by default that of the model's class.
        shape: see `DynamicNetwork`.

    Raises:
        InputError: if there are no blocks, or parts that would be computed or priced wrongly: all
            are named; or if inputs cannot leave where they should.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"a model is a torch.nn.Module, not {quoted(model)}")
    options, design = _with_exits(parse_choices(choices), exits, design or Design())
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
    reads = Reads(tuple(maker.channels), tuple(maker.sizes), maker.signed)
    gate = gate_for(options, design, reads)
    name = name or type(model).__name__
    device = next(model.parameters()).device

    def made(heads: Mapping[int, ExitHead]) -> DynamicNetwork:
        return DynamicNetwork(
            name, model, units, gate, options, design, size, reads, shape or {}, heads
        )

    network = made({})
    puts_out = _require_all_parts_to_run(network)
    if design.exits:
        places = exit_places(name, network.units, design.exits)
        require_leaving(network, places, puts_out)
        precision = highest(options)
        network = made(
            {
                unit: ExitHead(reads.channels[unit], reads.sizes[unit], puts_out[-1], precision)
                for unit in places
            }
        )
    if isinstance(gate, TableGate):
        gate.fix(network.uniform(highest(options)))
    return network.to(device).train()


def _with_exits(
    choices: tuple[Precision, ...], exits: str | Iterable[str], design: Design
) -> tuple[tuple[Precision, ...], Design]:
    """Choices and design that agree about exits."""
    wanted = (exits,) if isinstance(exits, str) else tuple(exits)
    wanted = wanted or design.exits or (("*",) if EXIT in choices else ())
    if wanted and EXIT not in choices:
        choices = (*choices, EXIT)
    if design.gate.startswith("confidence") and not wanted:
        raise InputError(
            f"gate '{design.gate}' goes by what exits believe, and there are none: "
            "add 'exit' to the choices"
        )
    if design.gate == "error" and wanted:
        raise InputError(
            f"gate '{design.gate}' estimates what widths change, and cannot say who may leave: "
            "take 'exit' from the choices, or another gate"
        )
    return choices, replace(design, exits=wanted)


def _require_all_parts_to_run(network: DynamicNetwork) -> tuple[int, ...]:
    """Shape of what a model puts out; one that still runs layers that have been replaced, or
    cannot without them, is refused."""
    try:
        missing, puts_out = _left_out(shadow_of(network), empty_input(network.image))
    except Exception:  # as of a model that looks at what is in its tensors
        try:
            copied, device = copy.deepcopy(network), next(network.parameters()).device
            images = random_inputs(1, network.image).to(device)
            missing, puts_out = _left_out(for_shapes(copied), images)
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
    return puts_out


@torch.no_grad()
def _left_out(network: DynamicNetwork, images: Tensor) -> tuple[list[str], tuple[int, ...]]:
    """Paths of the replaced parts that the network does not run, and the shape of its logits."""
    ran: list[str] = []
    parts = {
        path: module
        for path, module in network.eval().model.named_modules()
        if isinstance(module, GatedUnit | QuantizedConv2d | QuantizedLinear)
    }
    for path, module in parts.items():
        module.register_forward_hook(lambda *_, path=path: ran.append(path))
    made = network.model(images)
    logits = made if isinstance(made, Tensor) else made.logits
    return [path for path in parts if path not in ran], tuple(logits.shape)


__all__ = ["RESIDUAL_BLOCKS", "SHORTCUTS", "make_dynamic"]
