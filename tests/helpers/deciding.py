"""Small networks that decide by the input, and images that they tell apart."""

from __future__ import annotations

import copy
from functools import cache

import torch
from models import IMAGE, decisive, lived_in, mobilenet_v2
from torch import Tensor

from dfs_hw.networks import DynamicNetwork, build_network, make_dynamic

SIDE = 12


def images(count: int, seed: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    contrast = torch.rand(count, 1, 1, 1, generator=generator) * 4
    return torch.randn(count, 1, SIDE, SIDE, generator=generator) * contrast


def trained(
    choices: str = "skip,2,4,8", name: str = "resnet14", seed: int = 0, **design: object
) -> DynamicNetwork:
    """A small network whose statistics have seen data, and whose gates disagree with each other."""
    return copy.deepcopy(_trained(choices, name, seed, tuple(design.items())))


@cache
def _trained(
    choices: str, name: str, seed: int, design: tuple[tuple[str, object], ...]
) -> DynamicNetwork:
    network = build_network(
        name,
        choices,
        5,
        1,
        image_size=(SIDE, SIDE),
        widths=(4, 8, 12),
        design=dict(design),
        seed=seed,
    )
    return decisive(network, [images(24, seed) for seed in range(2)])


def dynamic_mobilenet(choices: str) -> DynamicNetwork:
    return copy.deepcopy(_dynamic_mobilenet(choices))


@cache
def _dynamic_mobilenet(choices: str) -> DynamicNetwork:
    torch.manual_seed(0)
    network = make_dynamic(lived_in(mobilenet_v2(classifier_dropout_prob=0)), choices, image=IMAGE)
    generator = torch.Generator().manual_seed(3)
    batches = [torch.randn(8, *IMAGE, generator=generator) for _ in range(2)]
    return decisive(network, batches)
