"""The stages before exits and gates, and static baselines in place of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from accel_models.precision import Precision, highest
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.branches import executed
from dfs_hw.training.loop.run_stage import Batch, StepResult, Validation
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.stages.calibration import calibrate, open_all_widths, show, start_all_widths
from dfs_hw.training.stages.choosing import latest, latest_of_the_best
from dfs_hw.training.stages.objective import TaskLoss, task_loss
from dfs_hw.training.stages.parameters import weight_groups
from dfs_hw.training.stages.plan import Descent, StagePlan, carry_out
from dfs_hw.training.stages.results import StageOutcome, Trained
from dfs_hw.training.stages.validation import validate


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
    branch (single-path training of a supernet, Guo et al., ECCV 2020). Running statistics are taken
    anew at the end (as there, for every path that is tried): those of training are of whatever
    company the last few draws put each precision in. Without such a stage, the backbone.
    """
    if not setup.has_supernet:
        return train_backbone(setup, out)

    def begin() -> Descent:
        backbone = train_backbone(setup, out).network
        network = copy.deepcopy(backbone)
        start_all_widths(setup, network)
        loss = task_loss(setup.distill, backbone)
        run = [network.uniform(choice) for choice in executed(network.choices)]
        full = network.uniform(highest(network.choices))
        known_cost = setup.cost.of_choices(full[None].to(setup.device)).mean()

        def step(batch: Batch) -> StepResult:
            drawn = random_assignment(network, setup.generator("supernet", batch.number))
            return StepResult(loss(network(batch.images, drawn).logits, batch), known_cost)

        def each_width() -> Validation:
            seen = [validate(setup, network, assignment) for assignment in run]
            return Validation(sum(v.accuracy for v in seen) / len(seen), float(known_cost))

        def settled() -> StageOutcome:
            calibrate(setup, network)
            seen = each_width()
            return StageOutcome(seen.accuracy, seen.cost)

        groups = weight_groups(network, setup.rates.supernet, setup.sgd)
        return Descent(network.train(), groups, step, each_width, latest, finish=settled)

    return carry_out(setup, StagePlan("supernet", "supernet", "supernet.safetensors", begin), out)


def random_assignment(network: DynamicNetwork, generator: torch.Generator) -> Tensor:
    """Choices [units], each as likely as every other that its unit offers; none is to leave."""
    stays = torch.tensor([not choice.exits for choice in network.choices])
    offered = (network.offered.cpu() & stays).float()
    return torch.multinomial(offered, 1, generator=generator).squeeze(1)


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
    setup = setup.trunk
    if isinstance(choice, Precision | str | int):
        assignment = setup.start.uniform(choice)
    else:
        assignment = setup.start.assign(choice)
    used = spelled([setup.start.choices[index] for index in assignment.tolist()])

    def begin() -> Descent:
        backbone = train_backbone(setup, out).network
        network = copy.deepcopy(backbone)
        if setup.has_supernet:
            start_all_widths(setup, network, 1)
        else:
            open_all_widths(setup, network)
        loss = task_loss(setup.distill, backbone)
        return at_fixed_choices(setup, network.train(), assignment, setup.rates.static, loss)

    plan = StagePlan("static", f"static {used}", f"static-{used}.safetensors", begin)
    trained = carry_out(setup, plan, out)
    cost = float(setup.cost.of_choices(assignment[None].to(setup.device)))  # of now, not of then
    return replace(trained, outcome=replace(trained.outcome, cost=cost))


def spelled(choices: Sequence[Precision]) -> str:
    """Choices of all units, as names have them: ``4`` if all are that, else ``4-8-4``."""
    named = choices[:1] if len(set(choices)) == 1 else choices
    return "-".join(map(str, named)).replace("/", "by")


def read_spelled(text: str) -> tuple[Precision, ...]:
    """The choices that `spelled` had: one for all units, or one of each."""
    return tuple(Precision.parse(one.replace("by", "/")) for one in text.split("-"))


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
