"""Images in folders, one folder a class, as ImageNet is kept.

flowers/train/rose/1.jpg
flowers/val/rose/7.png
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from accel_models.errors import InputError
from dfs_hw.data.augmentation import Augmentation
from dfs_hw.data.dataset import Dataset, Splits
from dfs_hw.data.decoding import SUFFIXES, decoded
from dfs_hw.data.pixels import MappedPixels, channel_statistics

IMAGE_SIZE = 224
HELD_OUT = ("val", "test")
VALIDATION_SHARE, VALIDATION_MOST = 0.1, 10_000
"""Of the training images where validation has no folder of its own: a share, but so many at most."""
STATISTICS_SAMPLE = 4096
"""Images to take mean and deviation from."""
AUGMENTATION = Augmentation(mirror=True, min_area=0.08)
"""Crops of 8 % of the area or more, as is usual for ImageNet (Szegedy et al., 2015)."""


@dataclass(frozen=True)
class _Part:
    """The files of ``train/``, ``val/`` or ``test/``."""

    paths: list[str]
    labels: np.ndarray
    """int64 [N], numbers of the classes of ``train/``."""


def load_folder(
    path: str | Path, size: int = IMAGE_SIZE, seed: int = 0, *, progress: bool = False
) -> Splits:
    """Images in ``train/CLASS/`` and in ``val/CLASS/`` or ``test/CLASS/``, at any depth below.

    With both ``val/`` and ``test/``, they are for validation and test. With one of them, it is the
    test, and a tenth of each class of ``train/``, 10,000 images at most, are for validation.

    Images are decoded once, and stay in a file in the user's cache from which batches are read.
    Files with other than an image's suffix are ignored, and so is what starts with a dot.

    Args:
        size: of the square images, in pixels: shorter sides are resized to it, centres are kept.
        seed: of the images chosen for validation.
        progress: show a bar on stderr while images are decoded.

    Raises:
        InputError: if a folder or a class is missing, empty, or known to validation or test alone,
            or if an image is damaged.
    """
    root = Path(path).expanduser()
    if size < 1:
        raise InputError(f"the image size must be at least 1 pixel, got {size}")
    classes = _classes(root / "train")
    train = _part(root / "train", classes)
    held_out = [_part(root / name, classes) for name in HELD_OUT if _classes(root / name)]
    if not classes or not held_out:
        raise InputError(
            f"{root} needs train/ and one of {' or '.join(f'{name}/' for name in HELD_OUT)}, "
            "with a folder of images for each class"
        )
    known = _dataset(f"folder:{root}", train, size, progress)
    test = _dataset(known.name, held_out[-1], size, progress)
    if len(held_out) == 2:
        learn, choose = known, _dataset(known.name, held_out[0], size, progress)
    else:
        learn, choose = (known.subset(part) for part in _carved(train.labels, classes, seed))
    mean, std = channel_statistics(learn.pixels, STATISTICS_SAMPLE)
    parts = (replace(part, mean=mean, std=std) for part in (learn, choose, test))
    return Splits(*parts, classes)


def _classes(folder: Path) -> tuple[str, ...]:
    """Names of the folders in a folder, in order; none if it is absent."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != "."))


def _part(folder: Path, classes: tuple[str, ...]) -> _Part:
    paths: list[str] = []
    counts: dict[str, int] = {}
    for name in _classes(folder):
        if name not in classes:
            raise InputError(f"{folder} has the class '{name}', and train/ does not")
        found = list(_images(folder / name))
        if not found:
            raise InputError(
                f"{folder / name} holds no image: known are {', '.join(sorted(SUFFIXES))}"
            )
        paths += found
        counts[name] = len(found)
    numbers = [classes.index(name) for name in counts]
    return _Part(paths, np.repeat(np.array(numbers, np.int64), list(counts.values())))


def _images(folder: str | Path) -> Iterator[str]:
    """Paths of the images at any depth, in order."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror or error}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _images(entry.path)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            yield entry.path


def _dataset(name: str, part: _Part, size: int, progress: bool) -> Dataset:
    """The images of a part, whose statistics are yet to come."""
    pixels = MappedPixels(
        decoded(part.paths, size, progress=progress), torch.arange(len(part.paths))
    )
    nothing = torch.zeros(3)
    labels = torch.from_numpy(part.labels)
    return Dataset(name, pixels, labels, nothing, nothing, augmentation=AUGMENTATION)


def _carved(labels: np.ndarray, classes: tuple[str, ...], seed: int) -> tuple[Tensor, Tensor]:
    """Images for training and for validation, in order: the same share of each class, at least 1."""
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < 2:
        raise InputError(
            f"the class '{classes[counts.argmin()]}' in train/ has 1 image, and needs 2: one to "
            "train on and one for validation"
        )
    share = min(VALIDATION_SHARE, VALIDATION_MOST / len(labels))
    taken = np.maximum(np.rint(share * counts), 1)
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    place_in_class = np.arange(len(labels)) - np.repeat(counts.cumsum() - counts, counts)
    validation = np.zeros(len(labels), bool)
    validation[order] = place_in_class < np.repeat(taken, counts)
    return torch.from_numpy(np.flatnonzero(~validation)), torch.from_numpy(
        np.flatnonzero(validation)
    )
