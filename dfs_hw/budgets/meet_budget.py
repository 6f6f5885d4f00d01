"""The last few percent to a budget, without training: one price of cost for all gates.

Every choice's logit is lowered by tau times its cost, and tau is found by bisection on held-out
inputs. A single scalar is the Lagrange multiplier of the budget: it takes away precision where the
gates were least sure of it.

On ordinarily trained gates this is for the last few percent only. Further out the cost stays flat
and then falls off a cliff, as do the accuracy and the gates' reading of their inputs; a gate that
was trained with the price as an input goes further (`price` of `DynamicNetwork`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from accel_models.errors import InputError
from dfs_hw.budgets.budget import check_statistic, statistic_of
from dfs_hw.budgets.hardware_cost import RelativeCost
from dfs_hw.recording import evaluate

if TYPE_CHECKING:
    from dfs_hw.data import Dataset
    from dfs_hw.networks import DynamicNetwork

STEPS = tuple(2.0**exponent for exponent in range(-2, 5))
"""Shifts tried, up or down, until the cost has passed the target. The largest makes the dearest
choice of an average unit some million times less likely than the cheapest."""
HALVINGS = 12
"""Times that the interval in which the cost passes the target is halved, at most."""
CLIFF = 0.02
"""Accuracy lost beyond which meeting a budget this way is no fair trade."""


@dataclass(frozen=True)
class Feasible:
    """How a network was brought to its budget, or as near as it would go."""

    target: float
    """Cost to reach, relative to the highest precision everywhere."""
    statistic: str
    """Figure of the inputs' costs that was to reach it: ``mean``, or ``p50`` to ``p99``."""
    tau: float
    """Logits that the dearest choice of an average unit lost against its cheapest; below 0 where
    there was budget left to spend."""
    cost_before: float
    """Relative cost, in the statistic, before any shift."""
    cost_after: float
    """Relative cost as the network was left."""
    accuracy_before: float
    """Share classified right, 0 to 1, before any shift."""
    accuracy_after: float
    """Share classified right as the network was left."""
    met: bool
    """Whether the cost is within the tolerance of the target, on either side."""
    within: bool
    """Whether the cost is not over the target by more than the tolerance. Where it can only move in
    jumps, as a percentile does, it may be well under."""
    cliff: bool
    """Whether the accuracy fell by more than `CLIFF`: train longer rather than use this."""
    evaluations: int
    """Passes over the data set it took."""


class Look(NamedTuple):
    """What a network costs and does at one shift."""

    tau: float
    cost: float
    accuracy: float


def meet_budget(
    network: DynamicNetwork,
    dataset: Dataset,
    cost: RelativeCost,
    target: float,
    *,
    statistic: str = "mean",
    tolerance: float = 0.02,
    price: float | None = None,
) -> Feasible:
    """Shift the gates' logits by the cost of their choices until a budget is met.

    The shift is added to ``network.shift``, and with it saved. Wherever the search ends, the cost
    is no further from the target than before, and not over the budget if it was not over before.
    At an error or Ctrl-C the network is as it was.

    Args:
        network: its shift is changed; nothing else is.
        dataset: held-out inputs, not those that accuracy is reported on.
        cost: of the network's choices.
        target: cost to reach, relative to the highest precision everywhere.
        statistic: of the inputs' costs, ``mean`` or a percentile, ``p50`` to ``p99``.
        tolerance: share of the target by which the cost may miss it, either way.
        price: of cost, for gates that take one.

    Raises:
        InputError: if the target, the tolerance or the statistic makes no sense.
    """
    target = float(target)
    _check(network, cost, target, statistic, tolerance)

    def run(tau: float) -> tuple[Look, Tensor]:
        result = evaluate(network, dataset, price=price)
        choices = result.choices.to(cost.unit_costs.device)
        costs = cost.of_choices(choices)
        return Look(tau, statistic_of(costs, statistic), result.accuracy), choices

    start, choices = run(0.0)
    found, per_tau = network.shift.clone(), shift_per_tau(cost, choices).to(network.shift.device)

    def look(tau: float) -> Look:
        network.shift.copy_(found + tau * per_tau)
        return run(tau)[0]

    settled = found
    try:
        looks = search_shift(look, start, target, tolerance)
        best = nearest(looks, target, tolerance)
        settled = found + best.tau * per_tau
    finally:
        network.shift.copy_(settled)
    return _found(looks, best, target, statistic, tolerance)


def _check(
    network: DynamicNetwork, cost: RelativeCost, target: float, statistic: str, tolerance: float
) -> None:
    """Refuse what makes no sense as a budget of the network."""
    check_statistic(statistic, cost.metric)
    if not (0 < target < math.inf and 0 <= tolerance < 1):
        raise InputError(
            f"cannot meet a budget of {target:g} within {tolerance:.0%}: the budget must be above "
            "0, the tolerance from 0 to below 100%"
        )
    if network.choices != cost.choices:
        raise InputError(
            f"the cost is of the choices {', '.join(map(str, cost.choices))}, the network's are "
            f"{', '.join(map(str, network.choices))}"
        )


def _found(
    looks: Sequence[Look], best: Look, target: float, statistic: str, tolerance: float
) -> Feasible:
    """What came of all looks, the first of which shifted nothing."""
    start = looks[0]
    return Feasible(
        target,
        statistic,
        best.tau,
        start.cost,
        best.cost,
        start.accuracy,
        best.accuracy,
        met=_on_target(best, target, tolerance),
        within=best.cost <= target * (1 + tolerance),
        cliff=start.accuracy - best.accuracy > CLIFF,
        evaluations=len(looks),
    )


def shift_per_tau(cost: RelativeCost, choices: Tensor) -> Tensor:
    """What a tau of 1 takes from each logit, float32 [units, K].

    It is the cost that one more input adds by each choice, above the unit's cheapest, and scaled so
    that the dearest of an average unit loses one logit. All units pay the same price per cost. A
    product of sums (edp) is taken at its slope.

    Args:
        choices: int64 [N, units], at which the slope is taken.
    """
    made = functional.one_hot(choices, len(cost.choices)).to(cost.unit_costs)
    with torch.enable_grad():
        made.requires_grad_()
        (slopes,) = torch.autograd.grad(cost(made).mean(), made)
    slope = slopes.sum(0)
    cheapest = slope.masked_fill(~cost.offered, math.inf).amin(1, keepdim=True)
    above = (slope - cheapest).masked_fill(~cost.offered, 0)
    average = above.amax(1).mean()
    return above / average if average > 0 else above


def search_shift(
    look: Callable[[float], Look], start: Look, target: float, tolerance: float
) -> list[Look]:
    """Look for a shift whose cost is on target: first by doubling, then by halving.

    The cost need not fall steadily with tau; a place where it passes the target is enough.

    Returns:
        Every look, from `start` at tau 0 to the first that is on target, if any is.
    """
    looks = [start]
    over = start.cost > target
    inner = 0.0
    for step in STEPS:
        if _on_target(looks[-1], target, tolerance):
            return looks
        looks.append(look(step if over else -step))
        if (looks[-1].cost > target) != over:
            break
        inner = looks[-1].tau
    else:
        return looks
    outer = looks[-1].tau
    for _ in range(HALVINGS):
        if _on_target(looks[-1], target, tolerance):
            break
        middle = (inner + outer) / 2
        looks.append(look(middle))
        if (looks[-1].cost > target) == over:
            inner = middle
        else:
            outer = middle
    return looks


def nearest(looks: Sequence[Look], target: float, tolerance: float) -> Look:
    """The look nearest to the target, of equals the one that shifts least.

    Where the first is within the budget, none over it will do.
    """
    limit = target * (1 + tolerance)
    within = [look for look in looks if look.cost <= limit]
    allowed = within if looks[0].cost <= limit else looks
    return min(allowed, key=lambda look: (abs(look.cost - target), abs(look.tau)))


def _on_target(look: Look, target: float, tolerance: float) -> bool:
    return abs(look.cost - target) <= tolerance * target
