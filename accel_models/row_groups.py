"""Parquet files written row group by row group, that appear under their name only when complete."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from accel_models.files import whole_file


class RowGroupWriter:
    """Gathers rows into row groups of equal size; every page has a checksum.

    Args:
        path: of the file.
        schema: of its columns.
        rows: of a row group.
    """

    def __init__(self, path: str | Path, schema: pa.Schema, rows: int) -> None:
        self.path, self.schema, self.rows = Path(path), schema, rows
        self._waiting: list[pa.Table] = []
        self._cleanup = ExitStack()

    def __enter__(self) -> RowGroupWriter:
        with ExitStack() as stack:
            partial = stack.enter_context(whole_file(self.path))
            self._file = stack.enter_context(
                pq.ParquetWriter(partial, self.schema, compression="zstd", write_page_checksum=True)
            )
            stack.push(self._finish)
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._cleanup.__exit__(kind, error, where)

    def add(self, table: pa.Table) -> None:
        """Append rows."""
        self._waiting.append(table)
        while sum(len(one) for one in self._waiting) >= self.rows:
            self._flush()

    def describe(self, metadata: Mapping[str, str]) -> None:
        """Say something of the file as a whole."""
        self._file.add_key_value_metadata(dict(metadata))

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._waiting:
            self._flush()

    def _flush(self) -> None:
        waiting = pa.concat_tables(self._waiting)
        self._file.write_table(waiting.slice(0, self.rows), row_group_size=self.rows)
        rest = waiting.slice(self.rows)
        self._waiting = [rest] if len(rest) else []
