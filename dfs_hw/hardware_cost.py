"""The price of a network's choices, as a loss: a `CostTable` made differentiable."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from accel_models.cost_table import CostTable, Metric
from accel_models.errors import InputError

UNITS = {"energy": "J", "latency": "s", "edp": "Js", "bitops": "BitOps"}
METRICS = tuple(UNITS)


class HardwareCost(nn.Module):
    """What one input costs on a machine, relative to the highest precision everywhere.

    Every metric is a sum over units and always-run layers, but for the energy-delay product
    (`edp`): that is expected energy times expected latency, as of a long stream of inputs.

    Args:
        table: costs of the network's units on the machine.
        metric: energy, latency, edp or bitops.

    Attributes:
        reference: cost of one input at the highest precision everywhere in a network without
            gates, in J, s, J s or BitOps.

    Raises:
        InputError: if the metric is unknown.
        InfeasibleError: if the machine cannot run one of the choices.
    """

    unit_costs: Tensor
    fixed: Tensor

    def __init__(self, table: CostTable, metric: str = "energy") -> None:
        super().__init__()
        if metric not in METRICS:
            raise InputError(f"no metric is called '{metric}': choose from {', '.join(METRICS)}")
        self.metric, self.units, self.choices = metric, tuple(table.units), tuple(table.choices)
        summands = _summands(metric)
        parts = [table.costs(summand) for summand in summands]
        totals = [table.reference(summand) for summand in summands]
        self.reference = math.prod(totals)
        relative = [costs / total for (_, costs), total in zip(parts, totals, strict=True)]
        fixed = [part[0] / total for part, total in zip(parts, totals, strict=True)]
        self.register_buffer("unit_costs", torch.tensor(np.stack(relative), dtype=torch.float32))
        self.register_buffer("fixed", torch.tensor(fixed, dtype=torch.float32))

    @property
    def floor(self) -> float:
        """The lowest mean cost any choices can reach (for edp: a bound)."""
        return float((self.fixed + self.unit_costs.amin(2).sum(1)).prod())

    @property
    def ceiling(self) -> float:
        """The highest mean cost: a little over 1, since gates cost something (for edp: a bound)."""
        return float((self.fixed + self.unit_costs.amax(2).sum(1)).prod())

    def forward(self, gates: Tensor) -> Tensor:
        """Relative cost of each input.

        Args:
            gates: [N, units, choices], one-hot or probabilities.

        Returns:
            [N], relative to the highest precision everywhere without gates. For edp, values
            whose mean is the product of the two means.
        """
        expected = (len(self.units), len(self.choices))
        if gates.ndim != 3 or gates.shape[1:] != expected:
            raise ValueError(
                f"gates of shape {list(gates.shape)} do not fit a table of {expected[0]} units "
                f"({', '.join(self.units)}) and {expected[1]} choices "
                f"({', '.join(map(str, self.choices))})"
            )
        sums = self.fixed[:, None] + torch.einsum("nuk,muk->mn", gates, self.unit_costs)
        return sums[0] if len(sums) == 1 else sums[0] * sums[1].mean()

    def of_choices(self, choices: Tensor) -> Tensor:
        """Relative cost [N] of choices given by index, [N, units]."""
        one_hot = nn.functional.one_hot(choices.long(), len(self.choices))
        return self(one_hot.to(self.unit_costs))


def _summands(metric: str) -> tuple[Metric, ...]:
    return ("energy", "latency") if metric == "edp" else (cast(Metric, metric),)
