"""Decision units that run on the kernels of this package: one pass over memory where layers take
ten, and no image is moved to stand beside those of its precision.

They serve blocks of `CifarResNet` that keep their shape, with quantisers of the family "minmax", in
float32 on a CPU; all others run layer by layer. Values and gradients are the same to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from dfs_hw.fused.work import flat, in_jobs, in_parallel, kernel
from dfs_hw.networks.cifar_resnet import BasicBlock
from dfs_hw.quantize.layers import PrecisionNorm, QuantizedConv2d
from dfs_hw.quantize.minmax import MinMaxActivations, MinMaxWeights
from dfs_hw.quantize.rounding import SMALLEST_STEP

LANES = 16
SKIP = -1


class Unit(NamedTuple):
    """A decision unit, as the kernels need to know it."""

    convolutions: tuple[QuantizedConv2d, QuantizedConv2d]
    norms: tuple[PrecisionNorm, PrecisionNorm]
    index_of: tuple[int | None, ...]
    """Precision of each choice; None skips."""
    offered: tuple[bool, ...]

    @property
    def precisions(self) -> int:
        return len(self.convolutions[0].precisions)

    def executed(self, choices: Tensor) -> Tensor:
        """Precision of each choice [N], or `SKIP`."""
        index = [SKIP if index is None else index for index in self.index_of]
        return torch.tensor(index)[choices]


def unit_of(
    block: nn.Module, index_of: tuple[int | None, ...], offered: tuple[bool, ...]
) -> Unit | None:
    """A block that the kernels can run, whatever its input; None if they cannot."""
    if not isinstance(block, BasicBlock) or block.shortcut is not None:
        return None
    convolutions, norms = (block.conv1, block.conv2), (block.norm1, block.norm2)
    for conv, norm in zip(convolutions, norms, strict=True):
        if not (isinstance(conv, QuantizedConv2d) and isinstance(norm, PrecisionNorm)):
            return None
        if not isinstance(conv.activations, MinMaxActivations) or conv.activations.stochastic:
            return None
        if not isinstance(conv.weights, MinMaxWeights) or conv.bias is not None:
            return None
        shape = conv.in_channels, conv.out_channels, conv.groups, conv.kernel_size, conv.stride
        channels = conv.in_channels
        if channels % LANES or shape != (channels, channels, 1, (3, 3), (1, 1)):
            return None
    return Unit(cast(Any, convolutions), cast(Any, norms), index_of, offered)


def serves(unit: Unit, x: Tensor) -> bool:
    """Whether the kernels can run a unit on an input, as things stand."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return False
    parts = [*unit.convolutions, *unit.norms]
    if any(part._forward_hooks or part._forward_pre_hooks for part in parts):
        return False
    if any(norm.training and norm.by_batch for norm in unit.norms):
        return False
    for conv in unit.convolutions:
        known = conv.activations
        assert isinstance(known, MinMaxActivations)
        if conv.weight.dtype != torch.float32 or (conv.training and known.by_batch):
            return False
        if not known.settled(0, known.range):
            return False
    return True


def run_chosen(unit: Unit, x: Tensor, choices: Tensor) -> Tensor:
    """Each input's output at its choice; gates learn nothing.

    Args:
        unit: that `serves` said yes to.
        x: [N, C, H, W].
        choices: [N] indices.
    """
    return _apply(Call(unit, choices, None, _observes(unit)), x, None)


def run_gated(unit: Unit, x: Tensor, gate: Tensor, tried: Tensor | None) -> Tensor:
    """As `GatedUnit.run_gated`."""
    choices = gate.detach().argmax(-1)
    if tried is None:
        tried = torch.tensor(unit.offered).to(gate).expand_as(gate)
    weights = tried.scatter(1, choices[:, None], 0)
    return _apply(Call(unit, choices, weights, _observes(unit)), x, gate)


class Call(NamedTuple):
    """Of a unit, with what was decided."""

    unit: Unit
    choices: Tensor
    """[N]."""
    weights: Tensor | None
    """Of the branches to try [N, K], 0 where none is; None if gates learn nothing."""
    observes: bool


def _observes(unit: Unit) -> bool:
    return unit.norms[0].observing


def _apply(call: Call, x: Tensor, gate: Tensor | None) -> Tensor:
    (conv1, conv2), (norm1, norm2) = call.unit.convolutions, call.unit.norms
    learned = conv1.weight, conv2.weight, norm1.weight, norm1.bias, norm2.weight, norm2.bias
    return cast(Tensor, _Block.apply(call, x, gate, *learned))


class _Block(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: Call, x: Tensor, gate: Tensor | None, *learned: Tensor) -> Tensor:
        code, images = kernel(), x.detach().permute(0, 2, 3, 1).contiguous()
        _, height, width, channels = images.shape
        tiling, learns = code.Tiling.of(height, width, channels), any(ctx.needs_input_grad)
        parameters = prepare(call.unit, learns)
        precisions, order = call.unit.executed(call.choices).sort(stable=True)
        jobs = in_jobs(order.numpy(), precisions.numpy(), tiling.images)
        noted = len(x) if learns or call.observes else 0
        hidden, out = torch.empty_like(images[:noted]), torch.empty_like(images)
        sums, ranges = images.new_zeros(noted, 2, 2, channels), images.new_zeros(noted, 2, 2)
        seen = code.Seen(flat(hidden), flat(sums), flat(ranges))
        in_parallel(
            lambda part, room: code.forward(
                flat(images), part, parameters, tiling, room, flat(out), seen
            ),
            jobs,
            tiling,
        )
        if call.observes:
            note(call.unit, call.choices, sums, ranges, height * width)
        if learns:
            ctx.save_for_backward(images, hidden, out)
            ctx.call, ctx.parameters, ctx.jobs, ctx.tiling = call, parameters, jobs, tiling
        return out.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        images, hidden, out = ctx.saved_tensors
        call, parameters, tiling = ctx.call, ctx.parameters, ctx.tiling
        grad = grads[0].permute(0, 2, 3, 1).contiguous()
        code, unit = kernel(), call.unit
        x_grad, chosen = torch.empty_like(images), images.new_empty(len(images))
        terms = images.new_zeros(len(images), 2, tiling.channels)

        def back(part: Any, room: Any) -> tuple[Tensor, Tensor]:
            weights = images.new_zeros(2, code.POINTS, tiling.channels, tiling.channels)
            products = images.new_zeros(unit.precisions, 2, tiling.channels)
            found = code.Gradients(flat(weights), flat(products), flat(terms), flat(chosen))
            code.backward(
                flat(images),
                flat(hidden),
                flat(out),
                flat(grad),
                part,
                parameters,
                tiling,
                room,
                flat(x_grad),
                found,
            )
            return weights, products

        found = in_parallel(back, ctx.jobs, tiling, gradients=True)
        weights = torch.stack([weight for weight, _ in found]).sum(0)
        products = torch.stack([product for _, product in found]).sum(0)
        gate_grad = None
        if call.weights is not None:
            gate_grad = gate_gradient(call, images, grad, chosen, parameters, tiling)
        learned = [*weight_gradients(weights), *norm_gradients(call, products, terms)]
        return None, x_grad.permute(0, 3, 1, 2), gate_grad, *learned


def prepare(unit: Unit, learns: bool) -> Any:
    """The kernels' `Parameters` of a unit."""
    code, channels = kernel(), unit.convolutions[0].in_channels
    norms = torch.stack([affine(unit, norm) for norm in range(2)], 1)
    rounding = torch.stack([grids(conv) for conv in unit.convolutions], 1)
    values = torch.stack(
        [rounded(conv, index) for index in range(unit.precisions) for conv in unit.convolutions]
    )
    points = transform(values).view(unit.precisions, 2, code.POINTS, channels, channels)
    transposed = points * norms[:, :, 0, None, :, None] if learns else points[:0]
    return code.Parameters(
        flat(points.transpose(-1, -2).contiguous()),
        flat(transposed),
        flat(norms.contiguous()),
        flat(rounding.contiguous()),
    )


@torch.no_grad()
def rounded(conv: QuantizedConv2d, index: int) -> Tensor:
    """Weights of a convolution at a precision."""
    if conv.precisions[index].full:
        return conv.weight
    return cast(Tensor, conv.weights(conv.weight, index)[0])


def transform(weights: Tensor) -> Tensor:
    """[M, out, in, 3, 3] -> [M, points, out, in]."""
    convolutions, outputs, inputs = weights.shape[:3]
    taps = weights.reshape(convolutions, outputs * inputs, 9)
    return (_transform() @ taps.transpose(1, 2)).view(convolutions, -1, outputs, inputs)


def weight_gradients(points: Tensor) -> list[Tensor]:
    """[M, points, in, out] -> M times [out, in, 3, 3]."""
    convolutions, _, inputs, outputs = points.shape
    taps = _transform().T @ points.flatten(2)
    grads = taps.view(convolutions, 3, 3, inputs, outputs).permute(0, 4, 3, 1, 2)
    return list(grads.contiguous())


def _transform() -> Tensor:
    """Of 9 taps to the points [points, 9]."""
    once = torch.tensor(kernel().winograd.WEIGHT_TRANSFORM)
    return torch.kron(once, once).float()


@torch.no_grad()
def affine(unit: Unit, number: int) -> Tensor:
    """Factor and term of a norm at each precision [precisions, 2, channels]."""
    norm = unit.norms[number]
    factor = norm.weight * (norm.variance + norm.eps).rsqrt()
    both = torch.stack([factor, norm.bias - norm.mean * factor], 1)
    return both.expand(unit.precisions, -1, -1)


def grids(conv: QuantizedConv2d) -> Tensor:
    """How a convolution rounds its input at each precision [precisions, 4], see `Parameters`."""
    known = conv.activations
    assert isinstance(known, MinMaxActivations)
    low, high = known.range[0]
    rows = []
    for precision, levels in zip(conv.precisions, known.levels, strict=True):
        step = ((high - low) / levels.high).clamp_min(SMALLEST_STEP)
        top = 0 if precision.full else levels.high
        rows.append(torch.stack([low, 1 / step, step, torch.full_like(step, top)]))
    return torch.stack(rows)


@torch.no_grad()
def note(unit: Unit, choices: Tensor, sums: Tensor, ranges: Tensor, pixels: int) -> None:
    """Let the layers observe what they would have seen."""
    precisions = unit.executed(choices)
    for index in range(unit.precisions):
        some = precisions == index
        inputs = int(some.sum())
        if not inputs:
            continue
        seen, ends = sums[some].sum(0), ranges[some].sum(0)
        for number, (conv, norm) in enumerate(zip(unit.convolutions, unit.norms, strict=True)):
            norm.note(index, inputs, pixels * inputs, *seen[number])
            if not conv.precisions[index].full:
                conv.activations.observe(index, inputs, ends[number])


def gate_gradient(
    call: Call, images: Tensor, grad: Tensor, chosen: Tensor, parameters: Any, tiling: Any
) -> Tensor:
    """See `dfs_hw.networks.gate_gradient`."""
    assert call.weights is not None
    code, unit = kernel(), call.unit
    choices, inputs = call.weights.T.nonzero(as_tuple=True)
    precisions = unit.executed(choices)
    did = images.new_empty(len(inputs))
    nothing = code.Seen(*[flat(images.new_empty(0))] * 3)
    in_parallel(
        lambda part, room: code.score(
            flat(images), flat(grad), part, parameters, tiling, room, flat(did), nothing
        ),
        in_jobs(inputs.numpy(), precisions.numpy(), tiling.images),
        tiling,
    )
    found = torch.stack([chosen * had for had in unit.offered], 1)
    found[inputs, choices] = torch.lerp(chosen[inputs], did, call.weights[inputs, choices])
    return found


def norm_gradients(call: Call, products: Tensor, terms: Tensor) -> Sequence[Tensor]:
    """Of the factors and terms of both norms, as their parameters are laid out."""
    unit = call.unit
    precisions = unit.executed(call.choices)
    ran = precisions[:, None] == torch.arange(unit.precisions)
    shifts = torch.einsum("np,nmc->pmc", ran.to(terms), terms)
    found: list[Tensor] = []
    for number, norm in enumerate(unit.norms):
        centred = products[:, number] - norm.mean * shifts[:, number]
        for grads in (centred * (norm.variance + norm.eps).rsqrt(), shifts[:, number]):
            found.append(grads.sum(0, keepdim=True) if norm.shared else grads)
    return found
