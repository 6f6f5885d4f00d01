"""Stage 3: everything, at all choices, under the budget."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from dfs_hw.budgets.controllers import Controller
from dfs_hw.budgets.meet_budget import meet_budget
from dfs_hw.gates import Trials, gumbel_noise, noise_is_on, uniform
from dfs_hw.networks import DynamicNetwork
from dfs_hw.training.loop.run_stage import Batch, Epoch, StepResult, Validation
from dfs_hw.training.setup import GateOptions, TrainingSetup
from dfs_hw.training.stages.before_joint import train_backbone
from dfs_hw.training.stages.calibration import open_all_widths
from dfs_hw.training.stages.choosing import Choose, best_on_target, first_to_beat_all
from dfs_hw.training.stages.exits import exit_group, loss_of_heads
from dfs_hw.training.stages.gates import train_gates
from dfs_hw.training.stages.knob import Setting, find_price, open_knob
from dfs_hw.training.stages.lessons import lessons
from dfs_hw.training.stages.objective import (
    TaskLoss,
    controller_of,
    level,
    prices,
    task_loss,
    weigh,
)
from dfs_hw.training.stages.parameters import gate_group, weight_groups
from dfs_hw.training.stages.plan import Descent, StagePlan, carry_out
from dfs_hw.training.stages.results import StageOutcome, Trained
from dfs_hw.training.stages.tables import train_table
from dfs_hw.training.stages.validation import validate

FEASIBLE = 0.02
"""Share of the budget by which the cost may miss it after the last shift of the logits."""


def train_joint(setup: TrainingSetup, out: Path) -> Trained:
    """Stage 3, or what an earlier run left of it; a table for a gate that no gradient teaches."""
    if not setup.start.gate.learned:
        return train_table(setup, out)

    def begin() -> Descent:
        backbone = train_backbone(setup.trunk, out)
        network = copy.deepcopy(train_gates(setup, out).network)
        open_all_widths(setup, network)
        if setup.knob:
            open_knob(setup, network)
        loss = task_loss(setup.distill, backbone.network)
        controller = None if setup.knob else controller_of(setup)
        settle = settle_price if setup.knob else settle_shift
        return Descent(
            network.train(),
            [
                *weight_groups(network, setup.rates.joint, setup.sgd),
                gate_group(network, setup.rates.gates, setup.sgd),
                *([exit_group(setup, network)] if network.exits else []),
            ],
            joint_step(setup, network, loss, controller),
            lambda: validate_at_budget(setup, network),
            choice_of_epoch(setup, backbone.outcome.accuracy),
            controller,
            finish=lambda: settle(setup, network),
        )

    return carry_out(setup, StagePlan("joint", "joint", "network.safetensors", begin), out)


def joint_step(
    setup: TrainingSetup, network: DynamicNetwork, loss: TaskLoss, controller: Controller | None
) -> Callable[[Batch], StepResult]:
    """The step of stage 3: with a controller, or at a price for each input if there is none."""
    gates, taught = setup.gates, lessons(setup, network)

    def step(batch: Batch) -> StepResult:
        price = prices(batch) if controller is None else None
        made = network(
            batch.images,
            price=price,
            noise=noise(gates, network, batch),
            temperature=gates.temperature,
            trials=trials(gates, network, batch),
        )
        costs = setup.cost(made.gates)
        if controller is None:
            assert price is not None
            pressure = weigh(costs, price, gates.top_price)
            slope = gates.top_price * price
        else:
            spent = level(costs, setup.budget.statistic)
            pressure, slope = controller.term(costs, spent), controller.slope(spent)
        task = loss(made.logits, batch)
        if made.beliefs is not None:
            task = task + loss_of_heads(made.beliefs, batch.labels)
        total = task + pressure
        for lesson in taught:
            total = total + lesson(batch, made, slope.expand(len(costs)))
        return StepResult(total, costs.mean())

    return step


def noise(gates: GateOptions, network: DynamicNetwork, batch: Batch) -> Tensor | None:
    """What the gates' logits get added in this step [N, units, K]; None decides by the largest."""
    if gates.estimator != "gumbel" or not noise_is_on(batch.progress):
        return None
    return batch.draw("gates", gumbel_noise, len(network.units), len(network.choices))


def trials(gates: GateOptions, network: DynamicNetwork, batch: Batch) -> Trials | None:
    """Which branches this step tries for the gates' gradient; None tries all."""
    if not gates.tries:
        return None
    draws = batch.draw("branches", uniform, len(network.units), len(network.choices))
    return Trials(gates.tries, draws)


def choice_of_epoch(setup: TrainingSetup, backbone_accuracy: float) -> Choose:
    """The rule by which stage 3 keeps an epoch."""

    def choose(history: Sequence[Epoch]) -> Epoch:
        if "carried-best" in setup.faults:
            return first_to_beat_all(history, backbone_accuracy)
        return best_on_target(history, setup.budget.fraction, len(setup.judge))

    return choose


def validate_at_budget(setup: TrainingSetup, network: DynamicNetwork) -> Validation:
    """How the network does at its budget; one with a knob is first set to it."""
    if not setup.knob:
        return validate(setup, network)
    return validate(setup, network, price=set_price(setup, network).price)


def set_price(setup: TrainingSetup, network: DynamicNetwork) -> Setting:
    """The price at which a network with a knob keeps to the budget."""

    def look(price: float) -> tuple[float, float]:
        accuracy, cost, _ = validate(setup, network, price=price)
        return accuracy, cost

    return find_price(look, setup.budget.fraction)


def settle_price(setup: TrainingSetup, network: DynamicNetwork) -> StageOutcome:
    """Leave a network with a knob at the price that the budget asks for."""
    setting = set_price(setup, network)
    return StageOutcome(setting.accuracy, setting.cost, setting.price)


def settle_shift(setup: TrainingSetup, network: DynamicNetwork) -> StageOutcome:
    """Shift the gates' logits to the budget, if that is wanted and costs little accuracy."""
    accuracy, cost, _ = validate(setup, network)
    if not setup.gates.feasibility:
        return StageOutcome(accuracy, cost)
    before = network.shift.clone()
    found = meet_budget(
        network,
        setup.judge,
        setup.cost,
        setup.budget.fraction,
        statistic=setup.budget.statistic,
        tolerance=FEASIBLE,
    )
    tried = {**asdict(found), "kept": not found.cliff}
    if found.cliff:
        network.shift.copy_(before)
        return StageOutcome(accuracy, cost, feasibility=tried)
    return StageOutcome(found.accuracy_after, found.cost_after, feasibility=tried)
