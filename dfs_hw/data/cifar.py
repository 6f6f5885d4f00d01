"""CIFAR-10 and CIFAR-100 in their official binary files.

A file is a row of records: the label (in CIFAR-100 the coarse one, then the fine one) and 1,024
bytes each of red, green and blue. https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from accel_models.errors import InputError
from accel_models.files import readable, user_cache, whole_file
from dfs_hw.data.augmentation import Augmentation
from dfs_hw.data.dataset import Dataset, Splits
from dfs_hw.data.pixels import channel_statistics

DATA_ENV = "DFS_HW_DATA"
TRAINING_IMAGES, TEST_IMAGES, VALIDATION_IMAGES = 50_000, 10_000, 5_000
"""Images of either data set; those for validation are taken from those for training."""
_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE

_CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100_CLASSES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile
    cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp
    lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
    oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets, as it was published."""

    name: str
    title: str
    url: str
    digest: str
    """Digest of the archive at the URL."""
    folder: str
    """Folder of the files in the archive."""
    training_files: tuple[str, ...]
    """Files for training, which hold equally many records."""
    test_file: str
    label_bytes: int
    """Bytes at the start of a record; the last of them is the class."""
    classes: tuple[str, ...] = field(repr=False)
    """Names, in the order of the labels."""

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.training_files, self.test_file)


CIFAR10 = Cifar(
    name="cifar10",
    title="CIFAR-10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    digest="md5:c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    training_files=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    test_file="test_batch.bin",
    label_bytes=1,
    classes=tuple(_CIFAR10_CLASSES.split()),
)

CIFAR100 = Cifar(
    name="cifar100",
    title="CIFAR-100",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    digest="md5:03b5dce01913d631647c71ecec9e9cb8",
    folder="cifar-100-binary",
    training_files=("train.bin",),
    test_file="test.bin",
    label_bytes=2,
    classes=tuple(_CIFAR100_CLASSES.split()),
)


def load_cifar10(root: str | Path | None = None, seed: int = 0) -> Splits:
    """CIFAR-10, 45,000 / 5,000 / 10,000 images of 10 classes; see `load_cifar`."""
    return load_cifar(CIFAR10, root, seed)


def load_cifar100(root: str | Path | None = None, seed: int = 0) -> Splits:
    """CIFAR-100, 45,000 / 5,000 / 10,000 images of 100 (fine) classes; see `load_cifar`."""
    return load_cifar(CIFAR100, root, seed)


def load_cifar(source: Cifar, root: str | Path | None = None, seed: int = 0) -> Splits:
    """One of the data sets, from its official binary files.

    Args:
        root: folder of the files, or the one that holds their folder. By default what the
            environment variable DFS_HW_DATA names; failing that, the archive is downloaded once,
            checked, and kept in the user's cache.
        seed: of the split into training and validation.

    Raises:
        InputError: if the files are absent and cannot be downloaded, or are damaged.
    """
    folder = _find(source, root or os.environ.get(DATA_ENV) or None)
    each = TRAINING_IMAGES // len(source.training_files)
    files = [read_records(folder / name, source, each) for name in source.training_files]
    pixels, labels = (torch.cat(parts) for parts in zip(*files, strict=True))
    test_pixels, test_labels = read_records(folder / source.test_file, source, TEST_IMAGES)

    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    train = order[:-VALIDATION_IMAGES].sort().values
    validation = order[-VALIDATION_IMAGES:].sort().values
    whole = Dataset(
        source.name,
        pixels,
        labels,
        *channel_statistics(pixels[train]),
        augmentation=Augmentation(max_shift=4, mirror=True),
    )
    return Splits(
        whole.subset(train),
        whole.subset(validation),
        replace(whole, pixels=test_pixels, labels=test_labels),
        source.classes,
    )


def read_records(path: Path, source: Cifar, count: int) -> tuple[Tensor, Tensor]:
    """Pixels uint8 [count, 3, 32, 32] and labels int64 [count] of one binary file.

    Raises:
        InputError: if the file is absent, holds more or fewer records, or a label that is none.
    """
    record = source.label_bytes + _PIXELS
    try:
        size = readable(path).stat().st_size
        data = np.fromfile(path, np.uint8, count * record)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if size != count * record:
        raise InputError(
            f"{path} has {size} bytes, and {count} records of {source.title} have {count * record}"
        )
    rows = data.reshape(count, record)
    labels = rows[:, source.label_bytes - 1].astype(np.int64)
    if labels.max() >= len(source.classes):
        raise InputError(
            f"{path} holds the label {labels.max()}; those of {source.title} are 0 to "
            f"{len(source.classes) - 1}"
        )
    pixels = rows[:, source.label_bytes :].reshape(count, 3, _SIDE, _SIDE)
    return torch.from_numpy(pixels), torch.from_numpy(labels)


def unpack(archive: Path, source: Cifar, folder: Path) -> None:
    """Write the data files of an archive to a folder; nothing else in it is looked at.

    Raises:
        InputError: if one of them is missing.
    """
    with tarfile.open(archive) as tar:
        for name in source.files:
            try:
                member = tar.extractfile(f"{source.folder}/{name}")
            except KeyError:
                member = None
            if member is None:
                raise InputError(f"{archive} holds no {source.folder}/{name}")
            with whole_file(folder / name) as partial:
                partial.write_bytes(member.read())


def _find(source: Cifar, root: str | Path | None) -> Path:
    if root is None:
        return _download(source)
    for folder in (Path(root), Path(root) / source.folder):
        if (folder / source.test_file).is_file():
            return folder
    raise InputError(
        f"{root} holds no {source.title}: expected {source.test_file} there or in "
        f"{source.folder}/; set {DATA_ENV} to a folder that has it, or to nothing for a download"
    )


def _download(source: Cifar) -> Path:
    import pooch  # type: ignore[import-untyped]

    cache = user_cache()
    folder = cache / source.folder
    if all((folder / name).is_file() for name in source.files):
        return folder
    try:
        archive = pooch.retrieve(source.url, source.digest, path=cache, progressbar=True)
        unpack(Path(archive), source, folder)
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{source.title} could not be downloaded ({reason}): set {DATA_ENV} to a folder that "
            f"holds {source.folder}, or use the data set 'digits'"
        ) from error
    return folder
