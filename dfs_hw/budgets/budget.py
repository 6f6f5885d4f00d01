"""Budgets as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from accel_models.errors import InputError
from accel_models.metrics import METRICS
from dfs_hw.budgets.hardware_cost import RelativeCost

_PREFIXES = {
    "": 1.0,
    "f": 1e-15,
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "µ": 1e-6,
    "μ": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
}
_NUMBER = re.compile(r"\s*((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(.*?)\s*")
_PERCENTILE = re.compile(r"p([5-9][0-9])")

TOLERANCE = 0.025
"""Share of a budget by which the cost may miss it and still count as on target."""
LONGEST = 60
"""Letters of a budget, at most."""
ROUNDING = 1e-6
"""Share of a bound that is put down to float32, so that the bound itself can be asked for."""


@dataclass(frozen=True)
class Budget:
    """A cost per input to stay within, on average or for a share of the inputs."""

    text: str
    """The budget as it was written."""
    fraction: float
    """Share of the cost of the highest precision everywhere."""
    statistic: str = "mean"
    """Figure of the inputs' costs that is limited: ``mean``, or a percentile ``p50`` to ``p99``."""

    @classmethod
    def parse(cls, text: str | float, cost: RelativeCost) -> Budget:
        """Read ``0.6``, ``60%``, or an amount such as ``45uJ``, ``0.8ms``, ``3nJs``, ``2GBitOps``.

        A budget is for the mean over inputs; ``45uJ@p95`` is for the 95th percentile, so that one
        input in twenty may cost more.

        Args:
            text: a share of the cost at the highest precision, or an absolute amount per input.
            cost: gives the metric, the reference, and what can be reached at all.

        Raises:
            InputError: if the text is no budget, its unit does not fit the metric, or no choices
                can meet it.
        """
        budget = cls.read(text, cost)
        _check_reachable(budget, cost)
        return budget

    @classmethod
    def read(cls, text: str | float, cost: RelativeCost) -> Budget:
        """Read a budget as `parse` does, be it within reach or not.

        Raises:
            InputError: if the text is no budget, or its unit does not fit the metric.
        """
        text = str(text).strip()
        amount, at, statistic = text.partition("@")
        statistic = statistic.strip() if at else "mean"
        check_statistic(statistic, cost.metric, f"budget '{text}': ")
        match = _NUMBER.fullmatch(amount) if len(text) <= LONGEST else None
        if match is None:
            raise InputError(f"'{text}' is not a budget: write {_examples(cost.metric)}")
        number, unit = float(match[1]), match[2]
        if unit == "%":
            fraction = number / 100
        elif unit == "":
            fraction = number
        else:
            fraction = number * _scale(text, unit, cost.metric) / cost.reference
        return cls(text, fraction, statistic)

    def cost_of(self, costs: Tensor | np.ndarray) -> float:
        """The one figure, of the costs [N] of N inputs, that is held against the budget."""
        return statistic_of(costs, self.statistic)

    def __str__(self) -> str:
        return self.text


def statistic_of(costs: Tensor | np.ndarray, statistic: str = "mean") -> float:
    """Mean or percentile of the costs [N] of N inputs, in their unit.

    A percentile is NumPy's: linear between the two inputs nearest to it.
    """
    values = costs.detach().cpu().numpy() if isinstance(costs, Tensor) else np.asarray(costs)
    values = values.astype(np.float64)
    match = _PERCENTILE.fullmatch(statistic)
    return float(np.percentile(values, int(match[1])) if match else values.mean())


def check_statistic(statistic: str, metric: str, context: str = "") -> None:
    """Refuse what cannot be held to a budget.

    Args:
        context: what the message begins with.

    Raises:
        InputError: if the statistic is unknown, or the metric has it of all inputs together only.
    """
    if statistic == "mean":
        return
    if _PERCENTILE.fullmatch(statistic) is None:
        raise InputError(
            f"{context}'{statistic}' is no statistic of inputs: write mean, or p50 to p99"
        )
    if metric in METRICS and not METRICS[metric].has_percentiles:
        means = " times ".join(f"mean {name}" for name in METRICS[metric].summands)
        raise InputError(f"{context}the metric {metric} is {means}, and has no percentiles")


def unit_of(metric: str) -> str:
    """The unit of a metric as it is written in a budget, in one word: ``Js`` for J s."""
    return METRICS[metric].unit.replace(" ", "")


def _examples(metric: str) -> str:
    if metric not in METRICS:
        return "a share such as 0.6 or 60%"
    return f"a share such as 0.6 or 60%, or an amount such as 45u{unit_of(metric)}"


def _scale(text: str, unit: str, metric: str) -> float:
    if metric not in METRICS:
        raise InputError(
            f"budget '{text}': the metric {metric} has no unit such as '{unit}', only shares: "
            f"write {_examples(metric)}"
        )
    wanted = unit_of(metric)
    plain = unit.replace("·", "").replace("*", "").replace(" ", "")
    if not plain.lower().endswith(wanted.lower()):
        raise InputError(
            f"budget '{text}': the metric {metric} is counted in {wanted}, not in '{unit}': "
            f"write {_examples(metric)}"
        )
    prefix = plain[: len(plain) - len(wanted)]
    if prefix not in _PREFIXES or (wanted != "BitOps" and not plain.endswith(wanted)):
        raise InputError(f"budget '{text}': '{unit}' is no multiple of {wanted}")
    return _PREFIXES[prefix]


def _check_reachable(budget: Budget, cost: RelativeCost) -> None:
    fraction, floor, ceiling = budget.fraction, cost.floor, cost.ceiling
    if floor * (1 - ROUNDING) <= fraction <= ceiling * (1 + ROUNDING):
        return
    amounts = ""
    if cost.metric in METRICS:
        low, high = floor * cost.reference, ceiling * cost.reference
        amounts = f" ({low:.3g} to {high:.3g} {unit_of(cost.metric)})"
    raise InputError(
        f"budget '{budget}' is {fraction:.3g} of the {cost.metric} cost at the highest precision, "
        f"and only {floor:.3f} to {ceiling:.3f} can be reached{amounts}"
    )
