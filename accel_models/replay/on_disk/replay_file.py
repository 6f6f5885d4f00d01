"""Traces replayed from disk to disk, row group by row group: larger than memory, and resumed.

Each row group's rows go to a file of their own, in a folder beside the output; when all are there
they become one. Whatever was finished when a replay was killed is found again under a digest of
everything it depends on: the trace, which its own digests tell or else its size and time, the cost
table with the model's own source, and the policy.
Batches end with their row group.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from accel_models.costs.cost_table import CostTable
from accel_models.errors import InputError, reason_of
from accel_models.files import ending_in, replaceable, same_file
from accel_models.replay.matching import check_match
from accel_models.replay.on_disk.joined_file import TOTALS, Joined, is_whole
from accel_models.replay.on_disk.parts_folder import DIGITS, parts_folder
from accel_models.replay.on_disk.rows import ENDING, ROWS_IN_GROUP, rows_of
from accel_models.replay.plan import Plan, plan
from accel_models.replay.policy import Policy
from accel_models.replay.replay import count_choices, served
from accel_models.replay.summary.summary import Summary, summary
from accel_models.replay.totals import Totals
from accel_models.row_groups import RowGroupWriter
from accel_models.trace import ARRIVAL, SLICE, DamagedRows, TraceFile

Progress = Callable[[int, int], None]
"""Told how many row groups are done, of how many."""


def replay_file(
    path: str | Path,
    table: CostTable,
    policy: Policy | None = None,
    *,
    out: str | Path | None = None,
    skip_damaged: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Replay a trace of any size.

    Args:
        path: of the trace.
        table: as for `replay`.
        policy: as for `replay`, but ``sorted`` batches, which need the whole trace at once.
        out: write one row an input to this Parquet file, which appears when it is complete.
        skip_damaged: leave out row groups that cannot be read, and say which.
        progress: called after each row group.

    Raises:
        InputError, InfeasibleError: as `replay`; also `DamagedRows`, naming the row group.
    """
    wanted = policy or Policy()
    if out is not None and same_file(path, out):
        raise InputError(f"{out} is the trace itself: write somewhere else")
    if wanted.batching == "sorted":
        raise InputError("batches sorted by cost need the whole trace at once: use `replay`")
    if out is not None:
        ending_in(out, ENDING, "rows of inputs")
    with TraceFile(path) as file:
        check_match(file.header, table)
        if file.inputs == 0:
            raise InputError(f"{path} holds no inputs")
        if wanted.arrivals == "recorded" and not file.timed:
            raise InputError(f"{path} has no column {ARRIVAL} with times of arrival")
        counts = None
        if table.infeasible or wanted.prefetch == "modal":
            counts = _count(file, table, skip_damaged)
        ready = plan(table, wanted, counts)
        used = [] if counts is None else np.flatnonzero(counts.any(axis=0)).tolist()
        ready.require_feasible(used)
        with _folder(file, ready, counts, out) as folder:
            task = _Task(file, ready, folder, detailed=out is not None)
            parts, damaged = task.run(skip_damaged, progress)
            if not parts:
                raise InputError(f"{path}: all of its row groups are damaged")
            joined = Joined(ready, parts, folder / "whole.parquet")
            totals = joined.write()
            found = summary(ready, totals, joined.read, damaged)
            if out is not None:
                _move(joined.path, out)
    return found


def _move(whole: Path, out: str | Path) -> None:
    try:
        os.replace(whole, replaceable(out))
    except OSError as error:
        raise InputError(f"cannot write {out}: {reason_of(error)}") from error


def _count(file: TraceFile, table: CostTable, skip_damaged: bool) -> np.ndarray:
    """How many inputs took each choice, int64 [unit, choice]."""
    total = np.zeros((len(table.units), len(table.choices)), dtype=np.int64)
    for group in range(len(file.groups)):
        here = np.zeros_like(total)
        try:
            for part in file.parts(group):
                here += count_choices(part.choices, table)
        except DamagedRows:
            if not skip_damaged:
                raise
            continue
        total += here
    return total


@contextmanager
def _folder(
    file: TraceFile, ready: Plan, counts: np.ndarray | None, out: str | Path | None
) -> Iterator[Path]:
    """Where parts are kept: beside the output until it is complete, or nowhere for long."""
    if out is None:
        with TemporaryDirectory(prefix="dfs-hw-replay-") as passing:
            yield Path(passing)
        return
    with parts_folder(out, _digest(file, ready, counts)) as folder:
        yield folder


def _digest(file: TraceFile, ready: Plan, counts: np.ndarray | None) -> str:
    """Digest of everything that parts depend on."""
    about = file.path.stat()
    parts = {
        "trace": file.digests or [str(file.path.resolve()), about.st_size, about.st_mtime_ns],
        "table": ready.table.key,
        "policy": ready.policy.to_dict(),
        "counts": None if counts is None else counts.tolist(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class _Task:
    """A trace, what it is asked against, and the folder for what comes of its row groups."""

    file: TraceFile
    ready: Plan
    folder: Path
    detailed: bool

    def run(
        self, skip_damaged: bool, progress: Progress | None
    ) -> tuple[list[Path], list[DamagedRows]]:
        """Files of all row groups that can be read, made now or found."""
        parts, damaged = [], []
        for group in range(len(self.file.groups)):
            part = self.folder / f"{group:06}.parquet"
            try:
                if not is_whole(part):
                    self._replay(group, part)
                parts.append(part)
            except DamagedRows as error:
                if not skip_damaged:
                    raise
                damaged.append(error)
            if progress is not None:
                progress(group + 1, len(self.file.groups))
        return parts, damaged

    def _replay(self, group: int, path: Path) -> None:
        batch = self.ready.policy.batch
        totals: Totals | None = None
        with ExitStack() as stack:
            for part in self.file.parts(group, max(1, SLICE // batch) * batch):
                outcome = served(part, self.ready)
                rows = rows_of(outcome, detailed=self.detailed)
                if self.ready.policy.arrivals == "recorded":
                    rows = rows.append_column(ARRIVAL, pa.array(part.arrival_s))
                if totals is None:
                    totals = outcome.totals
                    writer = stack.enter_context(RowGroupWriter(path, rows.schema, ROWS_IN_GROUP))
                else:
                    totals.add(outcome.totals)
                writer.add(rows)
            if totals is not None:
                writer.describe({TOTALS: json.dumps(totals.to_dict())})
