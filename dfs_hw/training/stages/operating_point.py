"""The setting, of those that a gate keeps in its table, that a run asks for."""

from __future__ import annotations

from dfs_hw.gates import TableGate
from dfs_hw.networks import DynamicNetwork
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.stages.results import StageOutcome
from dfs_hw.training.stages.validation import validate


def table_of(network: DynamicNetwork) -> TableGate:
    """The gate of a network whose gate keeps a table."""
    assert isinstance(network.gate, TableGate)
    return network.gate


def set_point(setup: TrainingSetup, network: DynamicNetwork) -> StageOutcome:
    """Leave a gate at the setting for the budget or, if one was asked for, for the accuracy.

    Raises:
        InputError: if no setting is cheap, or accurate, enough.
    """
    gate, floor, budget = table_of(network), setup.floor, setup.budget.fraction
    gate.point.fill_(gate.as_accurate_as(floor) if floor else gate.within(budget))
    accuracy, cost, _ = validate(setup, network)
    return StageOutcome(accuracy, cost)


__all__ = ["set_point", "table_of"]
