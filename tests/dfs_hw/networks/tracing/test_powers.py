"""Powers, roots, quotients and exponentials by the operations that they take."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from accel_models.workloads.operators import EXPONENTIAL, RECIPROCAL, SQUARE_ROOT
from dfs_hw import workload_of

ELEMENTS = 2 * 4 * 4
ROOT, INVERSE = SQUARE_ROOT, RECIPROCAL


class Of(nn.Module):
    """A function of what a convolution makes."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(2, 2, 1), function

    def forward(self, maps: Tensor) -> Tensor:
        return self.function(self.conv(maps))


@pytest.mark.parametrize(
    ("function", "operations"),
    [
        (lambda x: x**2, 1),
        (lambda x: x**4, 2),
        (lambda x: x**3.5, 2 + ROOT + 1),
        (lambda x: x**0.75, 2 * ROOT + 1),
        (lambda x: x**0.25, 2 * ROOT),
        (lambda x: x**-0.5, ROOT + INVERSE),
        (torch.rsqrt, ROOT + INVERSE),
        (torch.sqrt, ROOT),
        (torch.exp, EXPONENTIAL),
        (torch.reciprocal, INVERSE),
        (lambda x: 3 / x, INVERSE),
        (lambda x: x / (x + 1).sqrt(), ROOT + INVERSE + 1),
        (lambda x: torch.ones(2, 1, 1) / x, INVERSE + 1),
    ],
)
def test_operations_an_element(function: Callable[[Tensor], Tensor], operations: int) -> None:
    read = workload_of(Of(function), torch.zeros(1, 2, 4, 4))
    assert not read.assumed
    work = sum(layer.vector_operations for layer in read.layers if not layer.on_array)
    assert work == operations * ELEMENTS


def test_other_powers_are_named() -> None:
    read = workload_of(Of(lambda x: x**1.3), torch.zeros(1, 2, 4, 4))
    assert read.assumed == ("aten.pow has no cost model and is not priced, in the model itself",)
