"""Images in folders, one folder a class, as ImageNet is kept.

flowers/train/rose/1.jpg
flowers/val/rose/7.png
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
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
"""Taken from the training images if there is no folder for validation: a share, up to a number."""
STATISTICS_SAMPLE = 4096
"""Images to take mean and deviation from."""
AUGMENTATION = Augmentation(mirror=True, min_area=0.08)
"""Crops of 8 % of the area or more, as is usual for ImageNet (Szegedy et al., 2015)."""


@dataclass(frozen=True)
class _Part:
    """The files of ``train/``, ``val/`` or ``test/``."""

    paths: list[str]
    labels: Tensor
    """Class of each image, int64 [N], numbered as in ``train/``."""

    @property
    def rows(self) -> Tensor:
        return torch.arange(len(self.paths))


def load_folder(
    path: str | Path, size: int = IMAGE_SIZE, seed: int = 0, *, progress: bool = False
) -> Splits:
    """Images in ``train/CLASS/`` and in ``val/CLASS/`` or ``test/CLASS/``, at any depth below.

    With both ``val/`` and ``test/``, they are for validation and test. With one of them, it is the
    test, and a tenth of each class of ``train/``, 10,000 images at most, are for validation.

    Images are decoded once, and stay in a file in the user's cache from which batches are read; it
    may be deleted when no run uses it. Files with other than an image's suffix are ignored, and so
    is what starts with a dot. Training sees random crops (`AUGMENTATION`); for anything else,
    replace the field of that name in the training images.

    Args:
        size: of the square images, in pixels: shorter sides are resized to it, centres are kept.
        seed: of the images chosen for validation.
        progress: show a bar on stderr while images are decoded.

    Raises:
        InputError: if a folder or a class is missing, empty, or known to validation or test alone,
            or if an image is damaged.
    """
    root = Path(os.path.expanduser(path))
    if size < 1:
        raise InputError(f"the image size must be at least 1 pixel, got {size}")
    classes = _classes(root / "train")
    held_out = [name for name in HELD_OUT if _classes(root / name)]
    if not classes or not held_out:
        raise InputError(
            f"{root} needs train/ and val/ or test/, with a folder of images for each class"
        )
    parts = {name: _part(root / name, classes) for name in ("train", *held_out)}
    splits = _splits(parts, classes, seed)
    stored = {name: decoded(part.paths, size, progress=progress) for name, part in parts.items()}
    pixels = [MappedPixels(stored[name], rows) for name, rows in splits]
    mean, std = channel_statistics(pixels[0], STATISTICS_SAMPLE)
    train, validation, test = (
        Dataset(f"folder:{root}", mapped, parts[name].labels[rows], mean, std, AUGMENTATION)
        for mapped, (name, rows) in zip(pixels, splits, strict=True)
    )
    return Splits(train, validation, test, classes)


def _classes(folder: Path) -> tuple[str, ...]:
    """Names of the folders in a folder, in order; none if it is absent."""
    if not folder.is_dir():
        return ()
    return tuple(entry.name for entry in _visible(folder) if entry.is_dir())


def _part(folder: Path, classes: tuple[str, ...]) -> _Part:
    paths: list[str] = []
    labels: list[int] = []
    for name in _classes(folder):
        if name not in classes:
            raise InputError(f"{folder} has the class '{name}', and train/ does not")
        found = list(_images(folder / name))
        if not found:
            raise InputError(
                f"{folder / name} holds no image: known are {', '.join(sorted(SUFFIXES))}"
            )
        paths += found
        labels += [classes.index(name)] * len(found)
    return _Part(paths, torch.tensor(labels))


def _images(folder: str | Path) -> Iterator[str]:
    """Paths of the images at any depth, in order."""
    for entry in _visible(folder):
        if entry.is_dir():
            yield from _images(entry.path)
        elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
            yield entry.path


def _visible(folder: str | Path) -> list[os.DirEntry[str]]:
    """What a folder holds, by name, without what starts with a dot."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror or error}") from error
    return [entry for entry in entries if not entry.name.startswith(".")]


def _splits(
    parts: dict[str, _Part], classes: tuple[str, ...], seed: int
) -> list[tuple[str, Tensor]]:
    """Part and rows of the images to train on, to validate with, and to test on."""
    held_out = [name for name in HELD_OUT if name in parts]
    test = held_out[-1], parts[held_out[-1]].rows
    if len(held_out) == 2:
        return [("train", parts["train"].rows), (held_out[0], parts[held_out[0]].rows), test]
    train, validation = _carved(parts["train"].labels.numpy(), classes, seed)
    return [("train", train), ("train", validation), test]


def _carved(labels: np.ndarray, classes: tuple[str, ...], seed: int) -> tuple[Tensor, Tensor]:
    """Images for training and for validation: the same share of each class, 1 at least."""
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < 2:
        raise InputError(
            f"the class '{classes[counts.argmin()]}' in train/ has 1 image, and needs 2: one to "
            "train on and one for validation"
        )
    share = min(VALIDATION_SHARE, VALIDATION_MOST / len(labels))
    taken = np.maximum(np.rint(share * counts), 1)
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # class by class, at random within
    place_in_class = np.arange(len(labels)) - np.repeat(counts.cumsum() - counts, counts)
    validation = np.zeros(len(labels), bool)
    validation[order] = place_in_class < np.repeat(taken, counts)
    rows = torch.arange(len(labels))
    return rows[~validation], rows[validation]
