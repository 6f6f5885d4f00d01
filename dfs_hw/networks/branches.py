"""One decision unit of a network: a block that is skipped or run at one of several precisions.

In training every input runs only the branch it chose. What the gates must learn, how each *other*
branch would have done, is found in the backward pass: the branches not chosen run without a graph,
and the gradient of choice k is the inner product of branch k's output with the gradient that
arrives at the unit. That is the exact straight-through gradient of computing all branches and
masking their sum, as DFS does (Shen et al. 2020), for one graph instead of K (after ProxylessNAS's
two-path trick, Cai et al. 2019, run in full).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from accel_models.errors import InputError
from accel_models.precision import Precision, highest
from dfs_hw.networks.compiled_blocks import run_chosen, run_gated, serves, unit_of
from dfs_hw.networks.flow import named_arguments
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
        appended: channels of zeros that a skipped block puts behind those of its input.
        channels_last: whether channels are the last dimension of what the block reads.
        places: which part of the tuple that the block returns is the tensor; None if it returns the
            tensor itself.
    """

    skip_path: tuple[str, ...] | None = ()
    appended: int = 0
    channels_last: bool = False
    places: tuple[bool, ...] | None = None


@dataclass(frozen=True)
class _Arguments:
    """What a block is called with beside its tensor."""

    args: tuple[Any, ...] = (None,)
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    at: int | str = 0
    """Where the tensor stands."""


class GatedUnit(nn.Module):
    """A block and its choices.

    Args:
        name: of the unit.
        block: takes one tensor, beside sizes and switches, and returns one; its layers read `dial`.
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
        run, skips = executed(choices), passage.skip_path is not None
        self.index_of = tuple(None if c.is_skip else run.index(c) for c in choices)
        self.highest = run.index(highest(run))
        self.offered = tuple(not c.is_skip or skips for c in choices)
        # What compiled kernels know of the block; None if it always runs layer by layer.
        self.fused = unit_of(block, self.index_of, self.offered, self.highest, self.skip_path)
        self._beside = _Arguments()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        at, x = tensor_among(args, kwargs)
        self._beside = _Arguments(*with_tensor(args, kwargs, None, at), at)
        if self.conductor.run is None:
            made = self.run(x, self.index_of.index(self.highest))
        else:
            made = self.conductor.run(self, x)
        if self.passage.places is None:
            return made
        return tuple(made if here else None for here in self.passage.places)

    def features(self, x: Tensor) -> Tensor:
        """What the gate reads of the unit's input, as [N, C, H, W]; tokens are places."""
        if x.ndim == 3:
            return x.mT[..., None]
        return x.movedim(-1, 1) if self.passage.channels_last else x

    def run(self, x: Tensor, choice: int, beside: _Arguments | None = None) -> Tensor:
        """Output of the whole batch for choice number `choice`; skipping runs no convolution but
        that of a shortcut, which has the highest precision then.

        Args:
            x: [N, ...].
            choice: index of the choice.
            beside: what the block is called with beside `x`; by default, as it was the last time.
        """
        index = self.index_of[choice]
        if self.fused is not None and self.offered[choice] and serves(self.fused, x):
            return run_chosen(self.fused, x, torch.full((len(x),), choice))
        self.dial.skips = index is None
        if index is not None:
            self.dial.index = index
            return self._through_block(x, beside or self._beside)
        if self.skip_path is None:
            raise InputError(f"unit '{self.name}' cannot be skipped: its output has another shape")
        self.dial.index = self.highest
        for name in self.skip_path:
            x = self.block.get_submodule(name)(x)
        if self.passage.appended:
            x = functional.pad(x, (0, 0, 0, 0, 0, self.passage.appended))
        return x

    def _through_block(self, x: Tensor, beside: _Arguments) -> Tensor:
        args, kwargs = with_tensor(beside.args, beside.kwargs, x, beside.at)
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
        return rows(self._run_groups(rows(x, order), counts), order.argsort())

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
        x = rows(x, order)
        output = self._run_groups(x, counts)
        gate = rows(gate, order)
        if tried is None:
            others = all_others(counts, self.offered)
        else:
            others = drawn_others(rows(tried, order).masked_fill(gate.detach() > 0.5, 0))
        run = partial(self.run, beside=self._beside)
        output = GateGradient.apply(output, gate, x.detach(), run, self.offered, others)
        return rows(output, order.argsort())

    def _grouped(self, choices: Tensor) -> tuple[Tensor, list[int]]:
        """Order of inputs by their choice [N], and how many made each."""
        counts = torch.bincount(choices, minlength=len(self.offered))
        return choices.argsort(stable=True), counts.tolist()

    def _run_groups(self, x: Tensor, counts: list[int]) -> Tensor:
        """Run inputs that are in the order of their choices."""
        groups = enumerate(x.split(counts))
        return torch.cat([self.run(group, choice) for choice, group in groups if len(group)])


def tensor_among(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int | str, Tensor]:
    """The only tensor among arguments, and where it stands."""
    by_name = named_arguments(args, kwargs)
    return next((at, x) for at, x in by_name.items() if isinstance(x, Tensor))


def with_tensor(
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    x: Tensor | None,
    at: int | str | None = None,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments with another tensor in place of the only one."""
    at = tensor_among(args, kwargs)[0] if at is None else at
    if isinstance(at, int):
        return (*args[:at], x, *args[at + 1 :]), dict(kwargs)
    return args, {**kwargs, at: x}


def executed(choices: tuple[Precision, ...]) -> tuple[Precision, ...]:
    """The choices that run something: what a layer's precisions are."""
    return tuple(choice for choice in choices if not choice.is_skip)
