"""Which product of a run is which layer of the workload."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from accel_models.errors import InputError, listed
from accel_models.workloads.workload import Workload
from dfs_hw.fixed_widths.products import Multiplication, ProductCall, Products, Work
from dfs_hw.fixed_widths.rounding import computes_as_is
from dfs_hw.networks.tracing.model_workload import ReadModel

MARK = "_from_input"


class SeenProduct(NamedTuple):
    """One call that multiplies, as it was in a run."""

    works: tuple[Work, ...]
    from_input: tuple[bool, ...]
    """Whether each operand depends on the input."""

    @property
    def is_layer(self) -> bool:
        """Whether it computes anything anew for each input."""
        return any(self.from_input)


def seen_in_run(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, list[SeenProduct]]:
    """Products of a run by path of their module, in order; the model is to be in evaluation
    mode."""
    found: dict[str, list[SeenProduct]] = {}

    def note(call: ProductCall, product: Multiplication) -> None:
        depends = tuple(hasattr(one, MARK) for one in product.operands)
        found.setdefault(call.path, []).append(SeenProduct(product.works, depends))

    def marked(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        own = leaf.detach().view(leaf.shape)
        setattr(own, MARK, True)
        return own

    args, kwargs = pytree.tree_map(marked, (args, dict(kwargs)))
    with torch.no_grad():
        _Following(model, note).run(*args, **kwargs)
    return found


class _Following(Products):
    """Marks all that is computed of the input."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = super().__torch_function__(func, types, args, kwargs)
        if any(hasattr(one, MARK) for one in _tensors((args, kwargs))):
            written = args[0] if getattr(func, "__name__", "") == "__setitem__" else out
            for tensor in _tensors(written):
                setattr(tensor, MARK, True)
        return out


def layers_of_products(
    read: ReadModel, workload: Workload, seen: Mapping[str, list[SeenProduct]]
) -> dict[ProductCall, tuple[str, ...]]:
    """Names of the layers that each product of a run computes.

    Args:
        read: the model's layers, and which module computes them.
        workload: the same layers, at their widths.
        seen: products of a run.

    Raises:
        InputError: if layers are to be rounded whose products cannot be told apart.
    """
    widths = {layer.name: layer.widths for layer in workload.layers}
    found: dict[ProductCall, tuple[str, ...]] = {}
    for path in dict.fromkeys([*read.products, *seen]):
        names, calls = read.products.get(path, []), seen.get(path, [])
        works = sum(len(one.works) for one in calls if one.is_layer)
        if works != len(names):
            rounded = [name for name in names if name and not computes_as_is(widths[name])]
            if rounded:
                raise InputError(
                    f"'{path}' computes {len(names)} layers of the array by {works} products that "
                    f"could be rounded: give {listed(rounded[:3])} the width 'full', which leaves "
                    "them in floating point and charges 16 bits"
                )
            continue
        left = iter(names)
        for number, one in enumerate(calls):
            if one.is_layer:
                found[ProductCall(path, number)] = tuple(next(left) for _ in one.works)
    return found


def _tensors(given: Any) -> Iterator[Tensor]:
    for leaf in pytree.tree_leaves(given):
        if isinstance(leaf, Tensor):
            yield leaf


__all__ = ["SeenProduct", "layers_of_products", "seen_in_run"]
