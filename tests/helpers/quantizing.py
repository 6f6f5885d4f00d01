"""What the tests of several quantisers need."""

import torch
from torch import Tensor

from dfs_hw.quantize.operands import ActivationQuantizer


def normal_numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def commit(quantizer: ActivationQuantizer, inputs: int) -> None:
    """End a training step of so many inputs, as a network does."""
    pending = quantizer.pending.clone()
    quantizer.pending.zero_()
    quantizer.absorb(pending, pending[:, 0] / inputs)


def grad(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad
