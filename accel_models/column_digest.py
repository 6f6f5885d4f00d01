"""Digests over the rows of Parquet files, row group by row group.

Parquet's own checksums are of pages: where a footer takes one column's pages for another's, every
page is still whole. So a file says what its columns hold, and that is compared when they are read.
Programs that write a file anew leave the digests out, as they no longer hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from accel_models.errors import InputError

KEY = "dfs_hw_digests"
"""Key of a file's metadata: digest of all other metadata, then that of each row group, in order."""
BYTES = 8
"""Size of a digest."""
_ARROW = b"ARROW:schema"
"""Key that Arrow adds: types, which every row group's digest has."""


class ColumnDigest:
    """Digest over names, types and values of rows that come piece by piece, of any sizes."""

    def __init__(self, schema: pa.Schema) -> None:
        self._columns = [
            (_hash(f"{field.name} {field.type}".encode()), _hash()) for field in schema
        ]

    def add(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Take in rows that follow the ones before."""
        for (values, lengths), column in zip(self._columns, rows.columns, strict=True):
            for piece in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                values.update(_values(piece))
                lengths.update(_lengths(piece))

    def hexdigest(self) -> str:
        """Digest of all rows so far."""
        parts = (part.digest() for pair in self._columns for part in pair)
        return _hash(b"".join(parts)).hexdigest()


def sealed(metadata: Mapping[bytes, bytes], groups: Sequence[str]) -> str:
    """What a file says under `KEY`.

    Args:
        metadata: all else that it says.
        groups: digest of each row group.
    """
    return " ".join([_digest_of(metadata), *groups])


def digests_in(about: pq.FileMetaData) -> list[str] | None:
    """Digest of each row group of a file; None if the file has none, as other programs write it.

    Raises:
        InputError: if they are not those of this file, or its other metadata was changed.
    """
    metadata = dict(about.metadata or {})
    seal = metadata.pop(KEY.encode(), None)
    if seal is None:
        return None
    whole, *groups = seal.decode(errors="replace").split(" ")
    if whole != _digest_of(metadata):
        raise InputError("what it says of itself does not match its digest: it was changed")
    if len(groups) != about.num_row_groups:
        raise InputError(f"it has {about.num_row_groups} row groups and digests of {len(groups)}")
    return groups


def _values(column: pa.Array) -> memoryview:
    """Bytes of values, empty cells as nothing or zeros."""
    if pa.types.is_string(column.type):
        return memoryview("".join(filter(None, column.to_pylist())).encode())
    if column.null_count:
        column = column.fill_null(pa.scalar(0).cast(column.type))
    return _bytes_of(column)


def _lengths(column: pa.Array) -> memoryview:
    """Which cells have a value, and for text its length, -1 standing for none."""
    if pa.types.is_string(column.type):
        return _bytes_of(pc.binary_length(column).fill_null(-1))
    return _bytes_of(column.is_valid())


def _bytes_of(column: pa.Array) -> memoryview:
    return np.ascontiguousarray(column.to_numpy(zero_copy_only=False)).data


def _digest_of(metadata: Mapping[bytes, bytes]) -> str:
    said = [part for key in sorted(metadata) if key != _ARROW for part in (key, metadata[key])]
    return _hash(b"".join(b"%d " % len(part) + part for part in said)).hexdigest()


def _hash(start: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(start, digest_size=BYTES)
