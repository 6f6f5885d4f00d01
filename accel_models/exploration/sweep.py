"""Exhaustive sweeps: every configuration of a finite space, chunk by chunk.

A chunk's outcomes are written to a file of their own when they are there, so that a sweep that is
killed goes on with the chunks it lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
from optuna.trial import create_trial

from accel_models.errors import InputError
from accel_models.exploration.adaptive import (
    FinishedTrial,
    constraints,
    distribution,
    values_of,
)
from accel_models.exploration.evaluate import TrialOutcome
from accel_models.exploration.executors import Executor
from accel_models.exploration.outcomes import OUTCOME, kept_outcome
from accel_models.exploration.results import schema_of, tabled
from accel_models.exploration.space import Space
from accel_models.exploration.storage import StudyStorage
from accel_models.metrics import columns
from accel_models.row_groups import RowGroupReader, RowGroupWriter

CHUNK = 128
"""Configurations that are worked on together."""
LARGEST = 10**7
BULK = 5_000
"""Trials that enter Optuna at once."""


def check_sweep(space: Space) -> int:
    """How many configurations a sweep tries.

    Raises:
        InputError: if there is no end of them, or too many.
    """
    if space.size is None:
        endless = next(d.name for d in space.dimensions if not d.is_finite)
        raise InputError(f"{endless} has no end of values: give it a step for a sweep")
    if space.size > LARGEST:
        raise InputError(f"a sweep of {space.size} configurations is over {LARGEST}")
    return space.size


def sweep(
    space: Space, folder: Path, executor: Executor, advance: Callable[[int], None]
) -> pa.Table:
    """Every configuration, in order.

    Args:
        folder: where chunks are kept; what is there already is not done again.
        executor: evaluates a range of numbers of configurations.
        advance: is called with how many configurations more are done.
    """
    ranges = _ranges(space)
    missing = [one for one in enumerate(ranges) if not _part(folder, one[0]).is_file()]
    _work_out(space, folder, missing, executor, advance)
    parts = [_kept(space, folder, number, one) for number, one in enumerate(ranges)]
    damaged = [one for one in enumerate(ranges) if parts[one[0]] is None]
    if damaged:
        _work_out(space, folder, damaged, executor, lambda _: None)
        for number, one in damaged:
            parts[number] = _kept(space, folder, number, one)
    return pa.concat_tables(parts)


def _work_out(
    space: Space,
    folder: Path,
    chunks: list[tuple[int, tuple[int, int]]],
    executor: Executor,
    advance: Callable[[int], None],
) -> None:
    """Write the outcomes of chunks, given by number and range, to a file each."""
    ranges = dict(chunks)
    for number, outcomes in executor.each(chunks):
        start, stop = ranges[number]
        rows = [
            FinishedTrial(start + place, configuration, outcome)
            for place, (configuration, outcome) in enumerate(
                zip(space.configurations(start, stop), outcomes, strict=True)
            )
        ]
        with RowGroupWriter(_part(folder, number), schema_of(space), CHUNK) as writer:
            writer.add(tabled(space, rows))
        advance(stop - start)


def _kept(space: Space, folder: Path, number: int, of: tuple[int, int]) -> pa.Table | None:
    """A chunk's outcomes as they were left; None if they cannot be read, as after a crash of the
    machine, are not what was written, or are another chunk's."""
    schema = schema_of(space)
    try:
        with RowGroupReader(_part(folder, number)) as file:
            if file.digests is None or file.schema != schema:
                return None
            table = pa.Table.from_batches(file.batches(CHUNK), schema)
    except InputError:
        return None
    return table if table["number"].to_pylist() == list(range(*of)) else None


def swept(space: Space, folder: Path) -> int:
    """How many configurations have an outcome in a folder of chunks."""
    ranges = enumerate(_ranges(space))
    return sum(stop - start for n, (start, stop) in ranges if _part(folder, n).is_file())


def enter(
    space: Space,
    table: pa.Table,
    study: optuna.Study,
    storage: StudyStorage,
    advance: Callable[[int], None],
) -> None:
    """Add a sweep's trials to a study in order, but those that it has already.

    Args:
        advance: is called with how many trials more are in the study.
    """
    distributions = {d.name: distribution(d) for d in space.dimensions}
    for at in range(storage.entered(study), table.num_rows, BULK):
        rows = table.slice(at, BULK)
        with storage.entry(study) as entry:
            entry.add_trials(_trials(space, rows, distributions))
        advance(rows.num_rows)


def _trials(space: Space, table: pa.Table, distributions: dict[str, Any]) -> Iterator[Any]:
    for row in table.to_pylist():
        outcome = TrialOutcome(
            {column: row[column] for column in columns()}, row["infeasible"] or ""
        )
        params = {name: row[name] for name in distributions if row[name] is not None}
        yield create_trial(
            values=values_of(space, outcome),
            params=params,
            distributions={name: distributions[name] for name in params},
            user_attrs={OUTCOME: kept_outcome(space.relevant(params), outcome)},
            constraints=constraints(space, outcome),
        )


def _ranges(space: Space) -> list[tuple[int, int]]:
    """Numbers of the first configuration of each chunk and of the first after it."""
    size = check_sweep(space)
    return [(start, min(start + CHUNK, size)) for start in range(0, size, CHUNK)]


def _part(folder: Path, number: int) -> Path:
    return folder / f"chunk-{number:06d}.parquet"
