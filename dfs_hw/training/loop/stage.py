"""What a stage of training is to the loop that runs it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from accel_models.errors import InputError
from dfs_hw.data import generator_for

RateSchedule = Literal["cosine", "step", "constant"]
Sampler = Callable[[tuple[int, ...], torch.Generator], Tensor]


@dataclass(frozen=True)
class Epoch:
    """What lay between two validations. Costs are relative to the highest precision everywhere."""

    stage: str
    """Name of the stage."""
    number: int
    """Number of the epoch in its stage, from 1."""
    learning_rate: float
    """Learning rate of the first group of parameters, at the last step."""
    loss: float
    """Mean of what was descended, over the epoch's steps."""
    train_cost: float
    """Mean cost of the training inputs as the epoch saw them."""
    validation_accuracy: float
    """Share of the held-out inputs that are classified right, 0 to 1."""
    validation_cost: float
    """Cost of the held-out inputs, in the budget's statistic."""
    progress: float
    """Share of the stage that was done at its end, at most 1."""


@dataclass(frozen=True)
class Batch:
    """What one process sees of one step."""

    images: Tensor
    """Normalised images, float32 [N, C, H, W]."""
    labels: Tensor
    """Class of each image, int64 [N]."""
    number: int
    """Number of the step in its stage, from 0."""
    progress: float
    """Share of the stage done before this step: 0 <= progress < 1."""
    seed_words: str
    """Words that drive all that is drawn."""
    share: tuple[int, int] = (0, 1)
    """Rank of this process, and how many there are."""

    def draw(self, purpose: str, sampler: Sampler, *shape: int) -> Tensor:
        """Random numbers [N, *shape] for the inputs of this process, on their device.

        They are drawn for the whole batch, so they do not depend on how many processes share it::

            batch.draw("gates", gumbel_noise, units, choices)

        Args:
            purpose: equal purposes of one step give equal numbers.
            sampler: makes numbers of a shape with a generator on the CPU.
        """
        rank, ranks = self.share
        inputs = len(self.images)
        generator = generator_for(f"{self.seed_words}/{purpose}", self.number)
        numbers = sampler((ranks * inputs, *shape), generator)
        mine = numbers[rank * inputs : (rank + 1) * inputs]
        return mine.to(self.images.device, non_blocking=True)


class StepResult(NamedTuple):
    """What a step made of its batch; scalars on the network's device."""

    loss: Tensor
    """Mean over the batch of what is to be descended."""
    cost: Tensor
    """Mean relative cost; only reported."""


class Validation(NamedTuple):
    """How the network does on held-out inputs."""

    accuracy: float
    """Share that is classified right, 0 to 1."""
    cost: float
    """Relative cost of the branches chosen, in the budget's statistic."""
    curves: Mapping[str, float] = {}
    """What else is worth a curve in a log, by name, such as `choice_shares`."""


@dataclass(frozen=True)
class Stage:
    """What one stage of training does differently from the others.

    Modes of the network (training or evaluation, branches) are set before the stage runs;
    `validate` leaves them as they were.
    """

    name: str
    steps: int
    epoch_steps: int
    """Steps between two validations; the last epoch may be shorter."""
    groups: list[dict[str, Any]]
    """Parameters to train, each group with its ``initial_lr`` and perhaps ``weight_decay``."""
    step: Callable[[Batch], StepResult]
    """Must not wait for the device. What it decides by the batch's cost it decides by
    `dfs_hw.distributed.all_averaged`, so that all processes come to the same."""
    validate: Callable[[], Validation]
    """Called on the first process alone."""
    choose: Callable[[Sequence[Epoch]], Epoch]
    """The epoch to keep, of those so far: either the last, or the same as before the last."""
    observe: Callable[[Epoch], None] = lambda epoch: None
    """Told of every epoch when it is over."""
    state: Callable[[], dict[str, Any]] = dict
    """What `observe` has changed, as plain JSON."""
    restore: Callable[[dict[str, Any]], None] = lambda state: None
    """Takes up what `state` gave."""
    describe: Callable[[], Mapping[str, float]] = dict
    """Figures of the controller that are worth a curve in a log."""
    schedule: RateSchedule = "cosine"
    """How learning rates fall from their ``initial_lr``, see `rate`."""
    nesterov: bool = True

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("epoch_steps", self.epoch_steps)):
            if value < 1:
                raise InputError(
                    f"{name} of the stage '{self.name}' must be at least 1, got {value}"
                )


def rate(schedule: RateSchedule, progress: float) -> float:
    """Learning rate relative to the initial one.

    ``cosine`` falls to zero along half a period (Loshchilov & Hutter, SGDR, ICLR 2017); ``step``
    falls to a tenth at 1/2 and to a hundredth at 3/4 of the stage, which are the 32k and 48k of
    64k steps of ResNet (He et al. 2016, section 4.2) and DFS.

    Args:
        progress: share of the stage done, 0 to 1.

    Raises:
        InputError: if the schedule is unknown.
    """
    if schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    if schedule == "step":
        return 1.0 if progress < 1 / 2 else 0.1 if progress < 3 / 4 else 0.01
    if schedule == "constant":
        return 1.0
    raise InputError(f"no schedule is called '{schedule}': choose from cosine, step, constant")
