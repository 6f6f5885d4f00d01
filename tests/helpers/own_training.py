"""A plain PyTorch loop over a small dynamic network; in one process or several."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from dfs_hw.distributed import alone, join, world
from dfs_hw.networks import Design, DynamicNetwork, make_dynamic

SIDE, BATCH = 12, 32


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv2(torch.relu(self.norm1(self.conv1(x))))
        return torch.relu(x + self.norm2(inner))


def own_network(quantizer: str = "normal", choices: str = "skip,4,8") -> DynamicNetwork:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), Residual(8), Residual(8), Residual(8)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    design = Design(quantizer=quantizer)
    return make_dynamic(model, choices, image=(1, SIDE, SIDE), blocks=Residual, design=design)


def own_data(inputs: int = 256) -> tuple[Tensor, Tensor]:
    """Images and labels; those of label 1 are brighter by one standard deviation of a pixel."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.randint(2, (inputs,), generator=draw)
    return torch.randn(inputs, 1, SIDE, SIDE, generator=draw) + labels[:, None, None, None], labels


def steps(
    network: nn.Module, number: int, *, parts: int = 1, part: slice = slice(None)
) -> DynamicNetwork | nn.Module:
    """The network after so many steps of its own, each of batches in so many parts.

    Args:
        part: of every batch that is seen at all.
    """
    images, labels = own_data()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    draw = torch.Generator().manual_seed(2)
    for _ in range(number):
        chosen = torch.randint(len(images), (BATCH,), generator=draw)[part]
        optimizer.zero_grad()
        for some in chosen.chunk(parts):
            logits = network(images[some]).logits
            (functional.cross_entropy(logits, labels[some]) / parts).backward()
        optimizer.step()
    return network


def accuracy(network: DynamicNetwork) -> float:
    images, labels = own_data()
    with torch.no_grad():
        return float((network.eval()(images).logits.argmax(1) == labels).float().mean())


def prepared(choices: str = "skip,4,8") -> DynamicNetwork:
    """A network whose norms go by running statistics that have seen images."""
    return copy.deepcopy(_prepared(choices))


@cache
def _prepared(choices: str) -> DynamicNetwork:
    network = own_network(choices=choices)
    network.calibrate([own_data()[0]] * 20)
    network.normalize_by_batch(False)
    return network


def train_in_parallel(folder: Path) -> None:
    network = prepared()
    with join("cpu"):
        rank, ranks = world()
        wrapped = DistributedDataParallel(network, find_unused_parameters=True)
        part = slice(rank * BATCH // ranks, (rank + 1) * BATCH // ranks)
        steps(wrapped, 3, part=part)
        if rank == 0:  # as often only one process evaluates
            with alone():
                accuracy(network)
            network.train()
        steps(wrapped, 2, part=part)
        save_file(copy.deepcopy(network.state_dict()), folder / f"{rank}.safetensors")
