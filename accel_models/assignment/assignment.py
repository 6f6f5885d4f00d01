"""The best static assignment: one choice for each unit, for all inputs, within a budget.

This is what a network that decides per input has to beat. The problem is the integer program of
HAWQ-V3 (Yao et al., ICML 2021), a sensitivity for each unit and choice summed under a budget, but
for its costs: they are those simulated, where what a unit costs depends on what ran before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from accel_models.assignment.constrained_path import (
    LARGEST_COST,
    ROUNDING,
    Paths,
    best_paths,
    least_cost,
    pareto_paths,
)
from accel_models.assignment.graph import AssignmentGraph
from accel_models.assignment.static_network import static_network
from accel_models.costs.cost_table import CostTable
from accel_models.errors import InfeasibleError, InputError
from accel_models.metrics import METRICS
from accel_models.precision import Precision

LARGEST_LOSS = 1e100
"""Beyond, sums might overflow."""


@dataclass(frozen=True)
class Assignment:
    """One choice for each unit."""

    choices: tuple[int, ...]
    """Index of the choice of each unit, in the order of `CostTable.units`."""
    cost: float
    """What `simulate` says of the network without gates, in J, s or BitOps."""
    loss: float
    """Sum over units, in execution order."""

    def precisions(self, table: CostTable) -> dict[str, Precision]:
        """The choices by unit, as `simulate` takes them."""
        pairs = zip(table.units, self.choices, strict=True)
        return {unit: table.choices[choice] for unit, choice in pairs}


def best_assignment(
    table: CostTable,
    losses: np.ndarray,
    budget: float,
    metric: str = "energy",
    *,
    offered: np.ndarray | None = None,
) -> Assignment:
    """The assignment of least summed loss whose cost is within a budget; of equals, the cheapest.

    It is exact, but for energies so close that they differ in the rounding of float64 alone.

    Args:
        table: the network, with its gates or without, its machine, and its choices.
        losses: float [unit, choice], what each choice of a unit adds to the loss. Where a choice
            is not offered, the value does not matter.
        budget: for one input in J, s or BitOps.
        metric: what the budget counts: cost of the network without gates, with leakage, and with
            weights that load while the unit before still computes.
        offered: bool [unit, choice], what each unit may choose; by default everything. What the
            machine cannot run is never chosen, nor is to leave: a network that always leaves at one
            place is another one, with fewer units.

    Raises:
        InputError: if losses or choices do not fit the table, or nothing is within the budget.
        InfeasibleError: if the machine can run nothing that a unit is offered.
    """
    return _best(_graphs(table, losses, metric, offered), budget)


def pareto_assignments(
    table: CostTable,
    losses: np.ndarray,
    metric: str = "energy",
    *,
    budgets: Sequence[float] | None = None,
    offered: np.ndarray | None = None,
) -> list[Assignment]:
    """Assignments that no other beats in cost and loss at once, the cheapest first.

    Args:
        table, losses, metric, offered: as for `best_assignment`.
        budgets: for one input in J, s or BitOps: only the best assignments for these. By default
            the whole front, which can be too large to compute for many units.

    Raises:
        InputError: as `best_assignment`, or if the whole front is too large to hold.
        InfeasibleError: as `best_assignment`.
    """
    graphs = _graphs(table, losses, metric, offered)
    if budgets is None:
        found = [one for graph in graphs for one in _assignments(graph, pareto_paths(graph.steps))]
    else:
        found = [_best(graphs, budget) for budget in budgets]
    found.sort(key=lambda one: (one.cost, one.loss))
    least_before = accumulate((one.loss for one in found), min, initial=math.inf)
    return [one for one, least in zip(found, least_before, strict=False) if one.loss < least]


def _best(graphs: Sequence[AssignmentGraph], budget: float) -> Assignment:
    if not budget >= 0:
        raise InputError(f"a budget is an amount of at least 0, got {budget}")
    found = [one for graph in graphs for one in _within(graph, budget)]
    if found:
        return min(found, key=lambda one: (one.loss, one.cost))
    cheapest = [one for graph in graphs for one in _assignments(graph, least_cost(graph.steps))]
    least, metric = min(one.cost for one in cheapest), graphs[0].metric
    unit = METRICS[metric].unit
    raise InputError(
        f"no assignment is within {float(budget)!r} {unit}: the least {metric} that "
        f"can be reached is {least!r} {unit}"
    )


def _within(graph: AssignmentGraph, budget: float) -> list[Assignment]:
    """Assignments within the budget, among them the best one."""
    exact = min(budget / graph.resolution, LARGEST_COST)
    # Energies are rounded to integers: whether one is within is seen when it is priced exactly.
    sure, limit = (int(exact * (1 + sign * ROUNDING)) for sign in (-1, 1))
    found = _assignments(graph, best_paths(graph.steps, limit, sure))
    return [one for one in found if one.cost <= budget]


def _assignments(graph: AssignmentGraph, paths: Paths) -> list[Assignment]:
    choices = graph.choices(paths)
    costs = graph.network.costs(choices, graph.metric)
    rows = zip(choices.tolist(), costs.tolist(), paths.loss.tolist(), strict=True)
    return [Assignment(tuple(chosen), cost, loss) for chosen, cost, loss in rows]


def _graphs(
    table: CostTable, losses: np.ndarray, metric: str, offered: np.ndarray | None
) -> list[AssignmentGraph]:
    """Every assignment, by its widest activation: that sets the width of tensors between units."""
    may = _offered(table, offered)
    losses = _losses(table, losses, may)
    bits = np.array([choice.activation_bits for choice in table.choices])
    always, graphs = table.always.activation_bits, []
    can = np.zeros_like(may)
    for widest in sorted({always, *bits[may.any(axis=0) & (bits > always)].tolist()}):
        network = static_network(table, widest)
        allowed = may & (bits <= widest)
        for stretch in network.stretches:
            if stretch.unit >= 0:
                allowed[stretch.unit] &= stretch.feasible
        can |= allowed
        reached = widest == always or allowed[:, bits == widest].any()
        if reached and allowed.any(axis=1).all():
            graphs.append(AssignmentGraph(network, losses, allowed, metric))
    if not graphs:
        stuck = ", ".join(np.array(table.units)[~can.any(axis=1)])
        raise InfeasibleError(
            f"{table.accelerator.name} can run none of the choices that {stuck} may take"
        )
    return graphs


def _offered(table: CostTable, offered: np.ndarray | None) -> np.ndarray:
    shape = (len(table.units), len(table.choices))
    if offered is None:
        offered = np.ones(shape, dtype=bool)
    offered = np.array(offered, dtype=bool)
    _check_shape("what is offered", offered, shape)
    offered[:, [choice.exits for choice in table.choices]] = False
    for unit in np.flatnonzero(~offered.any(axis=1)):
        raise InputError(f"unit '{table.units[unit]}' is offered no choice")
    return offered


def _losses(table: CostTable, losses: np.ndarray, offered: np.ndarray) -> np.ndarray:
    losses = np.asarray(losses, dtype=np.float64)
    _check_shape("losses", losses, offered.shape)
    for unit, choice in np.argwhere(offered & ~(np.abs(losses) <= LARGEST_LOSS)):
        raise InputError(
            f"the loss of unit '{table.units[unit]}' at {table.choices[choice]} must be a number "
            f"within +-{LARGEST_LOSS:g}, got {losses[unit, choice]}: do not offer what is ruled out"
        )
    return losses


def _check_shape(what: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise InputError(
            f"{what} must be [units, choices] = {list(shape)}, got an array of {list(array.shape)}"
        )
