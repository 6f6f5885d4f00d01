"""Steps of a graph as a reader notes them: layers in the making, and what no layer stands for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from accel_models.workloads.graphs.values import Read, Step, Value, map_size, values_in
from accel_models.workloads.workload import Layer, Part


class Use(Protocol):
    """One use of an operator in a graph."""

    @property
    def name(self) -> str:
        """Name of the operator."""

    @property
    def path(self) -> str:
        """Path of the module, or name of the node, that uses it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of its first result."""


class Steps:
    """Steps of one graph, numbered in the order in which its own program takes them."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.index_work: Counter[str] = Counter()
        """Operators on whole numbers and masks alone, none of which is priced."""
        self.said: list[str] = []
        """Sentences on what had to be assumed."""
        self.kept: set[int] = set()
        """Steps whose results leave the model."""

    def step(
        self,
        call: Use,
        operator: str,
        called: str,
        channels: int | tuple[int, int],
        size: tuple[int, ...],
        reads: Mapping[Part, Value | Sequence[Value]],
        **fields: Any,
    ) -> int:
        """Note a layer; gives the step's number.

        Args:
            call: what it comes from.
            operator: of `accel_models.workloads.operators`.
            called: its name within its module.
            channels: of its input and output; one number for both.
            size: of the input map, and of the output map unless `fields` say otherwise.
            reads: values by part.
            fields: further fields of `Layer`.
        """
        inputs, outputs = channels if isinstance(channels, tuple) else (channels, channels)
        name = ".".join(part for part in (call.path, called) if part)
        layer = Layer(
            name, inputs, outputs, in_size=size, operator=operator, **_sizes(size, operator, fields)
        )
        self.steps.append(Step(call.path, called, layer, _reads(reads)))
        return len(self.steps) - 1

    def made(
        self,
        number: int,
        shape: tuple[int, ...],
        channels: int | None = None,
        *,
        whole: bool = True,
    ) -> Value:
        """The value that a step makes."""
        dimension = None if channels is None else channels % max(1, len(shape))
        return Value(shape, "data", (number,), whole, dimension)

    def layer(self, number: int) -> Layer:
        """The layer of a step that has one."""
        found = self.steps[number].layer
        assert found is not None
        return found

    def map_of(self, value: Value) -> tuple[int, tuple[int, ...], int]:
        """Channels, size of the map and groups of a value: those that its maker gave it, or
        channels where they lie, or as in a batch of sequences or of images."""
        if value.whole and self.steps[value.makers[0]].layer is not None:
            layer = self.layer(value.makers[0])
            if layer.outputs == value.elements:
                return layer.out_channels, layer.out_size, layer.groups
        shape, at = value.shape, value.channels
        if at is None:
            at = 1 if len(shape) >= 4 else len(shape) - 1
        if not shape:
            return 1, (1, 1), 1
        return shape[at], map_size(shape[:at] + shape[at + 1 :]), 1

    def elementwise(
        self, call: Use, operator: str, called: str, value: Value, **others: Any
    ) -> Value:
        """Note an operator of the vector unit that works on a tensor element by element; `others`
        are further operands as the part ``other``, or fields of `Layer`."""
        reads: dict[Part, Value | Sequence[Value]] = {"input": value}
        if "other" in others:
            reads["other"] = others.pop("other")
        channels, size, _ = self.map_of(value)
        number = self.step(call, operator, called, channels, size, reads, **others)
        return self.made(number, value.shape, value.channels)

    def unpriced(self, call: Use, called: str, operands: Iterable[Value]) -> int:
        """Note a step that no layer stands for, under a name; gives its number."""
        makers = dict.fromkeys(maker for value in operands for maker in value.makers)
        reads = [Read("input", maker, False) for maker in makers]
        self.steps.append(Step(call.path, called, None, reads))
        return len(self.steps) - 1


def _sizes(size: tuple[int, ...], operator: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with the output map, where it is the input map."""
    windows = {"kernel", "stride", "padding", "dilation", "out_size"}
    if windows & fields.keys():
        return fields
    return {**fields, "out_size": size, "kernel": (1,) * len(size)}


def _reads(given: Mapping[Part, Value | Sequence[Value]]) -> list[Read]:
    return [
        Read(part, maker, value.whole)
        for part, values in given.items()
        for value in values_in(values)
        for maker in value.makers
    ]


def row_of(value: Value, dimensions: Sequence[int]) -> int:
    """Elements along some dimensions of a value."""
    return math.prod(value.shape[at] for at in dimensions)


__all__ = ["Steps", "Use", "row_of"]
