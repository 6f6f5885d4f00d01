"""A network that decides, per input, how each of its residual blocks runs.

`DynamicNetwork` holds an ordinary PyTorch model whose residual blocks have been replaced by
`GatedUnit`s (see `make_dynamic`), and the gate that decides them one after another while the
model's own forward runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from accel_models.errors import InputError, quoted
from accel_models.precision import Precision, highest
from dfs_hw.distributed import world
from dfs_hw.gates import Gate, Trials, decide, probabilities
from dfs_hw.networks.branches import GatedUnit, executed
from dfs_hw.networks.design import Design
from dfs_hw.networks.statistics import note_inputs, settle
from dfs_hw.quantize.layers import PrecisionNorm, QuantizedConv2d, QuantizedLinear
from dfs_hw.quantize.minmax import MinMaxActivations
from dfs_hw.quantize.observer import Observer

Branches = Literal["chosen", "all"]
MIDDLE_PRICE = 0.5
"""Price of cost in the middle of those that a gate with a knob is trained for."""


class Outcome(NamedTuple):
    """What a network made of a batch of N inputs, on the network's device.

    Units are in execution order, choices in that of `DynamicNetwork.choices`.
    """

    logits: Tensor
    """Logits of the classes [N, classes], float32; the largest is the prediction."""
    gates: Tensor | None
    """Decisions as the loss sees them [N, units, choices], float32 and one-hot: 1 for the choice
    that ran, 0 for the others. The gradient passes straight through to the gates' probabilities, so
    that a cost of them can be descended. Under the fault ``ties-run-both`` several can be 1. None
    where the choices were forced and no gate was asked."""
    choices: Tensor
    """Decisions as the machine sees them [N, units], int64: the index of each choice that ran,
    forced or not."""


class DynamicNetwork(nn.Module):
    """A model whose units are decided per input.

    Args:
        name: of the network.
        model: its blocks replaced by units; returns logits, or an object that has them.
        units: the units inside `model`, in execution order, with one conductor.
        gate: decides them.
        choices: what a decision chooses from.
        design: as the units and the gate were built.
        image: channels, height and width of the images it was built for, or how many tokens.
        shape: arguments of `build_network` that make such a network again, as plain JSON; empty
            if there are none.
    """

    shift: Tensor
    """Taken from the gates' logits [units, K]."""
    price_shift: Tensor
    """Taken from them besides, times the price of cost, by gates with a knob."""
    offered: Tensor

    def __init__(
        self,
        name: str,
        model: nn.Module,
        units: Sequence[GatedUnit],
        gate: Gate,
        choices: tuple[Precision, ...],
        design: Design,
        image: tuple[int, ...],
        shape: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.name, self.choices, self.design = name, choices, design
        self.image, self.shape = image, dict(shape)
        self.model, self.gate = model, gate
        path_of = {module: path for path, module in model.named_modules()}
        self.unit_paths = tuple(path_of[unit] for unit in units)
        self.conductor = units[0].conductor
        offered = torch.tensor([unit.offered for unit in units])
        self.register_buffer("offered", offered, persistent=False)
        self.register_buffer("shift", torch.zeros(offered.shape))
        self.register_buffer("price_shift", torch.zeros(offered.shape), persistent=gate.knob)
        self.branches: Branches = "chosen"
        self.by_batch = True
        """Whether training normalises by the statistics of the batch."""
        self._started = False

    @property
    def blocks(self) -> list[GatedUnit]:
        """The decision units, in execution order."""
        return [self.model.get_submodule(path) for path in self.unit_paths]  # type: ignore[misc]

    @property
    def units(self) -> tuple[str, ...]:
        """Names of the decision units, in execution order."""
        return self.unit_paths

    def uniform(self, choice: Precision | str | int) -> Tensor:
        """The assignment [units] in which every unit makes the same choice; a unit that cannot be
        skipped runs at its cheapest precision instead."""
        parsed = self._known(choice)
        cheapest = min((c for c in self.choices if not c.is_skip), key=lambda c: c.bitops_per_mac)
        return torch.tensor(
            [
                self.choices.index(parsed if unit.offered[self.choices.index(parsed)] else cheapest)
                for unit in self.blocks
            ]
        )

    def assign(self, choices: Sequence[Precision | str | int]) -> Tensor:
        """The assignment [units] of the given choices, one for each unit.

        Raises:
            InputError: if one is none of the unit's choices, or there are too many or too few.
        """
        if len(choices) != len(self.units):
            raise InputError(
                f"{len(choices)} choices were given for the {len(self.units)} units of {self.name}"
            )
        indices = [self.choices.index(self._known(choice)) for choice in choices]
        for unit, index in zip(self.blocks, indices, strict=True):
            if not unit.offered[index]:
                raise InputError(f"unit '{unit.name}' cannot take '{self.choices[index]}'")
        return torch.tensor(indices)

    def forward(
        self,
        x: Tensor,
        assignment: Tensor | None = None,
        *,
        price: Tensor | None = None,
        noise: Tensor | None = None,
        temperature: float = 1.0,
        trials: Trials | None = None,
    ) -> Outcome:
        """Classify a batch of normalised images [N, C, H, W], or of tokens [N, tokens].

        Args:
            x: the images.
            assignment: forces choices, by index: [units] the same for all inputs, or [N, units].
                Only the forced branch runs, and no gate.
            price: of cost [N], for gates with a knob.
            noise: added to the gates' logits [N, units, choices]; none decides by argmax.
            temperature: of the softmax that gates learn through.
            trials: which of the branches not chosen are tried for the gates' gradient in training;
                None tries them all, which makes it exact.
        """
        if not isinstance(x, Tensor):
            raise InputError(
                f"{self.name} takes one tensor of images or tokens, not {type(x).__name__}: masks "
                "and named inputs are not among what it decides by"
            )
        if self.training and torch.is_grad_enabled():
            if assignment is None:
                self._prepare(x)
            note_inputs(self, x)
        if assignment is not None:
            self._check(assignment, len(x))
            with self._conducting(_forced(self.units, assignment)):
                logits = self._logits(x)
            return Outcome(logits, None, assignment.to(x.device).expand(len(x), -1))
        decisions = Decisions(self, price, noise, temperature, trials)

        def run(unit: GatedUnit, features: Tensor) -> Tensor:
            gate = decisions.next(unit.features(features))
            if self.training and self.branches == "all":
                return unit.run_all(features, gate)
            if self.training and torch.is_grad_enabled():
                return unit.run_gated(features, gate, decisions.tried)
            return unit.run_chosen(features, gate.argmax(-1))

        with self._conducting(run):
            logits = self._logits(x)
        gates = decisions.stacked()
        return Outcome(logits, gates, gates.argmax(-1))

    def watch(self, x: Tensor, assignment: Tensor, *, price: Tensor | None = None) -> Tensor:
        """What the gates would choose [N, units, K] while the choices are forced to [units].

        The blocks get no gradient and their statistics stay as they are: only gates can learn.
        """
        decisions, forced = Decisions(self, price), _forced(self.units, assignment)
        if self.training:
            note_inputs(self, x)

        def run(unit: GatedUnit, features: Tensor) -> Tensor:
            with torch.enable_grad():
                decisions.next(unit.features(features))
            return forced(unit, features)

        with self._conducting(run), torch.no_grad():
            self._logits(x)
        return decisions.stacked()

    def train(self, mode: bool = True) -> DynamicNetwork:
        """The network, in training or in evaluation: before that it takes over what passes have
        noted that no optimizer's step has followed. Several processes do not, as often only one of
        them evaluates: there, only steps count."""
        if not mode and world()[1] == 1:
            settle(self)
        super().train(mode)
        return self

    def normalize_by_batch(self, wanted: bool) -> None:
        """Whether training normalises, and sets ranges, by the batch's statistics or by running
        ones."""
        for module in self.modules():
            if isinstance(module, PrecisionNorm | MinMaxActivations):
                module.by_batch = wanted
        self.by_batch = wanted
        self.branches = "all" if wanted else "chosen"

    def inherit(self) -> None:
        """Start all precisions from the highest, the only one trained so far: its batch norms, and
        for quantisers that keep something of the weights, its weights."""
        top = self.blocks[0].highest
        for module in self._decided():
            if isinstance(module, PrecisionNorm):
                module.inherit(top)
            elif isinstance(module, QuantizedConv2d | QuantizedLinear):
                module.weights.initialize(module.weight.detach())

    @torch.no_grad()
    def calibrate(self, batches: Sequence[Tensor]) -> None:
        """Let every precision, everywhere at once, see the same inputs: ranges and batch norms.
        Then let the gates see them, as they are at the highest precision.

        Nothing is dropped meanwhile. Norms at full precision keep the statistics that the model
        came with, if it came with any, so that at full precision the network goes on computing what
        the model does.
        """
        was_training, kept = self.training, self._notes_on_full()
        self.train()
        for module in self.model.modules():
            module.training = isinstance(module, Observer)
        for choice in self.choices:
            if choice.is_skip:
                continue
            for images in batches:
                with torch.enable_grad():
                    self(images, self.uniform(choice))
                for notes in kept:
                    notes.zero_()
                settle(self)
        for images in batches:
            price = images.new_full((len(images),), MIDDLE_PRICE) if self.gate.knob else None
            self.watch(images, self.uniform(highest(self.choices)), price=price)
            settle(self)
        self._started = True
        self.train(was_training)

    def _notes_on_full(self) -> list[Tensor]:
        """What norms note at full precision, of those that have statistics there."""
        inside, found = set(self._decided()), []
        for norm in self.model.modules():
            if isinstance(norm, PrecisionNorm) and not norm.shared:
                run = executed(self.choices) if norm in inside else (highest(self.choices),)
                found += [
                    norm.pending[index]
                    for index, precision in enumerate(run)
                    if precision.full and norm.has_seen(index)
                ]
        return found

    def _decided(self) -> list[nn.Module]:
        """The modules whose precision a unit sets."""
        dials = {unit.dial for unit in self.blocks}
        return [part for part in self.model.modules() if getattr(part, "dial", None) in dials]

    @torch.compiler.disable
    def _prepare(self, x: Tensor) -> None:
        """Show everything that gates may choose these inputs, unless it has seen any: what is not
        chosen while training could not be evaluated otherwise."""
        if self.by_batch and self.branches == "chosen" and world()[1] > 1:
            raise InputError(
                f"{self.name} normalises by the batch, of which each process has a part that chose "
                f"otherwise: call normalize_by_batch(False), or (True) to run all branches"
            )
        if self._started:
            return
        layers = [
            part for part in self._decided() if isinstance(part, QuantizedConv2d | QuantizedLinear)
        ]
        if not all(layer.has_started() for layer in layers):
            self.calibrate([x])
        self._started = True

    def _logits(self, x: Tensor) -> Tensor:
        # Convolutions of few channels are half as fast again with the channels innermost.
        x = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
        made = self.model(x)
        return made if isinstance(made, Tensor) else made.logits

    @contextmanager
    def _conducting(self, run: Callable[[GatedUnit, Tensor], Tensor]) -> Iterator[None]:
        self.conductor.run = run
        try:
            yield
        finally:
            self.conductor.run = None

    def _known(self, choice: Precision | str | int) -> Precision:
        parsed = Precision.parse(choice)
        if parsed not in self.choices:
            names = ", ".join(map(str, self.choices))
            raise InputError(f"'{parsed}' is none of the network's choices: {names}")
        return parsed

    def _check(self, assignment: Tensor, inputs: int) -> None:
        if not isinstance(assignment, Tensor):
            raise InputError(
                f"an assignment is a tensor of indices, as uniform('8') and assign([...]) of "
                f"{self.name} make it, not {quoted(assignment)}"
            )
        if assignment.shape not in ((len(self.units),), (inputs, len(self.units))):
            raise ValueError(
                f"an assignment for {inputs} inputs of {self.name} has shape "
                f"[{len(self.units)}] or [{inputs}, {len(self.units)}], not "
                f"{list(assignment.shape)}"
            )
        if self.training and self.branches == "all" and assignment.ndim == 2:
            raise ValueError(
                "choices forced per input split the batch, whose statistics batch norm uses"
            )


class Decisions:
    """The gates' decisions of one forward pass, unit after unit."""

    def __init__(
        self,
        network: DynamicNetwork,
        price: Tensor | None,
        noise: Tensor | None = None,
        temperature: float = 1.0,
        trials: Trials | None = None,
    ) -> None:
        self.network, self.price, self.noise = network, price, noise
        self.temperature, self.trials = temperature, trials
        self.tried: Tensor | None = None
        """Weights of the branches of the last unit [N, K], as `trials` has drawn them."""
        self.state: Any = None
        self.gates: list[Tensor] = []

    def next(self, features: Tensor) -> Tensor:
        """Straight-through one-hot choices [N, K] of the next unit, which reads `features`."""
        network, unit = self.network, len(self.gates)
        if unit == 0:
            self.state = network.gate.begin(features, self.price)
        logits, self.state = network.gate(unit, features, self.state)
        logits, offered = logits - network.shift[unit], network.offered[unit]
        if self.price is not None:
            logits = logits - self.price[:, None] * network.price_shift[unit]
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
        return gate

    def stacked(self) -> Tensor:
        """Choices of all gates so far, one-hot [N, units, K]."""
        return torch.stack(self.gates, 1)


def _forced(names: tuple[str, ...], assignment: Tensor) -> Callable[[GatedUnit, Tensor], Tensor]:
    if assignment.ndim == 1:
        choice_of = dict(zip(names, assignment.tolist(), strict=True))
        return lambda unit, features: unit.run(features, choice_of[unit.name])
    choices_of = dict(zip(names, assignment.unbind(1), strict=True))
    return lambda unit, x: unit.run_chosen(x, choices_of[unit.name].to(x.device))
