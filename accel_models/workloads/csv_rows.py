"""Rows of a CSV file as its cells say them: what every reader of tables refuses, and how.

A byte-order mark, either kind of line end, blank rows and rows of commas alone are what
spreadsheets leave behind, and pass.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from accel_models.errors import InputError
from accel_models.files import read_bytes

MAX_DIGITS = 9
TRUE, FALSE = ("1", "true", "yes"), ("0", "false", "no")


@dataclass(frozen=True)
class CsvRow:
    """One row: its line in the file, and its cells without the blanks around them."""

    line: int
    cells: tuple[str, ...]


def read_rows(path: Path) -> tuple[list[str], list[CsvRow]]:
    """Column names in lower case, and the rows that are not blank.

    Raises:
        InputError: if the file is missing, no text, no CSV, or has no header.
    """
    data = read_bytes(path)
    reader = csv.reader(
        io.StringIO(_text(path, data), newline=""), delimiter=_delimiter(path, data)
    )
    try:
        found = [CsvRow(reader.line_num, tuple(map(str.strip, cells))) for cells in reader]
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV file: {error}") from error
    rows = [row for row in found if any(row.cells)]
    if not rows:
        raise InputError(f"{path} is empty")
    names = [" ".join(cell.lower().split()) for cell in rows[0].cells]
    while not names[-1]:
        names.pop()
    return names, rows[1:]


def _text(path: Path, data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{path} is UTF-16 text: save it as UTF-8 ('CSV UTF-8' in Excel)")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a CSV file: {error}") from error


def _delimiter(path: Path, data: bytes) -> str:
    """Comma, or tab where the header has no comma."""
    header = data.lstrip().split(b"\n", 1)[0]
    if b"," in header:
        return ","
    if b";" in header:
        raise InputError(
            f"{path} separates its columns by semicolons, as spreadsheets do where the comma is "
            "the decimal sign: separate them by commas"
        )
    return "\t" if b"\t" in header else ","


def check_columns(path: Path, names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse columns that have no name, come twice, or are not known.

    Raises:
        InputError: naming the column and the nearest one that is known.
    """
    names, known = list(names), list(known)
    for number, name in enumerate(names, start=1):
        if not name:
            raise InputError(f"{path}: column {number} has no name")
        if name in names[: number - 1]:
            raise InputError(f"{path} has two columns called '{name}'")
    unknown = [_with_nearest(name, known) for name in names if name not in known]
    if unknown:
        several = "unknown columns" if len(unknown) > 1 else "an unknown column"
        raise InputError(f"{path} has {several}: {', '.join(unknown)}")


def _with_nearest(name: str, known: Iterable[str]) -> str:
    """A column's name and, in brackets, the one that was most likely meant."""
    known = list(known)
    near = [column for column in known if column.startswith(name) or name.startswith(column)]
    near = near or get_close_matches(name, known, n=1, cutoff=0.6)
    return f"'{name}' (did you mean '{near[0]}'?)" if near else f"'{name}'"


def whole_number(column: str, text: str, least: int = 0) -> int:
    """The number in a cell.

    Raises:
        InputError: if it is no whole number, or below `least`.
    """
    if not text.isdecimal() or not text.isascii() or len(text) > MAX_DIGITS:
        raise InputError(f"{column} must be a whole number, got '{text}'")
    if int(text) < least:
        raise InputError(f"{column} must be at least {least}, got {int(text)}")
    return int(text)


def sizes(column: str, text: str, example: str = "3 or 3x5") -> tuple[int, ...]:
    """The numbers in a cell such as ``3x5``.

    Raises:
        InputError: if they are no whole numbers.
    """
    parts = [part.strip() for part in text.lower().split("x")]
    if not all(part.isdecimal() and part.isascii() and len(part) <= MAX_DIGITS for part in parts):
        raise InputError(f"{column} must be a size such as {example}, got '{text}'")
    return tuple(map(int, parts))


def truth(column: str, text: str) -> bool:
    """Whether a cell says yes, in any of the ways that programs write it.

    Raises:
        InputError: if it says neither yes nor no.
    """
    word = text.lower()
    if word not in (*TRUE, *FALSE):
        raise InputError(f"{column} must be true or false (or 1 or 0), got '{text}'")
    return word in TRUE
