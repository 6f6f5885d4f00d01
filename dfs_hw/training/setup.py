"""What the stages of one run share: data, the network to start from, the price of its choices."""

from __future__ import annotations

import copy
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor

from accel_models.accelerators.toml_file import load_accelerator
from accel_models.costs.cost_table import CostTable, cost_table
from accel_models.errors import InputError
from dfs_hw.budgets.budget import Budget
from dfs_hw.budgets.hardware_cost import BlockCost, HardwareCost, RelativeCost
from dfs_hw.budgets.paper import PAPER
from dfs_hw.data import Dataset, Splits, TrainingStream, generator_for, load_dataset
from dfs_hw.distributed import on_first
from dfs_hw.networks import DynamicNetwork, build_network
from dfs_hw.networks.workload_of import workload_of
from dfs_hw.recording import BATCH, evaluate
from dfs_hw.training.config import StageLength, TrainConfig
from dfs_hw.training.loop.logs import Log, choice_shares
from dfs_hw.training.loop.stage import RateSchedule, Validation


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
    device: str = "cpu"
    progress: bool = True
    log: Log | None = None
    asked: CostTable | None = None
    """The machine's table, if it was needed to price the choices."""

    @classmethod
    def of(
        cls,
        config: TrainConfig,
        network: DynamicNetwork | None = None,
        *,
        device: str = "cpu",
        progress: bool = True,
        log: Log | None = None,
    ) -> Bench:
        """Load the data, price the network, and read the budget.

        Args:
            network: instead of the configured one; it is copied.
            device: to train on.
            progress: show bars on stderr.
            log: takes curves.

        Raises:
            InputError: if anything in the configuration cannot be used; before any training.
        """
        check_device(device)
        splits = load(config, device, progress)
        if network is None:
            start = fresh_network(config, splits)
        else:
            start = copy.deepcopy(network).cpu()
            check_fit(start, splits)
        table: CostTable | None = None
        cost: RelativeCost
        if config.metric == PAPER:
            cost = BlockCost(start.units, start.choices, start.offered)
        else:
            table = price_list(config, start, splits)
            cost = HardwareCost(table, config.metric, start.offered)
        budget = Budget.parse(config.budget, cost)
        return cls(config, splits, start, cost.to(device), budget, device, progress, log, table)

    @cached_property
    def table(self) -> CostTable:
        """What the machine charges, also where training goes by the paper's count."""
        return self.asked or price_list(self.config, self.start, self.splits)

    @property
    def judge(self) -> Dataset:
        """The inputs that epochs are chosen by."""
        if "selects-on-test" in self.config.training_faults:
            return self.splits.test
        return self.splits.validation

    @property
    def knob(self) -> bool:
        """Whether the gates take the price of cost as an input."""
        return self.start.design.knob

    @property
    def batch(self) -> int:
        """Images a step, over all processes together."""
        return min(self.config.batch, len(self.splits.train))

    @property
    def schedule(self) -> RateSchedule:
        """How learning rates fall in stages 1 and 3."""
        return cast(RateSchedule, self.config.schedule)

    @cached_property
    def fingerprint(self) -> str:
        """Of the network to start from and the images: others give other results."""
        start, data = self.start, self.splits.train
        parts = [repr(start), repr(start.choices), repr(start.design), data.name, str(len(data))]
        tensors = [*start.state_dict().values(), data.labels, data.mean, data.std]
        checksum = zlib.crc32("\n".join(parts).encode())
        for tensor in tensors:
            checksum = zlib.crc32(tensor.cpu().contiguous().numpy().tobytes(), checksum)
        return f"{checksum:08x}"

    @property
    def prices(self) -> str:
        """Identifies what choices cost."""
        return PAPER if self.config.metric == PAPER else self.table.key

    def network(self) -> DynamicNetwork:
        """A copy of the network to start from, on the device."""
        return copy.deepcopy(self.start).to(self.device)

    def length(self, stage: str) -> StageLength:
        """How long a stage is; see `TrainConfig.length`."""
        return self.config.length(stage, len(self.splits.train) // self.batch)

    def stream(self, purpose: str, batch: int | None = None) -> TrainingStream:
        """Training batches for a stage or another purpose, each with an order of its own."""
        return TrainingStream(
            self.splits.train,
            batch or self.batch,
            f"{self.config.seed}/{purpose}",
            with_replacement="with-replacement" in self.config.training_faults,
        )

    def generator(self, purpose: str, *numbers: int) -> torch.Generator:
        """Of draws that all processes make alike."""
        return generator_for(f"{self.config.seed}/{purpose}", *numbers)

    def validate(
        self,
        network: DynamicNetwork,
        assignment: Tensor | None = None,
        *,
        price: float | None = None,
    ) -> Validation:
        """How a network does on the judging inputs, each run through the branches it chose.

        The cost is in the budget's statistic.
        """
        result = evaluate(network, self.judge, assignment, price=price)
        costs = self.cost.of_choices(result.choices.to(self.device))
        shares = choice_shares(result.choices, network.units, network.choices)
        return Validation(result.accuracy, self.cost_of(costs), shares)

    def cost_of(self, costs: Tensor) -> float:
        """The figure that is held against the budget, of the judging inputs' costs [N]."""
        faulty = "last-batch-counts-alike" in self.config.training_faults
        if faulty and self.budget.statistic == "mean":
            return float(torch.stack([part.double().mean() for part in costs.split(BATCH)]).mean())
        return self.budget.cost_of(costs)


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


def price_list(config: TrainConfig, network: DynamicNetwork, splits: Splits) -> CostTable:
    """What the configured machine charges for the network's choices on the data's images."""
    workload = workload_of(network, splits.train.image_size)
    return cost_table(workload, load_accelerator(config.accelerator), network.choices)


def check_device(device: str) -> None:
    """Refuse a device that is not there.

    Raises:
        InputError: if PyTorch cannot use it.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter where PyTorch is built without it
        reason = str(error).splitlines()[0]
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
    was_training = network.training
    images = torch.zeros(2, data.channels, *data.image_size)
    try:
        known = network.eval()(images, network.uniform(network.choices[-1])).logits.shape[1]
    except RuntimeError as error:
        size = "x".join(map(str, data.image_size))
        raise InputError(f"{network.name} does not run on images of {size}: {error}") from error
    finally:
        network.train(was_training)
    if known < len(splits.classes):
        raise InputError(
            f"{network.name} tells {known} classes apart, and {data.name} has {len(splits.classes)}"
        )
