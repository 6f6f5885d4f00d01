"""Images to train on, and the batches made of them."""

from __future__ import annotations

from dfs_hw.data.augmentation import Augmentation
from dfs_hw.data.cifar import DATA_ENV, load_cifar10, load_cifar100
from dfs_hw.data.dataset import Dataset, Splits
from dfs_hw.data.digits import degrade, load_digits
from dfs_hw.data.image_folder import load_folder
from dfs_hw.data.loading import DATASETS, load_dataset
from dfs_hw.data.pixels import MappedPixels
from dfs_hw.data.stream import TrainingStream, generator_for

__all__ = [
    "DATASETS",
    "DATA_ENV",
    "Augmentation",
    "Dataset",
    "MappedPixels",
    "Splits",
    "TrainingStream",
    "degrade",
    "generator_for",
    "load_cifar10",
    "load_cifar100",
    "load_dataset",
    "load_digits",
    "load_folder",
]
