"""Networks of the literature without weights, what they take, and a count of their MACs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import plain_networks
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

SIDE, TOKENS, CACHED = 224, 128, 127


def images(side: int = SIDE) -> dict[str, Any]:
    return {"pixel_values": torch.empty(1, 3, side, side, device="meta")}


def tokens(count: int = TOKENS) -> dict[str, Any]:
    return {"input_ids": torch.zeros(1, count, dtype=torch.long, device="meta")}


def cached_tokens(layers: int = 12) -> dict[str, Any]:
    """One token and the keys and values of those before it."""
    transformers = pytest.importorskip("transformers")
    cache = transformers.DynamicCache()
    for layer in range(layers):
        before = torch.empty(1, 12, CACHED, 64, device="meta")
        cache.update(before, before, layer)
    return {**tokens(1), "past_key_values": cache}


class Net(NamedTuple):
    """A network and an example of its input."""

    build: Callable[[str], nn.Module]
    """Takes the way attention is computed, such as ``eager``; empty for the model's own."""
    example: Callable[[], Any]
    masked: int = 0
    """Positions that a mask is given for while MACs are counted: without one, transformers looks at
    what positions hold, which tensors without contents do not have."""


def plain(build: Callable[[], nn.Module], side: int = SIDE) -> Net:
    return Net(lambda attention: build(), lambda: (images(side)["pixel_values"],))


def theirs(
    model: str,
    config: str,
    example: Callable[[], Any] = images,
    masked: int = 0,
    **settings: object,
) -> Net:
    """A network of transformers."""

    def build(attention: str) -> nn.Module:
        transformers = pytest.importorskip("transformers")
        made = getattr(transformers, config)(**settings)
        if attention:
            made._attn_implementation = attention
        built: nn.Module = getattr(transformers, model)(made)
        return built

    return Net(build, example, masked)


def resnet(kind: str, depths: list[int], sizes: list[int]) -> Net:
    settings = {"layer_type": kind, "depths": depths, "hidden_sizes": sizes, "num_labels": 1000}
    return theirs("ResNetForImageClassification", "ResNetConfig", **settings)


def regnet(kind: str, depths: list[int], sizes: list[int], group: int) -> Net:
    settings = {"layer_type": kind, "depths": depths, "hidden_sizes": sizes, **THOUSAND}
    return theirs("RegNetForImageClassification", "RegNetConfig", groups_width=group, **settings)


THOUSAND = {"num_labels": 1000}
WIDE, NARROW = [256, 512, 1024, 2048], [64, 128, 256, 512]
TINY = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}
NETS = {
    "resnet18": resnet("basic", [2, 2, 2, 2], NARROW),
    "resnet50": resnet("bottleneck", [3, 4, 6, 3], WIDE),
    "resnet152": resnet("bottleneck", [3, 8, 36, 3], WIDE),
    "regnet_x_4gf": regnet("x", [2, 5, 14, 2], [80, 240, 560, 1360], 40),
    "regnet_y_4gf": regnet("y", [2, 6, 12, 2], [128, 192, 512, 1088], 64),
    "mobilenet_v1": theirs(
        "MobileNetV1ForImageClassification", "MobileNetV1Config", num_labels=1001
    ),
    "mobilenet_v2": theirs(
        "MobileNetV2ForImageClassification", "MobileNetV2Config", tf_padding=False, num_labels=1000
    ),
    "efficientnet_b0": theirs(
        "EfficientNetForImageClassification",
        "EfficientNetConfig",
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        **THOUSAND,
    ),
    "convnext_t": theirs("ConvNextForImageClassification", "ConvNextConfig", **THOUSAND),
    "vit_tiny": theirs("ViTForImageClassification", "ViTConfig", num_labels=1000, **TINY),
    "vit_b_16": theirs("ViTForImageClassification", "ViTConfig", num_labels=1000),
    "deit_tiny": theirs("DeiTForImageClassificationWithTeacher", "DeiTConfig", **TINY, **THOUSAND),
    "swin_t": theirs("SwinForImageClassification", "SwinConfig", **THOUSAND),
    "segformer_b0": theirs(
        "SegformerForSemanticSegmentation", "SegformerConfig", lambda: images(512), num_labels=150
    ),
    "bert_base": theirs("BertForSequenceClassification", "BertConfig", tokens),
    "gpt2": theirs("GPT2LMHeadModel", "GPT2Config", tokens, masked=TOKENS, use_cache=False),
    "gpt2_token": theirs("GPT2LMHeadModel", "GPT2Config", cached_tokens),
    "resnext50": plain(plain_networks.resnext50),
    "vgg16": plain(plain_networks.vgg16),
    "alexnet": plain(plain_networks.alexnet),
    "densenet121": plain(plain_networks.densenet121),
    "mobilenet_v3": plain(plain_networks.mobilenet_v3),
    "unet": plain(plain_networks.UNet, 512),
}


def built(name: str, attention: str = "") -> nn.Module:
    with torch.device("meta"):
        return NETS[name].build(attention).eval()


def counted(name: str) -> int:
    """MACs as PyTorch counts them, with attention as products: a fused one counts as none."""
    net = NETS[name]
    example = net.example()
    args, kwargs = (example, {}) if isinstance(example, tuple) else ((), dict(example))
    if net.masked:
        kwargs["attention_mask"] = torch.ones(1, net.masked, device="meta")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        built(name, "eager")(*args, **kwargs)
    macs, odd = divmod(counter.get_total_flops(), 2)
    assert not odd
    return macs
