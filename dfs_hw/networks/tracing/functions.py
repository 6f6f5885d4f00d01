"""Activation functions told by their values, however a model writes them down.

A tensor that is computed element by element from one other tensor is a function of it. The function
is evaluated on a grid beside the graph; where it is one of those that have a price of their own,
the tensor is that activation of the other, and what it was composed of is no work.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional

from accel_models.workloads.graphs.values import Formula, Value
from dfs_hw.networks.tracing.call import OperatorCall

GRID = torch.linspace(-9.0, 9.0, 181, dtype=torch.float64)
NEAR = 5e-3
"""How far a function may be off to count as another way to compute the same, as the two forms of
GELU do; a rounding to 8 bits is coarser on this grid."""

NAMED: dict[str, Tensor] = {
    "relu": functional.relu(GRID),
    "relu6": functional.relu6(GRID),
    "hard_sigmoid": functional.hardsigmoid(GRID),
    "hard_swish": functional.hardswish(GRID),
    "gelu": functional.gelu(GRID),
    "elu": functional.elu(GRID),
    "sigmoid": torch.sigmoid(GRID),
    "tanh": torch.tanh(GRID),
    "silu": functional.silu(GRID),
}
BY_ELEMENT = frozenset(
    (
        *("add", "sub", "rsub", "mul", "div", "pow", "square", "neg", "abs", "reciprocal", "sqrt"),
        *("exp", "expm1", "log", "log1p", "erf", "erfc", "tanh", "sigmoid", "softplus", "relu"),
        *("relu6", "hardtanh", "hardsigmoid", "hardswish", "clamp", "clamp_min", "clamp_max"),
        *("silu", "gelu", "elu", "mish", "log_sigmoid", "maximum", "minimum"),
    )
)
"""Operators that work element by element."""


def formula_of(call: OperatorCall, values: dict[fx.Node, Any]) -> Formula | None:
    """The result as a function of the one tensor that it is computed from, or None.

    Args:
        call: an operator of `BY_ELEMENT`.
        values: of the nodes so far.
    """
    of: Value | None = None
    arguments: list[Any] = []
    for argument in call.node.args:
        if not isinstance(argument, fx.Node):
            arguments.append(argument)
            continue
        value = values.get(argument)
        if not isinstance(value, Value) or value.kind != "data" or value.shape != call.shape:
            return None
        formula = value.formula or Formula(value, GRID)
        if of is not None and of is not formula.of:
            return None
        of = formula.of
        arguments.append(formula.at_grid)
    if of is None or any(isinstance(one, fx.Node) for one in call.node.kwargs.values()):
        return None
    found = call.target(*(_copied(one) for one in arguments), **call.node.kwargs)
    return Formula(of, found) if isinstance(found, Tensor) else None


def _copied(argument: Any) -> Any:
    """A tensor that an operator in place may write to."""
    return argument.clone() if isinstance(argument, Tensor) else argument


def named(formula: Formula) -> str:
    """The activation function that a formula is, or nothing."""
    for name, expected in NAMED.items():
        off = (formula.at_grid - expected).abs().max().item()
        if math.isfinite(off) and off < NEAR:
            return name
    return ""


__all__ = ["BY_ELEMENT", "GRID", "formula_of", "named"]
