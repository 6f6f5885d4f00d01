"""Exits: heads trained on a network that stays as it is, and thresholds for those who need them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional

from accel_models.errors import InputError
from accel_models.precision import Precision, highest
from dfs_hw.budgets.ladder import ladder
from dfs_hw.budgets.thresholds import HeldOut, OperatingPoint, settings_of
from dfs_hw.data import Dataset
from dfs_hw.distributed import on_first
from dfs_hw.gates import POINTS, ConfidenceGate
from dfs_hw.gates.confidence import ALWAYS, NEVER_SURE
from dfs_hw.modes import kept_modes
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.branches import executed
from dfs_hw.recording import BATCH
from dfs_hw.training.loop.run_stage import Batch, StepResult, Validation
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.stages.before_joint import (
    random_assignment,
    spelled,
    train_fixed,
    train_supernet,
)
from dfs_hw.training.stages.calibration import show
from dfs_hw.training.stages.choosing import latest
from dfs_hw.training.stages.operating_point import set_point
from dfs_hw.training.stages.parameters import Group
from dfs_hw.training.stages.plan import Descent, StagePlan, carry_out
from dfs_hw.training.stages.results import Trained, finished, save_result
from dfs_hw.training.stages.validation import held_against_budget

Kept = Sequence[Precision]
"""The choice of every unit, in execution order, for all inputs; empty if units are to choose."""
HOTTEST = 10.0
"""Temperature of a softmax beyond which, or below the inverse of which, none is looked for."""


def train_exits(setup: TrainingSetup, out: Path, kept: Kept = ()) -> Trained:
    """Train the heads of a network; all else stays as the stages before left it.

    They learn from the labels and, as much again, from what the network itself predicts in the end
    (self-distillation, Zhang et al., ICCV 2019), at choices drawn anew for every step.

    Args:
        kept: choice of every unit, if all inputs have the same as far as they go: the network
            before is the static one of these choices (`train_fixed`), not one of all widths.
    """

    def begin() -> Descent:
        network = setup.network()
        trunk = train_fixed(setup, kept, out) if kept else train_supernet(setup.trunk, out)
        network.model.load_state_dict(trunk.network.model.state_dict())
        top = network.assign(kept) if kept else network.uniform(highest(network.choices))
        network.normalize_by_batch(True)
        heads_alone(network)
        show(setup, network, lambda images: network.all_beliefs(images, top))

        def step(batch: Batch) -> StepResult:
            heads_alone(network)
            drawn = top
            if setup.has_supernet and not kept:
                drawn = random_assignment(network, setup.generator("exits", batch.number))
            beliefs, taught = network.all_beliefs(batch.images, drawn)
            return StepResult(loss_of_heads(beliefs, batch.labels, taught), known_cost)

        def means() -> Validation:
            beliefs, _, labels = beliefs_of(network, setup.judge, top)
            right = (beliefs.argmax(2) == labels[:, None]).double().mean(0)
            curves = {
                f"accuracy/{unit}": float(share)
                for unit, share in zip(exit_names(network), right, strict=True)
            }
            return Validation(float(right.mean()), float(known_cost), curves)

        known_cost = setup.cost.of_choices(top[None].to(setup.device)).mean()
        return Descent(network, [exit_group(setup, network)], step, means, latest)

    plan = StagePlan("exits", "exits", "exits.safetensors", begin)
    if kept:
        name, file = f"exits on static {spelled(kept)}", f"exits-static-{spelled(kept)}.safetensors"
        plan = StagePlan("exits of static", name, file, begin)
    return carry_out(setup, plan, out)


def exit_group(setup: TrainingSetup, network: DynamicNetwork) -> Group:
    """Parameters of the exits."""
    return {
        "params": list(heads(network).parameters()),
        "initial_lr": setup.rates.exits,
        "weight_decay": setup.sgd.weight_decay,
    }


def heads(network: DynamicNetwork) -> torch.nn.ModuleDict:
    """The exits of a network.

    Raises:
        InputError: if it has none.
    """
    if not isinstance(network.exits, torch.nn.ModuleDict):
        raise InputError(f"{network.name} has no exits to train: add 'exit' to its choices")
    return network.exits


def heads_alone(network: DynamicNetwork) -> None:
    """Have the heads train, and the rest stay as it is."""
    network.eval()
    heads(network).train()


def exit_names(network: DynamicNetwork) -> list[str]:
    """Units at which inputs may leave, in execution order."""
    return [network.units[int(unit)] for unit in network.exits]


def loss_of_heads(beliefs: Tensor, labels: Tensor, taught: Tensor | None = None) -> Tensor:
    """Mean over exits of the cross entropy with the labels and with what the network predicts.

    Args:
        beliefs: logits of the exits [N, exits, classes].
        labels: classes, int64 [N].
        taught: logits of the network [N, classes]; labels alone count without.
    """
    each, exits = beliefs.flatten(0, 1), beliefs.shape[1]
    loss = functional.cross_entropy(each, labels.repeat_interleave(exits))
    if taught is None:
        return loss
    soft = taught.detach().softmax(1).repeat_interleave(exits, 0)
    return loss + functional.cross_entropy(each, soft)


@torch.no_grad()
def beliefs_of(
    network: DynamicNetwork, dataset: Dataset, assignment: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of the exits [N, exits, classes] and of the network [N, classes], and labels [N], of
    all inputs at fixed choices, none of which is to leave."""
    with kept_modes(network):
        network.eval()
        seen = [
            (*network.all_beliefs(images, assignment), labels)
            for images, labels in dataset.to(network.shift.device).batches(BATCH)
        ]
    beliefs, logits, labels = (torch.cat(part).cpu() for part in zip(*seen, strict=True))
    return beliefs.float(), logits.float(), labels


def right_at_exits(beliefs: Tensor, logits: Tensor, labels: Tensor) -> np.ndarray:
    """Whether each input is classified right at each exit, and at the end: bool [N, exits + 1].

    Args:
        beliefs, logits, labels: as `beliefs_of` has them.
    """
    said = torch.cat([beliefs.argmax(2), logits.argmax(1, keepdim=True)], 1)
    return (said == labels[:, None]).numpy()


def settle_thresholds(setup: TrainingSetup, out: Path, kept: Kept = ()) -> Trained:
    """Settle by which confidence inputs leave, and how wide those run that stay: for every budget
    in reach, and set to the one at hand, or to the accuracy asked for in its place.

    Args:
        kept: choice of every unit, if all inputs have the same as far as they go. Without it the
            setup says what exits are on: the best of the static networks of one width, or one
            network of all widths.

    Raises:
        InputError: if no setting is cheap, or accurate, enough.
    """
    path = out / "network.safetensors"
    name = f"joint on static {spelled(kept)}" if kept else "joint"
    if done := finished(setup, "joint", name, path):
        return done
    tried = [(one, train_exits(setup, out, one)) for one in networks_left(setup, kept)]
    on_first(lambda: _settle(setup, tried, name, path))
    done = finished(setup, "joint", name, path)
    assert done is not None
    return done


def networks_left(setup: TrainingSetup, kept: Kept = ()) -> list[Kept]:
    """What the networks that inputs may leave keep for all of them; empty for one of all widths."""
    if kept or setup.exits_on == "supernet":
        return [kept]
    units = len(setup.start.units)
    return [(width,) * units for width in executed(setup.start.choices)]


def _settle(
    setup: TrainingSetup, tried: Sequence[tuple[Kept, Trained]], name: str, path: Path
) -> None:
    """Give networks with trained exits their tables, and write the best of them: the most accurate
    within the budget, or the cheapest that is accurate enough."""
    found: list[Trained] = []
    refused: list[InputError] = []
    for kept, trained in tried:
        try:
            found.append(settled(setup, trained, kept))
        except InputError as error:
            refused.append(error)
    if not found:
        raise refused[-1]  # of the widest, which is the most accurate

    def merit(one: Trained) -> tuple[float, float]:
        accuracy, cost = one.outcome.accuracy, one.outcome.cost
        return (-cost, accuracy) if setup.floor else (accuracy, -cost)

    best = max(found, key=merit)
    assert best.chosen is not None
    save_result(setup, "joint", name, path, best.network, best.history, best.chosen, best.outcome)


def settled(setup: TrainingSetup, trained: Trained, kept: Kept = ()) -> Trained:
    """A network with trained exits, given a table for what the setup's machine charges and set to
    the budget, or to the accuracy asked for; the network that is given stays as it is.

    Args:
        trained: may have been trained for another machine.
        kept: as `settle_thresholds` has it.

    Raises:
        InputError: if no setting is cheap, or accurate, enough.
    """
    network = copy.deepcopy(trained.network)
    gate = network.gate
    assert isinstance(gate, ConfidenceGate)
    tried = [network.assign(kept)] if kept else list(assignments(setup, network))
    gate.temperature.copy_(temperatures(setup, network, tried[0]))
    settings = [
        setting
        for assignment in tried
        for setting in settings_of(
            seen_at(setup, network, assignment), partial(_cost, setup, network, assignment)
        )
    ]
    gate.adopt(*as_table(network, ladder(settings, POINTS, setup.budget.fraction)))
    outcome = set_point(setup, network)
    return replace(trained, network=network, budget=setup.budget, outcome=outcome)


def assignments(setup: TrainingSetup, network: DynamicNetwork) -> Iterator[Tensor]:
    """Widths to try: one for all units, and one up to each unit with a wider one from it on, so
    that those that stay get more."""
    top = network.uniform(highest(network.choices))
    yield top
    if not setup.has_supernet:
        return
    widths = sorted(executed(network.choices), key=lambda one: one.bitops_per_mac)
    for number, narrow in enumerate(widths):
        first = network.uniform(narrow)
        if narrow != widths[-1]:
            yield first
        for wide in widths[number + 1 :]:
            for unit in range(1, len(top)):
                yield torch.cat([first[:unit], network.uniform(wide)[unit:]])


def seen_at(setup: TrainingSetup, network: DynamicNetwork, assignment: Tensor) -> HeldOut:
    """What the judging inputs do at fixed widths."""
    gate = network.gate
    assert isinstance(gate, ConfidenceGate)
    beliefs, logits, labels = beliefs_of(network, setup.judge, assignment)
    places = list(map(int, network.exits))
    sure = [gate.confidence(unit, beliefs[:, at]) for at, unit in enumerate(places)]
    ends = torch.stack([left_at(network, assignment, at) for at in range(len(places) + 1)])
    cost = torch.cat([setup.cost.of_choices(one[None].to(setup.device)) for one in ends])
    return HeldOut(
        assignment.numpy(),
        torch.stack(sure, 1).numpy().astype(np.float64),
        right_at_exits(beliefs, logits, labels),
        cost.cpu().double().numpy(),
    )


def left_at(network: DynamicNetwork, assignment: Tensor, exit_number: int) -> Tensor:
    """Choices of an input that leaves at an exit, or at none if there are no more."""
    places = [*map(int, network.exits), len(network.units)]
    left = assignment.clone()
    left[places[exit_number] :] = network.leaving
    return left


def exits_taken(network: DynamicNetwork, choices: Tensor) -> np.ndarray:
    """Number of the exit at which each input leaves; that of all exits if it leaves at none.

    Args:
        choices: int64 [N, units].

    Returns:
        int64 [N].
    """
    places = torch.tensor(list(map(int, network.exits)), device=choices.device)
    leaves = choices[:, places] == network.leaving
    ends = torch.ones(len(choices), 1, dtype=torch.bool, device=choices.device)
    return torch.cat([leaves, ends], 1).int().argmax(1).cpu().numpy()


def _cost(
    setup: TrainingSetup, network: DynamicNetwork, assignment: Tensor, places: np.ndarray
) -> float:
    """What the budget limits, of inputs that leave at these exits [N]."""
    ends = [left_at(network, assignment, at) for at in range(len(network.exits) + 1)]
    choices = torch.stack(ends)[torch.from_numpy(places)]
    return held_against_budget(setup, setup.cost.of_choices(choices.to(setup.device)))


def temperatures(setup: TrainingSetup, network: DynamicNetwork, assignment: Tensor) -> Tensor:
    """Temperature [units] at which the probabilities of each exit fit held-out inputs best, 1 where
    there is none (Guo et al., On Calibration of Modern Neural Networks, ICML 2017)."""
    beliefs, _, labels = beliefs_of(network, setup.judge, assignment)
    found = torch.ones(len(network.units))
    for at, unit in enumerate(map(int, network.exits)):
        found[unit] = _fitting(beliefs[:, at].double(), labels)
    return found


def _fitting(logits: Tensor, labels: Tensor) -> float:
    def misfit(log_temperature: float) -> float:
        scaled = logits / float(np.exp(log_temperature))
        return float(functional.cross_entropy(scaled, labels))

    bounds = (-np.log(HOTTEST), np.log(HOTTEST))
    return float(np.exp(minimize_scalar(misfit, bounds=bounds, method="bounded").x))


def as_table(
    network: DynamicNetwork, settings: list[OperatingPoint]
) -> tuple[Tensor, Tensor, Tensor]:
    """Settings as `TableGate.adopt` takes them."""
    thresholds = torch.full((len(settings), *network.shift.shape), NEVER_SURE)
    units, places = torch.arange(len(network.units)), list(map(int, network.exits))
    for row, setting in zip(thresholds, settings, strict=True):
        row[units, torch.from_numpy(setting.assignment)] = ALWAYS
        row[places, network.leaving] = torch.from_numpy(
            np.minimum(setting.thresholds, NEVER_SURE)
        ).float()
    costs, accuracies = zip(*((one.cost, one.accuracy) for one in settings), strict=True)
    return thresholds, torch.tensor(costs), torch.tensor(accuracies)


__all__ = [
    "beliefs_of",
    "exit_group",
    "exits_taken",
    "left_at",
    "loss_of_heads",
    "right_at_exits",
    "settle_thresholds",
    "settled",
    "train_exits",
]
