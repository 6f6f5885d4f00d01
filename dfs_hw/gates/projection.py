"""The first layer of a gate, where the price of cost enters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from accel_models.precision import Precision
from dfs_hw.quantize.layers import QuantizedLinear


class Projection(nn.Module):
    """Linear layer whose bias may follow the price of cost: ``W x + b + u price + v price^2``.

    The price is one number for a whole run, so on hardware the last three terms are one bias that
    is set once; like every bias it is added in floating point. So a knob adds no multiplication and
    no traffic. The square lets a feature respond in a part of the range of prices. Both vectors
    start at zero: a gate with a knob starts as the same gate without one.

    Args:
        precision: of weights and inputs.
        signed: True if inputs can be negative.
        knob: whether there is a price.
    """

    price: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        precision: Precision,
        *,
        signed: bool,
        knob: bool,
    ) -> None:
        super().__init__()
        self.linear = QuantizedLinear(in_features, out_features, precision, signed=signed)
        self.price = nn.Parameter(torch.zeros(2, out_features)) if knob else None

    def forward(self, x: Tensor, price: Tensor | None) -> Tensor:
        """[N, in] and, if there is a knob, the price [N, 1] -> [N, out]."""
        y: Tensor = self.linear(x)
        if self.price is None:
            return y
        assert price is not None
        # One element at a time: a matrix product may round differently in batches of other sizes.
        slope, curvature = self.price
        return y + price * (slope + price * curvature)
