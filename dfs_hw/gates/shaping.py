"""A prior for what a gate makes of a batch, so that its decisions depend on the input.

After batch-shaping (Bejnordi et al., "Batch-Shaping for Learning Conditional Channel Gated
Networks", ICLR 2020): over the inputs of a batch, what a gate says is to be distributed as a Beta
distribution is whose density is highest at both ends, so that a gate cannot say the same to all.
How far a batch is from that is measured as by Cramér and von Mises: between the distribution
function at the sorted values and the ranks that they have.
"""

from __future__ import annotations

from typing import Any

import torch
from scipy import special
from torch import Tensor

from accel_models.errors import InputError
from dfs_hw.quantize.rounding import at_least_float32

FLAT = 1e-6
"""Distance from 0 and 1 within which the density, which has no bound there, counts as nothing."""


class BetaDistribution(torch.autograd.Function):
    """Distribution function of Beta(a, b) at `x` in [0, 1]; its gradient is the density.

    Values are SciPy's, so the CPU waits for the device. ``apply(x, a, b)``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: float, b: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.a, ctx.b = a, b
        values = special.betainc(a, b, x.detach().double().cpu().numpy())
        return torch.from_numpy(values).to(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (grad,), (x,), a, b = grads, ctx.saved_tensors, ctx.a, ctx.b
        inside = x.double().clamp(FLAT, 1 - FLAT)
        density = inside ** (a - 1) * (1 - inside) ** (b - 1) / special.beta(a, b)
        return grad * density.masked_fill(inside != x, 0).to(grad), None, None


def shaping(values: Tensor, mean: float) -> Tensor:
    """Mean squared distance of the distribution of values from Beta(mean, 1 - mean), a scalar.

    The paper has a mean of 0.6, which is Beta(0.6, 0.4).

    Args:
        values: [N, units] in [0, 1]; each unit has a distribution of its own.
        mean: of the prior, between 0 and 1.

    Raises:
        InputError: if the mean is not between 0 and 1.
    """
    if not 0 < mean < 1:
        raise InputError(f"the mean of a Beta distribution is between 0 and 1, got {mean}")
    ordered = at_least_float32(values).sort(0).values
    inputs = len(ordered)
    ranks = torch.arange(1, inputs + 1).to(ordered)[:, None] / (inputs + 1)
    reached: Tensor = BetaDistribution.apply(ordered, mean, 1 - mean)
    return (reached - ranks).square().mean()
