"""Which blocks of a model are gated, and what is left of them when they are skipped."""

from typing import Any

import pytest
import torch
from models import SMALL, Plain, PlainBlock, images, lived_in, plain
from torch import Tensor, nn
from torch.nn import functional

from dfs_hw.networks import Design, make_dynamic
from dfs_hw.networks.workload_of import workload_of


def test_blocks_are_gated_in_the_order_in_which_they_run() -> None:
    network = make_dynamic(Plain(), image=SMALL, blocks=["fourth", "second", "second"])
    assert network.units == ("second", "fourth")
    assert make_dynamic(Plain(), image=SMALL, blocks="third").units == ("third",)


def test_the_first_block_is_decided_when_it_is_asked_for() -> None:
    assert plain().units == ("second", "third", "fourth")
    assert plain(design=Design(first_block=True)).units == ("first", "second", "third", "fourth")


class Linear(PlainBlock):
    """Its output can be negative."""

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.bn1(self.conv1(x)))) + self.shortcut(x)


class Preactivated(PlainBlock):
    """Its shortcut does not read its input."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(channels, out_channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(x))
        side = self.shortcut(out) if len(self.shortcut) else x
        return self.conv2(functional.relu(self.bn2(self.conv1(out)))) + side


def skip_paths(block: type[nn.Module], stem: nn.Module | None = None) -> list[Any]:
    model = Plain(block, stem)
    network = make_dynamic(model, "skip,8", image=SMALL, blocks=block)
    return [unit.skip_path for unit in network.blocks]


def test_a_skipped_block_leaves_its_shortcut_and_the_sign_of_its_output() -> None:
    signed_stem = nn.Conv2d(3, 6, 3, padding=1)
    assert skip_paths(PlainBlock) == [(), ("shortcut", "skip_activation"), ()]
    assert skip_paths(Linear) == [(), ("shortcut",), ()]
    assert skip_paths(Preactivated) == [(), None, ()]
    first = Plain(PlainBlock, signed_stem)
    network = make_dynamic(
        first, "skip,8", image=SMALL, blocks=PlainBlock, design=Design(first_block=True)
    )
    assert network.blocks[0].skip_path == ("skip_activation",)
    assert network.blocks[1].skip_path == ()


@torch.no_grad()
def test_a_block_that_may_be_skipped_for_a_negative_input_puts_out_none() -> None:
    model = Plain(PlainBlock, nn.Conv2d(3, 6, 3, padding=1))
    network = make_dynamic(
        model, "skip,8", image=SMALL, blocks=PlainBlock, design=Design(first_block=True)
    )
    x = images(2, (6, 12, 12))
    assert torch.equal(network.blocks[0].run(x, 0), x.relu())
    assert not network.blocks[1].block.conv1.activations.levels[0].low


class ZeroStart(PlainBlock):
    """Its residual branch starts at zero, so that its output looks as if it had no sign."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(channels, out_channels, stride)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return out + self.shortcut(x)


def test_signs_are_those_that_tensors_can_have_not_those_they_start_with() -> None:
    network = make_dynamic(Plain(ZeroStart), "skip,8", image=SMALL, blocks=ZeroStart)
    levels = [unit.block.conv1.activations.levels[0].low for unit in network.blocks]
    assert levels == [-127, -127, -127]
    assert network.model.head.activations.levels[0].low == -127


@pytest.mark.parametrize("choices", ["8", "2,4,8", "full"])
@torch.no_grad()
def test_choices_need_neither_skipping_nor_an_alternative(choices: str) -> None:
    network = plain(choices)
    network.calibrate([images(4, SMALL)])
    assert network.offered.all()
    outcome = network.eval()(images(1, SMALL))
    assert outcome.logits.isfinite().all()
    workload = workload_of(network)
    assert {layer.role for layer in workload.layers} == {"fixed", "gate", "body"}


class BatchNormAct2d(nn.BatchNorm2d):
    """As timm has it: a batch norm that goes on with a dropout and an activation."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop = nn.Identity()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(x)))


class Activated(PlainBlock):
    """Ends in such a norm, without a shortcut."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(channels, out_channels, stride)
        self.bn2 = BatchNormAct2d(out_channels)
        del self.shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.bn1(self.conv1(x))))


@torch.no_grad()
def test_norms_that_end_in_an_activation_keep_it() -> None:
    model = lived_in(Plain(Activated, nn.Conv2d(3, 6, 1))).eval()
    network = make_dynamic(
        model, "skip,4,full", image=SMALL, blocks=Activated, design=Design(first_block=True)
    ).eval()
    x = images(4, SMALL)
    logits = network(x, network.uniform("full")).logits
    assert torch.allclose(logits, model(x), rtol=1e-5, atol=1e-6)
    assert [unit.skip_path for unit in network.blocks] == [("bn2.act",), (), None, ()]
    assert not network.blocks[0].block.bn2.act.inplace
    assert len(network.blocks[0].block.bn2.norm.pending) == 2
