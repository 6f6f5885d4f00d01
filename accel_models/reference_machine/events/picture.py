"""Timelines as a static picture: resources as rows, time to the right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from accel_models.pages.style import dress, styled, write_drawing
from accel_models.reference_machine.events.layer_runs import slots
from accel_models.reference_machine.events.timeline import Timeline

if TYPE_CHECKING:  # matplotlib takes a while to load
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = {
    "weights": "#3b5b92",
    "inputs": "#7d9cc8",
    "outputs": "#c8553d",
    "partial sums in": "#8e7cc3",
    "partial sums out": "#6f5aa8",
    "residual": "#e0a08f",
    "prefetch": "#2fa36b",
    "fetched in vain": "#111111",
    "compute": "#0b6e6e",
    "ramp": "#7fb7a3",
    "fill": "#7fb7a3",
    "drain": "#e08e2b",
    "decide": "#b0412b",
    "reconfigure": "#f2c94c",
}
"""Colours by kind of event; what is not here is waiting, and left blank."""
LAYER_SHADES = ("#dfe5ea", "#c3ccd5")


@styled
def draw_timelines(timelines: Mapping[str, Timeline], *, width: float = 9.0) -> Figure:
    """Timelines above one another on one scale of time.

    Args:
        timelines: drawn ones, by the title they are shown under.
        width: of the figure, in inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 1.75 * len(timelines) + 0.7), layout="constrained", dpi=160)
    rows = figure.subplots(len(timelines), 1, sharex=True, squeeze=False)[:, 0]
    seen: dict[str, str] = {}
    for axes, (title, timeline) in zip(rows, timelines.items(), strict=True):
        seen |= _draw_one(axes, timeline)
        axes.set_title(title, loc="left")
    rows[-1].set_xlabel("µs from the beginning of the input")
    for name, color in seen.items():
        rows[0].barh(0, 0, color=color, label=name)
    figure.legend(
        *rows[0].get_legend_handles_labels(),
        loc="outside upper center",
        ncols=min(len(seen), 7),
    )
    return figure


def _draw_one(axes: Axes, timeline: Timeline) -> dict[str, str]:
    """One timeline; the colours that were used, by kind."""
    code, scale = slots(), 1e6 / timeline.table.accelerator.frequency_hz
    names = ("layers", *code.RESOURCES)
    for number, span in enumerate(timeline.spans):
        bar = (span.start * scale, (span.end - span.start) * scale)
        axes.broken_barh([bar], (-0.4, 0.8), color=LAYER_SHADES[number % 2])
    seen = {}
    for kind, name in enumerate(code.KINDS):
        for resource in range(len(code.RESOURCES)):
            events = timeline.events
            mine = (events[:, code.KIND] == kind) & (events[:, code.RESOURCE] == resource)
            if name in COLORS and mine.any():
                bars = joined(events[mine][:, [code.START, code.END]]) * scale
                ranges = [(start, end - start) for start, end in bars.tolist()]
                color = COLORS[name]
                axes.broken_barh(ranges, (resource + 0.6, 0.8), color=color, linewidth=0)
                seen[name] = color
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.margins(x=0)
    dress(axes, "x")
    return seen


def joined(bars: np.ndarray, apart: float = 0.0) -> np.ndarray:
    """Bars [bar, (start, end)] in order of time, those that are no further apart as one."""
    bars = bars[bars[:, 1] > bars[:, 0]]
    bars = bars[np.argsort(bars[:, 0], kind="stable")]
    if len(bars) == 0:
        return bars
    opens = np.concatenate([[True], bars[1:, 0] > np.maximum.accumulate(bars[:, 1])[:-1] + apart])
    starts = np.flatnonzero(opens)
    ends = np.maximum.reduceat(bars[:, 1], starts)
    return np.column_stack([bars[starts, 0], ends])


def write_timeline_picture(path: str | Path, timelines: Mapping[str, Timeline]) -> None:
    """Draw timelines into a file, of the kind that its name ends with.

    Raises:
        InputError: if it cannot be written, or is of no known kind.
    """
    write_drawing(path, lambda: draw_timelines(timelines))
