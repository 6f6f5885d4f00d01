"""Images in memory: the degraded digits every installation has, and CIFAR-10.

Pixels stay 8-bit until a batch is made, as a camera would deliver them; augmentation works on
whole batches, so neither a Python loop over images nor a wait for the device is needed.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from accel_models.errors import InputError

DATASETS = ("digits", "cifar10")
DATA_ENV = "DFS_HW_DATA"

DEGRADED_SHARE = 0.6
NOISE, BLUR, OCCLUSION = 1.2, 3.5, 0.85
"""At severity 1: deviation of the noise as a share of white, deviation of the blur in pixels of a
16-pixel image, and side of the hidden square as a share of the image."""

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_HASH = "md5:c32a1d4ab5d03f1284b67883e8d87530"
CIFAR10_FOLDER = "cifar-10-batches-bin"
CIFAR10_TRAINING = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
CIFAR10_TEST = "test_batch.bin"
_PER_FILE, _PIXELS = 10_000, 3 * 32 * 32
_FILE_BYTES = _PER_FILE * (1 + _PIXELS)


@dataclass(frozen=True)
class Dataset:
    """N labelled images."""

    name: str
    pixels: Tensor
    """uint8 [N, C, H, W], as a report shows them."""
    labels: Tensor
    """int64 [N]."""
    mean: Tensor
    """float32 [C], of the training pixels scaled to 0..1."""
    std: Tensor
    """float32 [C]."""
    max_shift: int = 0
    """Pixels by which augmentation moves an image, at most, in each direction."""
    mirror: bool = False
    """True if augmentation may flip left and right."""
    severity: Tensor | None = None
    """float32 [N], how badly an image was degraded: 0 for clean, at most 1. None if unknown."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_size(self) -> tuple[int, int]:
        return self.pixels.shape[-2], self.pixels.shape[-1]

    @property
    def channels(self) -> int:
        return self.pixels.shape[1]

    def normalized(self, pixels: Tensor) -> Tensor:
        """uint8 [N, C, H, W] -> float32 of zero mean and unit deviation per channel."""
        shape = (1, -1, 1, 1)
        return (pixels / 255 - self.mean.view(shape)) / self.std.view(shape)

    def subset(self, index: Tensor) -> Dataset:
        """The images at `index`, in that order."""
        severity = None if self.severity is None else self.severity[index]
        return replace(
            self, pixels=self.pixels[index], labels=self.labels[index], severity=severity
        )

    def to(self, device: torch.device | str) -> Dataset:
        """The same images, on a device."""
        moved = {
            name: getattr(self, name).to(device) for name in ("pixels", "labels", "mean", "std")
        }
        severity = None if self.severity is None else self.severity.to(device)
        return replace(self, severity=severity, **moved)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in order: normalised images and labels, the last batch as short as it is."""
        for start in range(0, len(self), size):
            stop = start + size
            yield self.normalized(self.pixels[start:stop]), self.labels[start:stop]

    def shuffled_batches(
        self, size: int, generator: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch of augmented training batches; an incomplete last one is left out.

        Args:
            size: images per batch; all of them if there are fewer.
            generator: on the CPU; drives order and augmentation.
        """
        size = min(size, len(self))
        order = torch.randperm(len(self), generator=generator).to(self.labels.device)
        for start in range(0, len(self) - size + 1, size):
            index = order[start : start + size]
            pixels = augment(self.pixels[index], self.max_shift, self.mirror, generator)
            yield self.normalized(pixels), self.labels[index]


@dataclass(frozen=True)
class Splits:
    """Disjoint parts of a data set: to learn from, to choose by, and to report on."""

    train: Dataset
    validation: Dataset
    test: Dataset
    classes: tuple[str, ...]


def augment(pixels: Tensor, max_shift: int, mirror: bool, generator: torch.Generator) -> Tensor:
    """Shift each image of a batch by up to `max_shift` pixels, black coming in; flip half of them.

    Args:
        pixels: [N, C, H, W].
        generator: on the CPU, wherever the pixels are.
    """
    if not max_shift and not mirror:
        return pixels
    count, _, height, width = pixels.shape
    device = pixels.device
    shifts = torch.randint(2 * max_shift + 1, (2, count, 1), generator=generator).to(device)
    flips = torch.rand((count, 1), generator=generator).to(device) < (0.5 if mirror else 0.0)
    rows = torch.arange(height, device=device) + shifts[0]
    columns = torch.arange(width, device=device).expand(count, -1)
    columns = torch.where(flips, columns.flip(1), columns) + shifts[1]
    padded = torch.nn.functional.pad(pixels, (max_shift,) * 4)
    each = torch.arange(count, device=device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )


def load_dataset(name: str, seed: int = 0) -> Splits:
    """A data set by name; the seed drives its splits, and how digits are degraded.

    Raises:
        InputError: if the name is unknown, or its files are absent or damaged.
    """
    if name == "digits":
        return load_digits(seed)
    if name == "cifar10":
        return load_cifar10(seed=seed)
    raise InputError(f"no data set is called '{name}': choose from {', '.join(DATASETS)}")


def load_digits(seed: int = 0, size: int = 16) -> Splits:
    """The 1,797 handwritten digits that come with scikit-learn, some of them made hard to read.

    A share of the images gets noise, blur or an occluding square of graded severity, so that
    there are easy and hard inputs, and it is known which is which.

    Args:
        seed: of the degradation and of the split into 1,100 / 247 / 450 images.
        size: side of the images, upscaled from 8.
    """
    from sklearn.datasets import load_digits as bundled
    from sklearn.model_selection import train_test_split

    digits = bundled()
    rng = np.random.default_rng(seed)
    images = ndimage.zoom(digits.images / 16, (1, size / 8, size / 8), order=1).clip(0, 1)
    severity = np.where(
        rng.random(len(images)) < DEGRADED_SHARE, rng.uniform(0.1, 1, len(images)), 0
    )
    pairs = zip(images, severity, strict=True)
    degraded = np.stack([degrade(image, amount, rng) for image, amount in pairs])
    pixels = torch.from_numpy(np.rint(255 * degraded).astype(np.uint8)[:, None])
    labels = torch.from_numpy(digits.target.astype(np.int64))

    everything = np.arange(len(images))
    rest, test = train_test_split(
        everything, test_size=450, stratify=digits.target, random_state=seed
    )
    train, validation = train_test_split(
        rest, test_size=247, stratify=digits.target[rest], random_state=seed
    )
    mean, std = _statistics(pixels[torch.from_numpy(train)])
    whole = Dataset(
        "digits",
        pixels,
        labels,
        mean,
        std,
        max_shift=1,
        severity=torch.from_numpy(severity).float(),
    )
    parts = [whole.subset(torch.from_numpy(np.sort(part))) for part in (train, validation, test)]
    return Splits(parts[0], parts[1], parts[2], tuple(str(digit) for digit in range(10)))


def degrade(image: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """One kind of damage, drawn by `rng`, to an image [H, W] of values in 0..1.

    Args:
        severity: 0 leaves the image as it is, 1 is the worst.
    """
    if severity == 0:
        return image
    side = image.shape[0]
    kind = rng.choice(["noise", "blur", "occlusion"])
    if kind == "noise":
        image = image + rng.normal(0, NOISE * severity, image.shape)
    elif kind == "blur":
        image = ndimage.gaussian_filter(image, BLUR * severity * side / 16)
    else:
        hidden = round(OCCLUSION * severity * side)
        top, left = rng.integers(0, side - hidden + 1, 2)
        image = image.copy()
        image[top : top + hidden, left : left + hidden] = 0.5
    return image.clip(0, 1)


def load_cifar10(root: str | Path | None = None, seed: int = 0) -> Splits:
    """CIFAR-10 in its official binary files, 45,000 / 5,000 / 10,000 images.

    Args:
        root: folder of the files, or the one that holds `cifar-10-batches-bin`. By default what
            the environment variable DFS_HW_DATA names; failing that, the archive is downloaded
            once, checked, and kept in the user's cache.
        seed: of the split into training and validation.

    Raises:
        InputError: if the files are absent and cannot be downloaded, or are damaged.
    """
    folder = _cifar10_folder(root or os.environ.get(DATA_ENV) or None)
    pixels, labels = _join([read_cifar_file(folder / name) for name in CIFAR10_TRAINING])
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    train, validation = order[:45_000].sort().values, order[45_000:].sort().values
    mean, std = _statistics(pixels[train])
    known = Dataset("cifar10", pixels, labels, mean, std, max_shift=4, mirror=True)
    test_pixels, test_labels = read_cifar_file(folder / CIFAR10_TEST)
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    return Splits(
        known.subset(train),
        known.subset(validation),
        replace(known, pixels=test_pixels, labels=test_labels),
        tuple(names.split()),
    )


def read_cifar_file(path: Path) -> tuple[Tensor, Tensor]:
    """Pixels uint8 [10000, 3, 32, 32] and labels int64 [10000] of one binary file.

    Raises:
        InputError: if the file is absent, of the wrong size, or holds a label above 9.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if data.size != _FILE_BYTES:
        raise InputError(
            f"{path} has {data.size} bytes, and a CIFAR-10 binary file has {_FILE_BYTES}"
        )
    rows = data.reshape(_PER_FILE, 1 + _PIXELS)
    if rows[:, 0].max() > 9:
        raise InputError(f"{path} holds the label {rows[:, 0].max()}; those of CIFAR-10 are 0 to 9")
    pixels = torch.from_numpy(rows[:, 1:].reshape(-1, 3, 32, 32).copy())
    return pixels, torch.from_numpy(rows[:, 0].astype(np.int64))


def _cifar10_folder(root: str | Path | None) -> Path:
    if root is None:
        return _download_cifar10()
    for folder in (Path(root), Path(root) / CIFAR10_FOLDER):
        if (folder / CIFAR10_TEST).is_file():
            return folder
    raise InputError(
        f"{root} holds no CIFAR-10: expected {CIFAR10_TEST} there or in {CIFAR10_FOLDER}/; "
        f"set {DATA_ENV} to a folder that has it"
    )


def _download_cifar10() -> Path:
    import pooch  # type: ignore[import-untyped]

    cache = Path(pooch.os_cache("dfs-hw"))
    folder = cache / CIFAR10_FOLDER
    wanted = (*CIFAR10_TRAINING, CIFAR10_TEST)
    if all((folder / name).is_file() for name in wanted):
        return folder
    try:
        archive = pooch.retrieve(CIFAR10_URL, CIFAR10_HASH, path=cache, progressbar=True)
        unpack_cifar10(Path(archive), folder)
    except (OSError, ValueError, tarfile.TarError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"CIFAR-10 could not be downloaded ({reason}): set {DATA_ENV} to a folder that holds "
            f"{CIFAR10_FOLDER}, or use the data set 'digits'"
        ) from error
    return folder


def unpack_cifar10(archive: Path, folder: Path) -> None:
    """Write the six data files of the archive to `folder`; nothing else in it is looked at.

    Raises:
        InputError: if one of them is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for name in (*CIFAR10_TRAINING, CIFAR10_TEST):
            try:
                member = tar.extractfile(f"{CIFAR10_FOLDER}/{name}")
            except KeyError:
                member = None
            if member is None:
                raise InputError(f"{archive} holds no {CIFAR10_FOLDER}/{name}")
            partial = folder / f"{name}.partial"
            partial.write_bytes(member.read(_FILE_BYTES + 1))
            os.replace(partial, folder / name)


def _join(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    pixels, labels = zip(*parts, strict=True)
    return torch.cat(pixels), torch.cat(labels)


def _statistics(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, of pixels scaled to 0..1."""
    std, mean = torch.std_mean(pixels.float() / 255, (0, 2, 3))
    return mean, std
