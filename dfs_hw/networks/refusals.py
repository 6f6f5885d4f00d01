"""Which parts of a model cannot be made dynamic, and why: all of them, to be named at once."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from dfs_hw.networks.convert import computes_as, is_norm_and_activation
from dfs_hw.networks.observed import MULTIPLIES, Survey

KNOWN = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
"""Layers that can be converted, and classes derived from them that compute the same."""


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
        if why := _why_not(module, path in seen.problems):
            found[path] = why
        elif isinstance(module, KNOWN):
            if path not in seen.counts and isinstance(module, MULTIPLIES):
                found.setdefault(path, "it never ran")
            if seen.counts.get(path, 0) > 1:
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
    alike: dict[str, list[str]] = {}
    for path in (path for path, _ in model.named_modules() if path in found):
        alike.setdefault(found[path], []).append(path or type(model).__name__)
    return [f"{', '.join(paths)}: {why}" for why, paths in alike.items()]


def _why_not(module: nn.Module, multiplies: bool) -> str:
    """Why a module cannot be converted nor left as it is, whatever it is used for; "" if it can.

    Args:
        module: any.
        multiplies: whether it multiplies matrices itself.
    """
    kind = type(module).__name__
    own = [name for name, _ in module.named_parameters(recurse=False)]
    converted = is_norm_and_activation(module) or any(computes_as(module, one) for one in KNOWN)
    if not converted:
        if isinstance(module, _BatchNorm):
            return f"{kind} normalises over the batch otherwise than BatchNorm2d does"
        if own and (multiplies or isinstance(module, KNOWN)):
            return f"{kind} has weights of its own ({', '.join(own)})"
        return ""
    if isinstance(module, nn.BatchNorm2d) and (
        module.running_mean is None or module.momentum is None
    ):
        return "it is a batch norm without a moving average of its statistics"
    if not set(own) <= {"weight", "bias"} or (own == ["bias"] and isinstance(module, MULTIPLIES)):
        return f"its weights are computed from others ({', '.join(own)})"
    if module._forward_hooks or module._forward_pre_hooks:
        return "it has hooks, which a converted layer would not have"
    return ""
