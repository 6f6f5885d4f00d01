"""Budgets as people write them, and the switch that holds training to one."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import Tensor

from accel_models.errors import InputError
from dfs_hw.hardware_cost import UNITS, HardwareCost

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
_NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*(.*?)\s*")


TOLERANCE = 0.025
"""Share of a budget by which the mean cost may miss it and still count as on target."""

GROWTH = 1.2


@dataclass(frozen=True)
class Budget:
    """A mean cost per input to stay within."""

    text: str
    """As it was written."""
    fraction: float
    """Of the cost of the highest precision everywhere."""

    @classmethod
    def parse(cls, text: str | float, cost: HardwareCost) -> Budget:
        """Read ``0.6``, ``60%``, or an amount such as ``45uJ``, ``0.8ms``, ``3nJs``, ``2GBitOps``.

        Args:
            text: a share of the cost at the highest precision, or an absolute amount per input.
            cost: gives the metric, the reference, and what can be reached at all.

        Raises:
            InputError: if the text is no budget, its unit does not fit the metric, or no choices
                can meet it.
        """
        match = _NUMBER.fullmatch(str(text))
        if match is None:
            raise InputError(
                f"'{text}' is not a budget: write a share such as 0.6 or 60%, or an amount such "
                f"as 45u{UNITS[cost.metric]}"
            )
        number, unit = float(match[1]), match[2]
        if unit == "%":
            fraction = number / 100
        elif unit == "":
            fraction = number
        else:
            fraction = number * _scale(str(text), unit, cost.metric) / cost.reference
        _check_reachable(str(text), fraction, cost)
        return cls(str(text).strip(), fraction)

    def __str__(self) -> str:
        return self.text


class SignSwitch:
    """DFS's controller: price the cost while a batch is over budget, reward it while under.

    The upward push is what brings back gates that have closed for good. The cost is the mean over
    the batch, relative to the highest precision, so the strength depends neither on the batch size
    nor on the depth, unlike the original's.

    The push only wins where it outweighs what precision is worth to the task, which nobody knows
    beforehand: so it starts gentle and grows with every epoch that ends off target.

    Args:
        target: mean cost to reach, relative to the highest precision everywhere.
        strength: of the push at first, in loss per unit of relative cost.
    """

    def __init__(self, target: float, strength: float) -> None:
        self.target, self.strength = target, strength

    def __call__(self, costs: Tensor) -> Tensor:
        """Term to add to the loss, from the relative cost [N] of each input; waits for no device.

        The gradient is ``strength`` times that of the mean cost, with the sign of the excess.
        """
        mean = costs.mean()
        sign = (mean.detach() > self.target).to(mean.dtype) * 2 - 1
        return sign * self.strength * mean

    def adapt(self, cost: float) -> None:
        """Grow stronger after an epoch of the given mean cost, unless that is on target."""
        if abs(cost - self.target) > TOLERANCE * self.target:
            self.strength *= GROWTH


def _scale(text: str, unit: str, metric: str) -> float:
    wanted = UNITS[metric]
    plain = unit.replace("·", "").replace("*", "").replace(" ", "")
    if not plain.lower().endswith(wanted.lower()):
        raise InputError(
            f"budget '{text}': the metric {metric} is counted in {wanted}, not in '{unit}'"
        )
    prefix = plain[: len(plain) - len(wanted)]
    if prefix not in _PREFIXES or (metric != "bitops" and not plain.endswith(wanted)):
        raise InputError(f"budget '{text}': '{unit}' is no multiple of {wanted}")
    return _PREFIXES[prefix]


def _check_reachable(text: str, fraction: float, cost: HardwareCost) -> None:
    floor, ceiling = cost.floor, cost.ceiling
    if not floor <= fraction <= ceiling:
        unit = UNITS[cost.metric]
        raise InputError(
            f"budget '{text}' is {fraction:.3g} of the {cost.metric} at the highest precision, "
            f"and only {floor:.3f} to {ceiling:.3f} can be reached "
            f"({floor * cost.reference:.3g} to {ceiling * cost.reference:.3g} {unit})"
        )
