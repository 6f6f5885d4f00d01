"""Which stage stands in place of stages 2 and 3 for each family of gates that keeps a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from dfs_hw.gates import ConfidenceGate, ErrorGate, TableGate
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.stages.errors import settled_prices, train_by_error
from dfs_hw.training.stages.exits import Kept, settle_thresholds, settled
from dfs_hw.training.stages.operating_point import table_of
from dfs_hw.training.stages.results import Trained


class TableStage(NamedTuple):
    """What a family needs to come to its table."""

    train: Callable[[TrainingSetup, Path], Trained]
    """Train what the gate decides about, and settle its table, or find what an earlier run left."""
    settle: Callable[[TrainingSetup, Trained, Kept], Trained]
    """Settle the table anew, for what another machine charges; a network of one width keeps its
    choices."""


TABLE_STAGES: dict[type[TableGate], TableStage] = {
    ConfidenceGate: TableStage(settle_thresholds, settled),
    ErrorGate: TableStage(
        train_by_error, lambda setup, trained, kept: settled_prices(setup, trained)
    ),
}
"""Stage of each family of gates that keeps a table."""


def train_table(setup: TrainingSetup, out: Path) -> Trained:
    """A network whose gate keeps a table, trained and set to the budget or the accuracy asked for.

    Raises:
        InputError: if no setting is cheap, or accurate, enough.
    """
    return TABLE_STAGES[type(table_of(setup.start))].train(setup, out)


def settled_anew(setup: TrainingSetup, trained: Trained, kept: Kept = ()) -> Trained:
    """A trained network whose gate keeps a table, for what the setup's machine charges; the one
    that is given stays as it is.

    Args:
        kept: choice of every unit, if all inputs have the same as far as they go.

    Raises:
        InputError: if no setting is cheap, or accurate, enough.
    """
    return TABLE_STAGES[type(table_of(trained.network))].settle(setup, trained, kept)


__all__ = ["TABLE_STAGES", "TableStage", "settled_anew", "train_table"]
