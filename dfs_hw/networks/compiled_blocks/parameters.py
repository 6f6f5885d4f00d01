"""Parameters of the kernels, taken from the layers of a decision unit, and gradients given back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from dfs_hw.networks.cifar_resnet import BasicBlock
from dfs_hw.networks.compiled_blocks.kernels.layout import FIRST, SECOND, SIDE, SKIPPED, WIDTH
from dfs_hw.networks.compiled_blocks.threads import array, kernel
from dfs_hw.quantize.layers import PrecisionNorm, QuantizedConv2d
from dfs_hw.quantize.minmax import MinMaxActivations, MinMaxWeights


class Prepared(NamedTuple):
    """A unit's parameters, laid out for the kernels."""

    parameters: Any
    transposed: Any
    """`Weights` for the backward pass; None if there is none."""


@dataclass
class Unit:
    """A decision unit, as the kernels need to know it."""

    convolutions: tuple[QuantizedConv2d, ...]
    """First, second, and that of the shortcut if it has one."""
    norms: tuple[PrecisionNorm, ...]
    """Norm after each convolution."""
    modules: tuple[nn.Module, ...]
    """The block and all its parts, which may have hooks."""
    index_of: tuple[int | None, ...]
    """Precision of each choice; None skips."""
    offered: tuple[bool, ...]
    highest: int
    """Precision of the shortcut where the block is skipped."""
    rectifies: bool
    """Whether a ReLU follows it then."""
    last: tuple[list[Tensor], Prepared] | None = field(default=None, repr=False)
    """What was last prepared without a backward pass, and of what."""

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles go without what was prepared: it is large, and of compiled modules."""
        return self.__dict__ | {"last": None}

    @property
    def precisions(self) -> int:
        return len(self.convolutions[0].precisions)

    @property
    def exact(self) -> bool:
        """Whether its layers compute on integers."""
        return self.convolutions[0].activations.scaled

    @property
    def projects(self) -> bool:
        return len(self.convolutions) > SIDE

    def by_points(self, convolution: int) -> bool:
        """Whether Winograd's filtering serves a convolution; otherwise it goes tap by tap."""
        return not self.exact and (convolution == SECOND or not self.projects)

    def executed(self, choices: Tensor) -> Tensor:
        """Precision of each choice [N], or `SKIPPED`."""
        index = [SKIPPED if index is None else index for index in self.index_of]
        return torch.tensor(index)[choices]

    def used(self, convolution: int, precisions: Tensor) -> Tensor:
        """Precision at which a convolution ran [N], or `SKIPPED`."""
        if convolution != SIDE:
            return precisions
        return torch.where(precisions == SKIPPED, self.highest, precisions)

    def shape(self, height: int, width: int) -> Any:
        """The kernels' `BlockShape`, for inputs of this size."""
        conv, tiling = self.convolutions[0], kernel().tiling.ImageTiling
        stride = conv.stride[0]
        x = tiling.of(height, width, conv.in_channels)
        out = tiling.of(-(-height // stride), -(-width // stride), conv.out_channels)
        by_points = self.by_points(FIRST), self.by_points(SECOND)
        return kernel().forward.BlockShape(
            x, out, stride, self.projects, *by_points, self.highest, self.rectifies
        )


def unit_of(
    block: nn.Module,
    index_of: tuple[int | None, ...],
    offered: tuple[bool, ...],
    highest: int,
    skip_path: tuple[str, ...] | None,
) -> Unit | None:
    """A block that the kernels can run, whatever its input; None if they cannot."""
    # A subclass may compute something else.
    if type(block) is not BasicBlock or type(block.activation) is not nn.ReLU:
        return None
    if block.shortcut is None and skip_path:  # the kernels pass an image on as it is
        return None
    layers: list[tuple[nn.Module, nn.Module]] = [
        (block.conv1, block.norm1),
        (block.conv2, block.norm2),
    ]
    if block.shortcut is not None:
        if len(block.shortcut) != 2:
            return None
        layers.append((block.shortcut[0], block.shortcut[1]))
    if not all(_supported(*each) for each in layers):
        return None
    convolutions = tuple(cast(QuantizedConv2d, conv) for conv, _ in layers)
    if not _as_built(convolutions):
        return None
    norms = tuple(cast(PrecisionNorm, norm) for _, norm in layers)
    rectifies = "activation" in (skip_path or ())
    modules = tuple(block.modules())
    return Unit(convolutions, norms, modules, index_of, offered, highest, rectifies)


def _supported(conv: nn.Module, norm: nn.Module) -> bool:
    if not (isinstance(conv, QuantizedConv2d) and isinstance(norm, PrecisionNorm)):
        return False
    rounding = conv.activations
    if isinstance(rounding, MinMaxActivations):
        rounds = isinstance(conv.weights, MinMaxWeights) and not rounding.stochastic
    else:
        rounds = rounding.scaled and all(levels.has_zero for levels in rounding.levels)
    channels = conv.in_channels, conv.out_channels
    return rounds and conv.bias is None and not any(count % WIDTH for count in channels)


def _as_built(convolutions: tuple[QuantizedConv2d, ...]) -> bool:
    """Whether convolutions have the geometry that `BasicBlock` gives them."""
    kernels, first, second = (3, 3, 1), *convolutions[:2]
    if any(
        (conv.kernel_size, conv.padding, conv.dilation, conv.groups)
        != ((kernel, kernel), (kernel // 2, kernel // 2), (1, 1), 1)
        for conv, kernel in zip(convolutions, kernels, strict=False)
    ):
        return False
    changes = first.stride != (1, 1) or first.in_channels != first.out_channels
    side = convolutions[SIDE:]
    return (
        first.stride in ((1, 1), (2, 2))
        and second.stride == (1, 1)
        and changes == bool(side)
        and all(conv.stride == first.stride for conv in side)
    )


def prepared(unit: Unit, learns: bool) -> Prepared:
    """What the kernels need; laid out anew only if it changed, or for a backward pass."""
    if learns:
        unit.last = None  # soon out of date
        return prepare(unit, learns)
    layers = [*unit.convolutions, *unit.norms]
    now = [x.detach() for layer in layers for x in (*layer.parameters(), *layer.buffers())]
    if unit.last is None or not all(map(_same_bits, now, unit.last[0])):
        unit.last = [x.clone() for x in now], prepare(unit, learns)
    return unit.last[1]


def _same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two float32 are the same bits; a NaN, as of what was never seen, equals itself."""
    return torch.equal(a.view(torch.int32), b.view(torch.int32))


@torch.no_grad()
def prepare(unit: Unit, learns: bool) -> Prepared:
    """Lay out the parameters of a unit."""
    code, layers = kernel(), list(zip(unit.convolutions, unit.norms, strict=True))
    weights, norms, rounding = [], [], []
    for number, (conv, norm) in enumerate(layers):
        values, scales, rows = zip(
            *(operands(conv, p) for p in range(unit.precisions)), strict=True
        )
        weights.append(laid_out(torch.stack(values), by_points=unit.by_points(number)))
        norms.append(affine(norm, torch.stack(scales)))
        rounding.append(torch.stack(rows))
    if not unit.projects:  # room for what is not there
        weights.append(weights[0][:, :0])
        norms.append(norms[0])
        rounding.append(rounding[0])
    transposed = None
    if learns:
        factors = [norm[:, 0, None, :, None] for norm in norms]
        back = [weight * factor for weight, factor in zip(weights, factors, strict=True)]
        transposed = code.backward.Weights(*[array(weight.flatten(1)) for weight in back])
    parameters = code.forward.Parameters(
        *[array(weight.transpose(-1, -2).flatten(1)) for weight in weights],
        array(torch.stack(norms, 1)),
        array(torch.stack(rounding, 1)),
    )
    return Prepared(parameters, transposed)


def operands(conv: QuantizedConv2d, precision: int) -> tuple[Tensor, Tensor, Tensor]:
    """Operands of a convolution at a precision: its rounded weights, what its sums are to be scaled
    by, and how it rounds its input, as the kernels' `RoundingLevels`."""
    one = conv.weight.new_ones(())
    if conv.precisions[precision].full:
        return conv.weight, one, torch.stack([0 * one, one, one, 0 * one, 0 * one, one])
    values, scale = conv.weights(conv.weight, precision)
    (low, step), levels = conv.activations.grid(precision), conv.activations.levels[precision]
    unit = one if conv.activations.scaled else step
    rows = [low, step, 1 / step, one * levels.low, one * levels.high, unit]
    return values, scale * step / unit, torch.stack(rows)


def laid_out(values: Tensor, *, by_points: bool) -> Tensor:
    """Weights [precisions, out, in, rows, columns] as the kernels take them, but for the order of
    channels: [precisions, points or taps, out, in]."""
    precisions, outputs, inputs = values.shape[:3]
    taps = values.reshape(precisions, outputs * inputs, -1).transpose(1, 2)
    if by_points:
        taps = taps_to_points(taps)
    return taps.reshape(precisions, -1, outputs, inputs)


def weight_gradient(conv: QuantizedConv2d, found: Tensor, *, by_points: bool) -> Tensor:
    """Gradient of a convolution's weights, out of [points or taps * in * out]."""
    inputs, outputs = conv.in_channels, conv.out_channels
    taps = found.view(-1, inputs * outputs)
    if by_points:
        taps = taps_to_points(taps, back=True)
    return taps.view(*conv.kernel_size, inputs, outputs).permute(3, 2, 0, 1).contiguous()


def taps_to_points(taps: Tensor, *, back: bool = False) -> Tensor:
    """[..., 9, M] taps to [..., points, M]; or gradients `back`, from points to taps."""
    once = torch.tensor(kernel().winograd.WEIGHT_TRANSFORM)
    both = torch.kron(once, once).to(taps)
    return (both.T if back else both) @ taps


def affine(norm: PrecisionNorm, scales: Tensor) -> Tensor:
    """Factor and term of a norm at each precision [precisions, 2, channels], if what it reads has
    yet to be scaled by `scales` [precisions]."""
    factor = norm.weight * (norm.variance + norm.eps).rsqrt()
    term = (norm.bias - norm.mean * factor).expand(len(scales), -1)
    return torch.stack([factor * scales[:, None], term], 1)


def norm_gradients(unit: Unit, precisions: Tensor, products: Tensor, terms: Tensor) -> list[Tensor]:
    """Gradients of the factors and terms of all norms, as their parameters are laid out.

    Args:
        unit: of the norms.
        precisions: at which inputs ran [N].
        products: of `Gradients`, [precisions, 3, C].
        terms: of `Gradients`, [N, 2, C].
    """
    found: list[Tensor] = []
    for number, norm in enumerate(unit.norms):
        used = unit.used(number, precisions)
        shift = _by_precision(used, unit.precisions, terms[:, min(number, 1)])
        scale = (products[:, number] - norm.mean * shift) * (norm.variance + norm.eps).rsqrt()
        found += [grad.sum(0, keepdim=True) if norm.shared else grad for grad in (scale, shift)]
    return found


def note(unit: Unit, precisions: Tensor, sums: Tensor, ranges: Tensor, pixels: int) -> None:
    """Let the layers observe what they would have seen in a forward pass.

    Args:
        unit: of the layers.
        precisions: at which inputs ran [N].
        sums: of `ForwardNotes`, [N, 3, 2, C].
        ranges: of `ForwardNotes`, [N, 3, 2].
        pixels: of an output.
    """
    one = torch.ones_like(sums[:, :, 0, :1])
    seen = torch.cat([one, pixels * one, sums.flatten(2)], 2)
    ranges = torch.cat([one, ranges], 2)
    full = torch.tensor([precision.full for precision in unit.convolutions[0].precisions])
    for number, (conv, norm) in enumerate(zip(unit.convolutions, unit.norms, strict=True)):
        used = unit.used(number, precisions)
        noted = _by_precision(used, unit.precisions, ranges[:, number])
        conv.activations.observe_each(noted.masked_fill(full[:, None], 0))
        if not norm.shared:
            norm.observe_each(_by_precision(used, unit.precisions, seen[:, number]))
            continue
        # There a row of its own, the first, is for the shortcuts of skipped blocks.
        rows = precisions + 1 if number == SIDE else torch.where(used == SKIPPED, SKIPPED, used + 1)
        norm.observe_each(_by_precision(rows, unit.precisions + 1, seen[:, number]))


def _by_precision(used: Tensor, precisions: int, seen: Tensor) -> Tensor:
    """Sums of `seen` [N, sums] over the inputs that used each precision [precisions, sums]."""
    # Not a product with zeros and ones, by which one NaN would reach all precisions.
    sums = seen.new_zeros(precisions + 1, seen.shape[1]).index_add_(0, used - SKIPPED, seen)
    return sums[1:]
