"""Which blocks run on the compiled kernels: those of `BasicBlock`, as it has them."""

import pytest
from torch import Tensor, nn

from dfs_hw.networks import build_network, make_dynamic
from dfs_hw.networks.cifar_resnet import BasicBlock

CHOICES, SIZE = "skip,20,22,24,full", (13, 10)


def test_layers_of_other_channels_run_as_before() -> None:
    network = build_network("resnet8", CHOICES, 5, image_size=SIZE, widths=(8, 16, 32))
    assert [unit.fused is not None for unit in network.blocks] == [False, True]


class Halved(BasicBlock):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 2


def grouped() -> BasicBlock:
    block = BasicBlock(16, 16, 1)
    block.conv1 = nn.Conv2d(16, 16, 3, padding=1, groups=2, bias=False)
    return block


def bounded() -> BasicBlock:
    block = BasicBlock(16, 16, 1)
    block.activation = nn.Hardtanh(0, 1)  # type: ignore[assignment]
    return block


def projecting() -> BasicBlock:
    block = BasicBlock(16, 16, 1)
    block.shortcut = nn.Sequential(nn.Conv2d(16, 16, 1, bias=False), nn.BatchNorm2d(16))
    return block


@pytest.mark.parametrize(
    ("block", "fused"),
    [
        (BasicBlock(16, 32, 1), True),
        (BasicBlock(16, 32, 2), True),
        (BasicBlock(16, 32, 3), False),
        (BasicBlock(16, 16, 1), False),  # it reads signed images: skipped, it rectifies them
        (Halved(16, 32, 1), False),
        (grouped(), False),
        (bounded(), False),
        (projecting(), False),
    ],
)
def test_blocks_of_other_make_run_layer_by_layer(block: BasicBlock, fused: bool) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        block,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(block.conv2.out_channels, 5),
    )
    network = make_dynamic(model, "skip,22,full", image=(3, *SIZE), blocks=["1"])
    assert (network.blocks[0].fused is not None) == fused
