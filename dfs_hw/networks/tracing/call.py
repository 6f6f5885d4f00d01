"""One call of an operator in a model's forward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from accel_models.workloads.graphs.values import Kind, Value, values_in


@dataclass
class OperatorCall:
    """An operator, what it was given and what it makes."""

    name: str
    target: Any
    given: Mapping[str, Any]
    """Arguments by name, tensors as their `Value`."""
    shapes: list[tuple[int, ...]]
    """Shapes of its results."""
    floating: list[bool]
    path: str
    node: fx.Node

    @property
    def full_name(self) -> str:
        """Name with that of the library that the operator is from."""
        return f"{self.target.namespace}.{self.name}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of its first result."""
        return self.shapes[0]

    def __getitem__(self, name: str) -> Any:
        return self.given[name]

    def get(self, name: str, default: Any = None) -> Any:
        """An argument, if the operator has it."""
        return self.given.get(name, default)

    def called_by(self, weight: Value, otherwise: str) -> str:
        """A word for what a module does with a weight of its own: the weight's name."""
        path = f"{self.path}." if self.path else ""
        if not weight.weight.startswith(path):
            return otherwise
        return weight.weight.removeprefix(path).removesuffix("weight").rstrip("._") or otherwise


def call_of(node: fx.Node, target: Any, args: Any, kwargs: Any) -> OperatorCall:
    """The call that a node of the graph stands for, its arguments given as values."""
    schema = target._schema
    given = {argument.name: argument.default_value for argument in schema.arguments}
    given |= dict(zip(given, args, strict=False)) | kwargs
    name = schema.name.split("::")[-1]
    if name.endswith("_") and not name.endswith("__"):
        name = name[:-1]
    results = node.meta.get("val")
    listed = results if isinstance(results, list | tuple) else [results]
    tensors = [one for one in listed if isinstance(one, Tensor)]
    return OperatorCall(
        name,
        target,
        given,
        [tuple(map(int, one.shape)) for one in tensors],
        [one.is_floating_point() or one.is_complex() for one in tensors],
        _path(node),
        node,
    )


def _path(node: fx.Node) -> str:
    """Path of the module whose forward calls an operator."""
    stack = node.meta.get("nn_module_stack") or {}
    if not stack:
        return ""
    return str(list(stack.values())[-1][0])


def kind_of(call: OperatorCall) -> Kind:
    """Kind of what an operator makes of its operands."""
    kinds = {value.kind for value in values_in(call.given)}
    return "data" if "data" in kinds else "index" if "index" in kinds else "constant"


__all__ = ["OperatorCall", "call_of", "kind_of"]
