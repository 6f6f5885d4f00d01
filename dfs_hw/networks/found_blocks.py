"""Which blocks of a model are to be decided about: those asked for, or known by their class."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from accel_models.errors import InputError
from dfs_hw.networks.observed import Survey

Blocks = str | type[nn.Module] | Sequence[str | type[nn.Module]] | None
"""What is asked for: a path, a class, a pattern of paths or class names, or several of those."""

RESIDUAL_BLOCKS = (
    "BasicBlock",
    "Bottleneck",
    "InvertedResidual",
    "_InvertedResidual",
    "ResBottleneckBlock",
    "ResNetBasicLayer",
    "ResNetBottleNeckLayer",
    "MobileNetV2InvertedResidual",
    "ResNeXtBlock",
    "RegNetXLayer",
    "RegNetYLayer",
    "MBConv",
    "FusedMBConv",
    "EfficientNetBlock",
    "CNBlock",
    "ConvNeXtBlock",
    "ConvNextLayer",
    "ConvNextV2Layer",
    "DenseLayer",
    "_DenseLayer",
    "ViTLayer",
    "DeiTLayer",
    "SwinLayer",
    "BertLayer",
    "SegformerLayer",
    "GPT2Block",
    "EncoderBlock",
    "TransformerEncoderLayer",
)
"""Class names of the blocks that are found without being named."""


def block_paths(model: nn.Module, seen: Survey, blocks: Blocks, first_block: bool) -> list[str]:
    """Paths of the blocks to gate, in the order of execution.

    Args:
        model: as it was surveyed.
        seen: what it does.
        blocks: what is asked for; by default the classes of `RESIDUAL_BLOCKS`.
        first_block: whether the first of the blocks that were found by class is decided, too.

    Raises:
        InputError: if there is none, or a name fits none.
    """
    ran = [path for path in seen.counts if path in seen.blocks or path in seen.no_block]
    if blocks is None:
        asked: list[str | type[nn.Module]] = []
    else:
        asked = [blocks] if isinstance(blocks, str | type) else list(blocks)
    if foreign := [one for one in asked if not isinstance(one, str | type)]:
        raise InputError(
            f"blocks are named by class, path or pattern, and {type(foreign[0]).__name__} is none: "
            "write blocks=YourBlock, or paths as in named_modules()"
        )
    by_class = blocks is None or any(isinstance(one, type) for one in asked)
    named = [one for one in asked if isinstance(one, str)]
    kinds = tuple(one for one in asked if isinstance(one, type))
    wanted = {path for name in named for path in _called(name, model, ran, seen)}

    def is_wanted(module: nn.Module) -> bool:
        if blocks is None:
            return type(module).__name__ in RESIDUAL_BLOCKS
        return isinstance(module, kinds)

    of_class = [path for path in ran if is_wanted(model.get_submodule(path))]
    if len(of_class) == 1 and not first_block and not wanted:
        raise InputError(
            f"'{of_class[0]}' is the only block of {type(model).__name__} to gate, and the first "
            f"is always run: ask for it with Design(first_block=True), or by blocks=[...]"
        )
    if by_class:
        wanted |= set(of_class if first_block else of_class[1:])
    if not wanted:
        names = ", ".join(RESIDUAL_BLOCKS if blocks is None else [kind.__name__ for kind in kinds])
        raise InputError(
            f"{type(model).__name__} has no blocks to gate{names and ' of the class '}{names}: "
            f"name them with blocks=[...], paths as in named_modules(), or blocks=YourBlock"
        )
    return [path for path in ran if path in wanted]


def _called(name: str, model: nn.Module, ran: Sequence[str], seen: Survey) -> list[str]:
    """Paths that a name means: a path, or a pattern of paths or of class names. Of blocks that fit
    a pattern and lie inside each other it is the outer one."""
    if name in ran:
        return [name]
    fitting = {
        path
        for path in ran
        if fnmatchcase(path, name) or fnmatchcase(type(model.get_submodule(path)).__name__, name)
    }
    if not fitting:
        raise InputError(
            f"{type(model).__name__} runs no block '{name}': choose from {', '.join(seen.blocks)}"
        )
    return [path for path in fitting if not any(path.startswith(f"{outer}.") for outer in fitting)]


__all__ = ["RESIDUAL_BLOCKS", "Blocks", "block_paths"]
