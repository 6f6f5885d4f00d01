"""What a block is called with: the tensor that is decided about, and whatever goes along."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

Named = dict[int | str, Any]
"""Arguments of a call by position or name."""


@dataclass(frozen=True)
class Place:
    """Where the tensor of a block stands among its arguments."""

    at: int | str = 0
    """Position of the tensor, or its name."""
    joined: bool = False
    """Whether maps stand there in a list [N, C1, H, W], [N, C2, H, W], ... as layers of DenseNet
    are given them; side by side they are the tensor."""
    along: tuple[int | str, ...] = ()
    """Tensors besides it that have a row for each input, such as masks."""


@dataclass(frozen=True)
class Arguments:
    """Arguments of a block without its tensor."""

    args: tuple[Any, ...] = (None,)
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    place: Place = field(default_factory=Place)

    @classmethod
    def taken_apart(
        cls, args: tuple[Any, ...], kwargs: Mapping[str, Any], place: Place
    ) -> tuple[Tensor, Arguments]:
        """The tensor of a call, and the other arguments."""
        given = named_arguments(args, kwargs)[place.at]
        x = side_by_side(given) if place.joined else given
        return x, cls(*_with({place.at: None}, args, kwargs), place)

    def around(self, x: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments with a tensor in its place."""
        given = [x] if self.place.joined else x
        return _with({self.place.at: given}, self.args, self.kwargs)

    def rows(self, take: Callable[[Tensor], Tensor]) -> Arguments:
        """Arguments of some of the inputs.

        Args:
            take: gives the rows of these inputs of a tensor.
        """
        if not self.place.along:
            return self
        given = named_arguments(self.args, self.kwargs)
        some = {name: take(given[name]) for name in self.place.along if name in given}
        args, kwargs = _with(some, self.args, self.kwargs)
        return replace(self, args=args, kwargs=kwargs)


def named_arguments(args: Iterable[Any], kwargs: Mapping[str, Any]) -> Named:
    """Arguments of a call by position or name."""
    found: Named = dict(enumerate(args))
    found.update(kwargs)
    return found


def are_maps(value: Any) -> bool:
    """Whether a value is a list of maps [N, C, H, W] that differ in their channels at most."""
    if not isinstance(value, list | tuple) or not value:
        return False
    maps = [one for one in value if isinstance(one, Tensor) and one.ndim == 4]
    return len(maps) == len(value) and len({(len(x), *x.shape[2:]) for x in maps}) == 1


def side_by_side(maps: Iterable[Tensor]) -> Tensor:
    """Maps as one, their channels one after another."""
    return torch.cat(tuple(maps), 1)


def _with(
    values: Named, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments with other values in some places."""
    return (
        tuple(values.get(number, value) for number, value in enumerate(args)),
        {name: values.get(name, value) for name, value in kwargs.items()},
    )


__all__ = ["Arguments", "Named", "Place", "are_maps", "named_arguments", "side_by_side"]
