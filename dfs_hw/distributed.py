"""Several processes that train one network on parts of one batch (``torchrun``)."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def world() -> tuple[int, int]:
    """Rank of this process, and how many there are; (0, 1) without a process group."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def all_summed(x: Tensor) -> Tensor:
    """Sum of a tensor over all ranks, in place; no gradient."""
    if world()[1] > 1:
        distributed.all_reduce(x)
    return x


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
    from torch.distributed.nn.functional import all_reduce

    moments = torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))])
    mean, square = all_reduce(moments) / ranks
    return mean, square - mean.square()
