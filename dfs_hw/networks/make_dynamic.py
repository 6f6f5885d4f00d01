"""From an ordinary PyTorch model to one that decides, per input, how each of its blocks runs."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dfs_hw.quantize.quantizers import QUANTIZER_FAULTS
from torch import nn

from accel_models.errors import InputError
from accel_models.precision import Precision, highest, parse_choices
from dfs_hw.gates import make_gate
from dfs_hw.networks.branches import Conductor, GatedUnit, executed
from dfs_hw.networks.design import Design
from dfs_hw.networks.dynamic import DynamicNetwork
from dfs_hw.networks.survey import Seen, Survey, survey
from dfs_hw.quantize import Family, family
from dfs_hw.quantize.layers import Dial, PrecisionNorm, QuantizedConv2d, QuantizedLinear

RESIDUAL_BLOCKS = (
    "BasicBlock",
    "Bottleneck",
    "InvertedResidual",
    "ResNetBasicLayer",
    "ResNetBottleNeckLayer",
    "MobileNetV2InvertedResidual",
)
"""Class names of the blocks that are found without being named: those of torchvision and timm,
then those of transformers."""

SHORTCUTS = ("shortcut", "downsample")
"""What a block calls the submodule that changes the shape of its input to that of its output."""


def make_dynamic(
    model: nn.Module,
    choices: str | Iterable[str | int | Precision] = "skip,2,4,8",
    *,
    image: Sequence[int] = (3, 224, 224),
    blocks: Sequence[str] | type[nn.Module] | None = None,
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
    input's shape, or if it has a submodule called ``shortcut`` or ``downsample`` that makes it so;
    other blocks are always run, at one of the precisions.

    Args:
        model: takes one batch of images, returns logits [N, classes] or an object that has them.
        choices: of every unit.
        image: channels, height and width of the images.
        blocks: paths of the blocks to gate, in execution order, or their class; by default all of
            the classes in `RESIDUAL_BLOCKS` but for the first (see `Design.first_block`).
        design: gates and quantisers.
        name: of the network; by default that of the model's class.
        shape: see `DynamicNetwork`.

    Raises:
        InputError: if there are no blocks, or layers that cannot be quantised: all are named.
    """
    options, design = parse_choices(choices), design or Design()
    model, size = copy.deepcopy(model), (image[0], image[1], image[2])
    seen = survey(model, size)
    paths = _block_paths(model, seen, blocks, design.first_block)
    _refuse_what_cannot_be_handled(model, seen, paths)
    conductor = Conductor()
    quantizers = family(design.quantizer, frozenset(design.faults) & frozenset(QUANTIZER_FAULTS))
    converter = _Converter(seen, quantizers, design)
    converter.convert(model, (highest(options),), outside=paths)
    units = []
    for path in paths:
        dial, block = Dial(), model.get_submodule(path)
        skip = _skip_path(block, seen.blocks[path], design) if _can_skip(options) else None
        converter.convert(block, executed(options), prefix=path, dial=dial)
        units.append(GatedUnit(path, block, options, dial, conductor, skip))
        model.set_submodule(path, units[-1])
    channels = tuple(seen.blocks[path].in_shape[0] for path in paths)
    gate = make_gate(
        design.gate,
        channels,
        len(options),
        highest(options),
        # Without its ReLU, a skipped block hands on negative numbers.
        signed=any(seen.blocks[path].signed for path in paths) or "free-shortcut" in design.faults,
        knob=design.knob,
    )
    name = name or type(model).__name__
    return DynamicNetwork(name, model, units, gate, options, design, size, shape or {})


def _block_paths(
    model: nn.Module,
    seen: Survey,
    blocks: Sequence[str] | type[nn.Module] | None,
    first_block: bool,
) -> list[str]:
    """Paths of the blocks to gate, in execution order."""
    found = [path for path in seen.blocks if _is_wanted(path, model.get_submodule(path), blocks)]
    if isinstance(blocks, Sequence):
        if missing := [path for path in blocks if path not in found]:
            raise InputError(
                f"there is no block '{missing[0]}' that maps one tensor to another: "
                f"choose from {', '.join(seen.blocks)}"
            )
        return found
    if not first_block:
        found = found[1:]
    if not found:
        raise InputError(
            f"{type(model).__name__} has no residual blocks of a known class to gate "
            f"({', '.join(RESIDUAL_BLOCKS)}): name them with blocks=[...], paths as in "
            f"named_modules(), or blocks=YourBlock"
        )
    return found


def _is_wanted(
    path: str, module: nn.Module, blocks: Sequence[str] | type[nn.Module] | None
) -> bool:
    if blocks is None:
        return type(module).__name__ in RESIDUAL_BLOCKS
    if isinstance(blocks, type):
        return isinstance(module, blocks)
    return path in blocks


def _can_skip(choices: tuple[Precision, ...]) -> bool:
    return any(choice.is_skip for choice in choices)


def _skip_path(block: nn.Module, seen: Seen, design: Design) -> tuple[str, ...] | None:
    """What a skipped block still runs: nothing, or its shortcut and the activation it ends in."""
    if seen.in_shape == seen.out_shape:
        return ()
    for name in SHORTCUTS:
        if isinstance(getattr(block, name, None), nn.Module):
            last = seen.last_leaf
            keeps = last and "free-shortcut" not in design.faults
            return (name, last) if keeps and last is not None else (name,)
    return None


def _refuse_what_cannot_be_handled(model: nn.Module, seen: Survey, paths: list[str]) -> None:
    problems = [f"{path}: {why}" for path, why in seen.problems.items()]
    for path in paths:
        for name, module in model.get_submodule(path).named_modules():
            if isinstance(module, nn.Dropout | nn.Dropout2d) and module.p > 0:
                problems.append(f"{path}.{name}: random dropout inside a decided block")
    if problems:
        raise InputError(
            f"{type(model).__name__} cannot be made dynamic; it would leave these out: "
            + "; ".join(problems)
        )


class _Converter:
    """Replaces layers by those that read a dial, as the survey saw them."""

    def __init__(self, seen: Survey, quantizers: Family, design: Design) -> None:
        self.seen, self.quantizers = seen, quantizers
        self.shared_norm = "shared-norm" in design.faults

    def convert(
        self,
        module: nn.Module,
        precisions: tuple[Precision, ...],
        *,
        prefix: str = "",
        dial: Dial | None = None,
        outside: Sequence[str] = (),
    ) -> None:
        """Replace the layers in `module`, found at `prefix`, but for those `outside` its reach."""
        for name, child in list(module.named_children()):
            path = f"{prefix}.{name}" if prefix else name
            if path in outside:
                continue
            new = self._layer(path, child, precisions, dial or Dial())
            if new is None:
                self.convert(child, precisions, prefix=path, dial=dial, outside=outside)
            else:
                setattr(module, name, new)

    def _layer(
        self, path: str, layer: nn.Module, precisions: tuple[Precision, ...], dial: Dial
    ) -> nn.Module | None:
        if hasattr(layer, "inplace"):
            layer.inplace = False  # a block's input is needed again, by its other branches
        if isinstance(layer, nn.BatchNorm2d):
            return PrecisionNorm(layer, len(precisions), dial, self.shared_norm)
        if path not in self.seen.layers:
            return None
        facts = self.seen.layers[path]
        if isinstance(layer, nn.Conv2d):
            return QuantizedConv2d(
                layer,
                precisions,
                dial,
                self.quantizers,
                signed=facts.signed,
                reads_image=facts.reads_image,
            )
        assert isinstance(layer, nn.Linear)
        return QuantizedLinear.converted(
            layer, precisions, dial, self.quantizers, signed=facts.signed
        )
