"""The assignments that an oracle may choose from, each the same choices for all inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod

import numpy as np

from accel_models.assignment import pareto_assignments
from accel_models.costs.cost_table import CostTable
from accel_models.costs.static_costs import StaticCosts
from accel_models.errors import InputError

Choices = tuple[int, ...]
"""Index of the choice of each unit."""
BUDGETS = 24
"""Budgets that the integer program is asked for at a time."""
CHANGES = 0.5
"""Share of the room in a family that changes of one unit may take."""


def family(
    table: CostTable,
    offered: np.ndarray,
    metric: str,
    most: int,
    risk: Callable[[Choices], float],
) -> tuple[Choices, ...]:
    """Assignments near the front of risk and cost, at most so many; all there are if they fit.

    First every width everywhere, and all that can be skipped skipped. Then changes of one unit
    from the highest and the lowest width, evenly many if there is no room for all. A linear model
    of the risk, a term for each unit and choice, is fitted to what has been measured, and the
    integer program proposes the front that it expects; measured, these are fitted too, until
    nothing new is proposed or the family is full.

    Args:
        offered: what each unit may choose, bool [units, choices]. To leave the network is another
            network, and is left out.
        risk: measures an assignment on validation inputs.

    Raises:
        InputError: if there is no room for the widths.
    """
    may = offered & ~np.array([choice.exits for choice in table.choices])
    if prod(may.sum(axis=1).tolist()) <= most:
        return tuple(product(*(np.flatnonzero(unit).tolist() for unit in may)))
    found = dict.fromkeys(_everywhere(table, may))
    if len(found) > most:
        raise InputError(
            f"a family of {most} assignments has no room for the {len(found)} widths of "
            f"{table.workload.name}"
        )
    room = int((most - len(found)) * CHANGES)
    found |= dict.fromkeys(_evenly([one for one in _changes(table, may) if one not in found], room))
    while len(found) < most:
        losses = _linear([*found], [risk(one) for one in found], may)
        proposed = _front(table, losses, metric, may, [*found])
        new = [one for one in proposed if one not in found]
        if not new:
            break
        found |= dict.fromkeys(_evenly(new, most - len(found)))
    return tuple(found)


def static_costs(table: CostTable, assignments: Sequence[Choices], metric: str) -> np.ndarray:
    """Cost of one input at each assignment in the network without gates, float64 [M] in SI units:
    what a gate costs, and what deciding late costs, is not in it."""
    bare = StaticCosts(
        table.workload.without_gates(), table.accelerator, table.choices, table.always
    )
    return bare.costs(np.array(assignments), metric)


def _everywhere(table: CostTable, may: np.ndarray) -> Iterator[Choices]:
    """Every choice in all units that offer it, the rest at the cheapest width that they have."""
    order = sorted(range(len(table.choices)), key=lambda one: table.choices[one].bitops_per_mac)
    for choice in reversed(order):
        if may[:, choice].any():
            yield tuple(
                choice if unit[choice] else next(one for one in order if unit[one]) for unit in may
            )


def _changes(table: CostTable, may: np.ndarray) -> Iterator[Choices]:
    """Changes of one unit from the highest width, and from the lowest."""
    widths = [one for one, choice in enumerate(table.choices) if choice.runs and may[:, one].any()]
    widths.sort(key=lambda one: table.choices[one].bitops_per_mac)
    everywhere = list(_everywhere(table, may))
    for base in (everywhere[0], everywhere[len(widths) - 1]):
        for unit, choice in np.argwhere(may).tolist():
            if choice != base[unit]:
                yield (*base[:unit], choice, *base[unit + 1 :])


def _linear(assignments: Sequence[Choices], risks: Sequence[float], may: np.ndarray) -> np.ndarray:
    """What each choice of a unit adds to the risk by a linear model [units, choices]; as much as
    the mean of the unit's others where it was never tried."""
    chosen = np.eye(may.shape[1])[np.array(assignments)].reshape(len(assignments), -1)
    tried = chosen.any(axis=0).reshape(may.shape)
    values = np.array(risks) - np.mean(risks)
    terms = np.linalg.lstsq(chosen - chosen.mean(axis=0), values, rcond=None)[0].reshape(may.shape)
    usual = np.where(tried, terms, 0.0).sum(axis=1) / tried.sum(axis=1)
    return np.where(tried, terms, usual[:, None])


def _front(
    table: CostTable, losses: np.ndarray, metric: str, may: np.ndarray, known: Sequence[Choices]
) -> list[Choices]:
    """Assignments that the integer program finds best for budgets between the known ones' costs."""
    costs = static_costs(table, known, metric)
    budgets = np.linspace(costs.min(), costs.max(), BUDGETS).tolist()
    found = pareto_assignments(table, losses, metric, budgets=budgets, offered=may)
    return [one.choices for one in found]


def _evenly(items: Sequence[Choices], most: int) -> list[Choices]:
    """Items, evenly spaced, at most so many of them."""
    if len(items) <= most:
        return list(items)
    places = np.linspace(0, len(items) - 1, max(most, 0)).round().astype(int)
    return [items[place] for place in places]
