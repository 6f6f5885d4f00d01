"""One decision unit of a network: a block that is skipped or run at one of several precisions.

In training every input runs only the branch it chose. What the gates must learn, how each *other*
branch would have done, is found in the backward pass: the branches not chosen run without a graph,
and the gradient of choice k is the inner product of branch k's output with the gradient that
arrives at the unit. That is the exact straight-through gradient of computing all branches and
masking their sum, as DFS does (Shen et al. 2020), for one graph instead of K (after ProxylessNAS's
two-path trick, Cai et al. 2019, run in full).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from accel_models.errors import InputError
from accel_models.precision import Precision, highest
from dfs_hw.networks.arguments import Arguments, Place
from dfs_hw.networks.compiled_blocks import run_chosen, run_gated, serves, unit_of
from dfs_hw.networks.gate_gradient import GateGradient, all_others, drawn_others, rows
from dfs_hw.quantize.layers import Dial


class Conductor:
    """Says how units run in the forward pass at hand; by itself, all at the highest precision."""

    def __init__(self) -> None:
        self.run: Callable[[GatedUnit, Tensor], Tensor] | None = None
        self.whole = False
        """Whether blocks of several units run in one piece, at the highest precision."""


@dataclass(frozen=True)
class Passage:
    """The way through a unit that needs none of its layers, and how its tensors lie.

    Attributes:
        skip_path: names of submodules that replace the block when it is skipped, run in order;
            () passes the input on, None says that this unit cannot be skipped.
        appended: channels of zeros that a skipped block puts behind those of its input; behind
            nothing where it is given a list of maps, as its caller keeps them.
        channels_last: whether channels are the last dimension of what the block reads.
        places: which part of the tuple that the block returns is the tensor; None if it returns the
            tensor itself.
        place: where the tensor stands among the block's arguments.
    """

    skip_path: tuple[str, ...] | None = ()
    appended: int = 0
    channels_last: bool = False
    places: tuple[bool, ...] | None = None
    place: Place = field(default_factory=Place)


class StandIn(nn.Module):
    """What stands in place of a block, and has the attributes that a model asks its block for."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("block"), name)


class GatedUnit(StandIn):
    """A block and its choices.

    Args:
        name: of the unit.
        block: decided by one of the tensors that it takes, returns one; its layers read `dial`.
        choices: in the order of choice indices.
        dial: set by this unit, read by the layers of the block.
        conductor: shared by all units of the network.
        passage: what is left of the block when it is skipped.
    """

    def __init__(
        self,
        name: str,
        block: nn.Module,
        choices: tuple[Precision, ...],
        dial: Dial,
        conductor: Conductor,
        passage: Passage,
    ) -> None:
        super().__init__()
        self.name, self.block, self.dial, self.conductor = name, block, dial, conductor
        self.passage, self.skip_path = passage, passage.skip_path
        self._beside = Arguments()
        self.choose_from(choices)

    def choose_from(self, choices: tuple[Precision, ...]) -> None:
        """Take its choices by their index in another set; those that run have to be the same."""
        run, skips = executed(choices), self.skip_path is not None
        self.index_of = tuple(run.index(c) if c.runs else None for c in choices)
        self.highest = run.index(highest(run))
        # To leave is none of its own choices: it does not come to that.
        self.offered = tuple(c.runs or (c.is_skip and skips) for c in choices)
        # What compiled kernels know of the block; None if it always runs layer by layer.
        self.fused = unit_of(self.block, self.index_of, self.offered, self.highest, self.skip_path)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        x, self._beside = Arguments.taken_apart(args, kwargs, self.passage.place)
        try:
            if self.conductor.run is None:
                self._refuse_to_learn()
                made = self.run(x, self.index_of.index(self.highest))
            else:
                made = self.conductor.run(self, x)
        finally:
            self._beside = Arguments(place=self.passage.place)  # tensors of a pass are not copied
        if self.passage.places is None:
            return made
        return tuple(made if here else None for here in self.passage.places)

    def _refuse_to_learn(self) -> None:
        """Learn nothing outside a pass, where nobody decides and gradients were another's."""
        if self.training and torch.is_grad_enabled():
            raise InputError(
                f"unit '{self.name}' runs outside a pass of its network, where nobody decides: "
                "call the network rather than its model, and switch off what computes blocks again "
                "in the backward pass (torch.utils.checkpoint)"
            )

    def features(self, x: Tensor) -> Tensor:
        """What the gate reads of the unit's input, as [N, C, H, W]; tokens are places."""
        if x.ndim == 3:
            return x.mT[..., None]
        return x.movedim(-1, 1) if self.passage.channels_last else x

    def run(self, x: Tensor, choice: int, beside: Arguments | None = None) -> Tensor:
        """Output of the whole batch for choice number `choice`; skipping runs no convolution but
        that of a shortcut, which has the highest precision then.

        Args:
            x: [N, ...].
            choice: index of the choice.
            beside: what the block is called with beside `x`; by default, as it just was.
        """
        index = self.index_of[choice]
        if self.fused is not None and self.offered[choice] and serves(self.fused, x):
            return run_chosen(self.fused, x, torch.full((len(x),), choice))
        self.dial.skips = index is None
        self.dial.index = self.highest if index is None else index
        made = self._skipped(x) if index is None else self._through_block(x, beside or self._beside)
        if self.training:
            self.dial.close(self.name)
        return made

    def _skipped(self, x: Tensor) -> Tensor:
        if self.skip_path is None:
            raise InputError(f"unit '{self.name}' cannot be skipped: its output has another shape")
        for name in self.skip_path:
            x = self.block.get_submodule(name)(x)
        if self.passage.place.joined:
            return x.new_zeros(len(x), self.passage.appended, *x.shape[2:])
        if self.passage.appended:
            x = functional.pad(x, (0, 0, 0, 0, 0, self.passage.appended))
        return x

    def _through_block(self, x: Tensor, beside: Arguments) -> Tensor:
        args, kwargs = beside.around(x)
        made = self.block(*args, **kwargs)
        places = self.passage.places
        found: Tensor = made if places is None else made[places.index(True)]
        return found

    def run_chosen(self, x: Tensor, choices: Tensor) -> Tensor:
        """Run each choice once, on the inputs of `x` that made it.

        Args:
            x: [N, ...].
            choices: [N] indices of choices.
        """
        if self.fused is not None and serves(self.fused, x):
            return run_chosen(self.fused, x, choices)
        order, counts = self._grouped(choices)
        if max(counts) == len(x):
            return self.run(x, counts.index(len(x)))
        beside = self._beside.rows(lambda along: rows(along, order))
        return rows(self._run_groups(rows(x, order), counts, beside), order.argsort())

    def run_all(self, x: Tensor, gate: Tensor) -> Tensor:
        """Every choice's output, weighted by `gate` [N, K] and summed; waits for no device."""
        mixed: Tensor | None = None
        for choice, weight in enumerate(gate.unbind(1)):
            if self.offered[choice]:
                made = self.run(x, choice)
                part = weight.view(-1, *(1,) * (made.ndim - 1)) * made
                mixed = part if mixed is None else mixed + part
        assert mixed is not None
        return mixed

    def run_gated(self, x: Tensor, gate: Tensor, tried: Tensor | None = None) -> Tensor:
        """The chosen branches' output, with the gradient of `run_all` for weights and gate.

        The two agree where a branch's output for an input does not depend on the rest of the
        batch: not while batch norm uses the statistics of the batch.

        Args:
            x: [N, ...].
            gate: straight-through choices [N, K].
            tried: weight of each branch that was not chosen [N, K], as `Trials` draws them; then
                those of weight 0 do not run, and the gate's gradient is right on average alone.
        """
        if self.fused is not None and serves(self.fused, x):
            return run_gated(self.fused, x, gate, tried)
        order, counts = self._grouped(gate.detach().argmax(-1))
        x, beside = rows(x, order), self._beside.rows(lambda along: rows(along, order))
        output = self._run_groups(x, counts, beside)
        gate = rows(gate, order)
        if tried is None:
            others = all_others(counts, self.offered)
        else:
            others = drawn_others(rows(tried, order).masked_fill(gate.detach() > 0.5, 0))

        def run(x: Tensor, choice: int, some: slice | Tensor) -> Tensor:
            return self.run(x, choice, beside.rows(lambda along: rows(along, some)))

        output = GateGradient.apply(output, gate, x.detach(), run, self.offered, others)
        return rows(output, order.argsort())

    def _grouped(self, choices: Tensor) -> tuple[Tensor, list[int]]:
        """Order of inputs by their choice [N], and how many made each."""
        counts = torch.bincount(choices, minlength=len(self.offered))
        return choices.argsort(stable=True), counts.tolist()

    def _run_groups(self, x: Tensor, counts: list[int], beside: Arguments) -> Tensor:
        """Run inputs that are in the order of their choices."""

        def group(choice: int, stop: int) -> Tensor:
            some = slice(stop - counts[choice], stop)
            return self.run(x[some], choice, beside.rows(lambda along: along[some]))

        stops = enumerate(accumulate(counts))
        return torch.cat([group(choice, stop) for choice, stop in stops if counts[choice]])


def executed(choices: tuple[Precision, ...]) -> tuple[Precision, ...]:
    """The choices that run something: what a layer's precisions are."""
    return tuple(choice for choice in choices if choice.runs)
