"""Decision units on the kernels of this package: one pass over memory where layers take ten, and no
image is moved to stand beside those of its precision.

They serve the blocks of `CifarResNet`, in float32 on a CPU; other blocks run layer by layer, and so
do quantisers other than "minmax" where there are gradients. Values and gradients are the same to
rounding; sums of integers are exact here too.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dfs_hw.networks.compiled_blocks.parameters import (
    Prepared,
    Unit,
    norm_gradients,
    note,
    prepared,
    weight_gradient,
)
from dfs_hw.networks.compiled_blocks.switch import switched_on
from dfs_hw.networks.compiled_blocks.threads import (
    array,
    in_jobs,
    in_parallel,
    kernel,
    new_weights,
    room_back_of,
    room_of,
    shared_out,
)
from dfs_hw.quantize.layers import QuantizedConv2d
from dfs_hw.quantize.minmax import MinMaxActivations


def serves(unit: Unit, x: Tensor) -> bool:
    """Whether the kernels are to run a unit on an input, and can, as things stand."""
    if not switched_on():
        return False
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return False
    # Tracing sees PyTorch's own operators only, and its stand-ins for tensors have no numbers.
    if torch.jit.is_tracing() or type(x) not in (Tensor, nn.Parameter):
        return False
    # The kernels check no bounds; and the layers say what is wrong with other inputs.
    if x.ndim != 4 or x.shape[1] != unit.convolutions[0].in_channels or not x.numel():
        return False
    if unit.exact and torch.is_grad_enabled():
        return False
    if any(map(_hooked, unit.modules)):
        return False
    rounding = [conv.activations for conv in unit.convolutions]
    if len({part.training for part in (*unit.norms, *rounding)}) > 1:  # some observe, some do not
        return False
    if any(norm.training and norm.by_batch for norm in unit.norms):
        return False
    return all(_known(conv) for conv in unit.convolutions)


def _hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def _known(conv: QuantizedConv2d) -> bool:
    """Whether a convolution goes by what it knows, not by the batch at hand."""
    rounding = conv.activations
    if conv.weight.dtype != torch.float32:
        return False
    if isinstance(rounding, MinMaxActivations):
        by_batch = rounding.training and rounding.by_batch
        return not by_batch and rounding.settled(0, rounding.range)
    return not rounding.training or all(
        precision.full or rounding.settled(index, rounding.grid(index)[1])
        for index, precision in enumerate(conv.precisions)
    )


def run_chosen(unit: Unit, x: Tensor, choices: Tensor) -> Tensor:
    """Each input's output at its choice; gates learn nothing.

    Args:
        unit: that `serves` said yes to.
        x: [N, C, H, W].
        choices: [N] indices.
    """
    return _run(unit, x, choices, None, None)


def run_gated(unit: Unit, x: Tensor, gate: Tensor, tried: Tensor | None) -> Tensor:
    """Run a block the way of `GatedUnit.run_gated`."""
    choices = gate.detach().argmax(-1)
    if tried is None:
        tried = torch.tensor(unit.offered).to(gate).expand_as(gate)
    return _run(unit, x, choices, tried.scatter(1, choices[:, None], 0), gate)


class Call(NamedTuple):
    """Call of a unit, with what was decided."""

    unit: Unit
    choices: Tensor
    """Choice of each input, [N]."""
    weights: Tensor | None
    """Weights of the branches to try [N, K], 0 where none is; None if gates learn nothing."""
    learns: bool
    """Whether there may be a backward pass."""
    observes: bool


def _run(
    unit: Unit, x: Tensor, choices: Tensor, weights: Tensor | None, gate: Tensor | None
) -> Tensor:
    learned = [conv.weight for conv in unit.convolutions]
    learned += [parameter for norm in unit.norms for parameter in (norm.weight, norm.bias)]
    learns = torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in (x, gate, *learned)
    )
    call = Call(unit, choices, weights, learns, unit.norms[0].observing)
    return cast(Tensor, _Block.apply(call, x, gate, *learned))


class _Block(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: Call, x: Tensor, gate: Tensor | None, *learned: Tensor) -> Tensor:
        code, unit, images = kernel().forward, call.unit, x.permute(0, 2, 3, 1).contiguous()
        shape, ready = unit.shape(*images.shape[1:3]), prepared(unit, call.learns)
        precisions = unit.executed(call.choices)
        ordered, order = precisions.sort(stable=True)
        jobs = in_jobs(order, ordered, shape.out.images)
        out = images.new_empty(len(x), shape.out.height, shape.out.width, shape.out.channels)
        hidden = out.new_empty(out.shape if call.learns or call.observes else (0, *out.shape[1:]))
        sums = out.new_zeros(len(hidden), 3, 2, shape.out.channels)
        ranges = out.new_zeros(len(hidden), 3, 2)
        seen = code.ForwardNotes(array(hidden), array(sums), array(ranges))

        def run(part: Any) -> None:
            room = room_of(shape)
            code.forward(array(images), part, ready.parameters, shape, room, array(out), seen)

        parts = shared_out(jobs, torch.get_num_threads())
        in_parallel(run, parts)
        if call.observes:
            note(unit, precisions, sums, ranges, shape.out.height * shape.out.width)
        if call.learns:
            # The statistics only so that PyTorch says it if they move before the backward pass.
            moments = [x for norm in unit.norms for x in (norm.mean, norm.variance)]
            ctx.save_for_backward(images, hidden, out, *moments)
            ctx.call, ctx.ready, ctx.parts, ctx.shape = call, ready, parts, shape
        return out.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable  # whose type leaves out ctx
    @torch.autocast("cpu", enabled=False)
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        images, hidden, out = ctx.saved_tensors[:3]
        call, ready, shape, code = ctx.call, ctx.ready, ctx.shape, kernel().backward
        unit, channels = call.unit, shape.out.channels
        grad = grads[0].permute(0, 2, 3, 1).contiguous()
        x_grad, chosen = torch.empty_like(images), images.new_empty(len(images))
        terms = images.new_zeros(len(images), 2, channels)
        passed = code.Passed(*map(array, (images, hidden, out, grad)))

        weights = [new_weights(shape) for _ in ctx.parts]
        products = images.new_zeros(len(ctx.parts), unit.precisions, 3, channels)

        def run(part: Any, weights: Any, products: np.ndarray) -> None:
            found = code.Gradients(weights, products, array(terms), array(chosen))
            room, back = room_of(shape), room_back_of(shape)
            code.backward(passed, part, *ready, shape, room, back, array(x_grad), found)

        in_parallel(run, ctx.parts, weights, array(products))
        learned = [
            weight_gradient(
                conv,
                torch.stack([torch.from_numpy(each[number]) for each in weights]).sum(0),
                by_points=unit.by_points(number),
            )
            for number, conv in enumerate(unit.convolutions)
        ]
        learned += norm_gradients(unit, unit.executed(call.choices), products.sum(0), terms)
        gate = None
        if ctx.needs_input_grad[2]:
            gate = _gate_gradient(call, images, grad, chosen, ready, shape)
        return None, x_grad.permute(0, 3, 1, 2), gate, *learned


def _gate_gradient(
    call: Call, images: Tensor, grad: Tensor, chosen: Tensor, ready: Prepared, shape: Any
) -> Tensor:
    """Gradient of the gates' choices; see `dfs_hw.networks.gate_gradient`."""
    assert call.weights is not None
    code, unit = kernel().forward, call.unit
    choices, inputs = call.weights.T.nonzero(as_tuple=True)
    did, none = images.new_empty(len(inputs)), grad[:0]
    nothing = code.ForwardNotes(array(none), array(none), array(none[..., 0]))

    def run(part: Any) -> None:
        x, room = array(images), room_of(shape)
        code.score(x, array(grad), part, ready.parameters, shape, room, nothing, array(did))

    jobs = in_jobs(inputs, unit.executed(choices), shape.out.images)
    in_parallel(run, shared_out(jobs, torch.get_num_threads()))
    found = torch.stack([chosen * had for had in unit.offered], 1)
    found[inputs, choices] = torch.lerp(chosen[inputs], did, call.weights[inputs, choices])
    return found
