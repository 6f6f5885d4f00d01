"""Colours of what has the same one on every chart of a report."""

from __future__ import annotations

from collections.abc import Iterable

from accel_models.explain import static_picture
from accel_models.precision import Precision
from accel_models.reference_machine.events import picture as timeline_picture

COMPONENT_COLOURS = static_picture.COLORS
WORK_COLOURS = {
    **timeline_picture.COLORS,
    "fetched in vain": "#444444",
    "layer": "#c3ccd5",
    "next layer": "#9aa5b1",
}
RIGHT_COLOURS = {"right": "#0b6e6e", "wrong": "#c8553d"}
_WIDTHS = ("#a6dbe3", "#7cc3d3", "#54a6c4", "#3787b1", "#266a9b", "#1d5285")


def width_colours(precisions: Iterable[str]) -> dict[str, str]:
    """Colours of widths, from pale to deep by BitOps."""
    order = sorted(set(precisions), key=lambda text: Precision.parse(text).bitops_per_mac)
    last = max(1, len(order) - 1)
    return {
        text: _WIDTHS[round(number / last * (len(_WIDTHS) - 1))]
        for number, text in enumerate(order)
    }
