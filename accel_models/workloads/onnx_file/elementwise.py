"""Sums, products and functions, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accel_models.workloads.graphs.passes import by_channel, combined, powered, quotient
from accel_models.workloads.graphs.steps import Steps
from accel_models.workloads.graphs.values import Value
from accel_models.workloads.onnx_file.node import OnnxNode

FUNCTIONS = {
    "Relu": "relu",
    "ThresholdedRelu": "relu",
    "LeakyRelu": "leaky_relu",
    "PRelu": "leaky_relu",
    "HardSigmoid": "hard_sigmoid",
    "HardSwish": "hard_swish",
    "Gelu": "gelu",
    "com.microsoft.Gelu": "gelu",
    "com.microsoft.FastGelu": "gelu",
    "Elu": "elu",
    "Celu": "elu",
    "Selu": "elu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Swish": "silu",
    "Clip": "relu6",
}
"""Functions of one tensor and how they are priced; what clips only does so where rounding does."""


def activation(read: Steps, node: OnnxNode) -> Value | None:
    """A function of `operators.ACTIVATIONS`."""
    value = node.value(0)
    word = FUNCTIONS[node.name]
    return read.elementwise(node, word, word, value) if value.kind == "data" else None


def add(read: Steps, node: OnnxNode) -> Value | None:
    """A sum or difference of tensors; a number, or one for each channel, is part of what scales the
    result."""
    return _several(read, node, "sum")


def multiply(read: Steps, node: OnnxNode) -> Value | None:
    """A product of tensors, or a quotient."""
    if node.name == "Div" and node.value(1).kind == "data":
        return quotient(read, node, node.value(0), node.value(1))
    return _several(read, node, "product")


def _several(read: Steps, node: OnnxNode, operator: str) -> Value | None:
    first, *rest = sorted(node.values, key=lambda value: value.kind != "data")
    made = first
    for value in rest:
        made = _two(read, node, operator, made, value)
    return made


def _two(read: Steps, node: OnnxNode, operator: str, one: Value, other: Value) -> Value:
    if other.kind == "data":
        return combined(read, node, operator, one, other)
    if other.elements == 1 and one.shape == node.shape:
        return one
    if one.shape == node.shape and other.kind == "constant" and by_channel(one, other):
        word = "shift" if operator == "sum" else "scale"
        return read.elementwise(node, "batch_norm", word, one)
    return combined(read, node, operator, one, other)


def power(read: Steps, node: OnnxNode) -> Value | None:
    """A power of a tensor, of quarters, as products and square roots."""
    value, held = node.value(0), node.held(1)
    if held is None or held.size != 1 or value.shape != node.shape:
        return None
    return powered(read, node, value, float(held.ravel()[0]))


EXPONENTS = {"Sqrt": 0.5, "Reciprocal": -1.0}


def function(read: Steps, node: OnnxNode) -> Value | None:
    """A root, an inverse or an exponential."""
    if node.name == "Exp":
        return read.elementwise(node, "exponential", "exponential", node.value(0))
    return powered(read, node, node.value(0), EXPONENTS[node.name])


def select(read: Steps, node: OnnxNode) -> Value | None:
    """A choice between elements: a comparison of a lane, as a sum is an addition. One that is known
    to take the same operand everywhere, as of a mask that hides nothing, is that operand."""
    held = node.held(0) if node.name == "Where" else None
    if held is not None and (held.all() or not held.any()):
        taken = node.value(1 if held.all() else 2)
        if taken.shape == node.shape:
            return taken
    operands = [value for value in node.values if value.elements > 1]
    large = [value for value in operands if value.kind == "data" and value.shape == node.shape]
    if not large:
        return None
    rest = [value for value in operands if value is not large[0]]
    if not rest:
        return large[0]
    others = sum(value.elements for value in rest)
    return read.elementwise(node, "sum", node.name, large[0], other=rest, others=others)


Rule = Callable[[Steps, OnnxNode], Any]
ELEMENT_RULES: dict[str, Rule] = {
    **dict.fromkeys(FUNCTIONS, activation),
    **dict.fromkeys(("Add", "Sub", "Sum"), add),
    **dict.fromkeys(("Mul", "Div"), multiply),
    "Pow": power,
    **dict.fromkeys(("Exp", *EXPONENTS), function),
    **dict.fromkeys(("Where", "Max", "Min"), select),
}

__all__ = ["ELEMENT_RULES"]
