"""Data sets by name."""

from __future__ import annotations

import re
from collections.abc import Callable

from accel_models.errors import InputError
from accel_models.seeds import checked_seed
from dfs_hw.data.cifar import load_cifar10, load_cifar100
from dfs_hw.data.dataset import Splits
from dfs_hw.data.digits import load_digits
from dfs_hw.data.image_folder import IMAGE_SIZE, load_folder

_LOADERS: dict[str, Callable[..., Splits]] = {
    "digits": load_digits,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
}

DATASETS = (*_LOADERS, "folder:PATH", "folder@SIZE:PATH")
"""What `load_dataset` knows, PATH and SIZE to be filled in."""

_FOLDER = re.compile(r"folder(?:@([0-9]{1,9}))?:(.+)")


def load_dataset(name: str, seed: int = 0, *, progress: bool = False) -> Splits:
    """A data set by name.

    Args:
        name: one of `DATASETS`, such as ``cifar10``, ``folder:~/flowers`` for images in folders
            (see `load_folder`), or ``folder@64:~/flowers`` for the same at 64 pixels a side.
        seed: drives the splits, and how digits are degraded.
        progress: show a bar on stderr while images are decoded.

    Raises:
        InputError: if the name is unknown, or the files are absent or damaged.
    """
    checked_seed(seed)
    if name in _LOADERS:
        return _LOADERS[name](seed=seed)
    folder = _FOLDER.fullmatch(name)
    if folder is None:
        raise InputError(
            f"no data set is called '{name}': choose from {', '.join(DATASETS)}. Data of your own "
            "in memory goes through a loop of your own (docs/own_loop.md)"
        )
    return load_folder(folder[2], int(folder[1] or IMAGE_SIZE), seed, progress=progress)
