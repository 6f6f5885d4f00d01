"""Parquet files written and read row group by row group. They appear under their name only when
complete, and what they hold is held against what was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from accel_models.column_digest import KEY, ColumnDigest, digests_in, sealed
from accel_models.errors import InputError
from accel_models.files import readable, whole_file

_UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)


class RowGroupWriter:
    """Gathers rows into row groups of equal size; every page has a checksum, every row group a
    digest.

    Args:
        path: of the file.
        schema: of its columns.
        rows: of a row group.
    """

    def __init__(self, path: str | Path, schema: pa.Schema, rows: int) -> None:
        self.path, self.schema, self.rows = Path(path), schema, rows
        self._waiting: list[pa.Table] = []
        self._said = dict(schema.metadata or {})
        self._digests: list[str] = []
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
        self._said |= {name.encode(): text.encode() for name, text in metadata.items()}
        self._file.add_key_value_metadata(dict(metadata))

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._waiting:
            self._flush()
        if kind is None:
            self._file.add_key_value_metadata({KEY: sealed(self._said, self._digests)})

    def _flush(self) -> None:
        waiting = pa.concat_tables(self._waiting)
        group, rest = waiting.slice(0, self.rows), waiting.slice(self.rows)
        self._file.write_table(group, row_group_size=self.rows)
        digest = ColumnDigest(self.schema)
        digest.add(group)
        self._digests.append(digest.hexdigest())
        self._waiting = [rest] if len(rest) else []


class RowGroupReader:
    """A file that is read row group by row group.

    Args:
        path: of the file.
        what: errors call it.

    Raises:
        InputError: on entering, if there is none, it is truncated, damaged or no Parquet file, or
            says of itself what it did not when it was written.
    """

    def __init__(self, path: str | Path, what: str = "file") -> None:
        self.path, self.what = Path(path), what

    def __enter__(self) -> RowGroupReader:
        with ExitStack() as stack:
            try:
                # No buffers ahead: a chunk of a large file would be held twice.
                self._file = stack.enter_context(
                    pq.ParquetFile(
                        readable(self.path), page_checksum_verification=True, pre_buffer=False
                    )
                )
                self.schema: pa.Schema = self._file.schema_arrow
            except FileNotFoundError as error:
                raise InputError(f"there is no {self.what} {self.path}") from error
            except _UNREADABLE as error:
                raise InputError(
                    f"{self.path} is truncated, damaged or no Parquet file: {_reason(error)}"
                ) from error
            try:
                self.digests = digests_in(self._file.metadata)
            except InputError as error:
                raise InputError(f"{self.path} is damaged: {error}") from error
            self._cleanup = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._cleanup.__exit__(kind, error, where)

    @property
    def metadata(self) -> Mapping[bytes, bytes]:
        """What the file says of itself."""
        return self._file.metadata.metadata or {}

    @property
    def sizes(self) -> list[int]:
        """Rows of each row group."""
        about = self._file.metadata
        return [about.row_group(number).num_rows for number in range(about.num_row_groups)]

    def batches(
        self,
        rows: int,
        groups: Sequence[int] | None = None,
        columns: Sequence[str] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Rows, so many at a time but for the last ones; whether those of a row group are what was
        written is known at its end.

        Args:
            groups: row groups to read; None for all.
            columns: to read, without comparing them with what was written; None for all.

        Raises:
            InputError: if they cannot be read, or are not what was written: says why.
        """
        wanted = range(len(self.sizes)) if groups is None else groups
        check = _Check(self, wanted) if self.digests is not None and columns is None else None
        batches = self._file.iter_batches(
            rows, row_groups=list(wanted), columns=columns, use_threads=False
        )
        try:
            for batch in batches:
                if check is not None:
                    check.take(batch)
                yield batch
        except _UNREADABLE as error:
            raise InputError(_reason(error)) from error


class _Check:
    """Rows of row groups, one after the other, held against the groups' digests."""

    def __init__(self, file: RowGroupReader, groups: Sequence[int]) -> None:
        assert file.digests is not None
        self._schema = file.schema
        self._left, self._wanted = 0, ""
        self._expected = iter([(file.sizes[group], file.digests[group]) for group in groups])
        self._next()

    def take(self, batch: pa.RecordBatch) -> None:
        """Take in the rows that follow.

        Raises:
            InputError: if they end a row group that is not what was written.
        """
        at = 0
        while at < len(batch):
            if not self._left:
                raise InputError("it has more rows than its footer says")
            part = batch.slice(at, self._left)
            self._digest.add(part)
            at, self._left = at + len(part), self._left - len(part)
            if not self._left:
                if self._digest.hexdigest() != self._wanted:
                    raise InputError("its columns do not match their digest: they were changed")
                self._next()

    def _next(self) -> None:
        """Begin with the next row group; no rows are of one without any."""
        self._digest = ColumnDigest(self._schema)
        self._left, self._wanted = next((one for one in self._expected if one[0]), (0, ""))


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
