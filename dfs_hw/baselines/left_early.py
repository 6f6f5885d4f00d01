"""Networks of one width that inputs leave: what all say at every exit, seen once for all deals."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dfs_hw.data import Dataset
from dfs_hw.networks import DynamicNetwork
from dfs_hw.recording import BATCH


@torch.no_grad()
def right_at_exits(network: DynamicNetwork, dataset: Dataset, assignment: Tensor) -> np.ndarray:
    """Whether the network is right about each input at each exit, and at the end.

    Args:
        assignment: choice of every unit that runs, int64 [units], none of them an exit.

    Returns:
        bool [N, exits + 1], exits in execution order.
    """
    network.eval()
    right = []
    for images, labels in dataset.to(network.shift.device).batches(BATCH):
        beliefs, logits = network.all_beliefs(images, assignment)
        said = torch.cat([beliefs.argmax(2), logits.argmax(1, keepdim=True)], 1)
        right.append(said == labels[:, None])
    return torch.cat(right).cpu().numpy()


def exits_taken(network: DynamicNetwork, choices: Tensor) -> np.ndarray:
    """Number of the exit at which each input leaves; that of all exits if it leaves at none.

    Args:
        choices: int64 [N, units].

    Returns:
        int64 [N].
    """
    places = torch.tensor(list(map(int, network.exits)), device=choices.device)
    leaves = choices[:, places] == network.leaving
    ends = torch.ones(len(choices), 1, dtype=torch.bool, device=choices.device)
    return torch.cat([leaves, ends], 1).int().argmax(1).cpu().numpy()
