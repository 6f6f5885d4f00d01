"""Nodes and tensors of an ONNX graph, as rules are given them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from accel_models.workloads.graphs.values import Value


@dataclass(frozen=True)
class OnnxTensor:
    """One tensor of a graph."""

    name: str
    element: int
    """Data type, of `onnx.TensorProto.DataType`."""
    value: Value
    held: np.ndarray | None = None
    """What it holds, where that is known before any input, and small."""
    bits: int | None = None
    """Width that a quantiser rounds it to."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of its dimensions."""
        return self.value.shape


@dataclass
class OnnxNode:
    """One node: an operator, what it was given and the shapes of what it makes."""

    name: str
    """Operator, with its domain where that is not ONNX's own."""
    path: str
    """What the node is called, as a path of modules."""
    attributes: dict[str, Any]
    inputs: list[OnnxTensor | None]
    outputs: list[str]
    shapes: list[tuple[int, ...]]
    opset: int
    graphs: bool = False
    """Whether it has graphs of its own inside."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of its first result."""
        return self.shapes[0]

    @property
    def values(self) -> Iterator[Value]:
        """Operands, those that are left out apart."""
        return (one.value for one in self.inputs if one is not None)

    def given(self, at: int) -> OnnxTensor | None:
        """An operand, if it has so many and does not leave it out."""
        return self.inputs[at] if at < len(self.inputs) else None

    def value(self, at: int) -> Value:
        """An operand that has to be there.

        Raises:
            LookupError: if it is not.
        """
        found = self.given(at)
        if found is None:
            raise LookupError(at)
        return found.value

    def held(self, at: int) -> np.ndarray | None:
        """What an operand is known to hold."""
        found = self.given(at)
        return None if found is None else found.held

    def numbers(self, name: str, count: int, default: int) -> tuple[int, ...]:
        """An attribute of so many whole numbers; one stands for all."""
        listed = [int(one) for one in self.attributes.get(name) or ()]
        return tuple(listed * count if len(listed) == 1 else listed or [default] * count)


__all__ = ["OnnxNode", "OnnxTensor"]
