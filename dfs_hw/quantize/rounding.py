"""Rounding to a grid of integers, with straight-through gradients."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from accel_models.errors import InputError

MAX_EXACT_BITS = 24
"""Widest operand: float32 holds every integer of as many bits."""

SMALLEST_STEP = 1e-8  # a tensor of zeros has no scale of its own


class Levels(NamedTuple):
    """The integers a quantiser can produce: every one from `low` to `high`."""

    low: int
    high: int
    has_zero: bool = True
    """Whether 0 is a level: not for one signed bit, which is -1 or 1."""

    @classmethod
    def signed(cls, bits: int) -> Levels:
        """Symmetric about zero.

        Raises:
            InputError: if there is no such operand.
        """
        check_width(bits)
        high = max(1, 2 ** (bits - 1) - 1)
        return cls(-high, high, bits > 1)

    @classmethod
    def unsigned(cls, bits: int) -> Levels:
        """Levels from zero up.

        Raises:
            InputError: if there is no such operand.
        """
        check_width(bits)
        return cls(0, 2**bits - 1)


def check_width(bits: int) -> None:
    """Refuse widths that cannot be computed exactly.

    Raises:
        InputError: if an operand cannot have so many bits.
    """
    if not 1 <= bits <= MAX_EXACT_BITS:
        raise InputError(f"operands are quantised to 1 to {MAX_EXACT_BITS} bits, got {bits}")


def at_least_float32(x: Tensor) -> Tensor:
    """`x` as it is, or widened: narrower types do not hold the integers of 16 bits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def flat(x: Tensor) -> Tensor:
    """Each input's numbers in a row, in the order of memory: [N, ...] -> [N, features]."""
    if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
        x = x.permute(0, 2, 3, 1)
    return x.reshape(len(x), math.prod(x.shape[1:]))


def mean_magnitude(x: Tensor) -> Tensor:
    """Mean magnitude, scalar; 0 if x is empty."""
    return x.abs().sum() / max(1, x.numel())


class _RoundToLevels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, levels: Levels) -> Tensor:
        ctx.save_for_backward(x, step)
        ctx.levels = levels
        return nearest(x, step, levels)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, step = ctx.saved_tensors
        low, high, _ = ctx.levels
        # One pass over memory, where a mask made of two comparisons takes four.
        inside = torch.ops.aten.hardtanh_backward(grads[0], x / step, low, high)
        return inside.div_(step), None, None


def quantize(x: Tensor, step: Tensor, levels: Levels) -> Tensor:
    """Nearest level of ``x / step``, as integers in x's float type; of one signed bit, the sign.

    The gradient is that of ``x / step`` where x lies between the outer levels, and zero elsewhere.

    Args:
        x: any shape.
        step: scalar > 0, held constant by the gradient.
        levels: the integers to round to.
    """
    return cast(Tensor, _RoundToLevels.apply(x, step, levels))


def nearest(x: Tensor, step: Tensor, levels: Levels) -> Tensor:
    """Round to the nearest level without the gradient that `quantize` adds."""
    if not levels.has_zero:
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)
    return (x / step).round_().clamp_(levels.low, levels.high)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rounded: Tensor, x: Tensor) -> Tensor:
        return rounded.view_as(rounded)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, grads[0]


def straight_through(rounded: Tensor, x: Tensor) -> Tensor:
    """`rounded` to the bit, with the gradient of `x` (Bengio et al., arXiv 1308.3432)."""
    return cast(Tensor, _StraightThrough.apply(rounded, x))


@cache
def normal_step(levels: Levels) -> float:
    """Step of least squared error on normal numbers, as a multiple of their mean magnitude.

    Levels that are never negative are fitted to rectified normal numbers, as a ReLU leaves them;
    half of those are zero. (Max, "Quantizing for minimum distortion", IRE Transactions on
    Information Theory, 1960.)
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


def step_of(magnitude: Tensor, levels: Levels) -> Tensor:
    """Step of least squared error for a tensor of that mean magnitude, as if it was normal."""
    return (normal_step(levels) * magnitude).clamp_min(SMALLEST_STEP)
