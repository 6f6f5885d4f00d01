"""What a gate is told in the backward pass: how each branch would have done.

A unit is linear in its mask, so the gradient of choice k is the inner product of branch k's output
with the gradient that arrives at the unit. The chosen branch's output is there; the others run now,
without a graph, on the inputs that did not choose them: on all of those, or on some that were drawn
(see `dfs_hw.gates.trials`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dfs_hw.quantize.rounding import at_least_float32, flat


class Others(NamedTuple):
    """Inputs on which a branch is tried that they did not choose."""

    choice: int
    inputs: slice | Tensor
    """Part of the batch, or indices [M]."""
    weight: float | Tensor
    """Weight of what is found, beside what the chosen branch did: 1, or [M]."""


def all_others(counts: Sequence[int], offered: Sequence[bool]) -> list[Others]:
    """Every branch on every input that did not choose it; nothing has to be copied.

    Args:
        counts: inputs that made each choice, and are in the order of their choices.
        offered: whether the unit has each choice.
    """
    inputs, stops = sum(counts), accumulate(counts)
    return [
        Others(choice, part, 1.0)
        for choice, (count, stop) in enumerate(zip(counts, stops, strict=True))
        if offered[choice]
        for part in (slice(0, stop - count), slice(stop, inputs))
        if part.start < part.stop
    ]


def drawn_others(weights: Tensor) -> list[Others]:
    """The branches that were drawn, by the weight of each [N, K]; 0 if it was not."""
    choices, inputs = weights.T.nonzero(as_tuple=True)
    counts = torch.bincount(choices, minlength=weights.shape[1]).tolist()
    return [
        Others(choice, some, weights[some, choice])
        for choice, some in enumerate(inputs.split(counts))
        if len(some)
    ]


class GateGradient(torch.autograd.Function):
    """Passes the chosen branches' output on, and finds the gate's gradient in the backward pass.

    ``apply(output, gate, x, run, offered, others)``: output of the chosen branches [N, ...], the
    gate's choices [N, K], what the unit read [N, ...], its branches, as ``run(rows of x, choice,
    which rows)``, whether it has each of them, and those to be tried.
    """

    @staticmethod
    def forward(
        ctx: Any,
        output: Tensor,
        gate: Tensor,
        x: Tensor,
        run: Callable[[Tensor, int, slice | Tensor], Tensor],
        offered: Sequence[bool],
        others: Sequence[Others],
    ) -> Tensor:
        ctx.save_for_backward(output, x)
        ctx.run, ctx.offered, ctx.others = run, offered, others
        ctx.autocast = torch.is_autocast_enabled(x.device.type)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None, None]:
        (grad,) = grads
        output, x = ctx.saved_tensors
        chosen = inner(grad, output)
        found = torch.stack([chosen * had for had in ctx.offered], 1)
        for choice, some, weight in ctx.others:
            with torch.autocast(x.device.type, enabled=ctx.autocast):
                candidate = ctx.run(rows(x, some), choice, some)
            did = inner(rows(grad, some), candidate)
            found[some, choice] = torch.lerp(chosen[some], did, weight)
        return grad, found, None, None, None, None


def rows(x: Tensor, index: slice | Tensor) -> Tensor:
    """``x[index]``; faster where channels are the innermost dimension, and keeps them there."""
    if isinstance(index, slice):
        return x[index]
    if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
        inputs, channels, height, width = x.shape
        flat = x.permute(0, 2, 3, 1).reshape(inputs, -1).index_select(0, index)
        return flat.view(-1, height, width, channels).permute(0, 3, 1, 2)
    return x.index_select(0, index)


def inner(first: Tensor, second: Tensor) -> Tensor:
    """Inner product of each input's tensors: [N, ...] twice -> [N], at least float32."""
    product = at_least_float32(first) * second
    return flat(product).sum(1)
