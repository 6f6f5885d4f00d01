"""Tables as plain data: what stands beside a chart, and what is there to download."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Cell = str | int | float | bool | None
SHARE = "share"
"""Unit of what is from 0 to 1 and shown in percent."""
PREFIXED = ("J", "s", "W")
"""Units that are shown with a prefix and three digits."""


@dataclass(frozen=True)
class Column:
    """A column of a frame.

    Args:
        name: that programs know it by.
        title: for people.
        unit: J, s or W, shown with a prefix; ``share``, shown in percent; another; or "".
    """

    name: str
    title: str
    unit: str = ""


@dataclass(frozen=True)
class Frame:
    """A table: columns, and rows with a cell for each."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @classmethod
    def of(cls, columns: Iterable[tuple[str, ...]], rows: Iterable[Sequence[Cell]]) -> Frame:
        """Table of columns as (name, title, unit), the unit left out where there is none."""
        return cls(tuple(Column(*one) for one in columns), tuple(map(tuple, rows)))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    def values(self, name: str) -> list[Any]:
        """Cells of a column."""
        at = self.names.index(name)
        return [row[at] for row in self.rows]

    def records(self) -> Iterator[dict[str, Any]]:
        """Rows as dictionaries."""
        return (dict(zip(self.names, row, strict=True)) for row in self.rows)

    def to_dict(self) -> Mapping[str, Any]:
        """Columns and rows as JSON can hold them."""
        return {"columns": [vars(column) for column in self.columns], "rows": self.rows}

    def as_csv(self) -> str:
        """The rows under the columns' names, in SI units; shares are from 0 to 1."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.names)
        writer.writerows(self.rows)
        return text.getvalue()


__all__ = ["PREFIXED", "SHARE", "Cell", "Column", "Frame"]
