"""What a training starts from: images, an untrained network, the price of its choices."""

from __future__ import annotations

from typing import NamedTuple

import torch

from accel_models.accelerators.toml_file import load_accelerator
from accel_models.costs.cost_table import CostTable, cost_table
from accel_models.errors import InputError, reason_of
from accel_models.precision import highest
from dfs_hw.budgets.hardware_cost import BlockCost, HardwareCost, RelativeCost
from dfs_hw.budgets.paper import PAPER
from dfs_hw.data import Splits, load_dataset
from dfs_hw.distributed import on_first
from dfs_hw.modes import kept_modes
from dfs_hw.networks import DynamicNetwork, build_network
from dfs_hw.networks.workload_of import workload_of
from dfs_hw.training.config import TrainConfig


class PricedNetwork(NamedTuple):
    """A network to start from, and what its choices cost."""

    network: DynamicNetwork
    """The network before any training, on the CPU."""
    cost: RelativeCost
    """Cost by the configured metric, on the device to train on."""
    table: CostTable | None
    """The machine's table, from which the cost was made; None where no machine is asked."""


def load(config: TrainConfig, device: str, progress: bool) -> Splits:
    """The configured data on a device; several processes do not fetch it at once."""

    def once() -> Splits:
        return load_dataset(config.data, config.seed, progress=progress)

    found = on_first(once) or once()
    return Splits(
        found.train.to(device), found.validation.to(device), found.test.to(device), found.classes
    )


def fresh_network(config: TrainConfig, splits: Splits) -> DynamicNetwork:
    """The configured network before any training."""
    return build_network(
        config.network,
        config.choices,
        len(splits.classes),
        splits.train.channels,
        image_size=splits.train.image_size,
        widths=config.widths,
        design=config.design(),
        seed=config.seed,
    )


def priced(
    config: TrainConfig, network: DynamicNetwork, splits: Splits, device: str
) -> PricedNetwork:
    """A network with what its choices cost by the configured metric, for the data's images.

    Raises:
        InputError: if there is no such machine or metric.
        InfeasibleError: if the machine cannot run a choice where it is offered.
    """
    if config.metric == PAPER:
        count = BlockCost(network.units, network.choices, network.offered)
        return PricedNetwork(network, count.to(device), None)
    table = price_list(config.accelerator, network, splits)
    cost = HardwareCost(table, config.metric, network.offered)
    return PricedNetwork(network, cost.to(device), table)


def price_list(accelerator: str, network: DynamicNetwork, splits: Splits) -> CostTable:
    """What a machine charges for a network's choices on images of the data's size.

    Args:
        accelerator: name or file, see `load_accelerator`.
    """
    workload = workload_of(network, splits.train.image_size)
    return cost_table(workload, load_accelerator(accelerator), network.choices)


def check_device(device: str) -> None:
    """Refuse a device that is not there.

    Raises:
        InputError: if PyTorch cannot use it.
    """
    try:
        torch.device(device)
    except RuntimeError as error:  # which lists twenty kinds of device
        raise InputError(
            f"cannot train on the device '{device}': PyTorch knows none by that name: write cpu, "
            "cuda, or cuda:1 for the second of several"
        ) from error
    try:
        torch.ones(1, device=device).item()  # which a device without values, as meta, cannot give
    except (RuntimeError, AssertionError) as error:  # the latter where PyTorch is built without it
        reason = reason_of(error).partition(". ")[0]  # what follows lists all backends there are
        raise InputError(f"cannot train on the device '{device}': {reason}") from error


@torch.no_grad()
def check_fit(network: DynamicNetwork, splits: Splits) -> None:
    """Refuse a network that cannot classify the images.

    Raises:
        InputError: if it takes other images, or tells fewer classes apart.
    """
    data = splits.train
    if network.image[0] != data.channels:
        raise InputError(
            f"{network.name} reads images of {network.image[0]} channels, and those of "
            f"{data.name} have {data.channels}"
        )
    images = torch.zeros(2, data.channels, *data.image_size)
    top = network.uniform(highest(network.choices))
    try:
        with kept_modes(network):
            known = network.eval()(images, top).logits.shape[1]
    except RuntimeError as error:
        size = "x".join(map(str, data.image_size))
        raise InputError(f"{network.name} does not run on images of {size}: {error}") from error
    if known < len(splits.classes):
        raise InputError(
            f"{network.name} tells {known} classes apart, and {data.name} has {len(splits.classes)}"
        )
