"""Sums, products and functions, element by element."""

from __future__ import annotations

from typing import Any

from accel_models.workloads.graphs.passes import by_channel, combined, powered, quotient
from accel_models.workloads.graphs.values import Value, values_in
from accel_models.workloads.operators import ACTIVATIONS
from dfs_hw.networks.tracing.call import OperatorCall
from dfs_hw.networks.tracing.reader import Reader, prices
from dfs_hw.networks.tracing.rms_norm import normed_operand

BY_NAME = {
    "relu": "relu",
    "relu6": "relu6",
    "leaky_relu": "leaky_relu",
    "_prelu_kernel": "leaky_relu",
    "prelu": "leaky_relu",
    "rrelu": "leaky_relu",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "gelu": "gelu",
    "elu": "elu",
    "celu": "elu",
    "selu": "elu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "silu": "silu",
    "hardtanh": "relu6",
    "clamp": "relu6",
    "clamp_min": "relu",
    "clamp_max": "relu6",
    "threshold": "relu",
}
"""Functions of one tensor and how they are priced; what clips only does so where rounding does."""


@prices(*BY_NAME)
def activation(read: Reader, call: OperatorCall) -> Value | None:
    """A function of `ACTIVATIONS`."""
    value = next(values_in(call.given))
    if value.kind != "data":
        return None
    name = BY_NAME[call.name]
    assert name in ACTIVATIONS
    return read.elementwise(call, name, name, value)


@prices("glu")
def gated(read: Reader, call: OperatorCall) -> Value:
    """Half of the channels times the sigmoid of the other half."""
    value = call["self"]
    half = Value(call.shape, "data", value.makers, False, value.channels)
    gate = read.elementwise(call, "sigmoid", "sigmoid", half)
    return read.elementwise(call, "product", "product", half, other=gate, others=half.elements)


@prices("add", "sub", "rsub", "__add__", "__sub__")
def add(read: Reader, call: OperatorCall) -> Value | None:
    """A sum or difference of tensors; a number, or one for each channel, is part of what scales the
    result."""
    return _two(read, call, "sum")


@prices("mul", "div", "__mul__", "__rmul__", "true_divide")
def multiply(read: Reader, call: OperatorCall) -> Value | None:
    """A product of tensors; a number is part of what scales the result, one for each channel scales
    channels. Division by activations takes reciprocals of them."""
    other = call.get("other")
    if call.name in ("div", "true_divide") and isinstance(other, Value) and other.kind == "data":
        return quotient(read, call, _value(call["self"]), other)
    if (at := normed_operand(call.node)) is not None:
        value = call["self"] if at == 0 else other
        channels, size, groups = read.map_of(value)
        row = value.shape[-1]
        number = read.step(
            call, "rms_norm", "rms_norm", channels, size, {"input": value}, row=row, groups=groups
        )
        return read.made(number, call.shape, value.channels)
    return _two(read, call, "product")


def _two(read: Reader, call: OperatorCall, operator: str) -> Value | None:
    operands = list(values_in(call.given))
    data = [value for value in operands if value.kind == "data"]
    if len(operands) == 1:
        return operands[0]
    if len(data) == 2:
        return combined(read, call, operator, data[0], data[1])
    other = next(value for value in operands if value.kind != "data")
    if other.elements == 1 and data[0].shape == call.shape:
        return data[0]
    if data[0].shape == call.shape and other.kind == "constant" and by_channel(data[0], other):
        return read.elementwise(
            call, "batch_norm", "shift" if operator == "sum" else "scale", data[0]
        )
    return combined(read, call, operator, data[0], other)


@prices("pow", "square")
def power(read: Reader, call: OperatorCall) -> Value | None:
    """A power of a tensor, of quarters, as products and square roots."""
    value = call["self"]
    exponent = call.get("exponent", 2)
    if not isinstance(value, Value) or not isinstance(exponent, int | float):
        return None
    return powered(read, call, value, float(exponent))


@prices("sqrt", "rsqrt", "reciprocal", "exp")
def function(read: Reader, call: OperatorCall) -> Value | None:
    """A root, an inverse or an exponential."""
    value: Value = call["self"]
    if call.name == "exp":
        return read.elementwise(call, "exponential", "exponential", value)
    exponents = {"sqrt": 0.5, "rsqrt": -0.5, "reciprocal": -1.0}
    return powered(read, call, value, exponents[call.name])


def _value(operand: Any) -> Value:
    """An operand that may be a number."""
    return operand if isinstance(operand, Value) else Value((), "constant")


@prices("where", "masked_fill", "maximum", "minimum")
def select(read: Reader, call: OperatorCall) -> Any:
    """A choice between elements: a comparison of a lane, as a sum is an addition."""
    operands = [value for value in values_in(call.given) if value.elements > 1]
    data = [value for value in operands if value.kind == "data"]
    large = [value for value in data if value.shape == call.shape]
    if not large:
        return None
    rest = [value for value in operands if value is not large[0]]
    if not rest:
        return large[0]
    return read.elementwise(
        call,
        "sum",
        call.name,
        large[0],
        other=rest,
        others=sum(value.elements for value in rest),
    )
