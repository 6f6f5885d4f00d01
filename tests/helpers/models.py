"""Models of other people's make, as small as they come, and what the tests ask of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from dfs_hw.networks import DynamicNetwork, make_dynamic
from dfs_hw.quantize import QuantizedLinear

SIDE = 32
CLASSES = 5
IMAGE = (3, SIDE, SIDE)
SMALL = (3, 12, 12)
"""Enough for the plain model."""


def images(count: int = 3, image: tuple[int, int, int] = IMAGE, seed: int = 4) -> Tensor:
    return torch.randn(count, *image, generator=torch.Generator().manual_seed(seed))


def basic_resnet(**settings: object) -> nn.Module:
    """ResNet of transformers, with the blocks of ResNet-18."""
    settings = {"hidden_sizes": [8, 8, 12, 16], "depths": [2, 2, 2, 2], **settings}
    return _resnet(layer_type="basic", **settings)


def bottleneck_resnet(**settings: object) -> nn.Module:
    """ResNet of transformers, with the blocks of ResNet-50."""
    settings = {"hidden_sizes": [16, 24, 32, 48], "depths": [2, 2, 1, 1], **settings}
    return _resnet(layer_type="bottleneck", **settings)


def _resnet(**settings: object) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    settings = {"embedding_size": 8, "num_labels": CLASSES, **settings}
    config = transformers.ResNetConfig(**settings)
    model: nn.Module = transformers.ResNetForImageClassification(config)
    return model


def mobilenet_v2(**settings: object) -> nn.Module:
    """MobileNetV2 of transformers."""
    transformers = pytest.importorskip("transformers")
    settings = {"depth_multiplier": 0.25, "num_labels": CLASSES, **settings}
    config = transformers.MobileNetV2Config(**settings)
    model: nn.Module = transformers.MobileNetV2ForImageClassification(config)
    return model


class PlainBlock(nn.Module):
    """As people write them: functions, in-place sums, an empty shortcut where none is needed."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, stride, padding=1)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding="same", bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != out_channels:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out_channels, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return functional.relu(out)


class Plain(nn.Module):
    """A network with blocks of a class of its own."""

    def __init__(
        self, block: Callable[..., nn.Module] = PlainBlock, stem: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.stem = stem or nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True))
        self.first = block(6, 6)
        self.second = block(6, 6)
        self.third = block(6, 8, 2)
        self.fourth = block(8, 8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        x = self.fourth(self.third(self.second(self.first(self.stem(images)))))
        return self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))


def plain(choices: str = "skip,4,full", **changes: Any) -> DynamicNetwork:
    """The plain model made dynamic."""
    return make_dynamic(Plain(), choices, image=SMALL, blocks=PlainBlock, **changes)


MODELS: dict[str, tuple[Callable[[], nn.Module], type[nn.Module] | None]] = {
    "basic": (basic_resnet, None),
    "bottleneck": (bottleneck_resnet, None),
    "mobilenet": (mobilenet_v2, None),
    "plain": (Plain, PlainBlock),
}
"""Builder, and the blocks to gate."""


def lived_in(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with weights and statistics as if it had been trained: nothing is 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor, low in ((module.weight, 0.5), (module.running_var, 0.5)):
                    tensor.uniform_(low, 1.5, generator=generator)
                for tensor in (module.bias, module.running_mean):
                    tensor.normal_(std=0.1, generator=generator)
    return model


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    output = model(images)
    return output if isinstance(output, Tensor) else output.logits


def counted_macs(model: nn.Module, image: tuple[int, int, int]) -> int:
    """Multiply-accumulates of a model for one image, as PyTorch's own counter has them."""
    shadow = model.to("meta").eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        shadow(torch.empty(1, *image, device="meta"))
    macs, odd = divmod(counter.get_total_flops(), 2)
    assert not odd
    return macs


def decisive(network: DynamicNetwork, batches: list[Tensor], scale: float = 10.0) -> DynamicNetwork:
    """In evaluation, with statistics of `batches` and gates that decide by the input."""
    with torch.no_grad():
        for layer in network.gate.modules():
            if isinstance(layer, QuantizedLinear) and layer is not getattr(
                network.gate, "cell", None
            ):
                layer.weight.mul_(scale)
    network.calibrate(batches)
    return network.eval()
