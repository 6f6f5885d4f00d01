"""Operands that lie in several places, and layers that others depend on by places alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from accel_models import Layer, Workload, load_accelerator, simulate
from dfs_hw import workload_of


class Three(nn.Module):
    """A function of three layers' results."""

    def __init__(self, does: Callable[..., Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(6, 4)
        self.does = does

    def forward(self, rows: Tensor) -> Tensor:
        return self.does(self.a(rows), self.b(rows), self.c(rows))


def read(does: Callable[..., Any]) -> Workload:
    workload = workload_of(Three(does), torch.empty(1, 5, 6), name="three")
    assert {"a", "b", "c"} <= {layer.name for layer in workload.layers}
    assert simulate(workload, load_accelerator("bitfusion"), 8).cycles > 0
    return workload


def copies(workload: Workload) -> list[Layer]:
    return [layer for layer in workload.layers if layer.operator == "copy"]


@pytest.mark.parametrize(
    ("does", "moved"),
    [
        (
            lambda a, b, c: a + torch.cat([c, c * b[..., :4]], 2),
            0,
        ),  # in place
        (lambda a, b, c: a * torch.cat([c, b[..., 4:]], 2), 5 * 8),
        (lambda a, b, c: torch.cat([c, b[..., 4:]], 2) - a.mean(1, keepdim=True), 5 * 8),
        (lambda a, b, c: a @ torch.cat([b, c.repeat(1, 1, 2)], 1).mT, 10 * 8),
        (lambda a, b, c: torch.cdist(b, c.repeat(1, 1, 2)) @ a, 0),  # side by side
        (lambda a, b, c: a.mT @ torch.cdist(b, c.repeat(1, 1, 2)), 5 * 5),
        (lambda a, b, c: (a.mT @ a)[:, :5, :5] + torch.cdist(b, c.repeat(1, 1, 2)), 5 * 5),
    ],
)
def test_an_operand_of_several_parts_is_moved_together(
    does: Callable[..., Any], moved: int
) -> None:
    """Where it is not, as it is where a layer of the array reads parts side by side, nothing is."""
    workload = read(does)
    assert sum(layer.outputs for layer in copies(workload)) == moved
    places = [layer.name for layer in workload.layers]
    for copy in copies(workload):
        (reader,) = workload.readers[copy.name]
        assert places.index(reader) == places.index(copy.name) + 1


def test_a_copy_is_shared() -> None:
    def twice(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        parts = torch.cat([c, b[..., 4:]], 2)
        return (a + parts) * (a - parts)

    assert len(copies(read(twice))) == 1


@pytest.mark.parametrize(
    "does",
    [
        lambda a, b, c: a.gather(2, (b @ b.mT).topk(4, -1).indices) + c,
        lambda a, b, c: a[..., :4].masked_fill(b[..., :4] > 0, 0.0) + c,
        lambda a, b, c: torch.where(b.argmax(-1, keepdim=True) > 2, a[..., :4], c),
        lambda a, b, c: torch.linalg.cross(a[..., :3], b[..., :3]) + c[..., :3],
    ],
)
def test_what_settles_places_alone_is_read(does: Callable[..., Any]) -> None:
    """Where elements are taken from, or which, depends on it, though nothing multiplies by it."""
    read(does)
