"""Stage 2: gates that are taught to ask for the highest precision."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from accel_models.precision import highest
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.dynamic import MIDDLE_PRICE
from dfs_hw.recording import BATCH
from dfs_hw.training.loop.run_stage import Batch, StepResult, Validation
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.stages.before_joint import train_supernet
from dfs_hw.training.stages.calibration import show
from dfs_hw.training.stages.choosing import latest
from dfs_hw.training.stages.exits import train_exits
from dfs_hw.training.stages.objective import prices
from dfs_hw.training.stages.parameters import gate_group
from dfs_hw.training.stages.plan import Descent, StagePlan, carry_out
from dfs_hw.training.stages.results import Trained
from dfs_hw.training.stages.validation import validate

MARGIN = 3.0
"""Bias, in logits, that gates start with in place of stage 2; see `Gate.prefer`."""


def train_gates(setup: TrainingSetup, out: Path) -> Trained:
    """Stage 2: gates that ask for the highest precision, on a frozen network."""

    def begin() -> Descent | DynamicNetwork:
        network = train_before_gates(setup, out)
        top = highest(network.choices)
        full = network.uniform(top)
        network.normalize_by_batch(True)

        def watch(images: Tensor, price: Tensor | None) -> Tensor:
            return network.watch(images, full, price=price if setup.knob else None)

        show(setup, network.train(), lambda x: watch(x, x.new_full((len(x),), MIDDLE_PRICE)))
        if setup.gates.start == "biased":
            network.gate.prefer(network.choices.index(top), MARGIN)
            return network
        strength = upward_strength(setup)

        def step(batch: Batch) -> StepResult:
            cost = setup.cost(watch(batch.images, prices(batch))).mean()
            return StepResult(-strength * cost, cost)

        def asking() -> Validation:
            return Validation(validate(setup, network, full).accuracy, asked(setup, network, full))

        schedule = "constant" if setup.sgd.schedule == "step" else setup.sgd.schedule
        groups = [gate_group(network, setup.rates.gates, setup.sgd)]
        return Descent(network, groups, step, asking, latest, schedule=schedule)

    return carry_out(setup, StagePlan("gates", "gates", "gates.safetensors", begin), out)


def upward_strength(setup: TrainingSetup) -> float:
    """Loss, at a relative cost of 1, that drives the gates up in stage 2.

    In the released code of DFS the batch's costs are summed, and so is what drives them.
    """
    if setup.gates.controller != "paper":
        return 1.0
    return setup.gates.beta * setup.batch * len(setup.start.units)


@torch.no_grad()
def asked(setup: TrainingSetup, network: DynamicNetwork, full: Tensor) -> float:
    """Mean relative cost of what the gates would choose.

    Only the highest precision has been trained, so whatever is asked for, that runs. Gates with a
    knob are asked at the dearest price, where they resist most.

    Args:
        full: the highest precision everywhere, as choices [units].
    """
    network.eval()
    total = torch.zeros((), device=setup.device)
    for images, _ in setup.judge.batches(BATCH):
        price = images.new_ones(len(images)) if setup.knob else None
        total += setup.cost(network.watch(images, full, price=price)).sum()
    network.train()
    return float(total / len(setup.judge))


def train_before_gates(setup: TrainingSetup, out: Path) -> DynamicNetwork:
    """The network that stage 2 begins with: with its exits trained, if it has any."""
    stage = train_exits if setup.start.exits else train_supernet
    return stage(setup, out).network
