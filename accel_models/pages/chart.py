"""Charts as plain data, drawn by the script of a page and, on paper, by `pages.figure`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from accel_models.pages.frame import Frame

Kind = Literal["points", "lines", "bars", "columns", "heat", "spans", "table"]
"""Kind of chart. ``points``: a dot a row. ``lines``: a line a series. ``bars``: amounts that lie,
those of a series stacked, rows alike added up. ``columns``: amounts from `x` to `end` that stand,
stacked. ``heat``: a cell for each pair of names, as dark as its value. ``spans``: from `x` to `end`
in the row of a name. ``table``: the table alone."""
PALETTE = (
    "#0b6e6e", "#e08e2b", "#3b5b92", "#c8553d", "#8e7cc3", "#5a9a3c", "#b5307a", "#a0722d",
    "#4fb0ae", "#7d9cc8", "#e0a08f", "#6b7a89",
)  # fmt: skip
"""Colours of series that have none of their own, in order."""


@dataclass(frozen=True)
class ChartMark:
    """A line across a chart at a value of an axis, with a word."""

    axis: Literal["x", "y"]
    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A picture of a frame.

    Args:
        name: of its files and of its place on a page.
        title: for people.
        kind: how rows are drawn.
        frame: the table that it is drawn from, and that stands beside it.
        x: column across; of ``bars``, what adds up.
        y: column up; of ``bars`` and ``spans``, the name of a row, of ``heat`` too.
        series: column that colours; "" for one colour.
        end: of ``columns`` and ``spans``: column where they end.
        value: of ``heat``: column that darkens a cell.
        label: column that says what a dot is.
        reach: columns (low, high) of `y`'s interval, drawn as a line through a dot.
        spread: columns (low, high) of `x`'s interval.
        log: axes on a logarithmic scale: "", ``x``, ``y`` or ``xy``.
        stairs: whether lines go up in steps.
        joined: series of ``points`` whose dots are joined in order of `x`.
        filters: columns of names that a reader can restrict the chart to one of.
        pivots: of ``bars``: columns that a reader can put in place of `y` and of `series`.
        full: of ``heat``: value of a cell that is as dark as it gets; by default the largest.
        diverging: whether a heat map tells values above 0, in red, from those below, in teal.
        colours: of series, by name.
        marks: lines across.
        note: what a reader has to know.
    """

    name: str
    title: str
    kind: Kind
    frame: Frame
    x: str
    y: str
    series: str = ""
    end: str = ""
    value: str = ""
    label: str = ""
    reach: tuple[str, str] | None = None
    spread: tuple[str, str] | None = None
    log: str = ""
    stairs: bool = False
    joined: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    pivots: tuple[str, ...] = ()
    full: float | None = None
    diverging: bool = False
    colours: Mapping[str, str] = field(default_factory=dict)
    marks: tuple[ChartMark, ...] = ()
    note: str = ""

    @property
    def series_names(self) -> list[str]:
        """Series in the order in which rows name them."""
        if not self.series:
            return []
        return list(dict.fromkeys(str(name) for name in self.frame.values(self.series)))

    def colour(self, series: str) -> str:
        """Colour of a series."""
        names = [name for name in self.series_names if name not in self.colours]
        if series in self.colours:
            return self.colours[series]
        return PALETTE[names.index(series) % len(PALETTE)] if series in names else PALETTE[0]

    def to_dict(self) -> dict[str, Any]:
        """Everything that a page's script draws from, as JSON can hold it."""
        plain = {name: value for name, value in vars(self).items() if name != "frame"}
        return {
            **plain,
            "frame": self.frame.to_dict(),
            "colours": {name: self.colour(name) for name in self.series_names},
            "marks": [vars(mark) for mark in self.marks],
        }


__all__ = ["PALETTE", "Chart", "ChartMark", "Kind"]
