"""A network at fixed precisions as a picture: its layers under the roofline, and their energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from accel_models.costs.pricing import COMPONENTS, Pricing
from accel_models.costs.simulator import Simulation
from accel_models.costs.solving import LayerCost
from accel_models.mapping.problem import ACTIONS
from accel_models.pages.style import INK, dress, styled, write_drawing
from accel_models.precision import Precision

if TYPE_CHECKING:  # matplotlib takes a while to load
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = {
    "array": "#0b6e6e",
    "vector unit": "#7fb7a3",
    "weight buffer": "#e08e2b",
    "input buffer": "#f1c27d",
    "output buffer": "#c8553d",
    "dram": "#3b5b92",
    "dram background": "#8aa3cf",
    "other": "#9aa5b1",
    "leakage": "#8e7cc3",
}
"""Colours by component of energy."""
POINTS = "#c8553d"
ROOF_LABEL: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": 6, "color": INK}
MOST_NAMES = 60
"""Names of layers that find room below a picture of the usual width."""
_DRAM = [ACTIONS.index(name) for name in ("dram_read_bits", "dram_write_bits")]


class RoofPoint(NamedTuple):
    """One layer under the roofline."""

    layer: str
    macs_per_bit: float
    """Multiply-accumulates for each bit over the DRAM port."""
    macs_per_cycle: float
    """What the layer reaches, waiting included; what loaded while the layer before was computed
    does not count as its own time."""
    peak_macs_per_cycle: float
    """What the fully used array reaches at the layer's widths."""
    precision: Precision
    """Widths that the layer runs at."""


def roof_points(run: Simulation) -> tuple[RoofPoint, ...]:
    """Layers that run on the array and move anything over the DRAM port, in order."""
    found = (roof_point(cost, run.batch) for cost in run.layers)
    return tuple(point for point in found if point is not None)


def roof_point(cost: LayerCost, batch: int = 1) -> RoofPoint | None:
    """A layer under the roofline; None if nothing moves, or the array has no part in it."""
    macs, bits = cost.layer.macs * batch, int(cost.counts[_DRAM].sum())
    if not (cost.compute_cycles and bits):
        return None
    peak = macs / (cost.occupancy * cost.compute_cycles)
    return RoofPoint(cost.layer.name, macs / bits, macs / cost.cycles, peak, cost.precision)


def roofs(points: Sequence[RoofPoint]) -> dict[float, str]:
    """Peaks of the array in MACs per cycle, lowest first, each with the widths that reach it."""
    widths: dict[float, list[str]] = {}
    for point in points:
        peak = float(f"{point.peak_macs_per_cycle:.6g}")  # worked out from each layer's cycles
        widths.setdefault(peak, []).append(str(point.precision))
    return {peak: ", ".join(dict.fromkeys(widths[peak])) + " bit" for peak in sorted(widths)}


def energy_stack(run: Simulation) -> np.ndarray:
    """Energy in pJ of every layer by component, float64 [layer, component]."""
    pricing = Pricing(run.accelerator)
    return np.stack([pricing.energy_pj(cost.counts, cost.cycles) for cost in run.layers])


@styled
def draw_static(runs: Mapping[str, Simulation], *, width: float = 11.0) -> Figure:
    """Roofline and energy of some runs, above one another and on the same scales.

    Args:
        runs: by the title they are shown under.
        width: of the figure, in inches.
    """
    from matplotlib.figure import Figure

    longest = max(len(cost.layer.name) for run in runs.values() for cost in run.layers)
    height = 2.5 * len(runs) + 0.06 * longest + 0.5
    figure = Figure(figsize=(width, height), layout="constrained", dpi=160)
    places = figure.subplots(
        len(runs), 2, sharex="col", sharey="col", squeeze=False, width_ratios=(2, 3)
    )
    for (roof, stack), (title, run) in zip(places, runs.items(), strict=True):
        _draw_roof(roof, run)
        _draw_stack(stack, run)
        name = f"{run.workload.name} on {run.accelerator.name}, {title}"
        roof.set_title(name, loc="left")
    handles, names = places[0, 1].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))
    return figure


def _draw_roof(axes: Axes, run: Simulation) -> None:
    points = roof_points(run)
    dress(axes)
    if not points:
        return
    bandwidth = run.accelerator.dram_bits_per_cycle
    peaks = roofs(points)
    far = 2 * max([point.macs_per_bit for point in points] + [max(peaks) / bandwidth])
    near = min(point.macs_per_bit for point in points) / 2
    for peak, widths in peaks.items():
        # Under the flat part the array is the limit, under the slope the DRAM port.
        corner = max(near, peak / bandwidth)
        axes.plot([near, corner, far], [near * bandwidth, peak, peak], color=INK, linewidth=1)
        axes.annotate(widths, (far, peak), (0, 2), textcoords="offset points", **ROOF_LABEL)
    axes.scatter(
        [point.macs_per_bit for point in points],
        [point.macs_per_cycle for point in points],
        s=14,
        color=POINTS,
        zorder=3,
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter("")
    axes.set_xlabel("MACs for each bit over DRAM")
    axes.set_ylabel("MACs per cycle")


def _draw_stack(axes: Axes, run: Simulation) -> None:
    energy = energy_stack(run) * 1e-6
    below = np.zeros(len(energy))
    places = np.arange(len(energy))
    for component, amount in zip(COMPONENTS, energy.T, strict=True):
        color = COLORS[component]
        axes.bar(places, amount, bottom=below, color=color, label=component, width=0.85)
        below += amount
    named = slice(None, None, 1 + len(energy) // MOST_NAMES)  # more than fit are left out evenly
    names = [cost.layer.name for cost in run.layers]
    axes.set_xticks(places[named], names[named], rotation=90, fontsize=6)
    axes.set_ylabel("energy in µJ")
    axes.margins(x=0.01)
    dress(axes)


def write_static_picture(path: str | Path, runs: Mapping[str, Simulation]) -> None:
    """Draw runs into a file, of the kind that its name ends with.

    Raises:
        InputError: if it cannot be written, or is of no known kind.
    """
    write_drawing(path, lambda: draw_static(runs))
