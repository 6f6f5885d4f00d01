"""Finished trials as a table, on disk and in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from accel_models.exploration.adaptive import FinishedTrial
from accel_models.exploration.evaluate import TrialOutcome
from accel_models.exploration.space import Space, Value
from accel_models.files import whole_file
from accel_models.metrics import METRICS, columns


@dataclass(frozen=True)
class TrialTable:
    """Trials of a space, in columns.

    Args:
        table: number, one column for each dimension (empty where it does not apply), one for each
            of `metrics.explored` (empty where it is not known), `infeasible` (why, or empty) and
            `kept`, whether it runs and keeps to all constraints.
    """

    space: Space
    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def metric(self, name: str) -> np.ndarray:
        """A metric of every trial, float64 [trial], NaN where it is not known."""
        column = self.table[METRICS[name].column].to_numpy(zero_copy_only=False)
        return np.asarray(column, dtype=np.float64)

    @cached_property
    def kept(self) -> np.ndarray:
        """Whether a trial runs and keeps to all constraints, bool [trial]."""
        return np.asarray(self.table["kept"].to_numpy(zero_copy_only=False), dtype=bool)

    @cached_property
    def objectives(self) -> np.ndarray:
        """Value of each objective in each trial, float64 [trial, objective]."""
        return np.stack([self.metric(name) for name in self.space.objectives], axis=1)

    @cached_property
    def front(self) -> np.ndarray:
        """Positions of trials that keep to all constraints and that none such beats, equal ones
        once, in order of the first objective; int64 [member]."""
        rows = np.flatnonzero(self.kept & ~np.isnan(self.objectives).any(axis=1))
        values, first = np.unique(self.objectives[rows], axis=0, return_index=True)
        members = first[undominated(values)]
        found: np.ndarray = rows[members]
        return found

    @cached_property
    def chosen(self) -> int | None:
        """Position of the member of the front that is nearest to being best in everything, in
        ratios; None if nothing keeps to the constraints. Nothing has a ratio to 0, which counts as
        half of the least amount that is more."""
        if not len(self.front):
            return None
        values = self.objectives[self.front]
        least = np.min(values, axis=0, where=values > 0, initial=np.inf)
        stand_in = np.where(np.isfinite(least), least / 2, 1.0)  # any will do where all are 0
        values = np.where(values > 0, values, stand_in)
        far = np.log(values / values.min(axis=0))
        return int(self.front[np.argmin((far**2).sum(axis=1))])

    def configuration(self, position: int) -> dict[str, Value]:
        """The configuration of a trial."""
        row = self.table.slice(position, 1).to_pylist()[0]
        return {name: row[name] for name in self.space.by_name if row[name] is not None}

    def facts(self, position: int) -> dict[str, Any]:
        """A trial, as JSON can hold it."""
        row = self.table.slice(position, 1).to_pylist()[0]
        return {
            "trial": row["number"],
            "configuration": self.configuration(position),
            "metrics": {column: row[column] for column in columns()},
        }

    def write(self, path: str | Path) -> None:
        """Write all trials as Parquet, with a column that says which are on the front."""
        front = np.zeros(len(self), dtype=bool)
        front[self.front] = True
        with whole_file(path) as partial:
            table = self.table.append_column("pareto", pa.array(front))
            pq.write_table(table, partial, compression="zstd")


def tabled(space: Space, rows: Sequence[FinishedTrial]) -> pa.Table:
    """Records as a table with the columns of `TrialTable`."""
    schema, kept = schema_of(space), [keeps(space, row.outcome) for row in rows]
    values: dict[str, list[Any]] = {
        "number": [row.number for row in rows],
        **{name: [row.configuration.get(name) for row in rows] for name in space.by_name},
        **{column: [row.outcome.metrics[column] for row in rows] for column in columns()},
        "infeasible": [row.outcome.infeasible or None for row in rows],
        "kept": kept,
    }
    return pa.table(values, schema=schema)


def schema_of(space: Space) -> pa.Schema:
    """Columns of the trials of a space."""
    fields = [("number", pa.int64())]
    fields += [
        (d.name, _type_of(d.points if d.values else (d.low,), d.integer)) for d in space.dimensions
    ]
    fields += [(column, pa.float64()) for column in columns()]
    return pa.schema([*fields, ("infeasible", pa.string()), ("kept", pa.bool_())])


def keeps(space: Space, outcome: TrialOutcome) -> bool:
    """Whether an outcome runs and keeps to every constraint."""
    if not outcome.is_feasible:
        return False
    values = {bound: outcome.metrics[METRICS[bound.metric].column] for bound in space.bounds}
    return all(v is None or bound.excess(v) <= 0 for bound, v in values.items())


def undominated(values: np.ndarray) -> np.ndarray:
    """Positions of rows that no other beats: none is as good everywhere and better somewhere.

    Args:
        values: float64 [row, objective], all different, less being better.
    """
    order = np.lexsort(values.T[::-1])
    left, found = values[order], []
    while len(left):
        # The first in order is beaten by nothing that is left: it has the least first objective.
        found.append(order[0])
        beaten = (left >= left[0]).all(axis=1)
        order, left = order[~beaten], left[~beaten]
    return np.array(found, dtype=np.int64)


def _type_of(values: Sequence[Value], integer: bool) -> pa.DataType:
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {str}:
        return pa.string()
    return pa.int64() if kinds == {int} or integer else pa.float64()


def rounded(value: float | None) -> float | None:
    """What a page needs of a number."""
    return None if value is None or math.isnan(value) else float(f"{value:.6g}")
