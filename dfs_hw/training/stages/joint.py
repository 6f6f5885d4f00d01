"""Stage 3: everything, at all choices, under the budget."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from dfs_hw.budgets.controllers import Controller
from dfs_hw.budgets.meet_budget import meet_budget
from dfs_hw.gates import Trials, gumbel_noise, noise_is_on, uniform
from dfs_hw.networks import DynamicNetwork
from dfs_hw.training.loop.run_stage import Batch, Epoch, Stage, StepResult, Validation
from dfs_hw.training.setup import Bench
from dfs_hw.training.stages.before_joint import open_all_widths, train_backbone, train_gates
from dfs_hw.training.stages.choosing import Choose, best_on_target, first_to_beat_all
from dfs_hw.training.stages.knob import Setting, find_price, open_knob
from dfs_hw.training.stages.objective import (
    TaskLoss,
    controller_of,
    level,
    prices,
    task_loss,
    weigh,
)
from dfs_hw.training.stages.parameters import gate_group, weight_groups
from dfs_hw.training.stages.results import StageOutcome, Trained, carry_out, finished

FEASIBLE = 0.02
"""Share of the budget by which the cost may miss it after the last shift of the logits."""


def train_joint(bench: Bench, out: Path) -> Trained:
    """Stage 3, or what an earlier run left of it."""
    path = out / "network.safetensors"
    if done := finished(bench, "joint", "joint", path):
        return done
    backbone = train_backbone(bench, out)
    network = copy.deepcopy(train_gates(bench, out).network)
    open_all_widths(bench, network)
    if bench.knob:
        open_knob(bench, network)
    loss = task_loss(bench, backbone.network)
    controller = None if bench.knob else controller_of(bench)
    steps, epoch_steps = bench.length("joint")
    driven: dict[str, Any] = {}
    if controller is not None:
        driven = {
            "observe": lambda epoch: controller.observe(epoch.validation_cost, epoch.progress),
            "state": controller.state,
            "restore": controller.restore,
            "describe": controller.describe,
        }
    stage = Stage(
        "joint",
        steps,
        epoch_steps,
        [
            *weight_groups(network, bench.config.joint_lr, bench.config),
            gate_group(network, bench.config),
        ],
        joint_step(bench, network, loss, controller),
        lambda: validate(bench, network),
        choice_of_epoch(bench, backbone.outcome.accuracy),
        schedule=bench.schedule,
        nesterov=bench.config.nesterov,
        **driven,
    )
    finish = settle_price if bench.knob else settle_shift
    return carry_out(bench, "joint", stage, network.train(), path, lambda _: finish(bench, network))


def joint_step(
    bench: Bench, network: DynamicNetwork, loss: TaskLoss, controller: Controller | None
) -> Callable[[Batch], StepResult]:
    """The step of stage 3: with a controller, or at a price for each input if there is none."""
    config = bench.config

    def step(batch: Batch) -> StepResult:
        price = prices(batch) if controller is None else None
        outcome = network(
            batch.images,
            price=price,
            noise=noise(bench, network, batch),
            temperature=config.temperature,
            trials=trials(bench, network, batch),
        )
        costs = bench.cost(outcome.gates)
        if controller is None:
            assert price is not None
            pressure = weigh(costs, price, config.top_price)
        else:
            pressure = controller.term(costs, level(costs, bench.budget.statistic))
        return StepResult(loss(outcome.logits, batch) + pressure, costs.mean())

    return step


def noise(bench: Bench, network: DynamicNetwork, batch: Batch) -> Tensor | None:
    """What the gates' logits get added in this step [N, units, K]; None decides by the largest."""
    if bench.config.estimator != "gumbel" or not noise_is_on(batch.progress):
        return None
    return batch.draw("gates", gumbel_noise, len(network.units), len(network.choices))


def trials(bench: Bench, network: DynamicNetwork, batch: Batch) -> Trials | None:
    """Which branches this step tries for the gates' gradient; None tries all."""
    if not bench.config.tries:
        return None
    draws = batch.draw("branches", uniform, len(network.units), len(network.choices))
    return Trials(bench.config.tries, draws)


def choice_of_epoch(bench: Bench, backbone_accuracy: float) -> Choose:
    """The rule by which stage 3 keeps an epoch."""

    def choose(history: Sequence[Epoch]) -> Epoch:
        if "carried-best" in bench.config.training_faults:
            return first_to_beat_all(history, backbone_accuracy)
        return best_on_target(history, bench.budget.fraction, len(bench.judge))

    return choose


def validate(bench: Bench, network: DynamicNetwork) -> Validation:
    """How the network does at its budget; one with a knob is first set to it."""
    if not bench.knob:
        return bench.validate(network)
    return bench.validate(network, price=set_price(bench, network).price)


def set_price(bench: Bench, network: DynamicNetwork) -> Setting:
    """The price at which a network with a knob keeps to the budget."""

    def look(price: float) -> tuple[float, float]:
        accuracy, cost, _ = bench.validate(network, price=price)
        return accuracy, cost

    return find_price(look, bench.budget.fraction)


def settle_price(bench: Bench, network: DynamicNetwork) -> StageOutcome:
    """Leave a network with a knob at the price that the budget asks for."""
    setting = set_price(bench, network)
    return StageOutcome(setting.accuracy, setting.cost, setting.price)


def settle_shift(bench: Bench, network: DynamicNetwork) -> StageOutcome:
    """Shift the gates' logits to the budget, if that is wanted and costs little accuracy."""
    accuracy, cost, _ = bench.validate(network)
    if not bench.config.feasibility:
        return StageOutcome(accuracy, cost)
    before = network.shift.clone()
    found = meet_budget(
        network,
        bench.judge,
        bench.cost,
        bench.budget.fraction,
        statistic=bench.budget.statistic,
        tolerance=FEASIBLE,
    )
    tried = {**asdict(found), "kept": not found.cliff}
    if found.cliff:
        network.shift.copy_(before)
        return StageOutcome(accuracy, cost, feasibility=tried)
    return StageOutcome(found.accuracy_after, found.cost_after, feasibility=tried)
