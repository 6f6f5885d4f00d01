"""Parquet files that say the same of themselves and hold something else, as where their footer
takes one column's pages for another's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def change_rows(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the rows of a file, and nothing else."""
    about, table = pq.read_metadata(path), pq.read_table(path)
    kept = {b"ARROW:schema", *(table.schema.metadata or {})}
    said = {key: text for key, text in about.metadata.items() if key not in kept}
    schema = table.schema
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        writer.write_table(change(table).cast(schema), row_group_size=about.row_group(0).num_rows)
        writer.add_key_value_metadata(said)


def exchanged(one: str, other: str) -> Callable[[pa.Table], pa.Table]:
    """A change that exchanges what two columns hold."""

    def exchange(table: pa.Table) -> pa.Table:
        columns = {name: table[name] for name in table.column_names}
        columns[one], columns[other] = columns[other], columns[one]
        return pa.table(columns)

    return exchange
