"""The kernels' work divided: images in groups of one precision, groups among threads."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from accel_models.compiled import compiled
from dfs_hw.networks.compiled_blocks.kernels.layout import WIDTH

MODULES = ("layout", "lanes", "tiling", "winograd", "taps", "pixels", "forward", "backward")


def kernel() -> Any:
    """The compiled modules by name; numba is imported only here, when a block first needs it."""
    with _importing:
        return _kernel()


_importing = threading.Lock()


@cache
def _kernel() -> Any:
    return SimpleNamespace(
        **{name: compiled(f"dfs_hw.networks.compiled_blocks.kernels.{name}") for name in MODULES}
    )


def array(x: Tensor) -> np.ndarray:
    """A tensor as the kernels take it, with the same memory."""
    found: np.ndarray = x.detach().contiguous().numpy()
    return found


def in_jobs(images: Tensor, precisions: Tensor, per_job: int) -> Any:
    """Images in groups of one precision, as `Jobs`.

    Args:
        images: int64 [M], their numbers.
        precisions: int64 [M], of each; those that are equal stand together.
        per_job: images in a group, at most.
    """
    bounds = torch.unique_consecutive(precisions, return_counts=True)[1].cumsum(0).tolist()
    runs = pairwise([0, *bounds])
    starts = [start for first, last in runs for start in range(first, last, per_job)]
    return kernel().forward.Jobs(
        array(images), np.array([*starts, len(images)]), array(precisions)[starts]
    )


def shared_out(jobs: Any, threads: int) -> list[Any]:
    """Jobs in up to so many parts, one after the other, of about as many images each."""
    cuts = np.searchsorted(jobs.starts, np.linspace(0, len(jobs.images), threads + 1))
    return [
        jobs._replace(starts=jobs.starts[first : last + 1], precisions=jobs.precisions[first:last])
        for first, last in pairwise(cuts)
        if first < last
    ]


def in_parallel(work: Callable[..., None], *parts: Any) -> None:
    """``map(work, *parts)``, every call in a thread of its own; it should not call PyTorch, which
    opens more threads for each."""
    run = map if len(parts[0]) < 2 else _threads(len(parts[0])).map
    for _ in run(work, *parts):
        pass


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    # In a forked process PyTorch replaces its own pool when it is first asked for it, and fails
    # where two threads ask at once.
    torch.set_num_threads(torch.get_num_threads())
    return ThreadPoolExecutor(count, "fused")


if hasattr(os, "register_at_fork"):  # a forked process has none of the threads
    os.register_at_fork(after_in_child=_threads.cache_clear)

_mine = threading.local()


def room_of(shape: Any) -> Any:
    """This thread's `Room` to work on blocks of one shape."""
    return _kept("rooms", shape, _new_room)


def room_back_of(shape: Any) -> Any:
    """This thread's `RoomBack`, for the backward pass through blocks of one shape."""
    return _kept("rooms_back", shape, _new_room_back)


def _kept(name: str, shape: Any, make: Callable[[Any], Any]) -> Any:
    rooms = _mine.__dict__.setdefault(name, {})
    if shape not in rooms:
        rooms[shape] = make(shape)
    return rooms[shape]


def _new_room(shape: Any) -> Any:
    code, images, projected = kernel(), shape.out.images, shape.out.images * shape.projects
    block = code.winograd.POINTS * code.winograd.point_size(shape.out.channels)
    tile = code.winograd.POINTS * WIDTH
    return code.forward.Room(
        zero_images(images, shape.x.padded),
        zero_images(images, shape.out.padded),
        zero_images(projected, shape.x.padded),
        zero_images(images, shape.out.grid),
        zero_images(projected, shape.out.grid),
        code.winograd.WinogradScratch(
            *[array(torch.zeros(size)) for size in (block, block, block, tile)]
        ),
    )


def _new_room_back(shape: Any) -> Any:
    images = shape.out.images
    return kernel().backward.RoomBack(
        zero_images(images, shape.out.grid),
        zero_images(images, shape.x.padded),
        zero_images(images, shape.out.padded),
        new_weights(shape),
    )


def zero_images(images: int, image: tuple[int, int, int]) -> np.ndarray:
    """Float32 [images, *image], with some room after it: see `kernels.taps`."""
    size, beyond = images * math.prod(image), 2 * kernel().taps.PIXELS * image[-1]
    return array(torch.zeros(size + beyond)[:size].view(images, *image))


def new_weights(shape: Any) -> Any:
    """Zeros for the gradients of a block's weights."""
    inputs, outputs, points = shape.x.channels, shape.out.channels, kernel().winograd.POINTS
    first = points if shape.first_by_points else 9
    sizes = first * inputs * outputs, points * outputs**2, shape.projects * inputs * outputs
    return kernel().backward.Weights(*[array(torch.zeros(size)) for size in sizes])
