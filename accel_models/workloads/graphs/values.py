"""What a tensor of a model is to its price: who made it, and how it lies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from accel_models.workloads.layer import Layer
from accel_models.workloads.operators import ON_ARRAY
from accel_models.workloads.windows import PaddingMode
from accel_models.workloads.workload import Part

Kind = Literal["constant", "index", "data"]
"""Known before any input (weights, tables, and what is computed of them), made of whole numbers and
masks alone, or an activation."""


class Border(NamedTuple):
    """Elements put around a tensor by hand."""

    inner: tuple[int, ...]
    """Shape of the tensor without them."""
    sides: tuple[int, ...]
    """Elements before and after each axis, first axis first."""
    mode: PaddingMode


class Formula(NamedTuple):
    """A tensor as a function of another one, element by element."""

    of: Value
    at_grid: Any
    """An array of its values where the other tensor has those of the reader's grid."""


@dataclass(frozen=True)
class Value:
    """A tensor in a model's graph."""

    shape: tuple[int, ...]
    kind: Kind
    makers: tuple[int, ...] = ()
    """Numbers of the steps that made its elements; none if they are the example's or constants."""
    whole: bool = False
    """Whether it is all that its one maker made and nothing else, in whatever shape."""
    channels: int | None = None
    """Dimension along which channels lie, where one does."""
    border: Border | None = None
    formula: Formula | None = None
    repeats: int = 1
    """How often each of its elements stands in it, as far as it was expanded."""
    weight: str = ""
    """Path of the parameter that it is, if it is one."""

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def shaped(self, shape: tuple[int, ...], channels: int | None = None) -> Value:
        """Value with its elements, or some of them, in another shape."""
        whole = self.whole and math.prod(shape) == self.elements
        return replace(self, shape=shape, whole=whole, channels=channels, border=None, formula=None)


class Read(NamedTuple):
    """A tensor that a step reads."""

    part: Part
    maker: int
    whole: bool


@dataclass
class Step:
    """A layer in the making, or an operator that no layer stands for."""

    path: str
    """Module that called the operator; empty for the model itself."""
    called: str
    """What it is called where the module does several things."""
    layer: Layer | None
    reads: list[Read]

    @property
    def on_array(self) -> bool:
        """Whether the array multiplies for it."""
        return self.layer is not None and self.layer.operator in ON_ARRAY

    @property
    def operator(self) -> str:
        """Operator of its layer, or nothing."""
        return self.layer.operator if self.layer else ""


def values_in(given: Any) -> Iterator[Value]:
    """All values in nested lists, tuples and dictionaries."""
    if isinstance(given, Value):
        yield given
    elif isinstance(given, list | tuple):
        for part in given:
            yield from values_in(part)
    elif isinstance(given, Mapping):
        yield from values_in(list(given.values()))


def map_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Positions as rows and columns: leading dimensions of 1 left out, others before the last two
    taken as rows."""
    *rows, last = shape if shape else (1,)
    sizes = [size for size in rows if size != 1]
    if not sizes:
        return last, 1
    return math.prod(sizes), last


__all__ = ["Border", "Formula", "Kind", "Read", "Step", "Value", "map_size", "values_in"]
