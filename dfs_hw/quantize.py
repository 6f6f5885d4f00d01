"""Uniform quantisers with a straight-through gradient, and layers that compute on integers.

A quantised layer convolves integer-valued tensors and scales the sum once afterwards. Sums of
integers below 2^24 are exact in float32 whatever the order of addition, so the result does not
depend on which other inputs share the batch, and equals an integer machine's. (Only sums near the
extremes of 8-bit operands over more than 500 products could exceed that.)

The step of every quantiser is the one of least squared error on a normal distribution of the
tensor's own mean magnitude (Max, "Quantizing for minimum distortion", IRE Transactions on
Information Theory, 1960). It needs no learning, fits every width from 1 bit up, and follows its
tensor when the width of the layer changes from input to input.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from scipy import optimize
from torch import Tensor, nn
from torch.nn import functional

from accel_models.precision import Precision

IMAGE_BITS = 8
"""Width of the pixels that the first layer reads, at every precision of its weights."""

EMA_MOMENTUM = 0.1
SMALLEST_STEP = 1e-8  # a tensor of zeros has no scale of its own


class Levels(NamedTuple):
    """The integers a quantiser can produce: every one from `low` to `high`."""

    low: int
    high: int
    has_zero: bool = True
    """False for one signed bit, which is -1 or 1."""

    @classmethod
    def signed(cls, bits: int) -> Levels:
        """Symmetric about zero."""
        high = max(1, 2 ** (bits - 1) - 1)
        return cls(-high, high, bits > 1)

    @classmethod
    def unsigned(cls, bits: int) -> Levels:
        return cls(0, 2**bits - 1)


class _RoundToLevels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, levels: Levels) -> Tensor:
        ctx.save_for_backward(x, step)
        ctx.levels = levels
        if not levels.has_zero:
            return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)
        return (x / step).round_().clamp_(levels.low, levels.high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, step = ctx.saved_tensors
        low, high, _ = ctx.levels
        # One pass over memory, where a mask made of two comparisons takes four.
        inside = torch.ops.aten.hardtanh_backward(grads[0], x / step, low, high)
        return inside.div_(step), None, None


def quantize(x: Tensor, step: Tensor, levels: Levels) -> Tensor:
    """Nearest level of ``x / step``, as integers in x's float type; of one bit, the sign.

    The gradient is that of ``x / step`` where x lies between the outer levels, and zero elsewhere.

    Args:
        x: any shape.
        step: scalar > 0, held constant by the gradient.
        levels: the integers to round to.
    """
    return cast(Tensor, _RoundToLevels.apply(x, step, levels))


@cache
def normal_step(levels: Levels) -> float:
    """Step of least squared error on normal numbers, as a multiple of their mean magnitude.

    Levels that are never negative are fitted to rectified normal numbers, as a ReLU leaves them;
    half of those are zero.
    """
    x = np.linspace(0, 9, 20_001)
    density = np.exp(-(x**2) / 2)
    magnitude = np.average(x, weights=density) / (2 if levels.low == 0 else 1)

    def squared_error(outermost: float) -> float:
        step = outermost / levels.high
        rounded = np.clip(np.rint(x / step), 0 if levels.has_zero else 1, levels.high) * step
        return float(np.average((rounded - x) ** 2, weights=density))

    fit = optimize.minimize_scalar(squared_error, bounds=(0.5, 8), method="bounded")
    return float(fit.x / levels.high / magnitude)


def step_of(mean_magnitude: Tensor, levels: Levels) -> Tensor:
    """Step for a tensor with the given E|x|."""
    return (normal_step(levels) * mean_magnitude).clamp_min(SMALLEST_STEP)


def quantize_weights(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Integer weights and their step, ``weight ~ integers * step``."""
    levels = Levels.signed(bits)
    step = step_of(weight.detach().abs().mean(), levels)
    return quantize(weight, step, levels), step


class ActivationQuantizer(nn.Module):
    """Rounds activations of one layer to any of several widths, with a range for each of its own.

    The range of a width is an exponential moving average of E|x| over the training batches that
    ran at that width; it is NaN until the first one, so an untrained width yields NaN, not noise.

    Args:
        bits: the widths, in the order of the layer's precisions.
        signed: False for inputs that are never negative, such as those after a ReLU.
    """

    magnitude: Tensor

    def __init__(self, bits: tuple[int, ...], signed: bool) -> None:
        super().__init__()
        self.levels = [Levels.signed(b) if signed else Levels.unsigned(b) for b in bits]
        self.register_buffer("magnitude", torch.full((len(bits),), math.nan))

    def forward(self, x: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Integers and step of `x` at width number `index`."""
        if self.training:
            self._observe(x.detach(), index)
        levels = self.levels[index]
        step = step_of(self.magnitude[index].clone(), levels)
        return quantize(x, step, levels), step

    @torch.no_grad()
    def _observe(self, x: Tensor, index: int) -> None:
        batch = x.abs().mean()
        average = torch.lerp(self.magnitude[index], batch, EMA_MOMENTUM)
        self.magnitude[index] = torch.where(average.isnan(), batch, average)


class _QuantizedLayer(nn.Module):
    """Weights shared by several precisions, and ranges of the input at each of them."""

    def __init__(
        self, precisions: tuple[Precision, ...], activation_bits: tuple[int, ...], signed: bool
    ) -> None:
        super().__init__()
        self.precisions = precisions
        self.activations = ActivationQuantizer(activation_bits, signed)

    def extra_repr(self) -> str:
        return "precisions=" + ",".join(map(str, self.precisions))


class QuantizedConv2d(_QuantizedLayer):
    """Convolution without bias whose width is chosen at each call.

    Args:
        precisions: what it can run at; `forward` takes an index into them.
        reads_image: True if the input is the (normalised, so signed) image of 8-bit pixels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        precisions: tuple[Precision, ...],
        *,
        stride: int = 1,
        padding: int = 0,
        reads_image: bool = False,
    ) -> None:
        bits = tuple(IMAGE_BITS if reads_image else p.activation_bits for p in precisions)
        super().__init__(precisions, bits, signed=reads_image)
        self.stride, self.padding, self.reads_image = stride, padding, reads_image
        # He et al. 2015, by the number of outputs each weight contributes to, as ResNet does.
        deviation = math.sqrt(2 / (kernel * kernel * out_channels))
        shape = (out_channels, in_channels, kernel, kernel)
        self.weight = nn.Parameter(torch.randn(shape) * deviation)

    def forward(self, x: Tensor, index: int) -> Tensor:
        """[N, in, H, W] -> [N, out, H', W'] at precision number `index`."""
        if self.precisions[index].full:
            return functional.conv2d(x, self.weight, stride=self.stride, padding=self.padding)
        x_int, x_step = self.activations(x, index)
        w_int, w_step = quantize_weights(self.weight, self.precisions[index].weight_bits)
        sums = functional.conv2d(x_int, w_int, stride=self.stride, padding=self.padding)
        return sums * (x_step * w_step)


class QuantizedLinear(_QuantizedLayer):
    """Linear layer at one precision; the bias is added in floating point, after the scaling.

    Args:
        precision: of weights and inputs.
        signed: True if inputs can be negative.
    """

    def __init__(
        self, in_features: int, out_features: int, precision: Precision, *, signed: bool = False
    ) -> None:
        super().__init__((precision,), (precision.activation_bits,), signed)
        deviation = 1 / math.sqrt(in_features)
        self.weight = nn.Parameter(torch.randn(out_features, in_features) * deviation)
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out]."""
        if self.precisions[0].full:
            return functional.linear(x, self.weight, self.bias)
        x_int, x_step = self.activations(x, 0)
        w_int, w_step = quantize_weights(self.weight, self.precisions[0].weight_bits)
        return functional.linear(x_int, w_int) * (x_step * w_step) + self.bias
