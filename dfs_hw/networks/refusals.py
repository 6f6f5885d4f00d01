"""Which parts of a model cannot be made dynamic, and why: all of them, to be named at once."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from dfs_hw.networks.convert import is_norm_and_activation
from dfs_hw.networks.survey import MULTIPLIES, Survey

KNOWN = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
"""Layers that can be converted; their subclasses compute something else, and cannot."""
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


def refusals(model: nn.Module, seen: Survey, blocks: Sequence[str]) -> list[str]:
    """A sentence about all parts of a model that would be computed or priced wrongly, and why.

    Args:
        model: as it was surveyed.
        seen: what it does.
        blocks: paths of those to be decided about.
    """
    found = dict(seen.problems)
    owner: dict[int, str] = {}
    for path, module in model.named_modules():
        if why := _why_not(module):
            found[path] = why
        elif isinstance(module, KNOWN):
            if path not in seen.runs and isinstance(module, MULTIPLIES):
                found.setdefault(path, "it never ran")
            if seen.runs.get(path, 0) > 1:
                found[path] = "it runs more than once for an image"
        for parameter in module._parameters.values():
            if parameter is not None and owner.setdefault(id(parameter), path) != path:
                found[path] = f"it shares its weights with '{owner[id(parameter)]}'"
    for block in blocks:
        if block in seen.no_block:
            found[block] = seen.no_block[block]
        for outer in blocks:
            if block.startswith(f"{outer}."):
                found[block] = f"it is inside '{outer}', which is to be decided as a whole"
        for path in sorted(seen.draws):
            if f"{path}.".startswith(f"{block}."):
                found[path] = "it draws random numbers inside a decided block, as dropout does"
    alike: dict[str, list[str]] = {}
    for path in (path for path, _ in model.named_modules() if path in found):
        alike.setdefault(found[path], []).append(path or type(model).__name__)
    return [f"{', '.join(paths)}: {why}" for why, paths in alike.items()]


def _why_not(module: nn.Module) -> str:
    """Why a module cannot be converted, whatever it is used for; "" if it can."""
    kind = type(module).__name__
    own = [name for name, _ in module.named_parameters(recurse=False)]
    if type(module) not in KNOWN and not is_norm_and_activation(module):
        if isinstance(module, NORMS):
            return f"{kind} normalises otherwise than BatchNorm2d, the only norm that is known"
        return f"{kind} has weights of its own ({', '.join(own)})" if own else ""
    if isinstance(module, nn.BatchNorm2d) and (
        module.running_mean is None or module.momentum is None
    ):
        return "it is a batch norm without a moving average of its statistics"
    if not set(own) <= {"weight", "bias"} or (own == ["bias"] and isinstance(module, MULTIPLIES)):
        return f"its weights are computed from others ({', '.join(own)})"
    if module._forward_hooks or module._forward_pre_hooks:
        return "it has hooks, which a converted layer would not have"
    return ""
