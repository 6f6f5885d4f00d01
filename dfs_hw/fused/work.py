"""The kernels' work divided: images in groups of one precision, groups among threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from accel_models.compiled import compiled

COMPILED = ("fused/lanes.py", "fused/winograd.py", "fused/pixels.py", "fused/block_kernel.py")
"""Files that numba compiles."""

Result = TypeVar("Result")


@cache
def kernel() -> Any:
    """The compiled code; numba is imported only here, when a block first runs on it."""
    return compiled("dfs_hw.fused.block_kernel", COMPILED, Path(__file__).parent.parent)


def flat(x: Tensor) -> np.ndarray:
    """The numbers of a contiguous tensor, as the kernels take them."""
    array: np.ndarray = x.detach().view(-1).numpy()
    return array


def in_jobs(images: np.ndarray, precisions: np.ndarray, per_job: int) -> Any:
    """Images in groups of one precision.

    Args:
        images: int64 [M], their numbers.
        precisions: int64 [M], of each; those that are equal stand together.
        per_job: images in a group, at most.
    """
    if len(images) == 0:
        return kernel().Jobs(images, np.zeros(1, np.int64), precisions)
    bounds = np.flatnonzero(np.diff(precisions)) + 1
    runs = zip([0, *bounds.tolist()], [*bounds.tolist(), len(images)], strict=True)
    starts = [start for first, last in runs for start in range(first, last, per_job)]
    return kernel().Jobs(images, np.array([*starts, len(images)]), precisions[starts])


def shared_out(jobs: Any, threads: int) -> list[Any]:
    """Jobs in as many parts, one after the other, of about as many images each."""
    cuts = np.searchsorted(jobs.starts, np.linspace(0, len(jobs.images), threads + 1))
    cuts[-1] = len(jobs.precisions)
    return [
        jobs._replace(starts=jobs.starts[first : last + 1], precisions=jobs.precisions[first:last])
        for first, last in zip(cuts, cuts[1:], strict=False)
        if first < last
    ]


def in_parallel(
    work: Callable[[Any, Any], Result], jobs: Any, tiling: Any, *, gradients: bool = False
) -> list[Result]:
    """``work(jobs, room)`` for each thread's part of the jobs; as many threads as PyTorch has."""

    def one(part: Any) -> Result:
        return work(part, room_of(tiling, gradients))

    parts = shared_out(jobs, torch.get_num_threads())
    if len(parts) < 2:
        return [one(part) for part in parts]
    return list(_threads(len(parts)).map(one, parts))


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "fused")


_mine = threading.local()


def room_of(tiling: Any, gradients: bool) -> Any:
    """This thread's room to work on images of one tiling."""
    rooms = _mine.__dict__.setdefault("rooms", {})
    key = tiling, gradients
    if key not in rooms:
        rooms[key] = _new_room(tiling, gradients)
    return rooms[key]


def _new_room(tiling: Any, gradients: bool) -> Any:
    code, tiles = kernel(), kernel().winograd
    channels, images = tiling.channels, tiling.images
    padded, grid = images * tiles.padded_size(tiling), images * tiles.grid_size(tiling)
    block = tiles.POINTS * (tiles.BLOCK * channels + tiles.PAD)
    weights = 2 * tiles.POINTS * channels**2

    def zeros(size: int, wanted: bool = True) -> np.ndarray:
        return flat(torch.zeros(size if wanted else 0))  # aligned, as numpy's are not

    return code.Room(
        zeros(padded),
        zeros(padded),
        zeros(grid),
        zeros(grid, gradients),
        zeros(padded, gradients),
        code.Blocks(zeros(block), zeros(block), zeros(block, gradients), zeros(16 * tiles.POINTS)),
        zeros(weights, gradients),
    )
