"""States that people have their models in: wrapped, compiled, pruned, normed, lazy, on meta."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from accel_models.errors import InputError
from dfs_hw.modes import kept_modes
from dfs_hw.networks.inputs import empty_input
from dfs_hw.networks.rewritten import rewritten
from dfs_hw.networks.tracing.capture import is_lazy, lazy_layers, unwrapped


def plain_copy(model: nn.Module, image: Sequence[int]) -> nn.Module:
    """A copy in float32 whose layers hold their weights themselves; the model stays as it is.

    Weights that were computed from others in every pass (pruned, normed, parametrised) are those
    that the last pass had; layers that `rewritten` knows are convolutions and linear layers; lazy
    layers take their sizes from an image; batch norms that several processes share are ordinary
    ones, which this package shares itself.

    Args:
        image: channels, height and width, or how many tokens.

    Raises:
        InputError: if the model cannot be learned from: it was scripted, taken apart, quantised,
            or has no weights.
    """
    model = unwrapped(model)
    _check(model)
    made = copy.deepcopy(model, _computed(model))
    for module in list(made.modules()):
        _take_over(module)
    return _with_sizes(rewritten(made.float()), image)


def _check(model: nn.Module) -> None:
    """Refuse what is no longer the model that somebody wrote.

    Raises:
        InputError: in one sentence that says what to give instead.
    """
    name = type(model).__name__
    for path, module in model.named_modules():
        kind = type(module)
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(f"{name} is a script of torch.jit: give the module it was made from")
        if isinstance(module, fx.GraphModule):
            raise InputError(
                f"{name} has no blocks any more, as torch.fx took it apart: give the module it was "
                "made from"
            )
        if kind.__module__.startswith(("torch.ao.nn", "torch.nn.quantized")):
            raise InputError(
                f"{name} is quantised already ('{path}' is a {kind.__name__} of "
                f"{kind.__module__}): give the model in floating point"
            )
    for path, parameter in model.named_parameters():
        if parameter.is_meta and not is_lazy(parameter):
            raise InputError(
                f"{name} has no weights to learn from ('{path}' is on the device \"meta\"): load "
                "them first; its price alone is that of workload_of(model, example)"
            )


def _computed(model: nn.Module) -> dict[int, Any]:
    """Copies of what `deepcopy` cannot copy itself: weights computed from others, and what was made
    in inference mode."""
    copies: dict[int, Any] = {}
    for module in model.modules():
        for tensor in (*vars(module).values(), *module.buffers(recurse=False)):
            if not isinstance(tensor, Tensor) or is_lazy(tensor):
                continue
            if tensor.is_inference() or not tensor.is_leaf:
                copies[id(tensor)] = tensor.detach().clone()
        for parameter in module.parameters(recurse=False):
            if not is_lazy(parameter) and parameter.is_inference():
                own = parameter.detach().clone()
                copies[id(parameter)] = nn.Parameter(own, parameter.requires_grad)
    return copies


def _take_over(module: nn.Module) -> None:
    """Let a module hold the weights that it computed from others, and norm by itself."""
    for hook in list(module._forward_pre_hooks.values()):
        if isinstance(hook, WeightNorm):
            nn.utils.remove_weight_norm(module, hook.name)
        elif isinstance(hook, SpectralNorm):
            nn.utils.remove_spectral_norm(module, hook.name)
        elif isinstance(hook, prune.BasePruningMethod):
            prune.remove(module, hook._tensor_name)
    if isinstance(module, nn.SyncBatchNorm):
        # Which has the same parameters and statistics.
        module.__class__ = nn.BatchNorm2d  # type: ignore[assignment]
    if parametrize.is_parametrized(module):
        _hold(module)


def _hold(module: nn.Module) -> None:
    """Let a module hold what its parametrisations compute, without PyTorch's own removal, which
    takes them from the class that the copy has in common with the model."""
    ways = cast(nn.ModuleDict, module.parametrizations).eval()
    held = {name: getattr(module, name).detach().clone() for name in ways}
    learn = {name: any(x.requires_grad for x in way.parameters()) for name, way in ways.items()}
    module.__class__ = type(module).__bases__[0]
    del module.parametrizations
    for name, tensor in held.items():
        module.register_parameter(name, nn.Parameter(tensor, learn[name]))


def _with_sizes(model: nn.Module, image: Sequence[int]) -> nn.Module:
    """The model once its lazy layers know their sizes.

    Raises:
        InputError: if some never ran, or the model does not run on such an image.
    """
    if not lazy_layers(model):
        return model
    try:
        with torch.no_grad(), kept_modes(model):
            model.eval()(torch.zeros_like(empty_input(image), device="cpu"))
    except Exception as error:  # whatever a stranger's model may raise
        raise InputError(
            f"{type(model).__name__} does not run on inputs of {list(image)}: {error}"
        ) from error
    if never := lazy_layers(model):
        raise InputError(
            f"{type(model).__name__} has lazy layers that never ran: {', '.join(never)}"
        )
    return model
