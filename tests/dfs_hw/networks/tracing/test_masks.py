"""Masks of attention are charged where they hide anything."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dfs_hw import workload_of


class Masked(nn.Module):
    """Attention among five positions, with a mask that its forward makes."""

    def __init__(self, hidden: float | None) -> None:
        super().__init__()
        self.qkv, self.hidden = nn.Linear(4, 12), hidden

    def forward(self, rows: Tensor) -> Tensor:
        mask = torch.zeros(5, 5)
        if self.hidden is not None:
            mask[0, 3:] = self.hidden  # written to a view of what was zero
        q, k, v = self.qkv(rows).chunk(3, -1)
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


@pytest.mark.parametrize(("hidden", "sums"), [(None, 0), (-torch.inf, 1), (-1.0, 1)])
def test_a_mask_that_is_written_to_is_charged(hidden: float | None, sums: int) -> None:
    read = workload_of(Masked(hidden), torch.empty(1, 5, 4))
    assert [layer.name for layer in read.layers].count("mask") == sums
