"""The price of a network's choices, as a loss: what a machine charges, or what the paper counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional

from accel_models.costs.cost_table import CostTable, Stages
from accel_models.errors import InputError, quoted
from accel_models.leaving import NEVER, exit_index
from accel_models.metrics import budgeted, named
from accel_models.precision import Precision
from dfs_hw.budgets.paper import PAPER

PAPER_BITS = 32
"""Width that DFS charges for a block in floating point."""


class RelativeCost(nn.Module):
    """What one input costs, relative to the highest precision everywhere.

    Every cost is a sum over units and what runs whatever is chosen, or a product of such sums. An
    input that leaves spends nothing behind its exit.

    Args:
        metric: name of what is counted.
        units: names of the U decision units.
        choices: K options in the order of choice indices.
        unit_costs: [summands, U, K], each summand relative to its own reference.
        settled: [summands, U + 1], of what no choice changes, by how many units an input stays for
            to come that far; see `cost_table.Stages`.
        reference: what a relative cost of 1 amounts to, in the metric's SI unit.
        offered: bool [U, K], what each unit may choose; everything if None. The cost of what is
            not offered never counts.

    Raises:
        InputError: if `offered` is of another shape, or leaves a unit nothing to choose.
    """

    unit_costs: Tensor
    settled: Tensor
    offered: Tensor

    def __init__(
        self,
        metric: str,
        units: Sequence[str],
        choices: Sequence[Precision],
        unit_costs: np.ndarray,
        settled: np.ndarray,
        reference: float,
        offered: ArrayLike | None = None,
    ) -> None:
        super().__init__()
        self.metric, self.units, self.choices = metric, tuple(units), tuple(choices)
        self.reference = reference
        self.leaving = exit_index(self.choices)
        mask = _offered(offered, self.units, self.choices)
        self.register_buffer("unit_costs", torch.tensor(unit_costs, dtype=torch.float32))
        self.register_buffer("settled", torch.tensor(settled, dtype=torch.float32))
        self.register_buffer("offered", torch.from_numpy(mask))

    @property
    def floor(self) -> float:
        """The lowest mean cost any choices on offer can reach (for edp: a bound)."""
        return float(self._totals(-1).amin(1).prod())

    @property
    def ceiling(self) -> float:
        """The highest mean cost: a little over 1 where gates cost something (for edp: a bound)."""
        return float(self._totals(1).amax(1).prod())

    def _totals(self, sign: int) -> Tensor:
        """The most (or, for a sign of -1, the least) that each summand can come to for inputs that
        leave at each unit that offers it, and for those that do not leave."""
        stays = self.offered.clone()
        if self.leaving != NEVER:
            stays[:, self.leaving] = False
        signed = sign * self.unit_costs.double()
        extreme = sign * signed.masked_fill(~stays, -math.inf).amax(2)
        spent = functional.pad(extreme.cumsum(1), (1, 0)) + self.settled.double().cumsum(1)
        ends = [len(self.units)]
        if self.leaving != NEVER:
            ends += self.offered[:, self.leaving].nonzero()[:, 0].tolist()
        return spent[:, ends]

    def forward(self, gates: Tensor) -> Tensor:
        """Relative cost of each input; waits for no device.

        Args:
            gates: [N, units, choices], one-hot or probabilities.

        Returns:
            [N]. For edp, values whose mean is the product of the two means.
        """
        expected = (len(self.units), len(self.choices))
        if gates.ndim != 3 or gates.shape[1:] != expected:
            raise ValueError(
                f"gates of shape {list(gates.shape)} do not fit {expected[0]} units "
                f"({', '.join(self.units)}) and {expected[1]} choices "
                f"({', '.join(map(str, self.choices))})"
            )
        # Not a matrix product: autocast would take its sum in half precision, and that over many
        # units would be off by as much as a budget may be missed.
        chosen = gates * self.unit_costs[:, None]
        if self.leaving == NEVER:
            sums = self.settled[:, :1] + chosen.sum((2, 3))
        else:
            begun = self._begun(gates)
            settled = (begun * self.settled[:, None]).sum(2)
            sums = settled + (chosen * begun[:, :-1, None]).sum((2, 3))
        return sums[0] if len(sums) == 1 else sums[0] * sums[1].mean()

    def _begun(self, gates: Tensor) -> Tensor:
        """Whether inputs come to each unit and to the end, [N, U + 1], with the gradient of leaving
        before."""
        return functional.pad((1 - gates[:, :, self.leaving]).cumprod(1), (1, 0), value=1.0)

    def of_choices(self, choices: Tensor) -> Tensor:
        """Relative cost [N] of choices given by index, int64 [N, units].

        Raises:
            InputError: if a unit took a choice that it does not offer.
        """
        one_hot = functional.one_hot(choices.long(), len(self.choices))
        costs = self(one_hot.to(self.unit_costs))
        foreign = one_hot.bool() & ~self.offered
        if self.leaving != NEVER:  # what has left goes on choosing so where there is no exit
            foreign &= (self._begun(one_hot.to(self.unit_costs))[:, :-1] > 0)[:, :, None]
        foreign = foreign.any(0).nonzero()
        if len(foreign):
            unit, choice = foreign[0].tolist()
            raise InputError(f"unit '{self.units[unit]}' does not offer '{self.choices[choice]}'")
        return cast(Tensor, costs)


class HardwareCost(RelativeCost):
    """What one input costs on a machine: a `CostTable` made differentiable.

    The energy-delay product (`edp`) is expected energy times expected latency, as of a long stream
    of inputs. The reference is one input at the highest precision everywhere in a network without
    gates, in J, s, J s or BitOps.

    Args:
        table: costs of the network's units on the machine.
        metric: one of `metrics.budgeted`, such as ``energy``.
        offered: bool [units, choices], what each unit may choose; everything if None.

    Raises:
        InputError: if the metric is unknown, `offered` does not fit, or the table is none.
        InfeasibleError: if the machine cannot run a choice where it is offered.
    """

    def __init__(
        self, table: CostTable, metric: str = "energy", offered: ArrayLike | None = None
    ) -> None:
        if not isinstance(table, CostTable):
            raise InputError(
                f"what choices cost is a CostTable, as cost_table(workload_of(network), machine, "
                f"network.choices) makes it, not {quoted(table)}"
            )
        summands = named(metric, budgeted()).summands
        table = _without_what_nobody_runs(table, _offered(offered, table.units, table.choices))
        parts = [_stages(table, summand) for summand in summands]
        totals = [table.reference(summand) for summand in summands]
        pairs = list(zip(parts, totals, strict=True))
        super().__init__(
            metric,
            table.units,
            table.choices,
            np.stack([stages.units / total for stages, total in pairs]),
            np.stack([stages.settled / total for stages, total in pairs]),
            math.prod(totals),
            offered,
        )


def _stages(table: CostTable, metric: str) -> Stages:
    """What a table charges; without exits, what decides about a unit at each of its choices."""
    if table.leaving != NEVER:
        return table.stages(metric)
    fixed, units = table.costs(metric)
    return Stages(np.array([fixed] + [0.0] * len(table.units)), units)


class BlockCost(RelativeCost):
    """What DFS counts (Shen et al., AAAI 2020, released code): the mean of (b/32)^2 over blocks.

    All gated blocks weigh the same; what always runs, gates included, is free, and so is a skipped
    block. Full precision costs 1 whether it is offered or not, so that "30%" means what it means
    in the paper. With weights and activations of different widths, a block costs w*a/32^2
    (FracTrain, Fu et al., NeurIPS 2020). The reference is the number of blocks.

    Args:
        units: names of the gated blocks.
        choices: in the order of choice indices.
        offered: bool [units, choices], what each unit may choose; everything if None.
    """

    def __init__(
        self,
        units: Sequence[str],
        choices: Sequence[Precision],
        offered: ArrayLike | None = None,
    ) -> None:
        each = np.array([block_cost(choice) for choice in choices]) / len(units)
        super().__init__(
            PAPER,
            units,
            choices,
            np.tile(each, (1, len(units), 1)),
            np.zeros((1, len(units) + 1)),
            float(len(units)),
            offered,
        )


def block_cost(choice: Precision) -> float:
    """What DFS charges for a block, relative to full precision."""
    return 1.0 if choice.full else choice.bitops_per_mac / PAPER_BITS**2


def cost_of(table: CostTable, metric: str, offered: ArrayLike | None = None) -> RelativeCost:
    """The cost of a network by any metric: those of its table, or ``paper``.

    Args and errors are those of `HardwareCost`.
    """
    if metric == PAPER:
        return BlockCost(table.units, table.choices, offered)
    return HardwareCost(table, named(metric, budgeted(), PAPER).name, offered)


def _offered(
    offered: ArrayLike | None, units: Sequence[str], choices: Sequence[Precision]
) -> np.ndarray:
    """What each unit may choose, bool [units, choices]."""
    shape = (len(units), len(choices))
    if offered is None:
        return np.ones(shape, dtype=bool)
    mask = offered.cpu().numpy() if isinstance(offered, Tensor) else np.asarray(offered)
    mask = mask.astype(bool)
    if mask.shape != shape:
        raise InputError(
            f"what is offered has shape {list(mask.shape)}, and there are {shape[0]} units of "
            f"{shape[1]} choices"
        )
    for unit, some in zip(units, mask, strict=True):
        if not some.any():
            raise InputError(f"unit '{unit}' offers nothing to choose from")
    return mask


def _without_what_nobody_runs(table: CostTable, offered: np.ndarray) -> CostTable:
    """The table, silent about choices that the machine cannot run where they are not offered."""
    asked = {
        (layer, choice): reason
        for (layer, choice), reason in table.infeasible.items()
        if offered[table.unit_of_layer[layer], choice]
    }
    return replace(table, infeasible=asked)
