"""Colours that all pictures share, and the frame that they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT, GRID = "#1b2a3a", "#6b7a89", "#dfe5ea"


def frame(axes: Axes) -> None:
    """Draw a grid behind everything, and no box."""
    axes.grid(color=GRID)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
