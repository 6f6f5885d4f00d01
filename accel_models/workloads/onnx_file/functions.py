"""Activation functions told by their values on a grid, however a file writes them down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import NodeProto
from scipy.special import erf

from accel_models.workloads.graphs.values import Formula, Value
from accel_models.workloads.onnx_file.contents import evaluated
from accel_models.workloads.onnx_file.node import OnnxNode

GRID = np.linspace(-9.0, 9.0, 181)
NEAR = 5e-3
"""How far a function may be off to count as another way to compute the same."""


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


NAMED: dict[str, np.ndarray] = {
    "relu": GRID.clip(0),
    "relu6": GRID.clip(0, 6),
    "hard_sigmoid": (GRID / 6 + 0.5).clip(0, 1),
    "hard_swish": GRID * (GRID / 6 + 0.5).clip(0, 1),
    "gelu": GRID * 0.5 * (1 + erf(GRID / math.sqrt(2))),
    "elu": np.where(GRID > 0, GRID, np.expm1(GRID)),
    "sigmoid": _sigmoid(GRID),
    "tanh": np.tanh(GRID),
    "silu": GRID * _sigmoid(GRID),
}
BY_ELEMENT = frozenset(
    (
        *("Add", "Sub", "Mul", "Div", "Pow", "Neg", "Abs", "Reciprocal", "Sqrt", "Exp", "Log"),
        *("Erf", "Tanh", "Sigmoid", "Softplus", "Relu", "Clip", "HardSigmoid", "HardSwish"),
        *("Elu", "Gelu", "Min", "Max", "Softsign", "Mish", "Swish"),
    )
)
"""Operators that work element by element."""


def formula_of(proto: NodeProto, node: OnnxNode, opsets: Mapping[str, int]) -> Formula | None:
    """The result of an operator of `BY_ELEMENT` as a function of the one tensor that it is computed
    from, or None."""
    of: Value | None = None
    given: dict[str, np.ndarray] = {}
    for tensor in node.inputs:
        if tensor is None:
            continue
        value = tensor.value
        if value.kind != "data":
            if tensor.held is None or tensor.held.size != 1:
                return None
            given[tensor.name] = np.asarray(tensor.held, np.float64).reshape(())
            continue
        formula = value.formula or Formula(value, GRID)
        if value.shape != node.shape or (of is not None and of is not formula.of):
            return None
        of = formula.of
        given[tensor.name] = formula.at_grid
    found = evaluated(proto, given, opsets) if of is not None else None
    if of is None or found is None or np.shape(found[0]) != GRID.shape:
        return None
    return Formula(of, np.asarray(found[0], np.float64))


def named(formula: Formula) -> str:
    """The activation function that a formula is, or nothing."""
    for name, expected in NAMED.items():
        off = float(np.abs(formula.at_grid - expected).max())
        if math.isfinite(off) and off < NEAR:
            return name
    return ""


def composed(values: Sequence[Value]) -> bool:
    """Whether some operand is itself a function of another tensor."""
    return any(value.formula for value in values)


__all__ = ["BY_ELEMENT", "composed", "formula_of", "named"]
