"""From the layers of a decision unit to the kernels' parameters, and gradients back."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from dfs_hw.fused.work import flat, kernel
from dfs_hw.networks.cifar_resnet import BasicBlock
from dfs_hw.quantize.layers import PrecisionNorm, QuantizedConv2d
from dfs_hw.quantize.minmax import MinMaxActivations, MinMaxWeights
from dfs_hw.quantize.rounding import SMALLEST_STEP

LANES = 16
"""What channels must be a multiple of."""
SKIP = -1
SIDE = 2


class Unit(NamedTuple):
    """A decision unit, as the kernels need to know it."""

    convolutions: tuple[QuantizedConv2d, ...]
    """First, second, and that of the shortcut if it has one."""
    norms: tuple[PrecisionNorm, ...]
    """Of each convolution."""
    index_of: tuple[int | None, ...]
    """Precision of each choice; None skips."""
    offered: tuple[bool, ...]
    highest: int
    """Precision of the shortcut where the block is skipped."""
    rectifies: bool
    """Whether a ReLU follows it then."""

    @property
    def precisions(self) -> int:
        return len(self.convolutions[0].precisions)

    @property
    def projects(self) -> bool:
        return len(self.convolutions) > SIDE

    def executed(self, choices: Tensor) -> Tensor:
        """Precision of each choice [N], or `SKIP`."""
        index = [SKIP if index is None else index for index in self.index_of]
        return torch.tensor(index)[choices]

    def used(self, convolution: int, precisions: Tensor) -> Tensor:
        """Precision at which a convolution ran [N], or `SKIP`."""
        if convolution != SIDE:
            return precisions
        return torch.where(precisions == SKIP, self.highest, precisions)

    def shape(self, height: int, width: int) -> Any:
        """The kernels' `Shape`, for inputs of this size."""
        code, conv = kernel(), self.convolutions[0]
        x = code.winograd.Tiling.of(height, width, conv.in_channels)
        stride = 2 if self.projects else 1
        size = -(-height // stride), -(-width // stride)
        out = code.winograd.Tiling.of(*size, conv.out_channels)
        return code.Shape(x, out, self.projects, self.highest, self.rectifies)


def unit_of(
    block: nn.Module,
    index_of: tuple[int | None, ...],
    offered: tuple[bool, ...],
    highest: int,
    skip_path: tuple[str, ...] | None,
) -> Unit | None:
    """A block that the kernels can run, whatever its input; None if they cannot."""
    if not isinstance(block, BasicBlock):
        return None
    layers: list[tuple[nn.Module, nn.Module]] = [
        (block.conv1, block.norm1),
        (block.conv2, block.norm2),
    ]
    if block.shortcut is not None:
        layers.append((block.shortcut[0], block.shortcut[1]))
    if not all(_supported(*each) for each in layers):
        return None
    convolutions = tuple(cast(QuantizedConv2d, conv) for conv, _ in layers)
    stride = convolutions[0].stride
    if stride != ((1, 1) if block.shortcut is None else (2, 2)):
        return None
    norms = tuple(cast(PrecisionNorm, norm) for _, norm in layers)
    rectifies = skip_path is not None and len(skip_path) > 1
    return Unit(convolutions, norms, index_of, offered, highest, rectifies)


def _supported(conv: nn.Module, norm: nn.Module) -> bool:
    return (
        isinstance(conv, QuantizedConv2d)
        and isinstance(norm, PrecisionNorm)
        and isinstance(conv.weights, MinMaxWeights)
        and isinstance(conv.activations, MinMaxActivations)
        and not conv.activations.stochastic
        and conv.bias is None
        and conv.groups == 1
        and conv.in_channels % LANES == conv.out_channels % LANES == 0
    )


class Prepared(NamedTuple):
    """A unit's parameters as they are now."""

    parameters: Any
    transposed: Any
    """`Weights` for the backward pass; None if there is none."""


@torch.no_grad()
def prepare(unit: Unit, learns: bool) -> Prepared:
    """What the kernels need."""
    code, none = kernel(), unit.convolutions[0].weight.new_empty(0)
    weights = [in_points(unit, number) for number in range(len(unit.convolutions))]
    norms = [affine(norm, unit.precisions) for norm in unit.norms]
    rounding = [levels(conv) for conv in unit.convolutions]
    if not unit.projects:
        weights, norms, rounding = [*weights, none], [*norms, norms[0]], [*rounding, rounding[0]]
    transposed = None
    if learns:
        factors = [norm[:, 0, None, :, None] for norm in norms]
        back = [w * f if len(w) else w for w, f in zip(weights, factors, strict=True)]
        transposed = code.Weights(*[flat(weight.contiguous()) for weight in back])
    forward = [w.transpose(-1, -2) if len(w) else w for w in weights]
    arrays = *forward, torch.stack(norms, 1), torch.stack(rounding, 1)
    parameters = code.Parameters(*[flat(array.contiguous()) for array in arrays])
    return Prepared(parameters, transposed)


def in_points(unit: Unit, number: int) -> Tensor:
    """Rounded weights of a convolution at each precision [precisions, points or taps, out, in]."""
    conv = unit.convolutions[number]
    values = [
        conv.weight if precision.full else conv.weights(conv.weight, index)[0]
        for index, precision in enumerate(conv.precisions)
    ]
    taps = torch.stack(values).flatten(3)
    precisions, outputs, inputs, count = taps.shape
    taps = taps.view(precisions, outputs * inputs, count).transpose(1, 2)
    if conv.stride == (1, 1):
        taps = _transform() @ taps
    return taps.reshape(precisions, -1, outputs, inputs)


def weight_gradient(conv: QuantizedConv2d, found: Tensor) -> Tensor:
    """Of a convolution's weights, from [points or taps * in * out]."""
    inputs, outputs = conv.in_channels, conv.out_channels
    taps = found.view(-1, inputs * outputs)
    if conv.stride == (1, 1):
        taps = _transform().T @ taps
    return taps.view(*conv.kernel_size, inputs, outputs).permute(3, 2, 0, 1).contiguous()


def _transform() -> Tensor:
    """From 9 taps to the points [points, 9]."""
    once = torch.tensor(kernel().winograd.WEIGHT_TRANSFORM)
    return torch.kron(once, once).float()


def affine(norm: PrecisionNorm, precisions: int) -> Tensor:
    """Factor and term of a norm at each precision [precisions, 2, channels]."""
    factor = norm.weight * (norm.variance + norm.eps).rsqrt()
    both = torch.stack([factor, norm.bias - norm.mean * factor], 1)
    return both.expand(precisions, -1, -1)


def levels(conv: QuantizedConv2d) -> Tensor:
    """How a convolution rounds its input at each precision [precisions, 4], see `Parameters`."""
    known = cast(MinMaxActivations, conv.activations)
    low, high = known.range[0]
    rows = []
    for precision, levels in zip(conv.precisions, known.levels, strict=True):
        step = ((high - low) / levels.high).clamp_min(SMALLEST_STEP)
        top = 0 if precision.full else levels.high
        rows.append(torch.stack([low, 1 / step, step, torch.full_like(step, top)]))
    return torch.stack(rows)


def norm_gradients(unit: Unit, precisions: Tensor, products: Tensor, terms: Tensor) -> list[Tensor]:
    """Of the factors and terms of all norms, as their parameters are laid out.

    Args:
        unit: of the norms.
        precisions: at which inputs ran [N].
        products: as `Gradients` has them [precisions, 3, C].
        terms: likewise [N, 2, C].
    """
    found: list[Tensor] = []
    for number, norm in enumerate(unit.norms):
        ran = unit.used(number, precisions) == torch.arange(unit.precisions)[:, None]
        shift = ran.to(terms) @ terms[:, min(number, 1)]
        scale = (products[:, number] - norm.mean * shift) * (norm.variance + norm.eps).rsqrt()
        found += [grad.sum(0, keepdim=True) if norm.shared else grad for grad in (scale, shift)]
    return found


def note(unit: Unit, precisions: Tensor, sums: Tensor, ranges: Tensor, pixels: int) -> None:
    """Let the layers observe what they would have seen in a forward pass.

    Args:
        unit: of the layers.
        precisions: at which inputs ran [N].
        sums: as `Seen` has them [N, 3, 2, C].
        ranges: likewise [N, 3, 2].
        pixels: of an output.
    """
    seen = torch.cat([torch.full_like(sums[:, :, 0, :1], pixels), sums.flatten(2)], 2)
    rounds = torch.tensor([not precision.full for precision in unit.convolutions[0].precisions])
    for number, (conv, norm) in enumerate(zip(unit.convolutions, unit.norms, strict=True)):
        used = unit.used(number, precisions)
        conv.activations.observe_each(
            _by_precision(used, unit.precisions, ranges[:, number]) * rounds[:, None]
        )
        if not norm.shared:
            norm.observe_each(_by_precision(used, unit.precisions, seen[:, number]))
            continue
        # There a row of its own, the first, is for the shortcuts of skipped blocks.
        rows = precisions + 1 if number == SIDE else torch.where(used == SKIP, SKIP, used + 1)
        norm.observe_each(_by_precision(rows, unit.precisions + 1, seen[:, number]))


def _by_precision(used: Tensor, precisions: int, seen: Tensor) -> Tensor:
    """Inputs that used each precision, and sums over them of `seen` [N, sums]."""
    ran = (used == torch.arange(precisions)[:, None]).to(seen)
    return torch.cat([ran.sum(1, keepdim=True), ran @ seen], 1)
