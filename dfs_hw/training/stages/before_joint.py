"""The stages before joint training, and static baselines in place of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from accel_models.precision import Precision, highest
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.dynamic import MIDDLE_PRICE
from dfs_hw.recording import BATCH
from dfs_hw.training.loop.run_stage import Batch, StepResult, Validation
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.stages.calibration import calibrate, open_all_widths, show, start_all_widths
from dfs_hw.training.stages.choosing import latest, latest_of_the_best
from dfs_hw.training.stages.objective import TaskLoss, prices, task_loss
from dfs_hw.training.stages.parameters import gate_group, weight_groups
from dfs_hw.training.stages.plan import Descent, StagePlan, carry_out
from dfs_hw.training.stages.results import Trained
from dfs_hw.training.stages.validation import validate

MARGIN = 3.0
"""Bias, in logits, that gates start with in place of stage 2; see `Gate.prefer`."""


def train_backbone(setup: TrainingSetup, out: Path) -> Trained:
    """Stage 1: the network at the highest precision, or what an earlier run left of it."""

    def begin() -> Descent | DynamicNetwork:
        network = setup.network()
        network.normalize_by_batch(True)
        top = network.uniform(highest(network.choices))
        if not setup.lengths["backbone"].steps:
            calibrate(setup, network)
            return network
        show(setup, network.train(), lambda images: network(images, top))

        def loss(logits: Tensor, batch: Batch) -> Tensor:
            return functional.cross_entropy(logits, batch.labels)

        return at_fixed_choices(setup, network, top, setup.rates.backbone, loss)

    return carry_out(setup, StagePlan("backbone", "backbone", "backbone.safetensors", begin), out)


def train_supernet(setup: TrainingSetup, out: Path) -> Trained:
    """Train the network at choices drawn anew for every block and step, before any gate chooses.

    So all precisions are trained, and with them what follows each of them, at the price of one
    branch (single-path training of a supernet, Guo et al., ECCV 2020). Without such a stage, the
    backbone.
    """
    if not setup.has_supernet:
        return train_backbone(setup, out)

    def begin() -> Descent:
        backbone = train_backbone(setup, out).network
        network = copy.deepcopy(backbone)
        start_all_widths(setup, network)
        loss = task_loss(setup.distill, backbone)
        run = [network.uniform(choice) for choice in network.choices if not choice.is_skip]
        full = network.uniform(highest(network.choices))
        known_cost = setup.cost.of_choices(full[None].to(setup.device)).mean()

        def step(batch: Batch) -> StepResult:
            drawn = random_assignment(network, setup.generator("supernet", batch.number))
            return StepResult(loss(network(batch.images, drawn).logits, batch), known_cost)

        def each_width() -> Validation:
            seen = [validate(setup, network, assignment) for assignment in run]
            return Validation(sum(v.accuracy for v in seen) / len(seen), float(known_cost))

        groups = weight_groups(network, setup.rates.supernet, setup.sgd)
        return Descent(network.train(), groups, step, each_width, latest)

    return carry_out(setup, StagePlan("supernet", "supernet", "supernet.safetensors", begin), out)


def random_assignment(network: DynamicNetwork, generator: torch.Generator) -> Tensor:
    """Choices [units], each as likely as every other that its unit offers."""
    return torch.multinomial(network.offered.cpu().float(), 1, generator=generator).squeeze(1)


def train_gates(setup: TrainingSetup, out: Path) -> Trained:
    """Stage 2: gates that ask for the highest precision, on a frozen network."""

    def begin() -> Descent | DynamicNetwork:
        network = train_supernet(setup, out).network
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


def train_fixed(
    setup: TrainingSetup,
    choice: Precision | str | int | Sequence[Precision | str | int],
    out: Path,
) -> Trained:
    """Train the backbone on, at choices that are the same for all inputs.

    It has as many steps as the supernet and stage 3 together, and batch norms by the batch: the
    usual training for its precision. Without a supernet it has the norms of stage 3.

    Args:
        choice: of every unit, or of each unit in order.
    """
    if isinstance(choice, Precision | str | int):
        assignment = setup.start.uniform(choice)
    else:
        assignment = setup.start.assign(choice)
    used = [str(setup.start.choices[index]) for index in assignment.tolist()]
    name = "-".join(used[:1] if len(set(used)) == 1 else used).replace("/", "by")

    def begin() -> Descent:
        backbone = train_backbone(setup, out).network
        network = copy.deepcopy(backbone)
        if setup.has_supernet:
            start_all_widths(setup, network, 1)
        else:
            open_all_widths(setup, network)
        loss = task_loss(setup.distill, backbone)
        return at_fixed_choices(setup, network.train(), assignment, setup.rates.static, loss)

    plan = StagePlan("static", f"static {name}", f"static-{name}.safetensors", begin)
    return carry_out(setup, plan, out)


def at_fixed_choices(
    setup: TrainingSetup, network: DynamicNetwork, assignment: Tensor, lr: float, loss: TaskLoss
) -> Descent:
    """A descent in which every input runs the same branches, of which the best epoch is kept.

    Args:
        assignment: choices by index [units].
        lr: learning rate to start from.
    """
    return Descent(
        network,
        weight_groups(network, lr, setup.sgd),
        static_step(setup, network, assignment, loss),
        lambda: validate(setup, network, assignment),
        lambda history: latest_of_the_best(history, len(setup.judge)),
    )


def static_step(
    setup: TrainingSetup, network: DynamicNetwork, assignment: Tensor, loss: TaskLoss
) -> Callable[[Batch], StepResult]:
    """A step in which every input runs the same branches."""
    cost = setup.cost.of_choices(assignment[None].to(setup.device)).mean()

    def step(batch: Batch) -> StepResult:
        return StepResult(loss(network(batch.images, assignment).logits, batch), cost)

    return step
