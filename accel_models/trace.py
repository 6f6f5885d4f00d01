"""Gate traces: what a network chose for every input, in one self-describing Parquet file.

One row an input, with columns ``input_id``, ``label``, ``prediction`` and one column of choice
indices for each decision unit. Everything needed to replay it (layers, choice set, how it was
recorded) is JSON under the key ``dfs_hw`` of the file's schema metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from accel_models.errors import InputError
from accel_models.files import whole_file
from accel_models.precision import Precision, parse_choices
from accel_models.workload import Workload

FORMAT = 1
METADATA_KEY = b"dfs_hw"


@dataclass(frozen=True)
class TraceHeader:
    """Which network a trace is of, and how it was recorded.

    Args:
        network: name of the network.
        dataset: name of the inputs, such as ``digits/test``.
        workload: its layers; `workload.units` are the columns of the trace.
        choices: what the indices in those columns mean.
        always: precision of everything that runs whatever is chosen.
        accelerator: machine the gates were trained for, or "".
        seed: of the training run.
        version: of this package, when recorded.
    """

    network: str
    dataset: str
    workload: Workload
    choices: tuple[Precision, ...]
    always: Precision
    accelerator: str
    seed: int
    version: str

    def schema(self) -> pa.Schema:
        """Arrow schema of the file, this header in its metadata."""
        columns = [("input_id", pa.int64()), ("label", pa.int32()), ("prediction", pa.int32())]
        columns += [(unit, pa.uint8()) for unit in self.workload.units]
        return pa.schema(columns, metadata={METADATA_KEY: json.dumps(self.to_dict())})

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "network": self.network,
            "dataset": self.dataset,
            "workload": self.workload.to_dict(),
            "workload_key": self.workload.key,
            "choices": [str(choice) for choice in self.choices],
            "always": str(self.always),
            "accelerator": self.accelerator,
            "seed": self.seed,
            "version": self.version,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TraceHeader:
        if data.get("format") != FORMAT:
            raise InputError(f"trace format {data.get('format')} is not the known {FORMAT}")
        try:
            return cls(
                network=data["network"],
                dataset=data["dataset"],
                workload=Workload.from_dict(data["workload"]),
                choices=parse_choices(data["choices"]),
                always=Precision.parse(data["always"]),
                accelerator=data["accelerator"],
                seed=data["seed"],
                version=data["version"],
            )
        except KeyError as error:
            raise InputError(f"the header lacks {error}") from error


@dataclass(frozen=True)
class GateTrace:
    """What a network chose for N inputs in U decision units.

    Args:
        header: what the numbers mean.
        input_ids: int64 [input].
        labels, predictions: int32 [input].
        choices: uint8 [input, unit], indices into `header.choices`.
    """

    header: TraceHeader
    input_ids: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    choices: np.ndarray

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def accuracy(self) -> float:
        return float((self.labels == self.predictions).mean())

    @classmethod
    def read(cls, path: str | Path) -> GateTrace:
        """Read a trace.

        Raises:
            InputError: if the file is missing, truncated, damaged or not a gate trace: says which.
        """
        try:
            with pq.ParquetFile(path) as file:
                header = _header(file.schema_arrow, path)
                expected = header.schema()
                if file.schema_arrow.remove_metadata() != expected.remove_metadata():
                    raise InputError(f"{path}: its columns are not those its header promises")
                table = file.read()
        except FileNotFoundError as error:
            raise InputError(f"there is no trace {path}") from error
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise InputError(
                f"{path} is truncated, damaged or no Parquet file: {reason}"
            ) from error
        return cls._from_table(header, table, path)

    @classmethod
    def _from_table(cls, header: TraceHeader, table: pa.Table, path: str | Path) -> GateTrace:
        if table.num_rows == 0:
            raise InputError(f"{path} holds no inputs")
        for name in table.column_names:
            if table[name].null_count:
                raise InputError(f"{path}: column {name} has empty cells")
        units = header.workload.units
        choices = np.empty((table.num_rows, len(units)), dtype=np.uint8)
        for column, unit in enumerate(units):
            choices[:, column] = table[unit].to_numpy()
            worst = int(choices[:, column].max())
            if worst >= len(header.choices):
                row = int(choices[:, column].argmax())
                raise InputError(
                    f"{path}: row {row} has choice {worst} in {unit}, "
                    f"but the choice set has only {len(header.choices)}"
                )
        ids, labels, predictions = (
            table[name].to_numpy() for name in ("input_id", "label", "prediction")
        )
        return cls(header, ids, labels, predictions, choices)

    def write(self, path: str | Path) -> None:
        """Write the trace to one file, in one piece."""
        with TraceWriter(path, self.header) as writer:
            writer.add(self.input_ids, self.labels, self.predictions, self.choices)


class TraceWriter:
    """Writes a trace as inference proceeds; the file appears under its name only when complete.

    >>> with TraceWriter("trace.parquet", header) as writer:          # doctest: +SKIP
    ...     writer.add(input_ids, labels, predictions, choices)
    """

    def __init__(self, path: str | Path, header: TraceHeader) -> None:
        self.path = Path(path)
        self.header = header
        self._schema = header.schema()
        self._cleanup = ExitStack()

    def __enter__(self) -> TraceWriter:
        with ExitStack() as stack:
            partial = stack.enter_context(whole_file(self.path))
            self._file = stack.enter_context(
                pq.ParquetWriter(partial, self._schema, compression="zstd")
            )
            self._cleanup = stack.pop_all()
        return self

    def add(
        self,
        input_ids: np.ndarray,
        labels: np.ndarray,
        predictions: np.ndarray,
        choices: np.ndarray,
    ) -> None:
        """Append inputs: integers [input] three times, then choice indices [input, unit]."""
        units = self.header.workload.units
        if choices.shape != (len(input_ids), len(units)):
            raise InputError(
                f"choices must be [{len(input_ids)} inputs, {len(units)} units], "
                f"got {list(choices.shape)}"
            )
        if choices.size and int(choices.max()) >= len(self.header.choices):
            raise InputError(
                f"choice {int(choices.max())} is outside the set of {len(self.header.choices)}"
            )
        columns = [input_ids, labels, predictions, *np.ascontiguousarray(choices.T)]
        arrays = [pa.array(c).cast(f.type) for c, f in zip(columns, self._schema, strict=True)]
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._cleanup.__exit__(kind, error, where)


def _header(schema: pa.Schema, path: str | Path) -> TraceHeader:
    text = (schema.metadata or {}).get(METADATA_KEY)
    if text is None:
        raise InputError(f"{path} is a Parquet file, but no gate trace: its header is missing")
    try:
        return TraceHeader.from_dict(json.loads(text))
    except (UnicodeDecodeError, json.JSONDecodeError, InputError) as error:
        raise InputError(f"{path} has a header that cannot be read: {error}") from error
