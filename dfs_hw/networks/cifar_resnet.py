"""The residual network for small images of He et al. (2016), in ordinary PyTorch layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from accel_models.workloads.cifar_resnet import WIDTHS, stages


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut, which is a convolution where it changes the shape."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, out_channels, 3, stride)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = _conv(out_channels, out_channels, 3)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                _conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels)
            )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        side = x if self.shortcut is None else self.shortcut(x)
        x = functional.relu(self.norm1(self.conv1(x)))
        return self.activation(self.norm2(self.conv2(x)) + side)


class CifarResNet(nn.Module):
    """ResNet of depth 6n+2: a stem, three stages of n blocks, pooling and a classifier.

    Args:
        depth: 6n+2 for n blocks in each of the three stages.
        classes: number of classes.
        in_channels: of the image.
        widths: channels of the three stages.
    """

    def __init__(
        self, depth: int, classes: int, in_channels: int = 3, widths: Sequence[int] = WIDTHS
    ) -> None:
        super().__init__()
        plan = stages(depth, widths)
        self.stem = _conv(in_channels, widths[0], 3)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        self.blocks = tuple(f"block{number}" for number in range(1, len(plan) + 1))
        for name, shape in zip(self.blocks, plan, strict=True):
            self.add_module(name, BasicBlock(*shape))
        self.classifier = nn.Linear(widths[-1], classes)
        nn.init.normal_(self.classifier.weight, std=1 / math.sqrt(widths[-1]))
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, C, H, W] -> logits [N, classes]."""
        x = functional.relu(self.stem_norm(self.stem(x)))
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        return self.classifier(x.mean((2, 3)))


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    # He et al. 2015, by the number of outputs each weight contributes to, as ResNet does.
    nn.init.normal_(conv.weight, std=math.sqrt(2 / (kernel * kernel * out_channels)))
    return conv
