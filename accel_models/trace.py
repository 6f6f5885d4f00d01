"""Gate traces: what a network chose for every input, in one self-describing Parquet file.

One row an input, with columns ``input_id``, ``label``, ``prediction`` and one column of choice
indices for each decision unit. Everything needed to replay it (layers, choice set, how it was
recorded) is JSON under the key ``dfs_hw`` of the file's schema metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from accel_models.column_digest import KEY
from accel_models.errors import InputError
from accel_models.remade import Remade
from accel_models.row_groups import RowGroupReader, RowGroupWriter
from accel_models.trace_header import ARRIVAL, METADATA_KEY, TraceHeader, header_in

__all__ = [
    "ARRIVAL",
    "INPUTS_IN_GROUP",
    "METADATA_KEY",
    "SLICE",
    "DamagedRows",
    "GateTrace",
    "TraceFile",
    "TraceHeader",
    "TraceWriter",
]

INPUTS_IN_GROUP = 2**18
"""Inputs in a row group, the part of a file that is kept, or lost, as a whole."""
SLICE = 2**12
"""Inputs that are decoded at a time."""


@dataclass(frozen=True)
class GateTrace(Remade):
    """What a network chose for N inputs in U decision units.

    Args:
        header: what the numbers mean.
        input_ids: int64 [input].
        labels, predictions: int32 [input].
        choices: uint8 [input, unit], indices into `header.choices`.
        arrival_s: float64 [input], when inputs arrived, in s; None if that was not recorded.
    """

    header: TraceHeader
    input_ids: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    choices: np.ndarray
    arrival_s: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = (len(self.input_ids), len(self.header.workload.units))
        if self.choices.dtype != np.uint8 or self.choices.shape != shape:
            raise InputError(
                f"choices must be uint8 {list(shape)}, one of each unit for every input, "
                f"got {self.choices.dtype} {list(self.choices.shape)}"
            )
        self.header.check(self.choices)
        for column in self.columns:
            column.setflags(write=False)  # a trace says what was chosen, and goes on saying it

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """All arrays, that of arrivals last, if there is one; none can be written to."""
        taken = (self.input_ids, self.labels, self.predictions, self.choices)
        return taken if self.arrival_s is None else (*taken, self.arrival_s)

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def accuracy(self) -> float:
        return float((self.labels == self.predictions).mean())

    @classmethod
    def read(cls, path: str | Path) -> GateTrace:
        """Read a trace.

        Raises:
            InputError: if the file is missing, truncated, damaged or not a gate trace: says which,
                and in which row group.
        """
        with TraceFile(path) as file:
            if file.inputs == 0:
                raise InputError(f"{path} holds no inputs")
            # No room is made by what the footer promises, which may be more than there is.
            groups = range(len(file.groups))
            return _joined(file.header, [part for group in groups for part in file.parts(group)])

    def __getitem__(self, rows: slice) -> GateTrace:
        """Some of the inputs, without copying."""
        times = None if self.arrival_s is None else self.arrival_s[rows]
        return replace(
            self,
            input_ids=self.input_ids[rows],
            labels=self.labels[rows],
            predictions=self.predictions[rows],
            choices=self.choices[rows],
            arrival_s=times,
        )

    def write(self, path: str | Path, *, rows: int = INPUTS_IN_GROUP) -> None:
        """Write the trace to one file, in one piece; `rows` are those of a row group."""
        timed = self.arrival_s is not None
        with TraceWriter(path, self.header, timed=timed, rows=rows) as writer:
            writer.add(*self.columns)


def _joined(header: TraceHeader, parts: Sequence[GateTrace]) -> GateTrace:
    """The inputs of parts, one after the other."""
    columns = zip(*(part.columns for part in parts), strict=True)
    return GateTrace(header, *map(np.concatenate, columns))


class DamagedRows(InputError):
    """A row group of a trace that cannot be read.

    Args:
        path: of the file.
        group: number of the row group.
        rows: those that it holds.
    """

    def __init__(self, path: str | Path, group: int, rows: range, reason: str) -> None:
        self.group, self.rows, self.reason = group, rows, reason
        where = f"row group {group} (rows {rows.start} to {rows.stop - 1})"
        super().__init__(f"{path}: {where} is damaged: {reason}")


class TraceFile:
    """A trace on disk, read part by part.

    Raises:
        InputError: on entering, if the file is missing, truncated, damaged or not a gate trace.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __enter__(self) -> TraceFile:
        with ExitStack() as stack:
            self._file = stack.enter_context(RowGroupReader(self.path, "trace"))
            schema = self._file.schema
            self.header = header_in(schema, self.path, has_digests=self._file.digests is not None)
            self.timed = ARRIVAL in schema.names
            expected = self.header.schema(timed=self.timed)
            if schema.remove_metadata() != expected.remove_metadata():
                raise InputError(f"{self.path}: its columns are not those its header promises")
            ends = list(accumulate(self._file.sizes, initial=0))
            self.inputs = ends[-1]
            self.groups = [range(*pair) for pair in pairwise(ends)]
            self._cleanup = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._cleanup.__exit__(*error)

    @property
    def digests(self) -> str:
        """Digests of all that the file holds; "" if it has none, as other programs write it."""
        return self._file.metadata.get(KEY.encode(), b"").decode()

    def first(self, inputs: int) -> GateTrace:
        """The first inputs, of the first row group at most; all of that is read, since only then is
        it known to be what was written.

        Raises:
            DamagedRows: as `parts`.
        """
        kept: list[GateTrace] = []
        for part in self.parts(0):
            have = sum(map(len, kept))
            if have < inputs:
                kept.append(part[: inputs - have])
        return _joined(self.header, kept)

    def parts(self, group: int, inputs: int = SLICE) -> Iterator[GateTrace]:
        """The inputs of a row group, at most so many at a time.

        Raises:
            DamagedRows: if they cannot be read, or are not what the header promises, or, which is
                known at their end, not what was written.
        """
        rows = self.groups[group]
        at = rows.start
        try:
            for batch in self._file.batches(inputs, [group]):
                _check(batch, self.header, at)
                yield _of_batch(batch, self.header, timed=self.timed)
                at += len(batch)
            if at != rows.stop:
                raise InputError(f"it ends after row {at - 1}")
        except InputError as error:
            raise DamagedRows(self.path, group, rows, str(error)) from error


def _check(batch: pa.RecordBatch, header: TraceHeader, start: int) -> None:
    """Refuse rows from `start` on that no trace has."""
    for name in batch.schema.names:
        if batch[name].null_count:
            raise InputError(f"column {name} has empty cells")
    for unit in header.workload.units:
        chosen = batch[unit].to_numpy()
        worst = int(chosen.max(initial=0))
        if worst >= len(header.choices):
            raise InputError(
                f"row {start + int(chosen.argmax())} has choice {worst} in {unit}, "
                f"but the choice set has only {len(header.choices)}"
            )


def _of_batch(batch: pa.RecordBatch, header: TraceHeader, *, timed: bool) -> GateTrace:
    units = header.workload.units
    choices = np.empty((len(batch), len(units)), dtype=np.uint8)
    for column, unit in enumerate(units):
        choices[:, column] = batch[unit].to_numpy()
    ids, labels, predictions = (
        batch[name].to_numpy() for name in ("input_id", "label", "prediction")
    )
    times = batch[ARRIVAL].to_numpy() if timed else None
    return GateTrace(header, ids, labels, predictions, choices, times)


class TraceWriter:
    """Writes a trace as inference proceeds; the file appears under its name only when complete.

    >>> with TraceWriter("trace.parquet", header) as writer:          # doctest: +SKIP
    ...     writer.add(input_ids, labels, predictions, choices)

    Args:
        timed: whether times of arrival come with the inputs.
        rows: of a row group.
    """

    def __init__(
        self,
        path: str | Path,
        header: TraceHeader,
        *,
        timed: bool = False,
        rows: int = INPUTS_IN_GROUP,
    ) -> None:
        self.header = header
        self._file = RowGroupWriter(path, header.schema(timed=timed), rows)

    def __enter__(self) -> TraceWriter:
        self._file.__enter__()
        return self

    def add(
        self,
        input_ids: np.ndarray,
        labels: np.ndarray,
        predictions: np.ndarray,
        choices: np.ndarray,
        arrival_s: np.ndarray | None = None,
    ) -> None:
        """Append inputs: integers [input] three times, choice indices [input, unit], and times of
        arrival in s [input] if the trace is timed.

        Raises:
            InputError: if shapes, choices or times do not fit the trace.
        """
        units = self.header.workload.units
        if choices.shape != (len(input_ids), len(units)):
            raise InputError(
                f"choices must be [{len(input_ids)} inputs, {len(units)} units], "
                f"got {list(choices.shape)}"
            )
        self.header.check(choices)
        times = [] if arrival_s is None else [arrival_s]
        columns = [input_ids, labels, predictions, *times, *np.ascontiguousarray(choices.T)]
        schema = self._file.schema
        arrays = [pa.array(c).cast(f.type) for c, f in zip(columns, schema, strict=True)]
        self._file.add(pa.Table.from_arrays(arrays, schema=schema))

    def __exit__(self, *error: Any) -> None:
        self._file.__exit__(*error)
