"""What feeds what: tensors followed through a model's own forward, whatever functions it calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor
from torch.overrides import TorchFunctionMode

IMAGE = 0
"""Number of the call that stands for the network's input."""

SUMS = frozenset({"add", "add_", "__add__", "__radd__", "__iadd__"})
_CONSTANT = ("_like", "new_")
_READS_SHAPE_OF_SECOND = ("_as", "to")


class FunctionCall(NamedTuple):
    """A function that was called with tensors that depend on the input."""

    path: str
    """Module whose forward called it."""
    function: str
    reads: tuple[int, ...]
    """Calls that made its operands, in their order."""
    after_layer: bool
    """Whether a layer that multiplies had a part in its result."""


class Flow(TorchFunctionMode):
    """Numbers the calls of functions while it is entered, and has tensors carry who made them.

    Args:
        where: gives the path of the module that is running, and whether it is a layer that
            multiplies.
        called: told of a function and its arguments before it runs.
    """

    def __init__(self, where: Callable[[], tuple[str, bool]], called: Callable[..., None]) -> None:
        super().__init__()
        self.where, self.called = where, called
        self.calls = [FunctionCall("", "", (), False)]
        self.operands = 0
        """How many tensors that depend on the input the function at hand was given."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        operands = [x for x in tensors((args, kwargs)) if maker(x) is not None]
        self.operands = len(operands)
        self.called(func, args, kwargs or {})
        out = func(*args, **(kwargs or {}))
        if name.endswith(_READS_SHAPE_OF_SECOND):
            operands = operands[:1]
        results = list(tensors(args[0] if name == "__setitem__" else out))
        if results and operands and not any(part in name for part in _CONSTANT):
            self._note(name, operands, results)
        return out

    def _note(self, name: str, operands: list[Tensor], results: list[Tensor]) -> None:
        makers = [number for x in operands if (number := maker(x)) is not None]
        path, multiplies = self.where()
        after = multiplies or any(self.calls[number].after_layer for number in makers)
        self.calls.append(FunctionCall(path, name, tuple(makers), after))
        for x in results:
            mark(x, len(self.calls) - 1)


def maker(x: Tensor) -> int | None:
    """Number of the call that made a tensor, `IMAGE`, or None if it does not depend on the
    input."""
    return getattr(x, "_made_by", None)


def mark(x: Tensor, number: int) -> None:
    """Say which call made a tensor."""
    setattr(x, "_made_by", number)  # noqa: B010 (tensors take attributes, their type does not say so)


def tensors(value: Any) -> Iterable[Tensor]:
    """All tensors in nested lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors(part)


__all__ = ["IMAGE", "SUMS", "Flow", "FunctionCall", "maker", "mark", "tensors"]
