"""Image files decoded once, and kept as one array to map into memory.

The array is under a digest of the files' paths, sizes and times of change, so that changed files
are decoded again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from accel_models.errors import InputError
from accel_models.files import readable, user_cache, whole_file

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Suffixes of files that count as images, in lower case."""

_LAYOUT = 1
"""Part of the digest: to be raised when images are decoded differently."""
_WORKERS = os.cpu_count() or 1
_BLOCK = 32 * _WORKERS
"""Images decoded ahead of writing, which bounds the memory in use."""


def read_image(path: str | Path, size: int) -> np.ndarray:
    """One image as uint8 [3, size, size]: upright, its shorter side resized, its centre cropped.

    Raises:
        InputError: if it cannot be decoded, or has other than 8 bits a channel.
    """
    try:
        with Image.open(readable(path)) as image:
            image.draft(None, (2 * size, 2 * size))  # lets a large JPEG be decoded at a fraction
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"its pixels are of mode {image.mode}, not 8-bit")
            upright = ImageOps.exif_transpose(image).convert("RGB")
            square = ImageOps.fit(upright, (size, size), Image.Resampling.BILINEAR)
    except Exception as error:  # what a decoder raises on damaged files is not limited
        raise InputError(f"cannot decode the image {path}: {error}") from error
    return np.asarray(square).transpose(2, 0, 1)


def decoded(paths: Sequence[str], size: int, *, progress: bool = False) -> np.ndarray:
    """Many images as uint8 [N, 3, size, size], mapped from a file in the user's cache.

    Decoding, the first time, needs 3 * size**2 bytes of disk an image. Threads share it: Pillow
    lets go of the interpreter while it decodes and resizes.

    Args:
        paths: of at least one image.
        progress: show a bar on stderr.

    Raises:
        InputError: if a file is absent or damaged, or the cache has no room.
    """
    cache = user_cache() / "images" / f"{_digest(paths, size)}.npy"
    shape = (len(paths), 3, size, size)
    stored = _mapped(cache, shape)
    if stored is None:
        _decode(paths, shape, cache, progress)
        stored = _mapped(cache, shape)
    if stored is None:
        raise InputError(f"cannot read {cache}, which was just written")
    return stored


def _digest(paths: Sequence[str], size: int) -> str:
    digest = hashlib.sha256(json.dumps([_LAYOUT, size]).encode())
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
        entry = [os.path.abspath(path), status.st_size, status.st_mtime_ns]
        digest.update(json.dumps(entry).encode())
    return digest.hexdigest()[:32]


def _mapped(cache: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array in a file, or None if the file is absent or holds anything else."""
    try:
        array = np.load(cache, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError):
        return None
    if array.shape != shape or array.dtype != np.uint8:
        return None
    return np.asarray(array)


def _decode(paths: Sequence[str], shape: tuple[int, ...], cache: Path, progress: bool) -> None:
    """Write the array in order, so that a full disk is an error and not a crash in a mapping."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with whole_file(cache) as partial:
        _check_room(partial.parent, int(np.prod(shape)))
        with (
            partial.open("wb") as file,
            ThreadPoolExecutor(_WORKERS) as pool,
            tqdm(total=len(paths), desc="decoding", unit="image", disable=not progress) as bar,
        ):
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, len(paths), _BLOCK):
                block = paths[start : start + _BLOCK]
                for image in pool.map(read_image, block, repeat(shape[-1])):
                    file.write(image.tobytes())
                    bar.update()
            file.flush()
            os.fsync(file.fileno())  # the name must not outlive a power cut that content did not


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"the decoded images need {needed / 1e9:.3g} GB, and {folder} has {free / 1e9:.3g} GB "
            "free: choose a smaller image size, or set DFS_HW_CACHE to a folder with more room"
        )
