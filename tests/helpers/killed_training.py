"""Trains in a process of its own, which tests kill."""

from pathlib import Path

import staging
import torch
from safetensors.torch import save_file

STEPS, EPOCH_STEPS = 40, 15


def train(folder: Path) -> None:
    """Leaves the weights in ``joint.safetensors``; writes a snapshot after every step."""
    network = staging.network(staging.RANDOM)
    stage = staging.joint_stage(network, steps=STEPS, epoch_steps=EPOCH_STEPS)
    staging.run(
        stage,
        network,
        folder,
        save=lambda history, chosen: save_file(network.state_dict(), folder / "joint.safetensors"),
        snapshot_seconds=0.0,
    )


def train_alone(folder: Path) -> None:
    """The same in a process that has nothing else to do."""
    torch.set_num_threads(1)
    train(folder)
