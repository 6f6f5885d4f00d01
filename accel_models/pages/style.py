"""The look of every picture on paper: its colours, its text, its axes, and how it is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec

from accel_models.errors import InputError
from accel_models.files import whole_file

if TYPE_CHECKING:  # matplotlib takes a while to load
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#1b2a3a", "#6b7a89", "#dfe5ea"
P = ParamSpec("P")
Grid = Literal["both", "x", "y", ""]
WIDTH, DOTS = 6.4, 250
"""Width of a figure in inches: the text of a page in one column. Dots an inch, where there are."""
KINDS = ("png", "svg", "pdf")
STYLE: Any = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.labelcolor": INK,
    "axes.titlesize": 8,
    "axes.titlecolor": INK,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "dfs-hw",
    "pdf.fonttype": 42,
}
"""Text stays text in vectors, and an SVG of the same data is the same file."""
_DATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorate what draws a figure: its text and legends are those of all pictures."""

    @wraps(draw)
    def drawn(*args: P.args, **options: P.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*args, **options)

    return drawn


def dress(axes: Axes, grid: Grid = "both") -> None:
    """Draw lines behind everything, and no box."""
    axes.tick_params(which="both", colors=INK, length=0, labelsize=7)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(color=GRID, axis=grid)
    for spine in axes.spines.values():
        spine.set_visible(False)


def write_drawing(path: str | Path, draw: Callable[[], Figure]) -> Path:
    """Draw into a file, of the kind that its name ends with; returns its path.

    Raises:
        InputError: if it cannot be written, or is of no known kind.
    """
    import matplotlib

    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    if kind not in KINDS:
        raise InputError(f"cannot draw into {path}: end its name with .png, .svg or .pdf")
    with matplotlib.rc_context(STYLE), whole_file(path) as partial:
        draw().savefig(partial, format=kind, metadata=_DATED.get(kind))
    return path


__all__ = [
    "DOTS",
    "FAINT",
    "GRID",
    "INK",
    "STYLE",
    "WIDTH",
    "Grid",
    "dress",
    "styled",
    "write_drawing",
]
