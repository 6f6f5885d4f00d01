"""Layers of a network whose width is set from outside: convolution, linear layer, batch norm.

All layers of a decision unit read the same `Dial`, so a block written for ordinary PyTorch layers
runs at any of its precisions without knowing of them.

A quantised layer convolves integer-valued tensors and scales the sum once afterwards. Sums of
integers below 2^24 are exact in float32 whatever the order of addition, so the result does not
depend on which other inputs share the batch, and equals an integer machine's. (Only sums near the
extremes of 8-bit operands over more than 500 products could exceed that; and the quantiser family
"minmax", whose zero lies between levels, computes on rounded numbers instead.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from accel_models.errors import InputError
from accel_models.precision import Precision
from dfs_hw.distributed import summed_over_ranks
from dfs_hw.quantize.observer import Observer
from dfs_hw.quantize.quantizers import Family, family

IMAGE_BITS = 8
"""Width of the pixels that the first layer reads, at every precision of its weights."""

NORMAL = family("normal")

CHANNEL_BLOCK = 16
"""Channels that oneDNN's widest kernels take at a time, on CPUs with AVX-512."""


class Latch:
    """Whether layers may run; shared by the dials of units that run each other's layers."""

    def __init__(self) -> None:
        self.behind = ""
        """Name of the unit that is through; nothing while one runs."""


class Dial:
    """Which of its precisions a decision unit runs at; its layers all read it."""

    def __init__(self, index: int = 0, latch: Latch | None = None) -> None:
        self.latch = latch or Latch()
        self.index = index
        self.skips = False
        """Whether it is skipped, so that what runs is its shortcut alone."""

    @property
    def index(self) -> int:
        """Index into the precisions of its layers.

        Raises:
            InputError: if layers run by themselves once their unit is through, as those do that a
                checkpoint computes again, at a precision that nobody knows any more.
        """
        if self.latch.behind:
            raise InputError(
                f"layers of unit '{self.latch.behind}' run again outside it, and might do so at "
                "another precision: switch off what computes them again in the backward pass "
                "(torch.utils.checkpoint)"
            )
        return self._index

    @index.setter
    def index(self, index: int) -> None:
        self._index, self.latch.behind = index, ""

    def close(self, unit: str) -> None:
        """Let no layer run until it is set again."""
        self.latch.behind = unit


class _QuantizedLayer(nn.Module):
    """Weights shared by several precisions, and a quantiser for each operand."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        precisions: tuple[Precision, ...],
        dial: Dial,
        quantizers: Family,
        *,
        signed: bool,
        reads_image: bool = False,
    ) -> None:
        super().__init__()
        self.precisions, self.dial, self.reads_image = precisions, dial, reads_image
        self.weight = nn.Parameter(weight.detach())
        self.bias = None if bias is None else nn.Parameter(bias.detach())
        bits = tuple(IMAGE_BITS if reads_image else p.activation_bits for p in precisions)
        self.weights = quantizers.weights(tuple(p.weight_bits for p in precisions), self.weight)
        self.activations = quantizers.activations(bits, signed)

    def forward(self, x: Tensor) -> Tensor:
        index = self.dial.index
        if self.precisions[index].full:
            return self._multiply(x, self.weight, self.bias)
        x_values, x_scale = self.activations(x, index)
        w_values, w_scale = self.weights(self.weight, index)
        out = self._multiply(x_values, w_values, None)
        if self.activations.scaled or self.weights.scaled:
            scale = x_scale * w_scale
            # In place where no gradient needs the sums: a pass over memory less.
            out = out * scale if scale.requires_grad else out.mul_(scale)
        return out if self.bias is None else out + self._spread(self.bias)

    def has_started(self) -> bool:
        """Whether inputs were seen at every precision; asks the device until that is so."""
        return all(map(self._runs_at, range(len(self.precisions))))

    def has_begun(self) -> bool:
        """Whether inputs were seen at some precision; asks the device until that is so."""
        return any(map(self._runs_at, range(len(self.precisions))))

    def _runs_at(self, index: int) -> bool:
        seen = self.activations
        return self.precisions[index].full or seen.settled(index, seen.grid(index)[1])

    def _multiply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        raise NotImplementedError

    def _spread(self, bias: Tensor) -> Tensor:
        return bias

    def extra_repr(self) -> str:
        return "precisions=" + ",".join(map(str, self.precisions))


class QuantizedConv2d(_QuantizedLayer):
    """A convolution whose width is set by a dial.

    Args:
        conv: gives geometry, weights and bias.
        precisions: what it can run at; the dial is an index into them.
        dial: shared with the other layers of its unit.
        quantizers: how operands are rounded.
        signed: True if inputs can be negative.
        reads_image: True if the input is the (normalised, so signed) image of 8-bit pixels.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        precisions: tuple[Precision, ...],
        dial: Dial | None = None,
        quantizers: Family = NORMAL,
        *,
        signed: bool = False,
        reads_image: bool = False,
    ) -> None:
        super().__init__(
            conv.weight,
            conv.bias,
            precisions,
            dial or Dial(),
            quantizers,
            signed=signed or reads_image,
            reads_image=reads_image,
        )
        self.stride, self.groups = conv.stride, conv.groups
        self.sides, self.padding_mode = sides_of(conv), conv.padding_mode
        top, bottom, left, right = self.sides
        even = conv.padding_mode == "zeros" and (top, left) == (bottom, right)
        self.padding = (top, left) if even else None
        """On both sides, of zeros; None if it is padded otherwise."""
        # Models ask their layers for these, such as to pad by hand.
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        self.kernel_size, self.dilation = conv.kernel_size, conv.dilation

    def _multiply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = self.padding
        if padding is None:
            top, bottom, left, right = self.sides
            mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
            x, padding = functional.pad(x, (left, right, top, bottom), mode), (0, 0)
        stride = self.stride
        # Without contents nothing is computed, and what is recorded is the layer as it is.
        if self._overruns and padding == (0, 0) and x.device.type != "meta":
            x, stride = x[:, :, :: stride[0], :: stride[1]], (1, 1)
        return functional.conv2d(x, weight, bias, stride, padding, self.dilation, self.groups)

    @property
    def _overruns(self) -> bool:
        """Whether the gradient of the weights would be computed beyond the memory booked for it.

        Where channels are innermost, oneDNN (3.12, as in torch 2.13) gathers the pixels that a
        strided 1 x 1 convolution reads, books room for its channels, and steps by a whole block of
        them: of fewer channels it returns wrong gradients, hangs or ends the process
        (github.com/uxlfoundation/oneDNN/issues/6035). Reading every so many pixels beforehand
        computes the same.
        """
        strided = self.kernel_size == (1, 1) and self.stride != (1, 1)
        return strided and self.in_channels // self.groups < CHANNEL_BLOCK

    def _spread(self, bias: Tensor) -> Tensor:
        return bias[:, None, None]


def sides_of(conv: nn.Conv2d) -> tuple[int, int, int, int]:
    """Padding of a convolution above, below, left and right of its input, in elements."""
    if conv.padding == "valid":
        return 0, 0, 0, 0
    if conv.padding == "same":
        rows, columns = (
            step * (size - 1) for step, size in zip(conv.dilation, conv.kernel_size, strict=True)
        )
        # Of an odd number, torch puts the one more below and on the right.
        return rows // 2, rows - rows // 2, columns // 2, columns - columns // 2
    assert not isinstance(conv.padding, str)
    rows, columns = conv.padding
    return rows, rows, columns, columns


class QuantizedLinear(_QuantizedLayer):
    """A linear layer at one precision; the bias is added in floating point, after the scaling.

    Args:
        precision: of weights and inputs; ``FULL`` computes in floating point.
        signed: True if inputs can be negative.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        precision: Precision,
        *,
        signed: bool = False,
    ) -> None:
        deviation = 1 / math.sqrt(in_features)
        weight = torch.randn(out_features, in_features) * deviation
        super().__init__(
            weight, torch.zeros(out_features), (precision,), Dial(), NORMAL, signed=signed
        )

    @classmethod
    def converted(
        cls,
        linear: nn.Linear,
        precisions: tuple[Precision, ...],
        dial: Dial,
        quantizers: Family,
        *,
        signed: bool,
    ) -> QuantizedLinear:
        """Layer that computes what `linear` does, at the precision that `dial` is set to."""
        layer = cls.__new__(cls)
        _QuantizedLayer.__init__(
            layer, linear.weight, linear.bias, precisions, dial, quantizers, signed=signed
        )
        return layer

    def _multiply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return functional.linear(x, weight, bias)


class PrecisionNorm(Observer):
    """Batch norm with statistics, scale and shift of its own for every precision.

    In training it normalises either by the statistics of the batch (`by_batch`, as usual), or by
    its running statistics, as in evaluation: then an input's result does not depend on the others
    of the batch, and only the inputs that chose a precision need to run at it.

    Args:
        norm: gives channels, momentum, eps and the values to start from.
        precisions: number of precisions of the unit.
        dial: shared with the other layers of the unit.
        shared: one set of statistics for all precisions, each of which updates it in turn, as in
            the released code of DFS. There the shortcut of a skipped block comes before them.
    """

    mean: Tensor
    variance: Tensor

    def __init__(
        self, norm: nn.BatchNorm2d, precisions: int, dial: Dial | None = None, shared: bool = False
    ) -> None:
        channels = norm.num_features
        super().__init__(precisions + shared, 1 + 2 * channels)
        self.dial, self.shared, self.by_batch = dial or Dial(), shared, True
        self.momentum, self.eps = 0.1 if norm.momentum is None else norm.momentum, norm.eps
        rows = 1 if shared else precisions
        scale = torch.ones(channels) if norm.weight is None else norm.weight.detach()
        shift = torch.zeros(channels) if norm.bias is None else norm.bias.detach()
        self.weight = nn.Parameter(scale.repeat(rows, 1))
        self.bias = nn.Parameter(shift.repeat(rows, 1))
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        self.register_buffer("mean", mean.repeat(rows, 1))
        self.register_buffer("variance", variance.repeat(rows, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same, normalised."""
        index = self.dial.index
        row = 0 if self.shared else index
        if self.training and self.by_batch:
            return self._by_batch(x, index, row)
        if self.observing:
            seen = x.detach().float()  # sums: torch.var_mean takes forty times as long on a CPU
            pixels = len(x) * x.shape[2] * x.shape[3]
            self._note(index, len(x), pixels, seen.sum((0, 2, 3)), seen.square().sum((0, 2, 3)))
        return functional.batch_norm(
            x,
            self.mean[row],
            self.variance[row],
            self.weight[row],
            self.bias[row],
            eps=self.eps,
        )

    def _by_batch(self, x: Tensor, index: int, row: int) -> Tensor:
        sums = summed_over_ranks(x)
        if sums is None:
            out, mean, inverse = torch.native_batch_norm(
                x, self.weight[row], self.bias[row], None, None, True, 0.0, self.eps
            )
            variance = inverse.detach().pow(-2) - self.eps
        else:
            mean, variance = sums
            scale = self.weight[row] * (variance + self.eps).rsqrt()
            shift = self.bias[row] - mean * scale
            out = x * scale[:, None, None] + shift[:, None, None]
        if self.observing:
            mean, variance = mean.detach(), variance.detach()
            pixels = len(x) * x.shape[2] * x.shape[3]
            self._note(index, len(x), pixels, pixels * mean, pixels * (variance + mean.square()))
        return out

    def _note(self, index: int, inputs: int, pixels: int, total: Tensor, squares: Tensor) -> None:
        """Note what a pass saw; see `Observer`.

        Args:
            index: of the precision.
            inputs: how many.
            pixels: of all of them.
            total: sum over the pixels [C].
            squares: sum of their squares [C].
        """
        if self.shared:
            index = 0 if self.dial.skips else 1 + index
        count = total.new_full((1,), pixels, dtype=torch.float32)
        self.observe(index, inputs, torch.cat([count, total, squares]))

    def absorb(self, pending: Tensor, share: Tensor) -> None:
        """Take over the statistics of a step; see `Observer`."""
        pixels = pending[:, 1:2]
        mean, square = pending[:, 2:].div(pixels.clamp_min(1)).chunk(2, 1)
        # Unbiased, as in torch.nn.BatchNorm2d.
        variance = (square - mean.square()).clamp_min(0) * pixels / (pixels - 1).clamp_min(1)
        weight = (self.momentum * share)[:, None]
        if not self.shared:
            self.mean.lerp_(mean, weight)
            self.variance.lerp_(variance, weight)
            return
        for row in range(len(pending)):
            self.mean.lerp_(mean[row], weight[row])
            self.variance.lerp_(variance[row], weight[row])

    def has_seen(self, index: int) -> bool:
        """Whether statistics at a precision are of anything, rather than those of a fresh norm."""
        mean, variance = self.mean[index], self.variance[index]
        return bool(mean.any()) or not torch.equal(variance, torch.ones_like(variance))

    @torch.no_grad()
    def inherit(self, index: int) -> None:
        """Start every precision from number `index`."""
        for tensor in (self.mean, self.variance, self.weight, self.bias):
            tensor.copy_(tensor[min(index, len(tensor) - 1)].clone())

    def extra_repr(self) -> str:
        precisions = len(self.pending) - self.shared
        return f"{self.weight.shape[1]}, precisions={precisions}, shared={self.shared}"
