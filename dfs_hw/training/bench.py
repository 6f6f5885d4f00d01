"""What the stages of one run share: data, the network to start from, and the price of its choices."""

from __future__ import annotations

import copy
import zlib
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from accel_models.cost_table import CostTable, cost_table
from accel_models.errors import InputError
from accel_models.machine_file import load_accelerator
from dfs_hw.budget import Budget
from dfs_hw.data import Dataset, Splits, load_dataset
from dfs_hw.hardware_cost import PAPER, BlockCost, HardwareCost, RelativeCost
from dfs_hw.networks import DynamicNetwork, build_network
from dfs_hw.record import BATCH, evaluate
from dfs_hw.training.config import TrainConfig
from dfs_hw.workload import workload_of


@dataclass(frozen=True)
class Bench:
    """A run about to start: everything it needs has been found usable."""

    config: TrainConfig
    splits: Splits
    """On the device."""
    start: DynamicNetwork
    """Before any training, on the CPU; every stage works on copies."""
    cost: RelativeCost
    """On the device."""
    budget: Budget
    device: str
    progress: bool

    @classmethod
    def of(
        cls,
        config: TrainConfig,
        network: DynamicNetwork | None = None,
        *,
        device: str = "cpu",
        progress: bool = True,
    ) -> Bench:
        """Load the data, price the network, and read the budget.

        Args:
            network: instead of the configured one; it is copied.
            device: to train on.
            progress: show bars on stderr.

        Raises:
            InputError: if anything in the configuration cannot be used; before any training.
        """
        splits = load_dataset(config.data, config.seed, progress=progress)
        if network is None:
            start = fresh_network(config, splits)
        else:
            start = copy.deepcopy(network).cpu()
            check_fit(start, splits)
        splits = Splits(
            splits.train.to(device),
            splits.validation.to(device),
            splits.test.to(device),
            splits.classes,
        )
        cost: RelativeCost
        if config.metric == PAPER:
            cost = BlockCost(start.units, start.choices, start.offered)
        else:
            cost = HardwareCost(price_list(config, start, splits), config.metric, start.offered)
        budget = Budget.parse(config.budget, cost)
        return cls(config, splits, start, cost.to(device), budget, device, progress)

    @cached_property
    def table(self) -> CostTable:
        """What the machine charges, also where training goes by the paper's count."""
        return price_list(self.config, self.start, self.splits)

    @property
    def judge(self) -> Dataset:
        """The inputs that epochs are chosen by."""
        if "selects-on-test" in self.config.training_faults:
            return self.splits.test
        return self.splits.validation

    @cached_property
    def fingerprint(self) -> str:
        """Of the weights to start from: other weights, other results."""
        checksum = 0
        for name, value in self.start.state_dict().items():
            checksum = zlib.crc32(name.encode(), checksum)
            checksum = zlib.crc32(value.contiguous().numpy().tobytes(), checksum)
        return f"{checksum:08x}"

    def network(self) -> DynamicNetwork:
        """A copy of the network to start from, on the device."""
        return copy.deepcopy(self.start).to(self.device)

    def validate(
        self,
        network: DynamicNetwork,
        assignment: Tensor | None = None,
        *,
        price: float | None = None,
    ) -> tuple[float, float]:
        """Accuracy, and relative cost in the budget's statistic, by chosen-branch inference."""
        result = evaluate(network, self.judge, assignment, price=price)
        costs = self.cost.of_choices(result.choices.to(self.device))
        return result.accuracy, self.cost_of(costs)

    def cost_of(self, costs: Tensor) -> float:
        """The figure that is held against the budget, of the judged inputs' costs [N]."""
        faulty = "last-batch-counts-alike" in self.config.training_faults
        if faulty and self.budget.statistic == "mean":
            return float(torch.stack([part.double().mean() for part in costs.split(BATCH)]).mean())
        return self.budget.cost_of(costs)


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


def price_list(config: TrainConfig, network: DynamicNetwork, splits: Splits) -> CostTable:
    """What the configured machine charges for the network's choices on the data's images."""
    workload = workload_of(network, splits.train.image_size)
    return cost_table(workload, load_accelerator(config.accelerator), network.choices)


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
    was_training = network.training
    images = torch.zeros(2, data.channels, *data.image_size)
    known = network.eval()(images, network.uniform(network.choices[-1])).logits.shape[1]
    network.train(was_training)
    if known < len(splits.classes):
        raise InputError(
            f"{network.name} tells {known} classes apart, and {data.name} has "
            f"{len(splits.classes)}"
        )
