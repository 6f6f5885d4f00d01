"""A network that follows the price of cost: what the price does, and where it meets a budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from accel_models.precision import highest
from dfs_hw.budgets.meet_budget import shift_per_tau
from dfs_hw.networks import DynamicNetwork
from dfs_hw.training.setup import TrainingSetup

HALVINGS = 7
"""Times the range of prices is halved, at most: what is left is less than a hundredth of it."""
ENOUGH = 0.01
"""Share of the target within which the search ends."""
PULL = 4.0
"""Logits that a price of 1 takes from the dearest choice of an average unit, against its cheapest.
With 3 to 8 the curves on validation images of the digits were much alike."""


def open_knob(setup: TrainingSetup, network: DynamicNetwork) -> None:
    """Let the price lower every choice's logit by its cost, as the Lagrange multiplier it is.

    So the gates have to learn what a choice is worth, which the price is then held against: by
    that, no decision on the same features gets dearer as it rises. Left to find a use for the price
    among their inputs by themselves, gates hardly respond: after stage 3 on the digits, cost at
    price 0 was within 1 % of that at price 1.
    """
    full = network.uniform(highest(network.choices))[None]
    network.price_shift.copy_(PULL * shift_per_tau(setup.cost, full.to(setup.device)))


class Setting(NamedTuple):
    """What a network does and costs at one price."""

    price: float
    accuracy: float
    cost: float


def find_price(look: Callable[[float], tuple[float, float]], target: float) -> Setting:
    """The price, from 0 to 1, at which the cost comes nearest to the target.

    Cost falls with the price where a network was trained so, though not in every place; between a
    price that is too low and one that is too high, halving finds one where it passes the target.
    A budget that is met at price 0 is met there: nothing is spent for its own sake.

    Args:
        look: accuracy and relative cost of held-out inputs at a price.
        target: relative cost.
    """
    seen = [Setting(0.0, *look(0.0))]
    if seen[0].cost <= target:
        return seen[0]
    seen.append(Setting(1.0, *look(1.0)))
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        if seen[1].cost > target or abs(seen[-1].cost - target) <= ENOUGH * target:
            break
        middle = (low + high) / 2
        seen.append(Setting(middle, *look(middle)))
        low, high = (middle, high) if seen[-1].cost > target else (low, middle)
    return min(seen, key=lambda setting: (abs(setting.cost - target), setting.price))
