"""Residual networks whose blocks are skipped or run at a width chosen per input.

The backbone is the CIFAR ResNet of He et al. (2016), the decisions are those of DFS (Shen et al.,
AAAI 2020): one choice per block sets the width of weights and activations of all its convolutions,
or skips it. The first block always runs. Every width has batch norms and activation ranges of its
own; the weights are shared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from accel_models.errors import InputError
from accel_models.precision import Precision, highest, parse_choices
from dfs_hw.gates import RecurrentGate
from dfs_hw.quantize import QuantizedConv2d, QuantizedLinear

DEPTHS = (8, 14, 20, 38, 74, 110)
NETWORKS = tuple(f"resnet{depth}" for depth in DEPTHS)
WIDTHS = (16, 32, 64)


class Outcome(NamedTuple):
    """What a network made of a batch of N inputs."""

    logits: Tensor
    """[N, classes]."""
    gates: Tensor | None
    """Straight-through one-hot choices [N, units, choices]; None if the choices were forced."""
    choices: Tensor
    """Index of each choice [N, units], int64."""


class GatedBlock(nn.Module):
    """Two convolutions and a shortcut, all run at one of several precisions, or skipped.

    A skipped block passes its input on. Where the shortcut changes the shape it cannot be left
    out: it then runs at the highest precision, followed by the ReLU that every block ends in.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, choices: tuple[Precision, ...]
    ) -> None:
        super().__init__()
        run = tuple(choice for choice in choices if not choice.is_skip)
        self.index_of = tuple(None if c.is_skip else run.index(c) for c in choices)
        self.highest = run.index(highest(run))
        self.conv1 = QuantizedConv2d(in_channels, out_channels, 3, run, stride=stride, padding=1)
        self.norm1 = _norms(out_channels, len(run))
        self.conv2 = QuantizedConv2d(out_channels, out_channels, 3, run, padding=1)
        self.norm2 = _norms(out_channels, len(run))
        self.shortcut: QuantizedConv2d | None = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = QuantizedConv2d(in_channels, out_channels, 1, run, stride=stride)
            self.shortcut_norm = _norms(out_channels, len(run))

    def run(self, x: Tensor, choice: int) -> Tensor:
        """Output of the whole batch for choice number `choice`; skipping costs no convolution."""
        index = self.index_of[choice]
        if index is None:
            return x if self.shortcut is None else functional.relu(self._side(x, self.highest))
        return self._sum(x, self._side(x, index), index)

    def mixture(self, x: Tensor, gate: Tensor) -> Tensor:
        """Every choice's output, weighted by `gate` [N, K] and summed: what training needs."""
        sides = [self._side(x, index) for index in range(len(self.norm1))]
        skipped = x if self.shortcut is None else functional.relu(sides[self.highest])
        outputs = (
            skipped if index is None else self._sum(x, sides[index], index)
            for index in self.index_of
        )
        weights = gate[:, :, None, None, None].unbind(1)
        mixed = weights[0] * next(outputs)
        for weight, output in zip(weights[1:], outputs, strict=True):
            mixed = torch.addcmul(mixed, weight, output)
        return mixed

    def _side(self, x: Tensor, index: int) -> Tensor:
        if self.shortcut is None:
            return x
        return self.shortcut_norm[index](self.shortcut(x, index))

    def _sum(self, x: Tensor, side: Tensor, index: int) -> Tensor:
        x = functional.relu(self.norm1[index](self.conv1(x, index)))
        return functional.relu(self.norm2[index](self.conv2(x, index)) + side)

    @torch.no_grad()
    def inherit(self) -> None:
        """Start the batch norms of every precision from those of the highest."""
        for norms in (self.norm1, self.norm2, getattr(self, "shortcut_norm", ())):
            for norm in norms:
                norm.load_state_dict(norms[self.highest].state_dict())


class DFSResNet(nn.Module):
    """CIFAR-style ResNet of depth 6n+2 whose blocks, but for the first, are decided per input.

    Args:
        depth: 6n+2 for n blocks in each of the three stages.
        choices: what a decision chooses from.
        classes: number of classes.
        in_channels: of the image.
        widths: channels of the three stages.
    """

    def __init__(
        self,
        depth: int,
        choices: tuple[Precision, ...],
        classes: int,
        in_channels: int = 3,
        widths: Sequence[int] = WIDTHS,
    ) -> None:
        super().__init__()
        per_stage, rest = divmod(depth - 2, 6)
        if rest or per_stage < 1:
            raise InputError(f"a CIFAR ResNet is 6n+2 layers deep, and {depth} is not")
        self.name, self.choices = f"resnet{depth}", choices
        self.classes, self.in_channels, self.widths = classes, in_channels, tuple(widths)
        top = highest(choices)
        self.stem = QuantizedConv2d(in_channels, widths[0], 3, (top,), padding=1, reads_image=True)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        plan = [
            (before if block == 0 else width, width, 2 if stage and block == 0 else 1)
            for stage, (before, width) in enumerate(zip((widths[0], *widths), widths, strict=False))
            for block in range(per_stage)
        ]
        self.blocks = nn.ModuleList(
            GatedBlock(*shape, choices if position else (top,))
            for position, shape in enumerate(plan)
        )
        self.gate = RecurrentGate(tuple(shape[0] for shape in plan[1:]), len(choices), top)
        self.classifier = QuantizedLinear(widths[-1], classes, top)

    @property
    def all_blocks(self) -> list[GatedBlock]:
        """The residual blocks, the first of which is in no decision unit."""
        return cast(list[GatedBlock], list(self.blocks))

    @property
    def units(self) -> tuple[str, ...]:
        """Names of the decision units, in execution order."""
        return tuple(f"block{number}" for number in range(2, len(self.blocks) + 1))

    @property
    def shape(self) -> dict[str, Any]:
        """The arguments of `build_network` that make a network of the same shape, as plain JSON."""
        return {
            "name": self.name,
            "choices": ",".join(map(str, self.choices)),
            "classes": self.classes,
            "in_channels": self.in_channels,
            "widths": list(self.widths),
        }

    def uniform(self, choice: Precision | str | int) -> Tensor:
        """The assignment [units] in which every unit makes the same choice."""
        return self.assign([choice] * len(self.units))

    def assign(self, choices: Sequence[Precision | str | int]) -> Tensor:
        """The assignment [units] of the given choices, one for each unit.

        Raises:
            InputError: if one is none of the network's choices, or there are too many or too few.
        """
        parsed = [Precision.parse(choice) for choice in choices]
        if len(parsed) != len(self.units):
            raise InputError(
                f"{len(parsed)} choices were given for the {len(self.units)} units of {self.name}"
            )
        for choice in parsed:
            if choice not in self.choices:
                names = ", ".join(map(str, self.choices))
                raise InputError(f"'{choice}' is none of the network's choices: {names}")
        return torch.tensor([self.choices.index(choice) for choice in parsed])

    def forward(
        self,
        x: Tensor,
        assignment: Tensor | None = None,
        *,
        all_branches: bool | None = None,
    ) -> Outcome:
        """Classify a batch of normalised images [N, C, H, W].

        Args:
            x: the images.
            assignment: forces choices, by index: [units] the same for all inputs, or [N, units].
                Only the forced branch runs, and no gate.
            all_branches: compute every choice and mask the sum, as the gradient of the gates
                needs; by default so while training. Otherwise only the chosen branch runs, on the
                inputs that chose it, with the same result.
        """
        if assignment is None:
            return self._gated(x, self.training if all_branches is None else all_branches)
        self._check(assignment, len(x))
        x = self.first(x)
        for unit, block in enumerate(self.all_blocks[1:]):
            if assignment.ndim == 1:
                x = block.run(x, int(assignment[unit]))
            else:
                x = run_chosen(block, x, assignment[:, unit])
        return Outcome(self.classify(x), None, assignment.expand(len(x), -1))

    def _gated(self, x: Tensor, all_branches: bool) -> Outcome:
        x = self.first(x)
        state, gates = self.gate.initial_state(x), []
        for unit, block in enumerate(self.all_blocks[1:]):
            gate, state = self.gate(unit, x, state)
            x = block.mixture(x, gate) if all_branches else run_chosen(block, x, gate.argmax(-1))
            gates.append(gate)
        stacked = torch.stack(gates, 1)
        return Outcome(self.classify(x), stacked, stacked.argmax(-1))

    def watch(self, x: Tensor, assignment: Tensor) -> Tensor:
        """What the gates would choose [N, units, K] while the choices are forced to [units].

        The blocks get no gradient and their statistics stay as they are: only gates can learn.
        """
        with torch.no_grad():
            x = self.first(x)
        state, gates = self.gate.initial_state(x), []
        for unit, block in enumerate(self.all_blocks[1:]):
            gate, state = self.gate(unit, x, state)
            gates.append(gate)
            with torch.no_grad():
                x = block.run(x, int(assignment[unit]))
        return torch.stack(gates, 1)

    def first(self, x: Tensor) -> Tensor:
        """The part before the first decision: stem and first block."""
        return self.all_blocks[0].run(functional.relu(self.stem_norm(self.stem(x, 0))), 0)

    def classify(self, x: Tensor) -> Tensor:
        return self.classifier(x.mean((2, 3)))

    def inherit(self) -> None:
        """Start all widths from the batch norms of the highest, the only one trained so far."""
        for block in self.all_blocks:
            block.inherit()

    def _check(self, assignment: Tensor, inputs: int) -> None:
        if assignment.shape not in ((len(self.units),), (inputs, len(self.units))):
            raise ValueError(
                f"an assignment for {inputs} inputs of {self.name} has shape "
                f"[{len(self.units)}] or [{inputs}, {len(self.units)}], not "
                f"{list(assignment.shape)}"
            )
        if self.training and assignment.ndim == 2:
            raise ValueError(
                "choices forced per input split the batch, which batch norm cannot train on"
            )


def run_chosen(block: GatedBlock, x: Tensor, choices: Tensor) -> Tensor:
    """Run each choice once, on the inputs of `x` that made it.

    Args:
        block: in evaluation mode.
        x: [N, C, H, W].
        choices: [N] indices of choices.
    """
    present = choices.unique().tolist()
    if len(present) == 1:
        return block.run(x, present[0])
    out: Tensor | None = None
    for choice in present:
        members = (choices == choice).nonzero().squeeze(1)
        part = block.run(x[members], choice)
        if out is None:
            out = part.new_empty((len(x), *part.shape[1:]))
        out[members] = part
    assert out is not None
    return out


def build_network(
    name: str,
    choices: str | tuple[Precision, ...],
    classes: int,
    in_channels: int = 3,
    *,
    widths: Sequence[int] = WIDTHS,
    seed: int = 0,
) -> DFSResNet:
    """A fresh network by name, such as ``resnet38``; equal seeds give equal weights.

    Raises:
        InputError: if the name is unknown.
    """
    if name not in NETWORKS:
        raise InputError(f"no network is called '{name}': choose from {', '.join(NETWORKS)}")
    depth = int(name.removeprefix("resnet"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DFSResNet(depth, parse_choices(choices), classes, in_channels, widths)


def named_layers(network: DFSResNet) -> Iterator[tuple[str, nn.Module]]:
    """The layers that multiply, by name, in execution order."""
    yield "stem", network.stem
    for number, block in enumerate(network.all_blocks, start=1):
        for part in ("shortcut", "conv1", "conv2"):
            if getattr(block, part) is not None:
                yield f"block{number}.{part}", getattr(block, part)
    yield "classifier", network.classifier


def _norms(channels: int, precisions: int) -> nn.ModuleList:
    return nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(precisions))
