"""A network that decides, per input, how each of its residual blocks runs.

`DynamicNetwork` holds an ordinary PyTorch model whose residual blocks have been replaced by
`GatedUnit`s (see `make_dynamic`), and the gate that decides them one after another while the
model's own forward runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from accel_models.errors import InputError, quoted
from accel_models.leaving import exit_index
from accel_models.precision import Precision, highest
from dfs_hw.distributed import world
from dfs_hw.gates import Gate, Trials
from dfs_hw.modes import kept_modes
from dfs_hw.networks.branches import GatedUnit, executed
from dfs_hw.networks.design import Design
from dfs_hw.networks.exits import EverybodyLeft, ExitHead, Leavers
from dfs_hw.networks.inputs import input_batches, require_tensor
from dfs_hw.networks.passes import (
    Branches,
    Decisions,
    Forced,
    Mixing,
    Outcome,
    forced,
    require_exits,
    stopping,
)
from dfs_hw.networks.ranges import require_ranges
from dfs_hw.networks.statistics import note_inputs, settle
from dfs_hw.quantize.layers import PrecisionNorm, QuantizedConv2d, QuantizedLinear
from dfs_hw.quantize.minmax import MinMaxActivations
from dfs_hw.quantize.observer import Observer

MIDDLE_PRICE = 0.5
"""Price of cost in the middle of those that a gate with a knob is trained for."""


class Reads(NamedTuple):
    """What the units of a network read, and so its gates and exits."""

    channels: tuple[int, ...]
    """Channels of the input of each unit."""
    sizes: tuple[tuple[int, int], ...]
    """Height and width of it; tokens are a column."""
    signed: bool
    """Whether inputs of units can be negative."""


class DynamicNetwork(nn.Module):
    """A model whose units are decided per input.

    Args:
        name: of the network.
        model: its blocks replaced by units; returns logits, or an object that has them.
        units: the units inside `model`, in execution order, with one conductor.
        gate: decides them.
        choices: what a decision chooses from.
        design: as the units and the gate were built.
        exits: heads at which inputs may leave, by the number of the unit before which each stands;
            of a network whose choices have ``exit``.
        image: channels, height and width of the images it was built for, or how many tokens.
        reads: what its units read.
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
        reads: Reads,
        shape: Mapping[str, Any],
        exits: Mapping[int, ExitHead] | None = None,
    ) -> None:
        super().__init__()
        self.name, self.choices, self.design = name, choices, design
        self.image, self.shape, self.reads = image, dict(shape), reads
        self.model, self.gate = model, gate
        path_of = {module: path for path, module in model.named_modules()}
        self.unit_paths = tuple(path_of[unit] for unit in units)
        self.conductor = units[0].conductor
        heads = {str(unit): head for unit, head in (exits or {}).items()}
        self.exits: nn.ModuleDict | dict[str, ExitHead] = nn.ModuleDict(heads) if heads else heads
        self.leaving = exit_index(choices)
        """Index of the choice to leave, `leaving.NEVER` without exits."""
        offered = torch.tensor([unit.offered for unit in units])
        if self.exits:
            offered[list(map(int, self.exits)), self.leaving] = True
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
        """The assignment [units] in which every unit makes the same choice; a unit that does not
        offer it runs at its cheapest precision instead."""
        parsed = self._known(choice)
        cheapest = min((c for c in self.choices if c.runs), key=lambda c: c.bitops_per_mac)
        return torch.tensor(
            [
                self.choices.index(parsed if offered[self.choices.index(parsed)] else cheapest)
                for offered in self.offered.tolist()
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
        for unit, index, offered in zip(self.units, indices, self.offered.tolist(), strict=True):
            if not offered[index]:
                raise InputError(f"unit '{unit}' cannot take '{self.choices[index]}'")
            if index == self.leaving:  # whatever is said of units behind
                break
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
        require_tensor(self.name, x)
        if self.training and torch.is_grad_enabled():
            if assignment is None:
                self._prepare(x)
            note_inputs(self, x)
        if assignment is None:
            if not self.training:
                require_ranges(self.name, self.model, x)
            return self._decided_by(Decisions(self, price, noise, temperature, trials), x)
        self._check(assignment, len(x))
        chosen = assignment.to(x.device).expand(len(x), -1)
        if self.exits and bool((assignment == self.leaving).any()):
            require_exits(self, chosen)
            return self._decided_by(Forced(self, chosen), x)._replace(gates=None)
        with self.conducting(forced(self.units, assignment)):
            logits = self._logits(x)
        return Outcome(logits, None, chosen)

    def _decided_by(self, decider: Decisions | Forced, x: Tensor) -> Outcome:
        """What comes of a batch whose units are decided one after the other."""
        if self.exits and not self.training:
            leavers = Leavers(len(x), len(self.units), self.leaving, x.device)
            with self.conducting(stopping(self, decider, leavers)):
                try:
                    last: Tensor | None = self._logits(x)
                except EverybodyLeft:
                    last = None
            choices = leavers.choices
            gates = nn.functional.one_hot(choices, len(self.choices)).float()
            return Outcome(leavers.logits(last), gates, choices)
        mixing = Mixing(self, decider)
        with self.conducting(mixing):
            return mixing.outcome(self._logits(x))

    def belief(self, unit: int, features: Tensor) -> Tensor | None:
        """What the exit before a unit makes of its input: logits [N, classes]; None if there is no
        exit."""
        head = self.exit_before(unit)
        return None if head is None else head(features)

    def exit_before(self, unit: int) -> ExitHead | None:
        """The exit before a unit, by its number, if there is one."""
        head = self.exits[str(unit)] if str(unit) in self.exits else None  # noqa: SIM401 (modules)
        return cast(ExitHead | None, head)

    def all_beliefs(self, x: Tensor, assignment: Tensor) -> tuple[Tensor, Tensor]:
        """What all exits predict while no input leaves and the choices are forced to [units].

        Gradients reach the exits alone.

        Returns:
            Logits of the exits [N, exits, classes], in execution order, and of the network itself
            [N, classes].
        """
        if any(head.training for head in self.exits.values()):  # the rest may be in evaluation
            note_inputs(self, x)
        run, found = forced(self.units, assignment), []

        def listening(unit: GatedUnit, features: Tensor) -> Tensor:
            with torch.enable_grad():
                belief = self.belief(self.units.index(unit.name), unit.features(features))
            if belief is not None:
                found.append(belief)
            return run(unit, features)

        with self.conducting(listening), torch.no_grad():
            logits = self._logits(x)
        return torch.stack(found, 1), logits

    def watch(self, x: Tensor, assignment: Tensor, *, price: Tensor | None = None) -> Tensor:
        """What the gates would choose [N, units, K] while the choices are forced to [units].

        The blocks get no gradient and their statistics stay as they are: only gates can learn.
        """
        decisions, run_forced = Decisions(self, price), forced(self.units, assignment)
        if self.training:
            note_inputs(self, x)

        def run(unit: GatedUnit, features: Tensor) -> Tensor:
            with torch.enable_grad():
                decisions.next(unit.features(features))
            return run_forced(unit, features)

        with self.conducting(run), torch.no_grad():
            self._logits(x)
        return decisions.stacked()

    def train(self, mode: bool = True) -> DynamicNetwork:
        """The network, in training or in evaluation: before that it takes over what passes have
        noted that no optimizer's step has followed. Several processes do not, as often only one of
        them evaluates: there, only steps count."""
        if not mode and world()[1] == 1:
            settle(self)
        return super().train(mode)

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
    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Let every precision, everywhere at once, see the same inputs: ranges and batch norms.
        Then let the gates see them, as they are at the highest precision.

        Nothing is dropped meanwhile. Norms at full precision keep the statistics that the model
        came with, if it came with any, so that at full precision the network goes on computing what
        the model does.

        Raises:
            InputError: if there is no batch, or one is no tensor [N, ...] of inputs.
        """
        batches = input_batches(self.name, batches, self.image)
        kept = self._notes_on_full()
        with kept_modes(self):
            self.train()
            for module in self.model.modules():
                module.training = isinstance(module, Observer)
            for choice in executed(self.choices):
                for images in batches:
                    with torch.enable_grad():
                        self(images, self.uniform(choice))
                    for notes in kept:
                        notes.zero_()
                    settle(self)
            for images in batches:
                price = images.new_full((len(images),), MIDDLE_PRICE) if self.gate.knob else None
                top = self.uniform(highest(self.choices))
                self.watch(images, top, price=price)
                if self.exits:
                    self.all_beliefs(images, top)
                settle(self)
        self._started = True

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
    def conducting(self, run: Callable[[GatedUnit, Tensor], Tensor]) -> Iterator[None]:
        """Passes in which units run as they are told, whatever their gates think."""
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
