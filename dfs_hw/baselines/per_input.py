"""What became of every input, in Parquet files beside the figures that are means of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from accel_models.errors import InputError
from accel_models.files import read_bytes, whole_file

MOST_BYTES = 2**30

Columns = Mapping[str, np.ndarray]
"""Arrays [N] by name."""


def write_columns(path: Path, columns: Columns) -> str:
    """Write or replace a file of one row an input; returns its digest."""
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    with whole_file(path) as partial:
        pq.write_table(table, partial, compression="zstd", write_page_checksum=True)
        return _digest(partial.read_bytes())


def read_columns(path: Path, digest: str, beside: Path) -> dict[str, np.ndarray]:
    """Read what `write_columns` wrote.

    Args:
        digest: that writing returned.
        beside: file that holds it.

    Raises:
        InputError: if the file is missing, or is not the one that was written.
    """
    remedy = f"delete {beside} to have both made anew"
    try:
        content = read_bytes(path, MOST_BYTES)
    except InputError as error:
        raise InputError(f"{error}: {remedy}") from error
    if _digest(content) != digest:
        raise InputError(f"{path} is not the file that {beside.name} was left with: {remedy}")
    table = pq.read_table(pa.BufferReader(content))
    return {name: table[name].to_numpy() for name in table.column_names}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
