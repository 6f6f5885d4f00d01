"""Which epoch of a stage to keep.

Each rule looks at the epochs so far and names either the last one, or the one it named before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dfs_hw.budgets.budget import TOLERANCE
from dfs_hw.training.loop.stage import Epoch

Choose = Callable[[Sequence[Epoch]], Epoch]


def latest(history: Sequence[Epoch]) -> Epoch:
    """The last epoch, whatever it came to: where later means better trained."""
    return history[-1]


def latest_of_the_best(history: Sequence[Epoch], inputs: int) -> Epoch:
    """The last epoch whose validation accuracy is within one standard error of the best.

    Smaller differences are chance, and chance favours early epochs, of which there are more than
    of those with the learning rate already low.

    Args:
        inputs: size of the validation split.
    """
    best = max(epoch.validation_accuracy for epoch in history)
    error = math.sqrt(best * (1 - best) / inputs)
    return [epoch for epoch in history if epoch.validation_accuracy >= best - error][-1]


def best_on_target(history: Sequence[Epoch], target: float, inputs: int) -> Epoch:
    """The latest of the best epochs that keep to the budget; if none does, the nearest to it.

    Args:
        target: relative cost.
        inputs: size of the validation split.
    """
    on_target = [epoch for epoch in history if miss(epoch, target) <= TOLERANCE]
    if on_target:
        return latest_of_the_best(on_target, inputs)
    return min(history, key=lambda epoch: miss(epoch, target))


def first_to_beat_all(history: Sequence[Epoch], accuracy: float) -> Epoch:
    """The most accurate epoch if it beats `accuracy`, the last one if none does.

    So the released code of DFS chooses, by an accuracy carried over from stage 1.
    """
    best = max(history, key=lambda epoch: epoch.validation_accuracy)  # the first, of equals
    return best if best.validation_accuracy > accuracy else history[-1]


def miss(epoch: Epoch, target: float) -> float:
    """Share of the target by which the validation cost is off it."""
    return abs(epoch.validation_cost / target - 1)
