"""`validate` finds what is wrong with a table, or with us."""

import csv
import re
from pathlib import Path

import pytest

from accel_models import InputError
from accel_models.validation.published_rows import PUBLISHED, validate_table


def written(path: Path, rows: list[dict[str, str]]) -> Path:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def row() -> dict[str, str]:
    return next(csv.DictReader(PUBLISHED.read_text().splitlines()))


@pytest.mark.parametrize(
    "column", ["cycles", "mem_wait_cycles", "ibuf_read_bits", "dram_write_bits"]
)
def test_an_integer_off_by_one_is_found(tmp_path: Path, row: dict[str, str], column: str) -> None:
    row[column] = str(int(row[column]) + 1)
    outcome = validate_table(written(tmp_path / "t.csv", [row]))
    assert [mismatch.column for mismatch in outcome.mismatches] == [column]
    assert outcome.exact == 0
    assert not outcome.all_exact


def test_an_energy_off_by_a_billionth_is_found(tmp_path: Path, row: dict[str, str]) -> None:
    row["energy_total_nJ"] = repr(float(row["energy_total_nJ"]) * (1 + 3e-9))
    (mismatch,) = validate_table(written(tmp_path / "t.csv", [row])).mismatches
    assert mismatch.off_by == "-3e-09 relative"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"iprec": "16"}, "16-bit activations are wider than the array's 8 bits"),
        ({"wprec": "9"}, "9-bit weights are wider"),
        ({"wbuf_bytes": "512"}, "no tiling fits: .* of the weight buffer"),
        ({"pmin": "16"}, "array.min_bits must be at most"),
        ({"batch": "0"}, "batch must be at least 1"),
        ({"O": "0"}, "has a size below 1"),
    ],
)
def test_rows_the_published_tool_rejects_are_rejected_with_the_reason(
    tmp_path: Path, row: dict[str, str], changes: dict[str, str], said: str
) -> None:
    rejected = {**row, **changes, "status": "fails"}
    outcome = validate_table(written(tmp_path / "t.csv", [rejected]))
    assert outcome.all_exact
    (reason,) = outcome.rejected.values()
    assert re.search(said, reason)
    claimed_ok = {**rejected, "status": "ok"}
    assert not validate_table(written(tmp_path / "t.csv", [claimed_ok])).all_exact


def test_a_row_that_runs_but_should_not_is_a_mismatch(tmp_path: Path, row: dict[str, str]) -> None:
    outcome = validate_table(written(tmp_path / "t.csv", [{**row, "status": "fails"}]))
    assert [mismatch.column for mismatch in outcome.mismatches] == ["status"]


def test_energies_without_a_table_of_ours_come_from_the_row(
    tmp_path: Path, row: dict[str, str]
) -> None:
    """3-byte words exist in no SRAM table; the row says what its machine's energies are."""
    row |= {"pmax": "9", "pmin": "3", "N": "15"}
    outcome = validate_table(written(tmp_path / "t.csv", [row]))
    assert outcome.borrowed_energy == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lacks the columns"),
        ("a,b\n1,2\n", "lacks the columns K, O"),
    ],
)
def test_malformed_tables_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        validate_table(path)


def test_malformed_cells_are_named(tmp_path: Path, row: dict[str, str]) -> None:
    path = tmp_path / "t.csv"
    with pytest.raises(InputError, match="P000: K must be a number, got 'three'"):
        validate_table(written(path, [{**row, "K": "three"}]))
    with pytest.raises(
        InputError, match=r"P000: OC must be a whole number of up to 2\*\*53, got '3.5'"
    ):
        validate_table(written(path, [{**row, "OC": "3.5"}]))
    path.write_text(path.read_text().rsplit(",", 1)[0] + "\n")
    with pytest.raises(InputError, match="line 2 has too many or too few cells"):
        validate_table(path)
    with pytest.raises(InputError, match="cannot read"):
        validate_table(tmp_path / "absent.csv")
