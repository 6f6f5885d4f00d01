"""Charts on paper: vector figures in one style, of the same data that pages draw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_models.pages.chart import Chart
from accel_models.pages.frame import PREFIXED, SHARE
from accel_models.pages.style import FAINT, INK, WIDTH, Grid, dress, styled, write_drawing
from accel_models.si import si

if TYPE_CHECKING:  # matplotlib takes a while to load
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

LONGEST, LONGEST_BESIDE = 34, 48
"""Characters of a name on an axis, and beside a dot."""
MOST_NAMES = 24
"""Dots that are all named."""
Place = tuple[float, float]
NAME_PLACES: tuple[Place, ...] = (
    *((4, 4), (4, -4), (-4, 4), (-4, -4), (6, 0), (-6, 0), (0, 6), (0, -6)),
    *((right, up) for up in (12, -12, 20, -20, 28, -28, 36, -36) for right in (4, -4)),
)
"""Points to the right of a dot and above it at which its name may begin, the best first."""
DOT = 4.0
"""Half of the width of a dot with what is kept free around it, in pixels."""
ACROSS = 110
"""Characters of a legend that fit beside each other, 8 for each mark."""
_LINES: dict[str, Grid] = {"bars": "x", "spans": "x", "heat": ""}


def write_figure(chart: Chart, path: Path) -> Path:
    """Draw a chart into a PDF or SVG file, as its name ends; returns its path."""
    return write_drawing(path, lambda: draw_chart(chart))


@styled
def draw_chart(chart: Chart) -> Figure:
    """A chart as a figure of matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, _height(chart)), layout="constrained")
    axes = figure.add_subplot()
    {
        "points": _points,
        "lines": _lines,
        "bars": _bars,
        "columns": _columns,
        "heat": _heat,
        "spans": _spans,
    }[chart.kind](axes, chart)
    _dress(figure, axes, chart)
    if axes.texts and chart.kind == "points":
        _set_names_apart(figure, axes)
    return figure


def _height(chart: Chart) -> float:
    if chart.kind in ("bars", "heat", "spans"):
        return 0.19 * len(set(chart.frame.values(chart.y))) + 1.1
    return 3.6


def _points(axes: Axes, chart: Chart) -> None:
    many, named = len(chart.frame.rows) > 150, []
    for name, rows in _groups(chart):
        rows = [row for row in rows if row[chart.x] is not None and row[chart.y] is not None]
        color, lined = chart.colour(name), name in chart.joined
        if lined:
            line = sorted((row[chart.x], row[chart.y]) for row in rows)
            axes.plot(*zip(*line, strict=True), color=color, linewidth=1, label=name)
        dots = [row for row in rows if not lined or not chart.label or row[chart.label]]
        xs, ys = [row[chart.x] for row in dots], [row[chart.y] for row in dots]
        label = None if lined else name or None
        axes.scatter(xs, ys, s=6 if many else 22, color=color, label=label, zorder=3)
        for row in dots:
            _interval(axes, chart, row, color)
        named += dots
    if chart.label and len(named) <= MOST_NAMES:
        for row in named:
            text = _plain(_cut(row[chart.label], LONGEST_BESIDE))
            axes.annotate(
                text, (row[chart.x], row[chart.y]), (4, 4),
                textcoords="offset points", fontsize=6, color=FAINT, in_layout=False,
            )  # fmt: skip


def _set_names_apart(figure: Figure, axes: Axes) -> None:
    """Put each name where it covers least of the dots, of names before it and of the margin."""
    import numpy as np
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()  # which settles where everything is
    offsets = [np.asarray(drawn.get_offsets()) for drawn in axes.collections]
    dots = [at for each in offsets for at in axes.transData.transform(each)]
    taken = [Bbox([at - DOT, at + DOT]) for at in dots]
    for name in axes.texts:

        def covered(place: Place, name: Text = name) -> float:
            box = _placed(name, place)
            hidden = [_overlap(box, other) for other in taken]
            return sum(hidden) + _overlap(box, box) - _overlap(box, axes.bbox)

        taken.append(_placed(name, min(NAME_PLACES, key=covered)))


def _placed(name: Text, place: Place) -> Bbox:
    """Move a name to a place beside its dot; returns what it takes up there."""
    right, up = place
    name.set_position(place)
    name.set_horizontalalignment("left" if right > 0 else "right" if right < 0 else "center")
    name.set_verticalalignment("bottom" if up > 0 else "top" if up < 0 else "center")
    return name.get_window_extent()


def _overlap(one: Bbox, other: Bbox) -> float:
    """Area that two boxes share."""
    shared = one.intersection(one, other)
    return 0.0 if shared is None else float(shared.width * shared.height)


def _interval(axes: Axes, chart: Chart, row: dict[str, Any], color: str) -> None:
    x, y = row[chart.x], row[chart.y]
    for ends, horizontal in ((chart.spread, True), (chart.reach, False)):
        low, high = (row[name] for name in ends) if ends else (None, None)
        if low is None or high is None:
            continue
        line = ([low, high], [y, y]) if horizontal else ([x, x], [low, high])
        axes.plot(*line, color=color, linewidth=0.8)


def _lines(axes: Axes, chart: Chart) -> None:
    for name, rows in _groups(chart):
        line = sorted((row[chart.x], row[chart.y]) for row in rows if row[chart.y] is not None)
        style = "steps-post" if chart.stairs else "default"
        color = chart.colour(name)
        axes.plot(*zip(*line, strict=True), color=color, label=name or None, drawstyle=style)


def _bars(axes: Axes, chart: Chart) -> None:
    names = list(dict.fromkeys(str(name) for name in chart.frame.values(chart.y)))
    left: dict[str, float] = dict.fromkeys(names, 0.0)
    for series, rows in _groups(chart):
        amounts: dict[str, float] = defaultdict(float)
        for row in rows:
            amounts[str(row[chart.y])] += row[chart.x] or 0.0
        widths = [amounts[name] for name in names]
        if any(widths):
            at, color = [left[name] for name in names], chart.colour(series)
            axes.barh(range(len(names)), widths, left=at, color=color, label=series or None)
        for name in names:
            left[name] += amounts[name]
    _names_down(axes, names)


def _columns(axes: Axes, chart: Chart) -> None:
    below: dict[float, float] = defaultdict(float)
    for series, rows in _groups(chart):
        starts = [row[chart.x] for row in rows]
        wide = [row[chart.end] - row[chart.x] for row in rows]
        amounts = [row[chart.y] for row in rows]
        axes.bar(
            starts, amounts, wide, [below[start] for start in starts], align="edge",
            color=chart.colour(series), label=series or None,
        )  # fmt: skip
        for start, amount in zip(starts, amounts, strict=True):
            below[start] += amount


def _spans(axes: Axes, chart: Chart) -> None:
    names = list(dict.fromkeys(str(name) for name in chart.frame.values(chart.y)))
    at = {name: number for number, name in enumerate(names)}
    for series, rows in _groups(chart):
        for name in names:
            ranges = [
                (min(row[chart.x], row[chart.end]), abs(row[chart.end] - row[chart.x]))
                for row in rows
                if str(row[chart.y]) == name
            ]
            if ranges:
                axes.broken_barh(ranges, (at[name] - 0.4, 0.8), color=chart.colour(series))
        if series:
            axes.barh(0, 0, color=chart.colour(series), label=series)
    _names_down(axes, names)


def _heat(axes: Axes, chart: Chart) -> None:
    import numpy as np

    across = list(dict.fromkeys(map(str, chart.frame.values(chart.x))))
    down = list(dict.fromkeys(map(str, chart.frame.values(chart.y))))
    values = np.full((len(down), len(across)), np.nan)
    for row in chart.frame.records():
        if row[chart.value] is not None:
            place = down.index(str(row[chart.y])), across.index(str(row[chart.x]))
            values[place] = row[chart.value]
    most = chart.full or float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    signed = chart.diverging
    axes.pcolormesh(
        np.arange(len(across) + 1) - 0.5, np.arange(len(down) + 1) - 0.5, values,
        vmin=-most if signed else 0.0, vmax=most, cmap="BrBG_r" if signed else "GnBu",
    )  # fmt: skip
    unit = _unit(chart, chart.value)
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value) and len(across) <= 16:
            axes.text(column, row, _said(float(value), unit), ha="center", va="center", fontsize=6)
    axes.set_xticks(range(len(across)), [_plain(_cut(name)) for name in across])
    if sum(map(len, across)) > 70:
        axes.tick_params(axis="x", rotation=45)
    _names_down(axes, down)


def _names_down(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), [_plain(_cut(name)) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)


def _dress(figure: Figure, axes: Axes, chart: Chart) -> None:
    """Axes, marks and legend."""
    for axis, name in (("x", chart.x), ("y", chart.y)):
        named = chart.kind == "heat" or (axis == "y" and chart.kind in ("bars", "spans"))
        if named:
            continue
        unit = _unit(chart, name)
        getattr(axes, f"set_{axis}label")(_plain(_title(chart, name)))
        if axis in chart.log:
            getattr(axes, f"set_{axis}scale")("log")
        if unit in (*PREFIXED, SHARE):
            lines = axes.xaxis if axis == "x" else axes.yaxis
            lines.set_major_formatter(_ticks(unit))
    for mark in chart.marks:
        draw = axes.axvline if mark.axis == "x" else axes.axhline
        draw(mark.at, color=INK, linewidth=0.8, linestyle="--", label=_plain(mark.text))
    dress(axes, _LINES.get(chart.kind, "both"))
    handles, names = axes.get_legend_handles_labels()
    if len(names) > 1 or chart.marks:
        ncols = max(1, min(5, len(names), ACROSS // (max(map(len, names)) + 8)))
        figure.legend(handles, names, loc="outside upper center", ncols=ncols)


def _groups(chart: Chart) -> list[tuple[str, list[dict[str, Any]]]]:
    """Rows by series."""
    if not chart.series:
        return [("", list(chart.frame.records()))]
    groups: dict[str, list[dict[str, Any]]] = {name: [] for name in chart.series_names}
    for row in chart.frame.records():
        groups[str(row[chart.series])].append(row)
    return list(groups.items())


def _unit(chart: Chart, name: str) -> str:
    return next(column.unit for column in chart.frame.columns if column.name == name)


def _title(chart: Chart, name: str) -> str:
    return next(column.title for column in chart.frame.columns if column.name == name)


def _ticks(unit: str) -> Callable[[float, float], str]:
    return lambda value, _: _said(value, unit)


def _said(value: float, unit: str) -> str:
    if unit in PREFIXED:
        return si(value, unit)
    return f"{100 * value:.3g} %" if unit == SHARE else f"{value:.3g}"


def _cut(name: object, longest: int = LONGEST) -> str:
    text = str(name)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _plain(text: str) -> str:
    """Text in which nothing is taken for a formula."""
    return text.replace("$", r"\$")


__all__ = ["draw_chart", "write_figure"]
