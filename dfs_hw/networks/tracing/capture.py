"""A graph of ATen operators made of a model and an example of its input."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.fx.config
from torch import Tensor, fx, nn
from torch.fx import traceback
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.utils import _pytree as pytree

from accel_models.errors import InputError
from dfs_hw.modes import evaluating

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass
class Captured:
    """A model's forward on one example."""

    module: fx.GraphModule
    inputs: dict[fx.Node, Any]
    """Placeholders of the example's tensors, and what they hold; all others are constants."""
    said: list[str]
    weights: dict[fx.Node, str] = field(default_factory=dict)
    """Paths of the parameters that placeholders stand for."""
    exported: torch.export.ExportedProgram | None = None


def arguments_of(example: Any) -> Arguments:
    """Positional and named arguments of an example.

    Raises:
        InputError: if there is none, or it is an array, or the sizes of one.
    """
    sizes = isinstance(example, tuple | list) and all(type(one) is int for one in example)
    if example is None or sizes:
        raise InputError(
            "a model needs an example of its input, whose sizes count and contents do not: such as "
            f"workload_of(model, {_empty(example or (1, 3, 224, 224))}), a tuple of arguments, or "
            "a dictionary of named ones"
        )
    if hasattr(example, "__array_interface__"):
        raise InputError(
            f"a model's example is a tensor, not {type(example).__name__}: write {_empty(example)}"
        )
    if isinstance(example, Mapping):
        return (), dict(example)
    if isinstance(example, tuple):
        return example, {}
    return (tuple(example) if isinstance(example, list) else (example,)), {}


def _empty(example: Any) -> str:
    """A tensor of an example's sizes, as one writes it."""
    return f"torch.empty({', '.join(map(str, getattr(example, 'shape', example)))})"


def capture(model: nn.Module, example: Any, name: str) -> Captured:
    """A model's operators for an example, in evaluation mode; the model stays as it is.

    Exported where it can be, else noted in one run.

    Raises:
        InputError: if the model does not run on the example, or is a script.
    """
    if isinstance(model, torch.jit.RecursiveScriptModule):  # into which nobody can look
        raise InputError(f"{name} is a script of torch.jit: give the module it was made from")
    args, kwargs = _as_the_model(model, arguments_of(example))
    if lazy_layers(model):  # which take their sizes in a first run
        model = copy.deepcopy(model)
        with contextlib.suppress(Exception), torch.no_grad():
            model.eval()(*args, **kwargs)
    with evaluating(model), torch.no_grad(), _quiet(), _without_stack_traces():
        try:
            return _exported(model, args, kwargs)
        except Exception as reason:  # of many kinds: each means that there is no such graph
            try:
                return _noted(model, args, kwargs, reason)
            except Exception as error:
                raise InputError(
                    f"{name} does not run on this example: {_first_line(error)}. See that "
                    "model.eval()(example) runs; a model that makes decisions by the contents of "
                    "tensors needs weights and an example with contents"
                ) from error


def decomposed(captured: Captured, unknown: Mapping[str, Any]) -> Captured | None:
    """Captured graph with some operators taken apart into others, if PyTorch knows how."""
    if captured.exported is None:
        return None
    known = torch.export.default_decompositions()
    table = {target: known[target] for target in unknown.values() if target in known}
    if not table:
        return None
    with torch.no_grad(), _quiet():
        return _of_program(captured.exported.run_decompositions(table))


def _exported(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Captured:
    return _of_program(torch.export.export(model, args, kwargs, strict=False))


def _of_program(program: torch.export.ExportedProgram) -> Captured:
    given = set(program.graph_signature.user_inputs)
    inputs = {
        node: node.meta.get("val")
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in given
    }
    paths = program.graph_signature.inputs_to_parameters
    weights = {node: paths[node.name] for node in program.graph.nodes if node.name in paths}
    return Captured(program.graph_module, inputs, [], weights, program)


def _noted(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], reason: Exception
) -> Captured:
    """Operators as one run on the example calls them."""
    leaves, shape = pytree.tree_flatten((copy.deepcopy(args), copy.deepcopy(kwargs)))
    places = [at for at, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]

    def run(*tensors: Tensor) -> list[Tensor]:
        given = list(leaves)
        for at, tensor in zip(places, tensors, strict=True):
            given[at] = tensor
        positional, named = pytree.tree_unflatten(given, shape)
        found = model(*positional, **named)
        return [leaf for leaf in pytree.tree_leaves(found) if isinstance(leaf, Tensor)]

    with _module_paths(model):
        noted = make_fx(
            run, tracing_mode="real", pre_dispatch=True, _error_on_data_dependent_ops=False
        )(*(leaves[at] for at in places))
    holders = [node for node in noted.graph.nodes if node.op == "placeholder"]
    said = (
        f"not exported ({_first_line(reason)}): the operators are those of one run on the example, "
        "and what depends on the contents of tensors is as it was there"
    )
    return Captured(noted, {node: node.meta.get("val") for node in holders}, [said])


@contextlib.contextmanager
def _module_paths(model: nn.Module) -> Iterator[None]:
    """Have every operator noted with the path of the module that calls it."""
    stack: list[tuple[str, str]] = []
    hooks = []

    def entering(path: str) -> Any:
        def enter(module: nn.Module, _: Any) -> None:
            stack.append((path, type(module).__qualname__))
            traceback.current_meta["nn_module_stack"] = dict(enumerate(stack))

        return enter

    def leave(_module: nn.Module, _inputs: Any, _output: Any) -> None:
        stack.pop()
        traceback.current_meta["nn_module_stack"] = dict(enumerate(stack))

    for path, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(entering(path)))
        hooks.append(module.register_forward_hook(leave))
    try:
        with traceback.preserve_node_meta():
            yield
    finally:
        for hook in hooks:
            hook.remove()


def _as_the_model(model: nn.Module, given: Arguments) -> Arguments:
    """The example's tensors on the model's device, and its real numbers of the model's type: only
    their shapes count."""
    held = (*model.parameters(), *model.buffers())
    devices = {tensor.device for tensor in held}
    types = {tensor.dtype for tensor in held if tensor.is_floating_point()}
    if len(devices) != 1:
        return given
    (device,) = devices
    real = types.pop() if len(types) == 1 else None

    def moved(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return leaf.to(device, real if leaf.is_floating_point() else None)

    found: Arguments = pytree.tree_map(moved, given)
    return found


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside wrappers that only say how it is run."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner  # what `torch.compile` was given
        else:
            return model


def lazy_layers(model: nn.Module) -> list[str]:
    """Paths of the layers that wait for an input to know their sizes."""
    return [
        path
        for path, module in model.named_modules()
        if any(map(is_lazy, module.parameters(recurse=False)))
    ]


def is_lazy(tensor: Tensor) -> bool:
    """Whether a tensor has no size yet."""
    return isinstance(tensor, UninitializedParameter | UninitializedBuffer)


@contextlib.contextmanager
def _without_stack_traces() -> Iterator[None]:
    """Have PyTorch leave out the lines of code that operators come from, a fifth of its time."""
    name = "do_not_emit_stack_traces"  # which older versions do not look at
    before = getattr(fx.config, name, False)
    setattr(fx.config, name, True)
    try:
        yield
    finally:
        setattr(fx.config, name, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what PyTorch says about graphs that it gives up on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger = logging.getLogger("torch")
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        try:
            with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
                yield
        finally:
            logger.setLevel(level)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return first if len(first) <= 200 else f"{first[:200]}..."


__all__ = ["Captured", "arguments_of", "capture", "decomposed"]
