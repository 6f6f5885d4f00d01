"""Several processes that train one network on parts of one batch (``torchrun``).

Every process holds the whole network and takes the same steps; they differ in the inputs they see.
Without a process group all of this does nothing, and costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn

from accel_models.errors import DfsHwError, InputError

PATIENCE = timedelta(hours=1)
"""How long processes wait for one another: the first one validates for all."""

Result = TypeVar("Result")


@contextmanager
def join(device: str = "cpu") -> Iterator[str]:
    """Join the processes that ``torchrun`` has started beside this one, if it has.

    Args:
        device: ``cpu`` or ``cuda``.

    Yields:
        The device for this process: ``cuda`` becomes ``cuda:0``, ``cuda:1``, ... by its local rank.

    Raises:
        InputError: if there are more processes than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or distributed.is_initialized():
        yield device
        return
    if device == "cuda":
        local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= gpus:
            raise InputError(
                f"{local + 1} processes or more were started on a machine with {gpus} GPUs: "
                f"start one for each"
            )
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    # Decisions of the host travel by gloo even where tensors of a GPU travel by nccl.
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield device
    finally:
        distributed.destroy_process_group()


@contextmanager
def alone() -> Iterator[None]:
    """Let this process take itself for the only one, for what all of them do alike."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


_ALONE = ContextVar("alone", default=False)


def world() -> tuple[int, int]:
    """Rank of this process, and how many there are; (0, 1) without a process group."""
    if not _ALONE.get() and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def all_summed(x: Tensor) -> Tensor:
    """Sum of a tensor over all ranks, in place; no gradient."""
    if world()[1] > 1:
        distributed.all_reduce(x)
    return x


def all_averaged(x: Tensor) -> Tensor:
    """Mean of a tensor over all ranks, without gradient; what every rank then decides by."""
    ranks = world()[1]
    x = x.detach()
    return x if ranks == 1 else all_summed(x.clone()) / ranks


def gathered(x: Tensor) -> Tensor:
    """The tensors of all ranks [ranks, ...], without gradient."""
    rank, ranks = world()
    rows = x.new_zeros((ranks, *x.shape))
    rows[rank] = x.detach()
    return all_summed(rows)


def summed_over_ranks(x: Tensor) -> tuple[Tensor, Tensor] | None:
    """Mean and (biased) variance of each channel over the batches of all ranks, differentiable.

    None in a single process, where PyTorch's own batch norm does the same faster.
    (torch.nn.SyncBatchNorm works on GPUs only.)

    Args:
        x: [N, C, H, W]; every rank's of the same size.
    """
    ranks = world()[1]
    if ranks == 1:
        return None
    x = x.float()
    moments = torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))])
    mean, square = cast(Tensor, _SumOverRanks.apply(moments)) / ranks
    return mean, (square - mean.square()).clamp_min(0)


class _SumOverRanks(torch.autograd.Function):
    """Every rank's loss depends on the sum, so each part gets the gradients of all of them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return all_summed(x.clone())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return all_summed(grads[0].clone(memory_format=torch.contiguous_format))


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Make every gradient its mean over all ranks; one that is missing counts, and becomes, zero.

    Which branches of a network ran differs between ranks. With zeros in place, momentum and decay
    act on a parameter whether or not an input reached it, and so do not depend on who ran what.
    """
    gradients = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    ranks = world()[1]
    if ranks > 1:
        flat = all_summed(torch.cat([gradient.flatten() for gradient in gradients])).div_(ranks)
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))


def copy_from_first(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors, the same ones on every rank, by those of the first."""
    if world()[1] > 1:
        for tensor in tensors:
            distributed.broadcast(tensor.detach(), 0)


def highest_over_ranks(numbers: Sequence[float]) -> list[float]:
    """The highest of each number over all ranks; waits for the other hosts, but for no device."""
    if world()[1] == 1:
        return list(numbers)
    highest = torch.tensor(numbers, dtype=torch.float64)
    distributed.all_reduce(highest, distributed.ReduceOp.MAX)
    return highest.numpy().tolist()


def on_first(act: Callable[[], Result]) -> Result | None:
    """Do something on the first process while the others wait; its failure is everyone's.

    Returns:
        What the first process got; None on all others.

    Raises:
        DfsHwError: what was raised, or on other processes that something was.
    """
    result, error = None, None
    if world()[0] == 0:
        try:
            result = act()
        except DfsHwError as raised:
            error = raised
    (failed,) = highest_over_ranks([float(error is not None)])
    if error is not None:
        raise error
    if failed:
        raise DfsHwError("the first process has failed and says why")
    return result
