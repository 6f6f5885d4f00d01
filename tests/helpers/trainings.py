"""Short trainings, and networks of one's own."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from dfs_hw.networks import Design, DynamicNetwork, make_dynamic
from dfs_hw.networks.cifar_resnet import BasicBlock
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.setup import TrainingSetup


class Mine(nn.Module):
    """A model that no registry knows; its head is in it by two names."""

    def __init__(self, features: int = 4) -> None:
        super().__init__()
        self.first, self.second = BasicBlock(1, features, 1), BasicBlock(features, features, 1)
        self.head = nn.Linear(features, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(self.first(x)).mean((2, 3)))


def equal_states(first: nn.Module, second: nn.Module) -> bool:
    """Bit for bit, where what was never seen is NaN in both."""
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(
        torch.equal(value.nan_to_num(7.0), other[name].nan_to_num(7.0))
        for name, value in one.items()
    )


TINY = TrainConfig(
    network="resnet8",
    widths=(4, 8, 8),
    choices="skip,2,8",
    budget="0.9",
    backbone_epochs=4,
    supernet_epochs=1,
    gate_epochs=1,
    joint_epochs=2,
    joint_lr=0.01,
    batch=32,
)


QUICK = replace(
    TINY,
    backbone_steps=4,
    supernet_steps=2,
    gate_steps=1,
    joint_steps=2,
    epoch_steps=(4, 1, 1),
    norm="batch",
    feasibility=False,
    batch=16,
)
"""Too short to learn anything."""


DFS_STAGES = replace(QUICK, supernet_steps=0, supernet_epochs=0)


def setup_of(config: TrainConfig = QUICK, network: DynamicNetwork | None = None) -> TrainingSetup:
    return TrainingSetup.of(config, network, progress=False)


def mine(**design: Any) -> DynamicNetwork:
    """A network of no registered kind, for the digits."""
    torch.manual_seed(5)
    model = Mine(6)
    model.head = nn.Linear(6, 10)
    blocks = ["first", "second"]
    return make_dynamic(model, "2,8", image=(1, 16, 16), blocks=blocks, design=Design(**design))
