"""Blocks that are computed again in the backward pass, where nobody knows their precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from accel_models.errors import InputError
from dfs_hw import make_dynamic


class Again(nn.Module):
    """A part that is run under a checkpoint where that is asked for, in training."""

    def __init__(self, part: nn.Module, reentrant: bool | None) -> None:
        super().__init__()
        self.part, self.reentrant, self.grad_checkpointing = part, reentrant, False

    def forward(self, x: Tensor) -> Tensor:
        if self.reentrant is None or not self.training:
            return self.part(x)
        return checkpoint(self.part, x, use_reentrant=self.reentrant)


class Block(nn.Module):
    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        self.again = Again(nn.Conv2d(4, 4, 1), reentrant)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.again(x))


def loss(inside: bool | None, around: bool | None) -> Tensor:
    blocks = Again(nn.Sequential(*(Block(inside) for _ in range(3))), around)
    ends = nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    model = nn.Sequential(ends[0], blocks, *ends[1:], nn.Linear(4, 2))
    # Nothing is computed again where all inputs skip, so none may.
    network = make_dynamic(model, "4,8", image=(3, 4, 4), blocks=Block)
    made: Tensor = network(torch.rand(8, 3, 4, 4)).logits.square().sum()
    return made


@pytest.mark.parametrize("reentrant", [True, False])
def test_what_a_checkpoint_computes_again_is_refused(reentrant: bool) -> None:
    loss(None, None).backward()
    with pytest.raises(InputError, match=r"layers of unit '1.part.*switch off what computes them"):
        loss(reentrant, None).backward()
    with pytest.raises(InputError, match=r"unit '1.part.*outside a pass.*torch.utils.checkpoint"):
        loss(None, reentrant).backward()


def test_switches_of_others_for_it_are_switched_off() -> None:
    model = nn.Sequential(*(Block(None) for _ in range(2)), nn.Flatten(), nn.Linear(64, 2))
    model[0].again.grad_checkpointing = True
    network = make_dynamic(model, "skip,8", image=(4, 4, 4), blocks=Block)
    assert not network.model[0].again.grad_checkpointing
    assert model[0].again.grad_checkpointing
