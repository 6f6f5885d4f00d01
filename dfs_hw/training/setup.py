"""What a training needs, worked out once from its settings; stages take it from here.

No stage reads a `TrainConfig`: stages see a data set, a network, a cost, a budget and numbers.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, cast

import torch

from accel_models.accelerators.plugins import plugin_of
from accel_models.costs.cost_table import CostTable
from dfs_hw.budgets.budget import Budget
from dfs_hw.budgets.hardware_cost import RelativeCost
from dfs_hw.budgets.paper import PAPER
from dfs_hw.data import Dataset, Splits, TrainingStream, generator_for
from dfs_hw.logs import Log
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.leaving import without_exits
from dfs_hw.training.config import DEFAULTS, StageLength, TrainConfig, plain
from dfs_hw.training.loop.stage import RateSchedule
from dfs_hw.training.start import (
    PricedNetwork,
    check_device,
    check_fit,
    fresh_network,
    load,
    price_list,
    priced,
)

Kind = Literal["backbone", "supernet", "exits", "gates", "joint", "static", "exits of static"]
"""Kinds of stage: the three of DFS, the supernet and exits between the first two, static baselines,
and exits trained on one of those."""


@dataclass(frozen=True)
class SgdOptions:
    """How parameters are stepped, alike in every stage."""

    schedule: RateSchedule
    """How learning rates fall; stage 2 has a rule of its own."""
    nesterov: bool
    """Whether momentum looks ahead."""
    weight_decay: float
    """Share of a parameter that decays in a step, before the learning rate is applied."""
    decay_all: bool
    """Whether more than the weights of convolutions and linear layers decays."""
    amp: bool
    """Whether forward passes run in bfloat16 where that is safe."""


@dataclass(frozen=True)
class LearningRates:
    """Learning rates that stages start from."""

    backbone: float
    """Rate of stage 1."""
    supernet: float
    """Rate of the supernet."""
    static: float
    """Rate of static baselines: the supernet's where there is one, else stage 3's."""
    joint: float
    """Rate of everything but the gates, in stage 3."""
    gates: float
    """Rate of the gates, in stages 2 and 3."""
    exits: float
    """Rate of the exits."""


@dataclass(frozen=True)
class GateOptions:
    """How gates learn what to choose, and what drives them.

    `TrainConfig` has ranges, defaults and sources; it calls `start` ``gate_start``.
    """

    start: str
    """How they come to ask for the highest precision: ``taught`` or ``biased``."""
    estimator: str
    """How they get gradients: ``straight-through`` or ``gumbel``."""
    temperature: float
    """Temperature of the softmax that they learn through where choices are drawn."""
    tries: float
    """Branches tried per input and block beside the chosen one, on average; 0 tries all."""
    supervised: float
    """Share of a batch on which all choices of a unit are tried for a label of the right one."""
    shaping: float
    """Weight, at first, of the prior for what they make of a batch."""
    controller: str
    """Kind of controller: ``sign``, ``hinge``, ``pi`` or ``paper``."""
    beta: float
    """Strength that the controller starts from: loss at a relative cost of 1."""
    top_price: float
    """Loss, at a relative cost of 1, that the dearest price of a knob stands for."""
    feasibility: bool
    """Whether their logits are shifted to the budget at the end."""


@dataclass(frozen=True)
class TrainingSetup:
    """A training about to start: everything it needs has been found usable."""

    splits: Splits
    """Images on the device."""
    judge: Dataset
    """The inputs that epochs are chosen by: the validation split, but for a fault asked for."""
    start: DynamicNetwork
    """The network before any training, on the CPU; every stage works on copies."""
    cost: RelativeCost
    """What the network's choices cost, on the device."""
    budget: Budget
    """What the cost is held to."""
    lengths: Mapping[Kind, StageLength]
    """How long each kind of stage is, in steps."""
    batch: int
    """Images a step, over all processes together."""
    rates: LearningRates
    """What each kind of stage starts from."""
    sgd: SgdOptions
    """How all of them step."""
    gates: GateOptions
    """How gates are trained."""
    floor: float
    """Accuracy that a gate without training keeps to in place of the budget; 0 if to the budget."""
    exits_on: str
    """Network that such a gate leaves early, as `TrainConfig.exits_on` names it."""
    distill: float
    """Weight of the divergence from the backbone's predictions, in every stage after it."""
    norm_by_batch: bool
    """Whether batch norms in stage 3 go by the batch, not by running statistics."""
    faults: frozenset[str]
    """Faults of the released code in training, of `dfs_hw.training.faults.FAULTS`."""
    seed: int
    """Drives all that is drawn."""
    data: str
    """Name of the data set, as `load_dataset` finds it again."""
    accelerator: str
    """Name or file of the machine, as `load_accelerator` finds it again."""
    settings: Mapping[str, Any]
    """The settings that all this was worked out from, as plain JSON: written beside every result,
    and compared to tell whether an earlier one still holds. Nothing is steered by them."""
    device: str = "cpu"
    """Device of PyTorch that trains."""
    progress: bool = True
    """Whether bars are shown on stderr."""
    log: Log | None = None
    """Takes curves."""
    priced_by: CostTable | None = None
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
    ) -> TrainingSetup:
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
        ready = priced(config, start, splits, device)
        return cls.assembled(config, splits, ready, device=device, progress=progress, log=log)

    @classmethod
    def assembled(
        cls,
        config: TrainConfig,
        splits: Splits,
        ready: PricedNetwork,
        *,
        device: str = "cpu",
        progress: bool = True,
        log: Log | None = None,
    ) -> TrainingSetup:
        """Work out everything else from data and a priced network that are there already.

        Args:
            splits: the configured data, on the device.
            ready: the configured network, or another that fits the data.

        Raises:
            InputError: if the budget cannot be read, or not be reached where it is kept to.
        """
        faults = config.training_faults
        budget = Budget.read if config.floor else Budget.parse  # a floor stands in its place
        batch = min(config.batch, len(splits.train))
        lengths = stage_lengths(config, len(splits.train) // batch)
        return cls(
            splits=splits,
            judge=splits.test if "selects-on-test" in faults else splits.validation,
            start=ready.network,
            cost=ready.cost,
            budget=budget(config.budget, ready.cost),
            lengths=lengths,
            batch=batch,
            rates=learning_rates(config, lengths),
            sgd=sgd_options(config),
            gates=gate_options(config),
            floor=config.floor,
            exits_on=config.exits_on,
            distill=config.distill,
            norm_by_batch=config.norm == "batch",
            faults=faults,
            seed=config.seed,
            data=config.data,
            accelerator=config.accelerator,
            settings=plain(config),
            device=device,
            progress=progress,
            log=log,
            priced_by=ready.table,
        )

    @cached_property
    def table(self) -> CostTable:
        """What the machine charges, also where training goes by the paper's count."""
        return self.priced_by or price_list(self.accelerator, self.start, self.splits)

    @property
    def knob(self) -> bool:
        """Whether the gates take the price of cost as an input."""
        return self.start.design.knob

    @cached_property
    def without_exits(self) -> TrainingSetup:
        """Training of the network without exits, and with a gate that learns, in which what comes
        before them is trained: by the settings of a run that has none, so that networks that can be
        built by name may go on from each other's."""
        config = TrainConfig.from_dict(self.settings).without_exits()
        built = bool(self.start.shape)
        start = fresh_network(config, self.splits) if built else without_exits(self.start)
        ready = priced(config, start, self.splits, self.device)
        # Nothing before the exits goes by the budget, which a network without them may not reach.
        anything = replace(config, budget=repr(ready.cost.ceiling))
        made = TrainingSetup.assembled(
            anything, self.splits, ready, device=self.device, progress=self.progress, log=self.log
        )
        return replace(made, settings=plain(config))

    @property
    def trunk(self) -> TrainingSetup:
        """What trains all that comes before exits and tables: itself where there are none."""
        return self.without_exits if self.start.exits or not self.start.gate.learned else self

    @property
    def has_supernet(self) -> bool:
        """Whether all precisions are trained before gates choose among them."""
        return self.lengths["supernet"].steps > 0

    @cached_property
    def fingerprint(self) -> str:
        """Checksum of the network to start from and the images: others give other results."""
        start, data = self.start, self.splits.train
        parts = [repr(start), repr(start.choices), repr(start.design), data.name, str(len(data))]
        tensors = [*start.state_dict().values(), data.labels, data.mean, data.std]
        checksum = zlib.crc32("\n".join(parts).encode())
        for tensor in tensors:
            checksum = zlib.crc32(tensor.cpu().contiguous().numpy().tobytes(), checksum)
        return f"{checksum:08x}"

    @property
    def defaults(self) -> dict[str, Any]:
        """What results of earlier versions have in place of the settings that came later."""
        return {"config": DEFAULTS}

    @property
    def prices(self) -> str:
        """Identifies what choices cost: the digest of the machine's table, or ``paper``."""
        return PAPER if self.cost.metric == PAPER else self.table.digest

    @property
    def plugin(self) -> str:
        """The plugin that the machine's arithmetic is of, or "", also where no machine is asked."""
        if self.cost.metric == PAPER and self.priced_by is None:
            return ""
        return plugin_of(type(self.table.accelerator.array))

    def network(self) -> DynamicNetwork:
        """A copy of the network to start from, on the device."""
        return copy.deepcopy(self.start).to(self.device)

    def stream(self, purpose: str, batch: int | None = None) -> TrainingStream:
        """Training batches for a stage or another purpose, each with an order of its own."""
        return TrainingStream(
            self.splits.train,
            batch or self.batch,
            f"{self.seed}/{purpose}",
            with_replacement="with-replacement" in self.faults,
        )

    def generator(self, purpose: str, *numbers: int) -> torch.Generator:
        """A generator on the CPU, for draws that all processes make alike."""
        return generator_for(f"{self.seed}/{purpose}", *numbers)


def stage_lengths(config: TrainConfig, pass_steps: int) -> dict[Kind, StageLength]:
    """How long each kind of stage is, where a pass over the data takes `pass_steps` steps."""
    return {
        "backbone": config.length("backbone", pass_steps),
        "supernet": config.length("supernet", pass_steps),
        "gates": config.length("gate", pass_steps),
        "exits": config.length("exits", pass_steps),
        "exits of static": config.length("exits", pass_steps),
        "joint": config.length("joint", pass_steps),
        "static": config.length("static", pass_steps),
    }


def learning_rates(config: TrainConfig, lengths: Mapping[Kind, StageLength]) -> LearningRates:
    """The learning rate that each kind of stage starts from."""
    supernet = lengths["supernet"].steps > 0
    return LearningRates(
        backbone=config.backbone_lr,
        supernet=config.supernet_lr,
        static=config.supernet_lr if supernet else config.joint_lr,
        joint=config.joint_lr,
        gates=config.gate_lr,
        exits=config.exit_lr,
    )


def sgd_options(config: TrainConfig) -> SgdOptions:
    """The settings of descent that all stages share."""
    return SgdOptions(
        schedule=cast(RateSchedule, config.schedule),
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
        decay_all=config.decay_all,
        amp=config.amp,
    )


def gate_options(config: TrainConfig) -> GateOptions:
    """The settings of how gates are trained."""
    return GateOptions(
        start=config.gate_start,
        estimator=config.estimator,
        temperature=config.temperature,
        tries=config.tries,
        supervised=config.supervised,
        shaping=config.shaping,
        controller=config.controller,
        beta=config.beta,
        top_price=config.top_price,
        feasibility=config.feasibility,
    )
