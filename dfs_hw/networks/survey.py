"""What a model does with one batch: its layers, its blocks, and the shapes between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from accel_models.errors import InputError

MULTIPLIES = (nn.Conv2d, nn.Linear)
EXAMPLES = 4
"""Images of the batch; their contents only tell which tensors can be negative."""


@dataclass
class Seen:
    """One module as it ran. Shapes are without the batch."""

    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    signed: bool
    """Whether inputs were negative anywhere."""
    reads_image: bool
    last_leaf: str | None = None
    """Path inside a block of the parameterless module that made its output, if one did."""


@dataclass
class Survey:
    """All that one forward pass told of a model; paths in the order of execution."""

    layers: dict[str, Seen] = field(default_factory=dict)
    """Convolutions and linear layers."""
    blocks: dict[str, Seen] = field(default_factory=dict)
    """Modules with children that map one tensor of shape [N, C, H, W] to another."""
    problems: dict[str, str] = field(default_factory=dict)
    """Layers that cannot be quantised and priced, and why."""


def survey(model: nn.Module, image: tuple[int, int, int]) -> Survey:
    """Run a model on random images and note what each module did.

    Args:
        image: channels, height and width.

    Raises:
        InputError: if the model does not run on such images.
    """
    found = Survey()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((EXAMPLES, *image), generator=generator)
    images = images.to(next(model.parameters()).device)
    made_by: dict[int, tuple[str, Tensor]] = {}
    entered: list[str] = []
    hooks = []
    for path, module in model.named_modules():
        if path:
            hooks.append(module.register_forward_pre_hook(lambda *_, p=path: entered.append(p)))
            hooks.append(module.register_forward_hook(_note(path, found, made_by, images)))
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(images)
    except (RuntimeError, ValueError, TypeError) as error:
        raise InputError(
            f"{type(model).__name__} does not run on images of {list(image)}: {error}"
        ) from error
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    order = {path: number for number, path in enumerate(dict.fromkeys(entered))}
    found.blocks = dict(sorted(found.blocks.items(), key=lambda item: order[item[0]]))
    for path, module in model.named_modules():
        if problem := _problem(module):
            found.problems[path] = problem
        elif isinstance(module, MULTIPLIES) and path not in found.layers:
            found.problems[path] = "it never ran"
    return found


def _note(
    path: str, found: Survey, made_by: dict[int, tuple[str, Tensor]], images: Tensor
) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if len(inputs) != 1 or not (isinstance(inputs[0], Tensor) and isinstance(output, Tensor)):
            return
        x = inputs[0]
        seen = Seen(tuple(x.shape[1:]), tuple(output.shape[1:]), bool((x < 0).any()), x is images)
        if isinstance(module, MULTIPLIES):
            if path in found.layers:
                found.problems[path] = "it runs more than once in a pass"
            found.layers[path] = seen
        elif any(True for _ in module.children()) and x.ndim == output.ndim == 4:
            maker, _ = made_by.get(id(output), ("", output))
            if maker.startswith(f"{path}."):
                seen.last_leaf = maker.removeprefix(f"{path}.")
            found.blocks[path] = seen
        elif not any(True for _ in module.parameters()):
            made_by[id(output)] = (path, output)  # the tensor is kept, so its id stays its own

    return hook


def _problem(module: nn.Module) -> str:
    """Why a module cannot be quantised and priced; "" if it can."""
    kind = type(module).__name__
    own = [name for name, _ in module.named_parameters(recurse=False)]
    if type(module) is nn.Conv2d:
        if module.dilation != (1, 1):
            return f"a convolution with dilation {module.dilation}"
        if module.padding_mode != "zeros" or isinstance(module.padding, str):
            return f"a convolution with padding '{module.padding_mode}', {module.padding!r}"
        return ""
    if type(module) is nn.Linear or type(module) is nn.BatchNorm2d:
        return ""
    return f"a {kind}, which has weights of its own ({', '.join(own)})" if own else ""
