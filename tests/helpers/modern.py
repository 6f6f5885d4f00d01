"""Networks of kinds that are not plain stacks of convolutions, as small as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import plain_networks
import pytest
import vision_networks
from models import CLASSES, IMAGE, SIDE
from torch import nn


class Kind(NamedTuple):
    """A kind of network and what becomes of it."""

    build: Callable[[], nn.Module]
    blocks: int
    """Blocks that are found."""
    units: int
    """Decision units: of all blocks but the first."""
    skippable: int
    """Units that can be skipped."""


def theirs(model: str, config: str, **settings: object) -> Callable[[], nn.Module]:
    """A network of transformers."""

    def build() -> nn.Module:
        transformers = pytest.importorskip("transformers")
        made = getattr(transformers, config)(num_labels=CLASSES, **settings)
        built: nn.Module = getattr(transformers, model)(made)
        return built

    return build


TRANSFORMER: dict[str, Any] = {
    "image_size": SIDE,
    "patch_size": 8,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 48,
    "hidden_dropout_prob": 0.0,
}
SWIN: dict[str, Any] = {
    "image_size": SIDE,
    "patch_size": 2,
    "embed_dim": 12,
    "depths": [2, 2],
    "num_heads": [2, 3],
    "window_size": 4,
    "drop_path_rate": 0.0,
}
CONVNEXT: dict[str, Any] = {
    "hidden_sizes": [8, 12, 16, 20],
    "depths": [2, 2, 2, 1],
    "layer_scale_init_value": 0.5,
}
EFFICIENTNET: dict[str, Any] = {
    "image_size": SIDE,
    "width_coefficient": 0.25,
    "depth_coefficient": 1.0,
    "hidden_dim": 320,
    "drop_connect_rate": 0.0,
    "dropout_rate": 0.0,
}
REGNET: dict[str, Any] = {
    "embedding_size": 8,
    "hidden_sizes": [8, 16, 16, 24],
    "depths": [2, 2, 1, 1],
    "groups_width": 8,
}


def small_mobilenet_v3() -> nn.Module:
    """Six blocks of MobileNetV3 (Howard et al., ICCV 2019, table 1), narrower."""
    rows = (
        (3, 8, 8, False, False, 1),
        (3, 16, 12, False, False, 2),
        (3, 24, 12, False, False, 1),
        (5, 24, 16, True, False, 2),
        (5, 32, 16, True, True, 1),
        (5, 32, 16, True, True, 1),
    )
    layers: list[nn.Module] = [plain_networks.normed(3, 8, 3, 2, act=nn.Hardswish)]
    inputs = 8
    for kernel, wide, outputs, squeezed, swish, stride in rows:
        act = nn.Hardswish if swish else nn.ReLU
        block = plain_networks.InvertedResidual(
            inputs, kernel, wide, outputs, squeezed, act, stride
        )
        layers.append(block)
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES))


def small_resnext() -> nn.Module:
    """Four blocks of ResNeXt, of four groups."""
    shapes = ((8, 8, 1), (16, 8, 1), (16, 16, 2), (32, 16, 1))
    blocks = [plain_networks.ResNeXtBlock(*shape, groups=4) for shape in shapes]
    stem = plain_networks.normed(3, 8, 3, 2)
    return nn.Sequential(
        stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, CLASSES)
    )


def small_densenet() -> nn.Module:
    """Nine layers of DenseNet, of four channels each, for five classes."""
    model = plain_networks.densenet121(4, (2, 3, 2, 2))
    model[-1] = nn.Linear(model[-1].in_features, CLASSES)
    return model


TOKENS = (16,)
BERT: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 48,
}
small_bert = theirs("BertForSequenceClassification", "BertConfig", **BERT)
"""Three layers of BERT, whose sums are normalised."""
GPT2: dict[str, Any] = {
    "vocab_size": 50,
    "n_embd": 24,
    "n_layer": 3,
    "n_head": 3,
    "n_positions": 32,
    "pad_token_id": 49,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "use_cache": False,
    "attn_implementation": "eager",
}
SEGFORMER: dict[str, Any] = {
    "hidden_sizes": [8, 16, 24, 32],
    "depths": [2, 2, 1, 1],
    "num_attention_heads": [1, 2, 2, 4],
}


class Taker(NamedTuple):
    """A network whose blocks are given more than one tensor, or that drops at random."""

    build: Callable[[], nn.Module]
    size: tuple[int, ...]
    """Of one input."""


TAKERS = {
    "bert": Taker(small_bert, TOKENS),
    "gpt2": Taker(theirs("GPT2ForSequenceClassification", "GPT2Config", **GPT2), TOKENS),
    "segformer": Taker(
        theirs("SegformerForImageClassification", "SegformerConfig", **SEGFORMER), IMAGE
    ),
    "densenet_of_lists": Taker(vision_networks.DenseNet, IMAGE),
    "vision_transformer": Taker(vision_networks.VisionTransformer, IMAGE),
    "encoder": Taker(vision_networks.Reader, TOKENS),
}

KINDS = {
    "vit": Kind(theirs("ViTForImageClassification", "ViTConfig", **TRANSFORMER), 3, 4, 4),
    "deit": Kind(
        theirs("DeiTForImageClassificationWithTeacher", "DeiTConfig", **TRANSFORMER), 3, 4, 4
    ),
    "swin": Kind(theirs("SwinForImageClassification", "SwinConfig", **SWIN), 4, 6, 6),
    "convnext": Kind(
        theirs("ConvNextForImageClassification", "ConvNextConfig", **CONVNEXT), 7, 6, 6
    ),
    "efficientnet": Kind(
        theirs("EfficientNetForImageClassification", "EfficientNetConfig", **EFFICIENTNET),
        *(16, 15, 9),
    ),
    "regnet_x": Kind(
        theirs("RegNetForImageClassification", "RegNetConfig", layer_type="x", **REGNET), 6, 5, 5
    ),
    "regnet_y": Kind(
        theirs("RegNetForImageClassification", "RegNetConfig", layer_type="y", **REGNET), 6, 5, 5
    ),
    "mobilenet_v3": Kind(small_mobilenet_v3, 6, 5, 3),
    "resnext": Kind(small_resnext, 4, 3, 3),
    "densenet": Kind(small_densenet, 9, 8, 8),
}
