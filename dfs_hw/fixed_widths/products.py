"""Products that a model's forward asks PyTorch for, seen one by one while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from dfs_hw.quantize.multiplication import APART, Multiplication, Work


class ProductCall(NamedTuple):
    """A call that multiplies: of which module, and how many came before in the same run of it."""

    path: str
    number: int


Compute = Callable[[ProductCall, Multiplication], "Tensor | None"]


class Products(TorchFunctionMode):
    """Sees the products of a model's forward while it runs.

    Args:
        model: whose modules' paths the calls are told by.
        compute: is given each product and computes it; None leaves it as it is.
    """

    def __init__(self, model: nn.Module, compute: Compute) -> None:
        super().__init__()
        self.model, self.compute = model, compute
        self.running: list[str] = []
        self.calls: Counter[str] = Counter()

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """What the model makes of its arguments."""
        self.running, self.calls = [""], Counter()
        with self._paths(), self:
            return self.model(*args, **kwargs)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.multi_head_attention_forward:
            with self:
                return _MULTI_HEAD(*args, **kwargs)
        apart = APART.get(getattr(func, "__name__", ""))
        product = apart(*args, **kwargs) if apart else None
        if product is None:
            return func(*args, **kwargs)
        path = self.running[-1]
        call = ProductCall(path, self.calls[path])
        self.calls[path] += 1
        made = self.compute(call, product)
        return func(*args, **kwargs) if made is None else made

    @contextmanager
    def _paths(self) -> Iterator[None]:
        """Hooks that know which module runs, for one run: what stays on a module is copied with
        it."""
        hooks = []
        for path, module in self.model.named_modules():
            hooks.append(module.register_forward_pre_hook(self._entering(path)))
            hooks.append(module.register_forward_hook(self._leaving))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _entering(self, path: str) -> Callable[..., None]:
        return lambda *_: self.running.append(path)

    def _leaving(self, *_: Any) -> None:
        self.running.pop()


def _looked_into(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of PyTorch's own Python that hands itself over to modes as a whole, without
    doing so: what it calls is seen then."""
    assert isinstance(function, FunctionType)
    inside = {**function.__globals__, "has_torch_function": lambda *_: False}
    copy = FunctionType(
        function.__code__, inside, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


_MULTI_HEAD = _looked_into(functional.multi_head_attention_forward)

__all__ = ["Multiplication", "ProductCall", "Products", "Work"]
