"""The price of cost at which a network with a knob keeps to a budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

HALVINGS = 7
"""Of the range of prices, at most: what is left is less than a hundredth of it."""
ENOUGH = 0.01
"""Share of the target within which the search ends."""


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
