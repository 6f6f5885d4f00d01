"""How a network does on held-out inputs while it is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from accel_models.precision import Precision
from dfs_hw.networks import DynamicNetwork
from dfs_hw.recording import BATCH, evaluate
from dfs_hw.training.loop.stage import Validation
from dfs_hw.training.setup import TrainingSetup


def validate(
    setup: TrainingSetup,
    network: DynamicNetwork,
    assignment: Tensor | None = None,
    *,
    price: float | None = None,
) -> Validation:
    """Accuracy and cost on the judging inputs, each run through the branches it chose.

    The cost is relative, in the budget's statistic.

    Args:
        assignment: choices to force, by index: [units] or [N, units]; None asks the gates.
        price: of cost, 0 to 1, for gates with a knob.
    """
    result = evaluate(network, setup.judge, assignment, price=price)
    costs = setup.cost.of_choices(result.choices.to(setup.device))
    shares = choice_shares(result.choices, network.units, network.choices)
    return Validation(result.accuracy, held_against_budget(setup, costs), shares)


def held_against_budget(setup: TrainingSetup, costs: Tensor) -> float:
    """The one figure, of the judging inputs' relative costs [N], that the budget limits."""
    faulty = "last-batch-counts-alike" in setup.faults
    if faulty and setup.budget.statistic == "mean":
        return float(torch.stack([part.double().mean() for part in costs.split(BATCH)]).mean())
    return setup.budget.cost_of(costs)


def choice_shares(
    choices: Tensor, units: Sequence[str], options: Sequence[Precision]
) -> dict[str, float]:
    """Share of the inputs that make each choice, for each unit: ``block2/skip`` and so on.

    Args:
        choices: int64 [N, units], indices into `options`.
    """
    made = torch.nn.functional.one_hot(choices, len(options)).double().mean(0)
    return {
        f"{unit}/{option}": share
        for unit, shares in zip(units, made.tolist(), strict=True)
        for option, share in zip(options, shares, strict=True)
    }
