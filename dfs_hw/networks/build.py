"""Networks by name: the CIFAR ResNets, and any that are registered beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from functools import partial
from typing import Any

import torch
from torch import nn

from accel_models.errors import InputError, quoted
from accel_models.precision import Precision, parse_choices
from accel_models.seeds import checked_seed
from accel_models.workloads.cifar_resnet import MOST_CHANNELS, NAMES, WIDTHS, checked_widths
from accel_models.workloads.layer_csv import listed_networks
from dfs_hw.networks.cifar_resnet import BasicBlock, CifarResNet
from dfs_hw.networks.design import Design
from dfs_hw.networks.dynamic import DynamicNetwork
from dfs_hw.networks.make_dynamic import make_dynamic

Builder = Callable[[int, int, Sequence[int]], nn.Module]

NETWORKS: dict[str, tuple[Builder, Sequence[str] | type[nn.Module] | None]] = {}
"""Builder (of classes, image channels and stage widths) and blocks to gate, by network name."""


def register_network(
    name: str, builder: Builder, blocks: Sequence[str] | type[nn.Module] | None = None
) -> None:
    """Let `build_network`, training and checkpoints know a model by name.

    Args:
        builder: called with the number of classes, the channels of the image, and the widths of
            the stages (which it may disregard).
        blocks: see `make_dynamic`.
    """
    NETWORKS[name] = (builder, blocks)


def build_network(
    name: str,
    choices: str | tuple[Precision, ...],
    classes: int,
    in_channels: int = 3,
    *,
    image_size: Sequence[int] = (32, 32),
    widths: Sequence[int] = WIDTHS,
    design: Design | Mapping[str, Any] | None = None,
    seed: int = 0,
) -> DynamicNetwork:
    """A fresh network by name, such as ``resnet38``; equal seeds give equal weights.

    Raises:
        InputError: if the name is unknown, or sizes or seed are out of their range.
    """
    checked_widths(widths)
    checked_seed(seed)
    for what, size in (("classes", classes), ("in_channels", in_channels)):
        if not 1 <= size <= MOST_CHANNELS:
            raise InputError(f"{what} must be 1 to {MOST_CHANNELS}, got {quoted(size)}")
    if ":" in name and name not in NETWORKS:
        raise InputError(
            f"'{name}' is a function that gives a network of somebody's own: name it with "
            f"--network {name}, or by register_network"
        )
    if name not in NETWORKS:
        raise InputError(f"no network is called '{name}'{_nearest(name)}")
    if not isinstance(design, Design):
        design = Design.from_dict(design or {})
    options = parse_choices(choices)
    shape = {
        "name": name,
        "choices": ",".join(map(str, options)),
        "classes": classes,
        "in_channels": in_channels,
        "image_size": list(image_size),
        "widths": list(widths),
        "design": asdict(design),
    }
    builder, blocks = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_dynamic(
            builder(classes, in_channels, widths),
            options,
            image=(in_channels, *image_size),
            blocks=blocks,
            design=design,
            name=name,
            shape=shape,
        )


def _nearest(name: str) -> str:
    """What may have been meant by a name that no network has."""
    known = [*NETWORKS, *listed_networks()]
    near = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    others = ", ".join(NETWORKS)
    if near and near[0] not in NETWORKS:
        listed = f"{near[0]} is a list of layers, to be simulated"
        return f" that could be built: {listed}; choose from {others}"
    said = f" (do you mean {near[0]}?): choose from {others}" if near else f": choose from {others}"
    colon = ", and a function of your own is MODULE:FUNCTION" if "." in name else ""
    return f"{said}; dfs-hw networks lists those that can be simulated{colon}"


def _cifar_resnet(depth: int, classes: int, channels: int, widths: Sequence[int]) -> nn.Module:
    return CifarResNet(depth, classes, channels, widths)


for _name, _depth in NAMES.items():
    register_network(_name, partial(_cifar_resnet, _depth), BasicBlock)
