"""Forward passes of a dynamic network: who decides about each unit, and what becomes of the inputs
that leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from accel_models.errors import InputError
from accel_models.leaving import NEVER
from accel_models.precision import Precision, highest
from dfs_hw.gates import Gate, Trials, decide, probabilities
from dfs_hw.networks.branches import GatedUnit
from dfs_hw.networks.design import Design
from dfs_hw.networks.exits import Leavers
from dfs_hw.networks.gate_gradient import rows

Branches = Literal["chosen", "all"]
"""Branches that run in training: those chosen, or all, weighted by the decision."""
RunUnit = Callable[[GatedUnit, Tensor], Tensor]
"""What a unit makes of its input."""


class Outcome(NamedTuple):
    """What a network made of a batch of N inputs, on the network's device.

    Units are in execution order, choices in that of `DynamicNetwork.choices`.
    """

    logits: Tensor
    """Logits of the classes [N, classes], float32; the largest is the prediction. Those of an exit
    for inputs that left there: in training with the gradient of leaving and of staying, as of any
    other choice."""
    gates: Tensor | None
    """Decisions as the loss sees them [N, units, choices], float32 and one-hot: 1 for the choice
    that ran, 0 for the others. The gradient passes straight through to the gates' probabilities, so
    that a cost of them can be descended. Under the fault ``ties-run-both`` several can be 1. Of an
    input that has left, in training what would have been chosen; in evaluation, where it is gone,
    there is no gradient. None where the choices were forced and no gate was asked."""
    choices: Tensor
    """Decisions as the machine sees them [N, units], int64: the index of each choice that ran,
    forced or not; that of ``exit`` for all units from the one an input left at."""
    beliefs: Tensor | None = None
    """Logits of all exits, in training [N, exits, classes], in execution order; for a loss of their
    own, since a head that nobody leaves at learns nothing else. None in evaluation, and if there
    are no exits."""
    scores: Tensor | None = None
    """Logits of the gates in training [N, units, choices], with shift and price but without noise,
    -inf for what a unit does not offer; for a loss of their own. None in evaluation, and where no
    gate was asked."""


class Deciding(Protocol):
    """What a pass needs of a network that decides; see `DynamicNetwork`."""

    gate: Gate
    design: Design
    choices: tuple[Precision, ...]
    exits: Any
    leaving: int
    shift: Tensor
    price_shift: Tensor
    offered: Tensor
    branches: Branches
    training: bool

    @property
    def units(self) -> tuple[str, ...]:
        """Names of the decision units, in execution order."""
        ...

    def belief(self, unit: int, features: Tensor) -> Tensor | None:
        """Logits of the exit before a unit, by its number; None if there is no exit."""
        ...


class Decider(Protocol):
    """Chooses for the inputs at hand, unit after unit."""

    runs: Tensor
    """Choices [n, K] of the last unit as it is to run: of inputs that leave, another choice."""

    def next(self, features: Tensor, belief: Tensor | None) -> Tensor:
        """One-hot choices [n, K] of the next unit.

        Args:
            features: what the unit reads, [n, C, H, W].
            belief: logits of the exit before it [n, classes], if there is one.
        """
        ...

    def keep(self, stays: Tensor) -> None:
        """Go on with some of the inputs alone, by their indices among those at hand."""
        ...


class Forced:
    """Choices from outside.

    Args:
        network: that runs.
        assignment: int64 [N, units], by index.
    """

    def __init__(self, network: Deciding, assignment: Tensor) -> None:
        self.assignment, self.network = assignment, network
        self.unit = 0
        self.runs = assignment.new_zeros(())

    def next(self, features: Tensor, belief: Tensor | None) -> Tensor:
        """Choices of the next unit, one-hot [n, K]; see `Decider`."""
        chosen, choices = self.assignment[:, self.unit], len(self.network.choices)
        top = self.network.choices.index(highest(self.network.choices))
        instead = chosen.masked_fill(chosen == self.network.leaving, top)
        self.unit += 1
        self.runs = functional.one_hot(instead, choices).float()
        return functional.one_hot(chosen, choices).float()

    def keep(self, stays: Tensor) -> None:
        """Go on with some of the inputs alone; see `Decider`."""
        self.assignment = self.assignment[stays]


class Decisions:
    """The gates' decisions of one forward pass."""

    def __init__(
        self,
        network: Deciding,
        price: Tensor | None,
        noise: Tensor | None = None,
        temperature: float = 1.0,
        trials: Trials | None = None,
    ) -> None:
        self.network, self.price, self.noise = network, price, noise
        self.temperature, self.trials = temperature, trials
        self.tried: Tensor | None = None
        """Weights of the branches of the last unit [n, K], as `trials` has drawn them."""
        self.state: Any = None
        self.gates: list[Tensor] = []
        self.logits: list[Tensor] = []
        """What the gates made of the units so far [n, K], with shift and price, without noise."""
        self.runs = network.shift

    def next(self, features: Tensor, belief: Tensor | None = None) -> Tensor:
        """Straight-through one-hot choices [n, K] of the next unit; see `Decider`."""
        network, unit = self.network, len(self.gates)
        if unit == 0:
            self.state = network.gate.begin(features, self.price)
        logits, self.state = network.gate(unit, features, self.state, belief)
        logits, offered = shifted(network, unit, logits, self.price), network.offered[unit]
        how: dict[str, Any] = {
            "estimator": "straight-through" if self.noise is None else "gumbel",
            "temperature": self.temperature,
            "noise": None if self.noise is None else self.noise[:, unit],
        }
        gate = decide(
            logits, offered, ties_run_both="ties-run-both" in network.design.faults, **how
        )
        if self.trials is not None:
            likely = probabilities(logits.detach(), offered, **how)
            self.tried = self.trials.weights(unit, likely)
        self.gates.append(gate)
        self.logits.append(logits)
        self.runs = gate
        if str(unit) in network.exits:
            self._run_without_leaving(logits, gate, offered)
        return gate

    def _run_without_leaving(self, logits: Tensor, gate: Tensor, offered: Tensor) -> None:
        """Have those that leave run what they would choose otherwise: for its price, not for what
        it makes, which nobody asks for."""
        leaving = self.network.leaving
        stays = offered.clone()
        stays[leaving] = False
        leaves = gate.detach()[:, leaving : leaving + 1] > 0.5
        self.runs = torch.where(leaves, decide(logits.detach(), stays), gate)
        if self.tried is not None:
            self.tried = self.tried.index_fill(1, logits.new_full((1,), leaving).long(), 0)

    def keep(self, stays: Tensor) -> None:
        """Go on with some of the inputs alone; see `Decider`."""
        self.state = self.state.of(stays)
        self.price = None if self.price is None else self.price[stays]
        self.noise = None if self.noise is None else self.noise[stays]
        if self.trials is not None:
            self.trials = self.trials._replace(draws=self.trials.draws[stays])

    def stacked(self) -> Tensor:
        """Choices of all gates so far, one-hot [n, units, K]; of inputs that were all there."""
        return torch.stack(self.gates, 1)


def shifted(network: Deciding, unit: int, logits: Tensor, price: Tensor | None) -> Tensor:
    """Logits of a gate [n, K] less what keeps the network to its budget.

    Args:
        network: whose gate it is.
        unit: its number.
        logits: as the gate gives them [n, K].
        price: of cost [n], for gates with a knob.
    """
    logits = logits - network.shift[unit]
    return logits if price is None else logits - price[:, None] * network.price_shift[unit]


def stopping(network: Deciding, decider: Decider, leavers: Leavers) -> RunUnit:
    """Units of a pass from which inputs are gone when they leave: nothing behind is computed."""
    unit_of = iter(range(len(network.units)))

    def run(unit: GatedUnit, features: Tensor) -> Tensor:
        number, read = next(unit_of), unit.features(features)
        belief = network.belief(number, read)
        chosen = decider.next(read, belief).argmax(-1)
        stays = leavers.at(number, chosen, belief)
        if stays is not None:
            features, chosen = rows(features, stays), chosen[stays]
            decider.keep(stays)
        return unit.run_chosen(features, chosen)

    return run


class Mixing:
    """Units of a training pass that all inputs go through to the end, leave they or not.

    What an input leaves with is then the sum of what all exits and the network itself predict, each
    times whether the input left there: exactly one of them, with the gradient of the others.
    """

    def __init__(self, network: Deciding, decider: Decider) -> None:
        self.network, self.decider = network, decider
        self.gates: list[Tensor] = []
        """Decisions of the units so far, one-hot [N, K]."""
        self.beliefs: list[Tensor] = []
        self.leaves: list[Tensor] = []
        """Whether inputs leave at each exit [N], with the gradient of the gates' probability."""
        self._number = iter(range(len(network.units)))

    def __call__(self, unit: GatedUnit, features: Tensor) -> Tensor:
        network, decider, read = self.network, self.decider, unit.features(features)
        belief = network.belief(next(self._number), read)
        gate = decider.next(read, belief)
        self.gates.append(gate)
        if belief is not None:
            self.beliefs.append(belief)
            self.leaves.append(gate[:, network.leaving])
        tried = decider.tried if isinstance(decider, Decisions) else None
        if network.training and network.branches == "all":
            return unit.run_all(features, decider.runs)
        if network.training and torch.is_grad_enabled():
            return unit.run_gated(features, decider.runs, tried)
        return unit.run_chosen(features, decider.runs.argmax(-1))

    def outcome(self, at_the_end: Tensor) -> Outcome:
        """What came of the pass, given what the network itself predicts [N, classes]."""
        network, decider, gates = self.network, self.decider, torch.stack(self.gates, 1)
        scores = None
        if network.training and isinstance(decider, Decisions):
            scores = torch.stack(decider.logits, 1).masked_fill(~network.offered, -torch.inf)
        return Outcome(
            self.logits(at_the_end),
            gates,
            gone_for_good(gates.argmax(-1), network.leaving),
            torch.stack(self.beliefs, 1) if self.beliefs else None,
            scores,
        )

    def logits(self, at_the_end: Tensor) -> Tensor:
        """What every input leaves with [N, classes]."""
        if not self.beliefs:
            return at_the_end
        total, stays = torch.zeros_like(at_the_end), at_the_end.new_ones(len(at_the_end))
        for belief, leaves in zip(self.beliefs, self.leaves, strict=True):
            total = total + (stays * leaves)[:, None] * belief
            stays = stays * (1 - leaves)
        return total + stays[:, None] * at_the_end


def forced(names: tuple[str, ...], assignment: Tensor) -> RunUnit:
    """Units of a pass that nobody leaves, at choices from outside, [units] or [N, units].

    Args:
        names: of the units, in execution order.
    """
    if assignment.ndim == 1:
        choice_of = dict(zip(names, assignment.tolist(), strict=True))
        return lambda unit, features: unit.run(features, choice_of[unit.name])
    choices_of = dict(zip(names, assignment.unbind(1), strict=True))
    return lambda unit, x: unit.run_chosen(x, choices_of[unit.name].to(x.device))


def require_exits(network: Deciding, chosen: Tensor) -> None:
    """Refuse choices [N, units] to leave where there is no exit.

    Raises:
        InputError: names the first unit.
    """
    gone = gone_for_good(chosen, network.leaving) == network.leaving
    leaves = gone.clone()
    leaves[:, 1:] &= ~gone[:, :-1]
    wrong = leaves.any(0) & ~network.offered[:, network.leaving].to(leaves.device)
    if bool(wrong.any()):
        unit = network.units[int(wrong.nonzero()[0])]
        raise InputError(f"inputs cannot leave at '{unit}': it has no exit")


def gone_for_good(choices: Tensor, leaving: int) -> Tensor:
    """Choices [N, units] of which all behind one to leave are to leave, too."""
    if leaving == NEVER:
        return choices
    gone = (choices == leaving).cummax(1).values
    return choices.masked_fill(gone, leaving)


__all__ = [
    "Decisions",
    "Forced",
    "Mixing",
    "Outcome",
    "forced",
    "gone_for_good",
    "require_exits",
    "shifted",
    "stopping",
]
