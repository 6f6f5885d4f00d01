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
from typing import Any, cast

import torch
from torch import Tensor, nn

from accel_models.precision import Precision, highest
from dfs_hw.quantize.layers import Dial


class Conductor:
    """Says how units run in the forward pass at hand; by itself, all at the highest precision."""

    def __init__(self) -> None:
        self.run: Callable[[GatedUnit, Tensor], Tensor] | None = None


class GatedUnit(nn.Module):
    """A block and its choices.

    Args:
        name: of the unit.
        block: takes one tensor, returns one; its layers read `dial`.
        choices: in the order of choice indices.
        dial: set by this unit, read by the layers of the block.
        conductor: shared by all units of the network.
        skip_path: names of submodules that replace the block when it is skipped, run in order;
            () passes the input on, None says that this unit cannot be skipped.
    """

    def __init__(
        self,
        name: str,
        block: nn.Module,
        choices: tuple[Precision, ...],
        dial: Dial,
        conductor: Conductor,
        skip_path: tuple[str, ...] | None,
    ) -> None:
        super().__init__()
        self.name, self.block, self.dial, self.conductor = name, block, dial, conductor
        self.skip_path = skip_path
        run = executed(choices)
        self.index_of = tuple(None if c.is_skip else run.index(c) for c in choices)
        self.highest = run.index(highest(run))
        self.offered = tuple(not c.is_skip or skip_path is not None for c in choices)

    def forward(self, x: Tensor) -> Tensor:
        if self.conductor.run is None:
            return self.run(x, self.index_of.index(self.highest))
        return self.conductor.run(self, x)

    def run(self, x: Tensor, choice: int) -> Tensor:
        """Output of the whole batch for choice number `choice`; skipping runs no convolution but
        that of a shortcut, which has the highest precision then."""
        index = self.index_of[choice]
        if index is not None:
            self.dial.index = index
            return cast(Tensor, self.block(x))
        assert self.skip_path is not None
        self.dial.index = self.highest
        for name in self.skip_path:
            x = self.block.get_submodule(name)(x)
        return x

    def run_chosen(self, x: Tensor, choices: Tensor) -> Tensor:
        """Run each choice once, on the inputs of `x` that made it.

        Args:
            x: [N, C, H, W].
            choices: [N] indices of choices.
        """
        order = choices.argsort(stable=True)
        counts = torch.bincount(choices, minlength=len(self.offered)).tolist()
        present = [choice for choice, count in enumerate(counts) if count]
        if len(present) == 1:
            return self.run(x, present[0])
        groups = x[order].split([counts[choice] for choice in present])
        parts = [self.run(part, choice) for part, choice in zip(groups, present, strict=True)]
        return torch.cat(parts)[order.argsort()]

    def run_all(self, x: Tensor, gate: Tensor) -> Tensor:
        """Every choice's output, weighted by `gate` [N, K] and summed; waits for no device."""
        mixed: Tensor | None = None
        for choice, weight in enumerate(gate[:, :, None, None, None].unbind(1)):
            if self.offered[choice]:
                part = weight * self.run(x, choice)
                mixed = part if mixed is None else mixed + part
        assert mixed is not None
        return mixed

    def run_gated(self, x: Tensor, gate: Tensor) -> Tensor:
        """The chosen branches' output, with the gradient of `run_all` for weights and gate.

        The two agree where a branch's output for an input does not depend on the rest of the
        batch: not while batch norm uses the statistics of the batch.
        """
        output = self.run_chosen(x, gate.detach().argmax(-1))
        return cast(Tensor, _GateGradient.apply(output, gate, x.detach(), self))


class _GateGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor, gate: Tensor, x: Tensor, unit: GatedUnit) -> Tensor:
        ctx.save_for_backward(output, gate, x)
        ctx.unit = unit
        ctx.autocast = torch.is_autocast_enabled(x.device.type)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (grad,), unit = grads, ctx.unit
        output, gate, x = ctx.saved_tensors
        chosen = gate.argmax(-1)
        per_choice = gate.new_zeros(gate.shape)
        per_choice.scatter_(1, chosen[:, None], _inner(grad, output)[:, None])
        with torch.autocast(x.device.type, enabled=ctx.autocast):
            for choice in range(gate.shape[1]):
                others = (chosen != choice).nonzero().squeeze(1)
                if unit.offered[choice] and len(others):
                    candidate = unit.run(x[others], choice)
                    per_choice[others, choice] = _inner(grad[others], candidate)
        return grad, per_choice, None, None


def executed(choices: tuple[Precision, ...]) -> tuple[Precision, ...]:
    """The choices that run something: what a layer's precisions are."""
    return tuple(choice for choice in choices if not choice.is_skip)


def _inner(first: Tensor, second: Tensor) -> Tensor:
    """Inner product of each input's tensors: [N, ...] twice -> [N]."""
    return torch.einsum("ni,ni->n", first.flatten(1).float(), second.flatten(1).float())
