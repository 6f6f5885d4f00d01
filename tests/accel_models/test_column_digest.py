"""What Parquet files hold is what was written, also where a footer says otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from changed_rows import change_rows, exchanged
from hypothesis import given
from hypothesis import strategies as st

from accel_models import InputError
from accel_models.column_digest import KEY, ColumnDigest
from accel_models.row_groups import RowGroupReader, RowGroupWriter

CELLS = {
    "count": (pa.int64(), st.integers(-3, 3)),
    "joules": (pa.float64(), st.sampled_from([0.0, -0.0, 1.5, np.inf])),
    "choice": (pa.uint8(), st.integers(0, 3)),
    "why": (pa.string(), st.sampled_from(["", "a", "aa", "µ"])),
    "kept": (pa.bool_(), st.booleans()),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | cells for name, (_, cells) in CELLS.items()}),
    max_size=12,
)
SCHEMA = pa.schema([(name, kind) for name, (kind, _) in CELLS.items()])


def digest_of(*pieces: pa.Table) -> str:
    digest = ColumnDigest(pieces[0].schema)
    for piece in pieces:
        digest.add(piece)
    return digest.hexdigest()


def same(one: list[dict], other: list[dict]) -> bool:
    """Whether rows are equal, zeros of either sign being two values."""

    def told(rows: list[dict]) -> list[list[str]]:
        return [[repr(row[name]) for name in CELLS] for row in rows]

    return told(one) == told(other)


@given(ROWS, ROWS, st.integers(0, 12))
def test_a_digest_is_of_the_rows_alone(one: list[dict], other: list[dict], cut: int) -> None:
    table, second = (pa.Table.from_pylist(rows, SCHEMA) for rows in (one, other))
    assert digest_of(table) == digest_of(table.slice(0, cut), table.slice(cut))
    assert (digest_of(table) == digest_of(second)) == same(one, other)


def test_names_and_types_are_digested() -> None:
    table = pa.table({"a": [1, 2], "b": [1, 2]})
    others = (
        table.rename_columns(["b", "a"]),
        table.cast(pa.schema([("a", pa.uint64()), ("b", pa.int64())])),
    )
    assert len({digest_of(one) for one in (table, *others)}) == 3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    numbers = pa.table({"a": np.arange(10), "b": np.arange(10) + 5}, metadata={"of": "us"})
    with RowGroupWriter(tmp_path / "rows.parquet", numbers.schema, 4) as writer:
        writer.add(numbers)
        writer.describe({"sum": "45"})
    return tmp_path / "rows.parquet"


def read(path: Path, rows: int = 3) -> list[int]:
    with RowGroupReader(path) as file:
        return [value for batch in file.batches(rows) for value in batch["a"].to_pylist()]


@pytest.mark.parametrize("rows", [1, 3, 4, 7, 100])
def test_rows_are_read_in_pieces_of_any_size(path: Path, rows: int) -> None:
    assert read(path, rows) == list(range(10))


def test_exchanged_columns_are_noticed(path: Path) -> None:
    change_rows(path, lambda table: table)
    assert read(path) == list(range(10))
    change_rows(path, exchanged("a", "b"))
    with pytest.raises(InputError, match="its columns do not match their digest"):
        read(path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"\x0245", b"\x0246", "what it says of itself does not match its digest"),
        (b"\x02us", b"\x02it", "what it says of itself does not match its digest"),
        (KEY.encode(), KEY.encode()[:-1] + b"z", "no digests"),
    ],
)
def test_what_a_file_says_cannot_be_changed(path: Path, old: bytes, new: bytes, said: str) -> None:
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    if said == "no digests":
        with RowGroupReader(path) as file:
            assert file.digests is None
        return
    with pytest.raises(InputError, match=rf"rows\.parquet is damaged: {said}"):
        read(path)


def test_row_groups_cannot_be_dropped(path: Path) -> None:
    change_rows(path, lambda table: table.slice(4))
    with pytest.raises(InputError, match="it has 2 row groups and digests of 3"):
        read(path)
