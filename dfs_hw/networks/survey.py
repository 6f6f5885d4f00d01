"""What a model does with one batch: its layers, its blocks, and whatever else happens in it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from accel_models.errors import InputError
from dfs_hw.networks.arguments import Arguments, Named, Place, are_maps, named_arguments
from dfs_hw.networks.flow import IMAGE, Flow, maker, mark, tensors
from dfs_hw.networks.inputs import random_inputs
from dfs_hw.networks.observed import MULTIPLIES, Handed, ModuleRun, ObservedModule, Survey
from dfs_hw.quantize.activation_products import signs_of, taken_apart

MULTIPLYING = ("dot_product", "rnn", "lstm", "gru", "trilinear")
"""Parts of names of operators that multiply, beside those whose work PyTorch counts."""
EXAMPLES = 4
"""Images of the batch; their contents only tell which tensors can be negative."""


def survey(model: nn.Module, image: tuple[int, ...]) -> Survey:
    """Run a copy of a model on random images and note what each module did.

    The copy has random weights, so that what is found does not depend on the weights there are:
    a scale of zero, as residual branches often start with, hides the sign of what it scales.

    Args:
        image: channels, height and width, or how many tokens.

    Raises:
        InputError: if the model does not run on such images, or returns no logits.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        shaken = with_random_weights(model)
        first = next(shaken.parameters(), torch.empty(0))
        images = random_inputs(EXAMPLES, image).to(first.device)
        watch = _Watch(shaken.eval())
        found, logits = watch.found, _logits(model, watch.run(images))
        alone = _logits(model, _run(shaken, images[:1]))
        allowed = 1e-2 * float(logits.std().nan_to_num())  # training says that they are not finite
        if not torch.allclose(alone, logits[:1], 1e-2, allowed, equal_nan=True):
            found.problems.setdefault(
                "",
                "it lets images of a batch influence each other, or draws random numbers in "
                "evaluation",
            )
    # Blocks end in another order than they begin: one inside another ends first.
    found.blocks.sort(key=list(found.counts).index)
    return found


def with_random_weights(model: nn.Module) -> nn.Module:
    """A copy of a model with weights such that nothing that it computes is hidden by a zero."""
    # What `deepcopy` is told it has copied it leaves alone: these contents are not to be kept.
    places = {
        id(parameter): nn.Parameter(torch.empty_like(parameter), parameter.requires_grad)
        for parameter in model.parameters()
        if parameter.is_floating_point()
    }
    shaken = copy.deepcopy(model, places)
    for module in shaken.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010 (not all modules have it)
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    for parameter in shaken.parameters():
        if parameter.is_floating_point():
            inputs = math.prod(parameter.shape[1:])
            parameter.copy_(torch.randn(parameter.shape).div_(math.sqrt(max(1, inputs))))
    return shaken


@contextmanager
def _hooked(
    model: nn.Module, begin: Callable[[str], Callable[..., None]], end: Callable[..., None]
) -> Iterator[None]:
    """Hooks on all modules inside the model; that of a beginning is made for the module's path."""
    hooks = []
    for path, module in model.named_modules():
        if path:
            hooks.append(module.register_forward_pre_hook(_aside(begin(path)), with_kwargs=True))
            hooks.append(module.register_forward_hook(_aside(end), with_kwargs=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _aside(hook: Callable[..., None]) -> Callable[..., None]:
    """A hook whose own looks at tensors are no calls of the model's."""

    def aside(*args: Any) -> None:
        with torch._C.DisableTorchFunction():
            hook(*args)

    return aside


def _run(model: nn.Module, images: Tensor) -> Any:
    try:
        return model(images)
    except Exception as error:  # whatever a stranger's model may raise
        shape, kind = list(images.shape[1:]), "images" if images.ndim == 4 else "tokens"
        raise InputError(
            f"{type(model).__name__} does not run on {kind} of {shape}: {error}. Say with "
            "image=... what size of input it takes, or give data of that size"
        ) from error


def _logits(model: nn.Module, output: Any) -> Tensor:
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if isinstance(logits, Tensor) and logits.ndim == 2:
        return logits
    what = list(logits.shape) if isinstance(logits, Tensor) else type(output).__name__
    raise InputError(
        f"{type(model).__name__} must return logits [N, classes], or an object with such "
        f"`logits`, but returned {what}"
    )


@dataclass
class _Running:
    """A module whose forward is under way."""

    path: str
    module: nn.Module
    given: dict[int | str, Tensor] = field(default_factory=dict)
    input: Tensor | None = None
    """What it is decided by, were it a block: of several tensors the first that depends on the
    network's input. None if there is none, or an argument is no size or switch."""
    beside: Arguments | None = None
    """Arguments of the call without that tensor."""
    versions: tuple[int, ...] = ()
    """Versions of the contents of its tensors."""
    readers: set[str] = field(default_factory=set)
    """Paths inside it of the modules that read its input."""
    last_leaf: tuple[str, Any] = ("", None)


def _entered(
    path: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> _Running:
    """A module as it begins."""
    by_name = named_arguments(args, kwargs)
    now = _Running(path, module, versions=_versions(by_name))
    if isinstance(module, MULTIPLIES) and (kwargs or len(args) != 1):
        return now
    now.given = {name: x for name, x in by_name.items() if isinstance(x, Tensor)}
    at = _decided_by(by_name)
    if at is None or not all(_is_plain(one) for name, one in by_name.items() if name != at):
        return now
    place = Place(at, at not in now.given, _along(by_name, at))
    now.input, now.beside = Arguments.taken_apart(args, kwargs, place)
    return now


def _versions(arguments: Named) -> tuple[int, ...]:
    return tuple(x._version for x in tensors(list(arguments.values())))


def _decided_by(arguments: Named) -> int | str | None:
    """Name of the tensor, or list of maps, that depends on the network's input first; or of the
    only one that there is."""
    found = [name for name, x in arguments.items() if isinstance(x, Tensor) or are_maps(x)]
    for name in found:
        if any(maker(x) is not None for x in tensors(arguments[name])):
            return name
    return found[0] if len(found) == 1 else None


def _along(arguments: Named, at: int | str) -> tuple[int | str, ...]:
    """Names of the other tensors that have a row for each input."""
    return tuple(
        name
        for name, x in arguments.items()
        if name != at and isinstance(x, Tensor) and x.ndim > 1 and len(x) == EXAMPLES
    )


def _is_plain(value: Any) -> bool:
    """Whether a value is a tensor, or a size, switch, name or nothing, or several of the latter."""
    if isinstance(value, list | tuple):
        return all(_is_plain(one) and not isinstance(one, Tensor) for one in value)
    return value is None or isinstance(value, bool | int | str | Tensor)


class _Watch(TorchDispatchMode):
    """Sees modules begin and end, and every operation between."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.found = model, Survey()
        self.running = [_Running("", model)]
        self.knows = False
        """Whether the function at hand comes to products of activations that are known."""
        self.flow = Flow(self._where, self._called)
        self.found.calls = self.flow.calls

    def run(self, images: Tensor) -> Any:
        """What the model makes of images."""
        mark(images, IMAGE)
        with _hooked(self.model, self._begin, self._end), self.flow, self:
            return _run(self.model, images)

    def _where(self) -> tuple[str, bool]:
        return self.running[-1].path, isinstance(self.running[-1].module, MULTIPLIES)

    def _called(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Note the products that a function of activations comes to."""
        product = taken_apart(func, args, kwargs) if self.flow.operands > 1 else None
        if product is not None:
            signs = signs_of(product)
            self.found.products.setdefault(self.running[-1].path, []).extend(signs)
        self.knows = product is not None

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func._overloadpacket.__name__
        inside = self.running[-1].module
        multiplies = func._overloadpacket in flop_registry or any(
            one in name for one in MULTIPLYING
        )
        if multiplies and not isinstance(inside, MULTIPLIES) and not self.knows:
            self._refuse(f"'{name}' multiplies outside a Conv2d or Linear layer")
        return func(*args, **(kwargs or {}))

    def _refuse(self, why: str) -> None:
        self.found.problems.setdefault(self.running[-1].path, why)

    def _begin(self, path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            now = _entered(path, module, args, kwargs)
            for outer in self.running:
                if now.input is not None and outer.input is now.input:
                    outer.readers.add(path.removeprefix(f"{outer.path}."))
            self.found.counts[path] = self.found.counts.get(path, 0) + 1
            self.running.append(now)

        return hook

    def _end(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        now = self.running.pop()
        made, places = _only_tensor(output)
        self.found.runs[now.path] = _run_of(now, made, places)
        if now.input is not None and made is not None:
            self.found.modules[now.path] = self._seen(now, now.input, made)
        if any(True for _ in module.children()):
            changed = _versions(named_arguments(args, kwargs)) != now.versions
            self._note_block(now, made, changed)
        elif isinstance(module, MULTIPLIES):
            self._note_layer(now)
        elif not any(True for _ in module.parameters()) and _same_shape(now.input, output):
            for outer in self.running:
                outer.last_leaf = (now.path, output)

    def _note_layer(self, now: _Running) -> None:
        rows = 0 if now.input is None else len(now.input)
        if now.input is None:
            self.found.problems[now.path] = "it is not called with one tensor alone"
        elif rows % EXAMPLES or (isinstance(now.module, nn.Conv2d) and rows != EXAMPLES):
            self.found.problems[now.path] = (
                f"it reads {rows} rows for {EXAMPLES} images, not one for each"
            )

    def _note_block(self, now: _Running, output: Tensor | None, changed: bool) -> None:
        x = now.input
        if x is None or output is None:
            self.found.no_block[now.path] = "it does not map one tensor to another"
        elif changed:
            self.found.no_block[now.path] = "it changes its input in place"
        elif min(x.ndim, output.ndim) < 3 or not len(x) == len(output) == EXAMPLES:
            self.found.no_block[now.path] = (
                "it does not map one [N, C, H, W] or [N, tokens, C] to another"
            )
        else:
            self.found.blocks.append(now.path)

    def _seen(self, now: _Running, x: Tensor, output: Tensor) -> ObservedModule:
        last, made = now.last_leaf
        ends_in_leaf = made is output and last.startswith(f"{now.path}.")
        number = maker(x)
        return ObservedModule(
            tuple(x.shape[1:]),
            tuple(output.shape[1:]),
            signed=_signed(x),
            puts_out_signed=_signed(output),
            reads_image=number is None or not self.flow.calls[number].after_layer,
            last_leaf=last.removeprefix(f"{now.path}.") if ends_in_leaf else None,
            beside=frozenset(now.readers),
            keeps=_keeps(x, output),
        )


def _only_tensor(output: Any) -> tuple[Tensor | None, tuple[bool, ...] | None]:
    """The only tensor that a module returned, and which part it is of a tuple that has nothing
    else; None if there are several, or something beside it."""
    if isinstance(output, Tensor):
        return output, None
    if isinstance(output, tuple):
        places = tuple(part is not None for part in output)
        if sum(places) == 1 and isinstance(output[places.index(True)], Tensor):
            return output[places.index(True)], places
    return None, None


def _run_of(now: _Running, made: Tensor | None, places: tuple[bool, ...] | None) -> ModuleRun:
    given = {name: Handed(maker(x), tuple(x.shape)) for name, x in now.given.items()}
    handed = None if made is None else Handed(maker(made), tuple(made.shape))
    return ModuleRun(given, now.beside, handed, places)


def _keeps(x: Tensor, output: Tensor) -> bool:
    """Whether a module's input makes up the first channels of what it puts out, and others
    follow."""
    if x.ndim != 4 or output.ndim != 4 or x.shape[1] >= output.shape[1]:
        return False
    return x.shape[2:] == output.shape[2:] and torch.equal(output[:, : x.shape[1]], x)


def _signed(x: Tensor) -> bool:
    """Whether a tensor is negative anywhere; looked at once, though many modules begin or end with
    it."""
    version, signed = getattr(x, "_signed", (-1, False))
    if version != x._version:
        signed = x.numel() > 0 and bool(x.min() < 0)
        setattr(x, "_signed", (x._version, signed))  # noqa: B010 (tensors take attributes)
    return signed


def _same_shape(x: Tensor | None, output: Any) -> bool:
    return x is not None and isinstance(output, Tensor) and x.shape == output.shape
