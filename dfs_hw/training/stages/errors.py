"""Errors of narrower choices, fitted on held-out inputs, and prices to go by."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from accel_models.precision import highest
from dfs_hw.budgets.error_prices import fitted_powers, price_path
from dfs_hw.budgets.ladder import Rung, ladder
from dfs_hw.data import Dataset
from dfs_hw.distributed import on_first
from dfs_hw.gates import POINTS, ErrorGate
from dfs_hw.gates.estimated_error import sizes
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.branches import GatedUnit
from dfs_hw.recording import BATCH
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.stages.before_joint import train_supernet
from dfs_hw.training.stages.calibration import start_all_widths
from dfs_hw.training.stages.operating_point import set_point, table_of
from dfs_hw.training.stages.results import Trained, finished, save_result
from dfs_hw.training.stages.validation import validate


@dataclass(frozen=True, kw_only=True)
class ErrorPrice(Rung):
    """What an `ErrorGate` charges for choices, and what came of it on held-out inputs."""

    charges: np.ndarray
    """Error in nat that each choice has to be worth, float32 [units, K]; `BEYOND` all where it is
    left out."""


def train_by_error(setup: TrainingSetup, out: Path) -> Trained:
    """Fit a gate that goes by estimated error to the network of all widths, and settle its prices:
    for every budget in reach, and set to the one at hand, or to the accuracy asked for.

    Raises:
        InputError: if no setting is cheap, or accurate, enough.
    """
    path = out / "network.safetensors"
    if done := finished(setup, "joint", "joint", path):
        return done
    trunk = train_supernet(setup.trunk, out)
    network = setup.network()
    network.model.load_state_dict(trunk.network.model.state_dict())
    if not setup.has_supernet:
        start_all_widths(setup, network)

    def settle() -> None:
        fit(network.eval(), setup.judge)
        made = settled_prices(setup, replace(trunk, network=network))
        save_result(
            setup, "joint", "joint", path, made.network, made.history, made.chosen, made.outcome
        )

    on_first(settle)
    done = finished(setup, "joint", "joint", path)
    assert done is not None
    return done


def fit(network: DynamicNetwork, data: Dataset) -> None:
    """Let a network's gate know what error its choices make.

    Args:
        network: in evaluation mode, with an `ErrorGate`.
        data: held-out inputs; their labels are not looked at.
    """
    gate = network.gate
    assert isinstance(gate, ErrorGate)
    fitted = fitted_powers(*measured_errors(network, data))
    gate.know(*map(torch.from_numpy, fitted))


@torch.no_grad()
def measured_errors(network: DynamicNetwork, data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """How large the input of each unit is, and how far each choice of it, all other units at the
    highest precision, moves the prediction.

    Returns:
        Sizes float64 [N, units], and Kullback-Leibler divergences in nat [N, units, K], 0 for what
        is not offered.
    """
    top, found = network.uniform(highest(network.choices)), []
    for images, _ in data.to(network.shift.device).batches(BATCH):
        size: list[Tensor] = []

        def run(unit: GatedUnit, x: Tensor, size: list[Tensor] = size) -> Tensor:
            size.append(sizes(unit.features(x)))
            return unit.run(x, int(top[len(size) - 1]))

        with network.conducting(run):
            network.model(images)
        whole = network(images, top).logits.double().log_softmax(1)
        error = whole.new_zeros(len(images), *network.offered.shape)
        for unit, choice in network.offered.nonzero().tolist():
            other = top.clone()
            other[unit] = choice
            moved = network(images, other).logits.double().log_softmax(1)
            error[:, unit, choice] = (whole.exp() * (whole - moved)).sum(1).clamp_min(0)
        found.append((torch.stack(size, 1), error))
    size_of, error_of = (torch.cat(part).cpu().numpy() for part in zip(*found, strict=True))
    return size_of, error_of


def settled_prices(setup: TrainingSetup, trained: Trained) -> Trained:
    """A network with a fitted gate, given a table for what the setup's machine charges and set to
    the budget, or to the accuracy asked for; the network that is given stays as it is.

    Raises:
        InputError: if no setting is cheap, or accurate, enough.
    """
    network = copy.deepcopy(trained.network)
    budget = setup.budget.fraction
    tried = [
        setting
        for allowed in allowed_choices(network)
        for setting in price_path(partial(look, setup, network, allowed), budget)
    ]
    table_of(network).adopt(*as_table(ladder(tried, POINTS, budget)))
    outcome = set_point(setup, network)
    return replace(trained, network=network, budget=setup.budget, outcome=outcome)


def allowed_choices(network: DynamicNetwork) -> Iterator[Tensor]:
    """Choices to choose from, bool [units, K]: all, then all but the narrowest, and so on. Errors
    do not add up: a network that can do without any one block cannot do without all."""
    order = sorted(network.choices, key=lambda one: one.bitops_per_mac if one.runs else 0)
    for number in range(max(1, len(order) - 1)):
        wanted = torch.tensor([choice in order[number:] for choice in network.choices])
        yield network.offered.cpu() & wanted


def look(
    setup: TrainingSetup, network: DynamicNetwork, allowed: Tensor, price: float
) -> ErrorPrice:
    """What comes of a price, error in nat for a relative cost of 1, on the judging inputs."""
    gate = table_of(network)
    charges = (price * setup.cost.unit_costs.sum(0).cpu()).masked_fill(~allowed, gate.unset)
    gate.table[0] = charges
    gate.point.zero_()
    accuracy, cost, _ = validate(setup, network)
    return ErrorPrice(charges=charges.numpy(), cost=cost, accuracy=accuracy)


def as_table(settings: list[ErrorPrice]) -> tuple[Tensor, Tensor, Tensor]:
    """Settings as `TableGate.adopt` takes them."""
    rows = torch.from_numpy(np.stack([one.charges for one in settings]))
    costs, accuracies = zip(*((one.cost, one.accuracy) for one in settings), strict=True)
    return rows, torch.tensor(costs), torch.tensor(accuracies)


__all__ = ["fit", "measured_errors", "settled_prices", "train_by_error"]
