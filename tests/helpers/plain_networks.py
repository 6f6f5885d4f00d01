"""Networks of the literature as short definitions of our own, with the parameters of torchvision's.

ResNeXt-50 (Xie et al., CVPR 2017, table 1), VGG-16 (Simonyan and Zisserman, ICLR 2015, table 1, D),
AlexNet (Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014, without
its two towers), DenseNet-121 (Huang et al., CVPR 2017, table 1), MobileNetV3-Large (Howard et al.,
ICCV 2019, table 1), and a U-Net (Ronneberger et al., MICCAI 2015, figure 1) that pads and
upsamples by transposed convolutions.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = 1000


def normed(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    act: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """A convolution, its batch norm, and what follows."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    after = [] if act is None else [act(inplace=True)]
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), *after)


class ResNeXtBlock(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int, groups: int = 32) -> None:
        super().__init__()
        outputs = 2 * width
        self.body = nn.Sequential(
            normed(inputs, width),
            normed(width, width, 3, stride, groups),
            normed(width, outputs, act=None),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else normed(inputs, outputs, 1, stride, act=None)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.shortcut(x))


def resnext50() -> nn.Module:
    blocks: list[nn.Module] = []
    inputs = 64
    for stage, depth in enumerate((3, 4, 6, 3)):
        width = 128 * 2**stage
        for number in range(depth):
            blocks.append(ResNeXtBlock(inputs, width, 2 if stage and not number else 1))
            inputs = 2 * width
    return nn.Sequential(
        normed(3, 64, 7, 2),
        nn.MaxPool2d(3, 2, 1),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(inputs, CLASSES),
    )


def classifier(inputs: int, hidden: int) -> list[nn.Module]:
    return [
        nn.Linear(inputs, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(hidden, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(hidden, CLASSES),
    ]


def vgg16() -> nn.Module:
    layers: list[nn.Module] = []
    inputs = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = width
        layers.append(nn.MaxPool2d(2, 2))
    head = classifier(512 * 49, 4096)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(7), nn.Flatten(), *head)


def alexnet() -> nn.Module:
    layers: list[nn.Module] = []
    inputs = 3
    for width, kernel, stride, padding, pool in (
        (64, 11, 4, 2, True),
        (192, 5, 1, 2, True),
        (384, 3, 1, 1, False),
        (256, 3, 1, 1, False),
        (256, 3, 1, 1, True),
    ):
        layers += [nn.Conv2d(inputs, width, kernel, stride, padding), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(3, 2)] * pool
        inputs = width
    head = classifier(256 * 36, 4096)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(6), nn.Flatten(), *head)


class DenseLayer(nn.Module):
    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.conv1(functional.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(functional.relu(self.norm2(narrow)))], 1)


def densenet121(growth: int = 32, depths: tuple[int, ...] = (6, 12, 24, 16)) -> nn.Module:
    channels = 2 * growth
    layers: list[nn.Module] = [normed(3, channels, 7, 2), nn.MaxPool2d(3, 2, 1)]
    for stage, depth in enumerate(depths):
        for _ in range(depth):
            layers.append(DenseLayer(channels, growth))
            channels += growth
        if stage < len(depths) - 1:
            half = nn.Conv2d(channels, channels // 2, 1, bias=False)
            layers += [nn.BatchNorm2d(channels), nn.ReLU(), half, nn.AvgPool2d(2)]
            channels //= 2
    end = [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *end, nn.Linear(channels, CLASSES))


class Squeeze(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        fewer = max(8, (channels // 4 + 4) // 8 * 8)
        fewer += 8 * (fewer < 0.9 * (channels // 4))
        self.fc1 = nn.Conv2d(channels, fewer, 1)
        self.fc2 = nn.Conv2d(fewer, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = functional.adaptive_avg_pool2d(x, 1)
        return x * functional.hardsigmoid(self.fc2(functional.relu(self.fc1(pooled))))


class InvertedResidual(nn.Module):
    def __init__(
        self,
        inputs: int,
        kernel: int,
        wide: int,
        outputs: int,
        squeezed: bool,
        act: type[nn.Module],
        stride: int,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [normed(inputs, wide, act=act)] * (wide != inputs)
        layers.append(normed(wide, wide, kernel, stride, wide, act))
        layers += [Squeeze(wide)] * squeezed
        self.body = nn.Sequential(*layers, normed(wide, outputs, act=None))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.adds else self.body(x)


MOBILENET_V3_LARGE = (
    # kernel, expanded, outputs, squeeze and excitation, hard swish, stride
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)


def mobilenet_v3() -> nn.Module:
    layers: list[nn.Module] = [normed(3, 16, 3, 2, act=nn.Hardswish)]
    inputs = 16
    for kernel, wide, outputs, squeezed, swish, stride in MOBILENET_V3_LARGE:
        act = nn.Hardswish if swish else nn.ReLU
        layers.append(InvertedResidual(inputs, kernel, wide, outputs, squeezed, act, stride))
        inputs = outputs
    layers += [normed(inputs, 960, act=nn.Hardswish), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(
        *layers, nn.Linear(960, 1280), nn.Hardswish(), nn.Dropout(), nn.Linear(1280, CLASSES)
    )


def twice(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(normed(inputs, outputs, 3), normed(outputs, outputs, 3))


class UNet(nn.Module):
    def __init__(self, width: int = 64, depth: int = 4, classes: int = 2) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        pairs = list(pairwise(widths))
        self.first = twice(3, width)
        self.down = nn.ModuleList(twice(fine, coarse) for fine, coarse in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(c, f, 2, 2) for f, c in reversed(pairs))
        self.joined = nn.ModuleList(twice(c, f) for f, c in reversed(pairs))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.first(x)]
        for level in self.down:
            maps.append(level(functional.max_pool2d(maps[-1], 2)))
        out = maps.pop()
        for up, joined in zip(self.up, self.joined, strict=True):
            out = joined(torch.cat([maps.pop(), up(out)], 1))
        return self.head(out)


PARAMETERS = {
    "resnext50": 25_028_904,
    "vgg16": 138_357_544,
    "alexnet": 61_100_840,
    "densenet121": 7_978_856,
    "mobilenet_v3": 5_483_032,
}
"""Parameters of ``resnext50_32x4d``, ``vgg16``, ``alexnet``, ``densenet121`` and
``mobilenet_v3_large``: https://pytorch.org/vision/stable/models.html, table of weights."""
