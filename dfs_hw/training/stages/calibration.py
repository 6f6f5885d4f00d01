"""Ranges and batch norms that start from training images, before the first step of a stage."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from dfs_hw.distributed import alone
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.statistics import settle
from dfs_hw.training.setup import TrainingSetup

CALIBRATION_BATCHES, CALIBRATION_IMAGES = 20, 64
"""What running statistics start from where nothing has run yet: by a moving average with momentum
0.1, seven eighths of them are then of these images."""


def start_all_widths(
    setup: TrainingSetup, network: DynamicNetwork, batches: int = CALIBRATION_BATCHES
) -> None:
    """Start all precisions from the highest, the only one trained so far, and train by the batch.

    Args:
        batches: of calibration images that every precision is shown.
    """
    network.inherit()
    network.normalize_by_batch(True)
    calibrate(setup, network, batches)


def open_all_widths(setup: TrainingSetup, network: DynamicNetwork) -> None:
    """Make a network ready for stage 3: what the supernet has trained of it stays as it is, and
    where there was none, all precisions start from the highest."""
    if not setup.has_supernet:
        start_all_widths(setup, network, 1 if setup.norm_by_batch else CALIBRATION_BATCHES)
    network.normalize_by_batch(setup.norm_by_batch)


def calibrate(
    setup: TrainingSetup, network: DynamicNetwork, batches: int = CALIBRATION_BATCHES
) -> None:
    """Show all precisions the same training images, for their ranges and batch norms."""
    images = [calibration_images(setup, number) for number in range(batches)]
    with alone():
        network.calibrate(images)


def show(setup: TrainingSetup, network: DynamicNetwork, run: Callable[[Tensor], object]) -> None:
    """Show what is about to train a first batch, for its ranges.

    What has seen nothing yet goes by the tensor at hand, of which a process may have but a part:
    so every process shows all of it, by itself.
    """
    images = calibration_images(setup, 0)
    with alone():
        run(images)
        settle(network)


def calibration_images(setup: TrainingSetup, number: int) -> Tensor:
    """Some training images [N, C, H, W] to start statistics from."""
    return setup.stream("calibration", CALIBRATION_IMAGES).batch(number)[0]
