"""The best static assignment: one choice for every unit, for all inputs, within a budget.

This is what an adaptive network has to beat: mixed precision chosen by layer sensitivity under a
cost budget, the integer program of HAWQ-V3 (Yao et al., ICML 2021), with two differences. The cost
is the simulated one of a network without gates, in which a unit's cost depends on what ran before
it; and the optimum is found by paths through a layered graph, whose nodes carry that dependence,
instead of a general solver.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from accel_models.constrained_path import (
    ROUNDING,
    Paths,
    Step,
    best_paths,
    least_cost,
    pareto_paths,
)
from accel_models.cost_table import CostTable, Metric
from accel_models.errors import InfeasibleError, InputError
from accel_models.precision import Precision
from accel_models.static_network import StaticNetwork, Stretch, static_network

LARGEST_LOSS = 1e100
_UNITS = {"energy": "J", "latency": "s", "bitops": "BitOps"}
_ENERGY_STEPS = 2**60
"""Integer steps into which the energy of the dearest assignment is divided."""


@dataclass(frozen=True, order=True)
class Assignment:
    """One choice for every unit.

    `cost` is exactly what `simulate` says of the network without gates, in J, s or BitOps.
    """

    loss: float
    """Sum over units, in execution order."""
    cost: float
    choices: tuple[int, ...]
    """Index of each unit's choice, in the order of `CostTable.units`."""

    def precisions(self, table: CostTable) -> dict[str, Precision]:
        """The choices by unit, as `simulate` takes them."""
        return {
            unit: table.choices[choice]
            for unit, choice in zip(table.units, self.choices, strict=True)
        }


def best_assignment(
    table: CostTable,
    losses: np.ndarray,
    budget: float,
    metric: Metric = "energy",
    *,
    offered: np.ndarray | None = None,
) -> Assignment:
    """The assignment of least summed loss whose cost is within a budget; of equals, the cheapest.

    Args:
        table: the network, gated or not, its machine, and its choices.
        losses: float [unit, choice], what each choice of each unit adds to the loss. Where a
            choice is not offered, the value does not matter.
        budget: for one input, in J, s or BitOps.
        metric: what the budget counts. Costs are those of the network without gates, leakage and
            weights that load across units included.
        offered: bool [unit, choice], what each unit may choose; by default everything. What the
            machine cannot run is never chosen.

    Raises:
        InputError: if the losses do not fit the table, or no assignment is within the budget.
        InfeasibleError: if a unit has nothing left to choose.
    """
    problems = _problems(table, losses, metric, offered)
    return _best(problems, budget, metric)


def pareto_assignments(
    table: CostTable,
    losses: np.ndarray,
    metric: Metric = "energy",
    *,
    budgets: Sequence[float] | None = None,
    offered: np.ndarray | None = None,
) -> list[Assignment]:
    """The Pareto front of cost and loss, the cheapest first.

    Args:
        budgets: only the best assignment for each of these; by default the whole front, which
            grows fast with the number of units.

    The other arguments are those of `best_assignment`.

    Raises:
        InputError: as `best_assignment`; also if the front is too large to hold.
        InfeasibleError: if a unit has nothing left to choose.
    """
    problems = _problems(table, losses, metric, offered)
    if budgets is None:
        found = [a for problem in problems for a in problem.priced(pareto_paths(problem.steps))]
    else:
        found = [_best(problems, budget, metric) for budget in budgets]
    found.sort(key=lambda assignment: (assignment.cost, assignment.loss))
    least = [math.inf, *accumulate((assignment.loss for assignment in found), min)]
    return [a for a, before in zip(found, least, strict=False) if a.loss < before]


class _Node(NamedTuple):
    """All that the cost of later layers depends on."""

    tail: int = 0
    """Cycles at the end of what ran last, as far as anything still to run can use them."""
    begun: tuple[tuple[int, int], ...] = ()
    """(unit, choice) of units of which more layers follow later."""
    widest: bool = True
    """Whether some activation is as wide as the tensors between units are planned for."""


@dataclass(frozen=True)
class _Problem:
    """All assignments whose widest activation has the same width, as paths through a graph.

    Args:
        allowed: bool [unit, choice].
    """

    network: StaticNetwork
    losses: np.ndarray
    allowed: np.ndarray
    metric: Metric

    @cached_property
    def unit_cost(self) -> float:
        """Of one step of the integers that costs are counted in, in J, s or BitOps."""
        if self.metric == "energy":
            dearest = sum(
                self.network.stretch_costs(s, np.zeros_like(s.cycles), "energy").max()
                for s in self.network.stretches
            )
            return float(dearest) / _ENERGY_STEPS
        frequency = self.network.table.accelerator.frequency_hz
        return 1 / frequency if self.metric == "latency" else 1.0

    @cached_property
    def starts(self) -> list[bool]:
        """Whether a stretch is the first of its unit: where the choice is made."""
        seen: set[int] = {-1}
        return [not (s.unit in seen or seen.add(s.unit)) for s in self.network.stretches]

    @cached_property
    def useful_tail(self) -> list[int]:
        """Cycles at the end of each stretch that a later one can use at most."""
        useful = [0]
        for stretch in reversed(self.network.stretches):
            passes = useful[-1] if not stretch.runs.all() else 0
            useful.append(max(int(stretch.head.max()), passes))
        return useful[-2::-1]
