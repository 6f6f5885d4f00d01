"""One recipe for every stage of training, and the one function that carries it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accel_models.precision import highest
from dfs_hw.budgets.controllers import Controller
from dfs_hw.networks import DynamicNetwork
from dfs_hw.training.loop.run_stage import Batch, Epoch, Stage, StepResult, Validation, run_stage
from dfs_hw.training.loop.snapshot import snapshot_path
from dfs_hw.training.loop.stage import RateSchedule
from dfs_hw.training.setup import Kind, TrainingSetup
from dfs_hw.training.stages.choosing import Choose
from dfs_hw.training.stages.parameters import Group
from dfs_hw.training.stages.results import (
    StageOutcome,
    Trained,
    finished,
    origin,
    save_result,
)
from dfs_hw.training.stages.validation import validate


@dataclass(frozen=True)
class Descent:
    """A network about to be trained, what it goes down, and which epoch is kept of it."""

    network: DynamicNetwork
    """The network in the modes it is trained in."""
    groups: list[Group]
    """Parameters to train, with their learning rates."""
    step: Callable[[Batch], StepResult]
    """The loss of a batch, to be descended, and its cost, to be reported."""
    validate: Callable[[], Validation]
    """How the network does on held-out inputs."""
    choose: Choose
    """The epoch to keep, of those so far."""
    controller: Controller | None = None
    """What the step holds the cost to the budget with: told of every epoch, kept in snapshots."""
    schedule: RateSchedule | None = None
    """How learning rates fall; None for the setup's way."""
    finish: Callable[[], StageOutcome] | None = None
    """Last touches to the network as the chosen epoch left it, and what it comes to then; None
    leaves it as it was validated."""


@dataclass(frozen=True)
class StagePlan:
    """A stage of training: what it is called, where it ends, and how it begins.

    Nothing is computed before `begin` is called, which is only where there is no result yet.
    """

    kind: Kind
    """What the settings call it: they tell which of them matter to it, and how long it is."""
    name: str
    """Name in progress bars, curves, seeds and files, unique in a run: ``static 8``."""
    file: str
    """Name of the checkpoint that it leaves."""
    begin: Callable[[], Descent | DynamicNetwork]
    """What to descend, from the stages before; or the network as it is, if there is nothing to
    train, which leaves no checkpoint."""


def carry_out(setup: TrainingSetup, plan: StagePlan, out: Path) -> Trained:
    """Find a stage's result in `out`, or run the stage, or the rest of it, and leave the result.

    Raises:
        InputError: if a file of an earlier run is damaged.
        DfsHwError: if the loss stops being finite.
    """
    path = out / plan.file
    if done := finished(setup, plan.kind, plan.name, path):
        return done
    begun = plan.begin()
    if not isinstance(begun, Descent):
        return untrained(setup, begun)

    def save(history: Sequence[Epoch], chosen: Epoch) -> None:
        outcome = StageOutcome(chosen.validation_accuracy, chosen.validation_cost)
        if begun.finish is not None:
            outcome = begun.finish()
        save_result(setup, plan.kind, plan.name, path, begun.network, history, chosen, outcome)

    run_stage(
        loop_stage(setup, plan, begun),
        begun.network,
        setup.stream(plan.name),
        settings=origin(setup, plan.kind, plan.name),
        defaults=setup.defaults,
        snapshot=snapshot_path(path),
        save=save,
        amp=setup.sgd.amp,
        log=setup.log,
        progress=setup.progress,
    )
    done = finished(setup, plan.kind, plan.name, path)
    assert done is not None
    return done


def loop_stage(setup: TrainingSetup, plan: StagePlan, descent: Descent) -> Stage:
    """A planned stage as the loop takes it."""
    driven: dict[str, Any] = {}
    if (held := descent.controller) is not None:
        driven = {
            "observe": lambda epoch: held.observe(epoch.validation_cost, epoch.progress),
            "state": held.state,
            "restore": held.restore,
            "describe": held.describe,
        }
    length = setup.lengths[plan.kind]
    return Stage(
        plan.name,
        length.steps,
        length.epoch_steps,
        descent.groups,
        descent.step,
        descent.validate,
        descent.choose,
        schedule=descent.schedule or setup.sgd.schedule,
        nesterov=setup.sgd.nesterov,
        **driven,
    )


def untrained(setup: TrainingSetup, network: DynamicNetwork) -> Trained:
    """A network as it is, at the highest precision."""
    accuracy, cost, _ = validate(setup, network, network.uniform(highest(network.choices)))
    return Trained(network, setup.budget, (), None, StageOutcome(accuracy, cost))
