"""The kernels' work divided: images in groups of one precision, groups among threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from accel_models.compiled import compiled

COMPILED = tuple(
    f"fused/{name}.py"
    for name in ("lanes", "tiling", "winograd", "taps", "pixels", "forward", "backward")
)
"""Files that numba compiles."""

Result = TypeVar("Result")


@cache
def kernel() -> Any:
    """The compiled code; numba is imported only here, when a block first runs on it."""
    return compiled("dfs_hw.fused.backward", COMPILED, Path(__file__).parent.parent)


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
        for first, last in pairwise(cuts)
        if first < last
    ]


def in_parallel(work: Callable[[Any, Any], Result], jobs: Any, shape: Any) -> list[Result]:
    """``work(jobs, room)`` for each thread's part of the jobs; as many threads as PyTorch has."""

    def one(part: Any) -> Result:
        return work(part, room_of(shape))

    parts = shared_out(jobs, torch.get_num_threads())
    if len(parts) < 2:
        return [one(part) for part in parts]
    return list(_threads(len(parts)).map(one, parts))


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "fused")


_mine = threading.local()


def room_of(shape: Any) -> Any:
    """This thread's room to work on blocks of one shape."""
    return _kept("rooms", shape, _new_room)


def room_back_of(shape: Any) -> Any:
    """As `room_of`, for the backward pass."""
    return _kept("rooms_back", shape, _new_room_back)


def _kept(name: str, shape: Any, make: Callable[[Any], Any]) -> Any:
    rooms = _mine.__dict__.setdefault(name, {})
    if shape not in rooms:
        rooms[shape] = make(shape)
    return rooms[shape]


def _new_room(shape: Any) -> Any:
    code, tiles = kernel(), kernel().winograd
    padded, hidden, grid = _sizes(shape)
    block = tiles.POINTS * (tiles.BLOCK * shape.out.channels + tiles.PAD)
    projected = int(shape.projects)
    return code.Room(
        zeros(padded),
        zeros(hidden),
        zeros(projected * padded),
        zeros(grid),
        zeros(projected * grid),
        tiles.Blocks(zeros(block), zeros(block), zeros(block), zeros(16 * tiles.POINTS)),
    )


def _new_room_back(shape: Any) -> Any:
    padded, hidden, grid = _sizes(shape)
    return kernel().RoomBack(zeros(grid), zeros(padded), zeros(hidden), new_weights(shape))


def _sizes(shape: Any) -> tuple[int, int, int]:
    """Of padded images as a block reads them and between its convolutions, and of grids."""
    tiles, images = kernel().winograd, shape.out.images
    # Tap by tap, some pixels too many are computed in a row.
    beyond = 16 * (shape.x.channels + shape.out.channels)
    return (
        images * tiles.padded_size(shape.x) + beyond,
        images * tiles.padded_size(shape.out) + beyond,
        images * tiles.grid_size(shape.out) + beyond,
    )


def new_weights(shape: Any) -> Any:
    """Zeros for the gradients of a block's weights."""
    inputs, outputs = shape.x.channels, shape.out.channels
    points = kernel().winograd.POINTS
    taps = 9 if shape.projects else points
    return kernel().Weights(
        zeros(taps * inputs * outputs),
        zeros(points * outputs**2),
        zeros(int(shape.projects) * inputs * outputs),
    )


def zeros(size: int) -> np.ndarray:
    """Aligned, as numpy's are not."""
    return flat(torch.zeros(size))
