"""Rows of tables that whole numbers name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dfs_hw import workload_of


class Table(nn.Module):
    """Rows of a table of its own, in one of the ways to look them up."""

    def __init__(self, rows: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.rows, self.table = rows, nn.Parameter(torch.zeros(10, 8))
        self.fc = nn.Linear(8, 3)

    def forward(self, places: Tensor) -> Tensor:
        return self.fc(functional.layer_norm(self.rows(self.table, places), (8,)))


@pytest.mark.parametrize(
    "rows",
    [
        lambda table, places: functional.embedding(places, table),
        lambda table, places: table[places],
        lambda table, places: table.index_select(0, places.flatten()),
    ],
)
def test_rows_of_weights_are_looked_up_whatever_it_is_called(
    rows: Callable[[Tensor, Tensor], Tensor],
) -> None:
    workload = workload_of(Table(rows), torch.zeros(1, 6, dtype=torch.long))
    found = [(one.operator, one.in_channels, one.outputs) for one in workload.layers]
    assert found == [("embedding", 10, 48), ("layer_norm", 8, 48), ("conv", 8, 18)]
    assert not workload.assumed


class Bags(nn.Module):
    """Means of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.bags, self.fc = nn.EmbeddingBag(10, 4), nn.Linear(4, 2)

    def forward(self, places: Tensor, starts: Tensor) -> Tensor:
        out: Tensor = self.fc(self.bags(places, starts))
        return out


def test_rows_of_a_bag_are_looked_up_and_brought_together() -> None:
    bags = nn.EmbeddingBag(10, 4)
    even = workload_of(bags, (torch.zeros(6, dtype=torch.long), torch.tensor([0, 2, 4])))
    assert [(one.operator, one.outputs) for one in even.layers] == [
        ("embedding", 24),
        ("avg_pool", 12),
    ]
    model = Bags()
    uneven = (torch.zeros(7, dtype=torch.long), torch.tensor([0, 2, 4]))
    assert workload_of(model, uneven).assumed == (
        "aten._embedding_bag has no cost model and is not priced, in bags",
    )
