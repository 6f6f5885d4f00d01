"""What holds training to a budget: the term that a network's cost adds to the loss.

Every controller prices the differentiable cost of the batch at hand, and is told now and then what
held-out inputs really cost by the branches they chose: the first is what gradients need, the second
what the budget is about (proxy constraints, as in Cooper, arXiv 2504.01212).

Costs are per input and relative to the highest precision everywhere, so strengths depend neither on
the size of the batch nor on the depth of the network.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from numbers import Real
from typing import ClassVar

import torch
from torch import Tensor

from accel_models.errors import DfsHwError, InputError, quoted
from dfs_hw.budgets.budget import TOLERANCE

STRENGTH = 0.3
"""Loss, at a relative cost of 1, that a controller starts from, or ramps to, unless told."""
WEAKEST, STRONGEST = 1e-3, 100.0
"""What an adaptive strength stays within: at the upper end it drowns any task's loss."""

GROWTH = 1.2
"""Factor on the sign switch's strength after an observation off target."""

RAMP_START, RAMP_END = 0.01, 0.5
"""Share of its strength that the hinge begins with, and of the stage when it has all of it."""

INTEGRAL = 20.0
"""Growth of the PI controller's log price over a whole stage that costs twice its target."""
PROPORTIONAL = 2.0
"""Log price that the same error adds while it lasts. Gates follow a price late and then all at
once: with a quarter of this, the cost swings around the target."""
SMOOTHING = 0.01
"""Share of a stage over which the PI controller averages what it observes."""
DEAD_BAND = TOLERANCE / 2
"""Share of the target within which the PI controller is content; less than the tolerance, so that
it does not come to rest on the tolerance's edge."""


class Controller(ABC):
    """Adds a price of cost to the loss.

    Args:
        target: cost to reach, relative to the highest precision everywhere.
        strength: loss at a relative cost of 1.

    Raises:
        InputError: if the target or the strength is not a positive number.
    """

    saved: ClassVar[tuple[str, ...]]
    """Attributes that change while training."""

    def __init__(self, target: float, strength: float = STRENGTH) -> None:
        for name, value in (("target", target), ("strength", strength)):
            if not isinstance(value, Real) or not 0 < value < math.inf:
                raise InputError(
                    f"a controller's {name} must be a number above 0, such as the fraction of a "
                    f"Budget, got {quoted(value)}"
                )
        self.target, self.strength = float(target), float(strength)

    @abstractmethod
    def slope(self, mean: Tensor) -> Tensor:
        """Loss that a relative cost of 1 is worth now, a scalar without gradient: what choices
        that are tried are to be weighed by. Below 0 where cost is rewarded.

        Args:
            mean: of the costs over the batches of all processes, as in `term`.
        """

    def term(self, costs: Tensor, mean: Tensor | None = None) -> Tensor:
        """What to add to the loss; differentiable, and waits for no device.

        Args:
            costs: expected relative cost [N] of each input of the batch.
            mean: of the costs over the batches of all processes that train together, a scalar
                without gradient; decisions are then by it, and the same everywhere.
        """
        own = costs.mean()
        return self.slope(own.detach() if mean is None else mean) * self._priced(own)

    def _priced(self, own: Tensor) -> Tensor:
        """What of the batch's mean cost has the price."""
        return own

    def observe(self, cost: float, progress: float) -> None:
        """Learn what held-out inputs cost.

        Args:
            cost: relative, replayed from the branches that were chosen, in the budget's statistic.
            progress: how far the stage is, from 0 to 1.

        Raises:
            DfsHwError: if one of them is not a number.
        """
        if not (math.isfinite(cost) and math.isfinite(progress)):
            raise DfsHwError(f"observed a cost of {cost} at {progress} of the stage")
        self._adapt(cost, min(max(progress, 0.0), 1.0))

    @abstractmethod
    def _adapt(self, cost: float, progress: float) -> None: ...

    @abstractmethod
    def describe(self) -> dict[str, float]:
        """Scalars worth a curve in a log."""

    def state(self) -> dict[str, float]:
        """What has changed since the start, as plain JSON, to go on from exactly here."""
        return {name: getattr(self, name) for name in self.saved}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from what `state` gave.

        Raises:
            InputError: if the state is another controller's.
        """
        if set(state) != set(self.saved):
            raise InputError(
                f"the state of another controller ({', '.join(sorted(state)) or 'empty'}): "
                f"{type(self).__name__} has {', '.join(sorted(self.saved))}"
            )
        for name, value in state.items():
            setattr(self, name, float(value))


class SignSwitch(Controller):
    """DFS's controller: price the cost while a batch is over the target, reward it while not.

    The upward push is what brings back gates that have closed for good. It only wins where it
    outweighs what precision is worth to the task, which nobody knows beforehand: so the strength
    starts gentle and grows with every observation off target.

    Args:
        growth: factor on the strength after an observation off target; 1 keeps it as it is.
    """

    saved = ("strength",)

    def __init__(
        self, target: float, strength: float = STRENGTH, *, growth: float = GROWTH
    ) -> None:
        super().__init__(target, strength)
        if not 1 <= growth < math.inf:
            raise InputError(f"the sign switch's growth must be at least 1, got {growth}")
        self.growth = float(growth)

    @classmethod
    def paper(cls, target: float, units: int, batch: int, beta: float = 1e-5) -> SignSwitch:
        """The switch as DFS has it (released code): loss = CE + r * beta * E, r = 1 or -1.

        E adds up (b/32)^2 over all inputs of the batch and all gated blocks, which is
        batch x units times the mean of `BlockCost`: the strength silently grows with batch and
        depth, and is 0.02 for ResNet-38 at a batch of 128. It stays fixed. A last, smaller batch
        of an epoch would weigh less in the original.

        Args:
            target: share of the blocks' full-precision cost, for use with `BlockCost`.
            units: number of gated blocks.
            batch: inputs per step, over all processes.
            beta: of the paper's code.
        """
        return cls(target, beta * batch * units, growth=1.0)

    def slope(self, mean: Tensor) -> Tensor:
        return (2 * _over(mean, self.target) - 1) * self.strength

    def _adapt(self, cost: float, progress: float) -> None:
        if abs(cost - self.target) > TOLERANCE * self.target:
            grown = min(self.strength * self.growth, STRONGEST)
            self.strength = max(self.strength, grown)

    def describe(self) -> dict[str, float]:
        return {"strength": self.strength}


class Hinge(Controller):
    """Price only what exceeds the target, ever more: strength * max(0, cost - target).

    PLiNIO's DUCCIO (arXiv 2206.00302, and its code): the strength rises along a
    line from a hundredth to all of it over the first half of the stage. There it defaults to
    task loss / (cost - target) as found at the start. Where it is less than what precision is
    worth to the task, the target is missed; nothing pushes upwards.
    """

    saved = ("progress",)

    def __init__(self, target: float, strength: float = STRENGTH) -> None:
        super().__init__(target, strength)
        self.progress = 0.0

    @property
    def ramped(self) -> float:
        """The strength at this point of the stage."""
        share = RAMP_START + (1 - RAMP_START) * self.progress / RAMP_END
        return self.strength * min(share, 1.0)

    def slope(self, mean: Tensor) -> Tensor:
        return self.ramped * _over(mean, self.target)

    def _priced(self, own: Tensor) -> Tensor:
        return own - self.target

    def _adapt(self, cost: float, progress: float) -> None:
        self.progress = progress

    def describe(self) -> dict[str, float]:
        return {"strength": self.ramped}


class PIController(Controller):
    """Price * cost, the price found by a proportional-integral controller.

    The price lives on a logarithmic scale, on which one step is the same factor everywhere
    (after HGQ2's BetaPID). It reacts to the smoothed excess over the target, relative to it, by
    progress rather than by observation: observing twice as often changes little. The integral is
    held within the limits of the price, so it cannot wind up beyond them. Nothing pushes upwards
    but the task itself.

    Args:
        strength: the price at first.
    """

    saved = ("log_price", "smoothed", "progress")

    def __init__(self, target: float, strength: float = STRENGTH) -> None:
        super().__init__(target, strength)
        self.log_price = _within_limits(math.log(self.strength))
        self.smoothed, self.progress = self.target, 0.0

    @property
    def error(self) -> float:
        """Smoothed excess relative to the target: -1 to 1, and 0 in the dead band."""
        error = (self.smoothed - self.target) / self.target
        return 0.0 if abs(error) <= DEAD_BAND else min(error, 1.0)

    @property
    def price(self) -> float:
        """Loss at a relative cost of 1."""
        return math.exp(_within_limits(self.log_price + PROPORTIONAL * self.error))

    def slope(self, mean: Tensor) -> Tensor:
        return torch.full_like(mean, self.price)

    def _adapt(self, cost: float, progress: float) -> None:
        elapsed = max(progress - self.progress, 0.0)
        self.smoothed = cost + (self.smoothed - cost) * math.exp(-elapsed / SMOOTHING)
        self.log_price = _within_limits(self.log_price + INTEGRAL * self.error * elapsed)
        self.progress = progress

    def describe(self) -> dict[str, float]:
        return {"price": self.price, "smoothed_cost": self.smoothed}


CONTROLLERS: dict[str, type[Controller]] = {"sign": SignSwitch, "hinge": Hinge, "pi": PIController}


def controller(name: str, target: float, strength: float = STRENGTH) -> Controller:
    """A controller by name: ``sign``, ``hinge`` or ``pi``.

    Raises:
        InputError: if the name is unknown, or the target or the strength is not above 0.
    """
    if name not in CONTROLLERS:
        raise InputError(f"no controller is called '{name}': choose from {', '.join(CONTROLLERS)}")
    return CONTROLLERS[name](target, strength)


def _over(mean: Tensor, target: float) -> Tensor:
    """1 over the target, 0 at or under it; stays on the device."""
    return (mean.detach() > target).to(mean.dtype)


def _within_limits(log_price: float) -> float:
    return min(max(log_price, math.log(WEAKEST)), math.log(STRONGEST))
