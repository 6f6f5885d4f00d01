"""Headroom as a picture: accuracy against cost, and below it what is left to earn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accel_models.metrics import METRICS
from accel_models.pages.style import DOTS, FAINT, INK, WIDTH, dress, styled, write_drawing
from dfs_hw.headroom.oracle import Headroom

ORACLE, LIMIT, LOTTERY = "#0b6e6e", "#3b5b92", "#e08e2b"
SCALES = {"J": (1e6, "µJ"), "s": (1e6, "µs"), "BitOps": (1e-6, "MBitOps")}
"""Factor and name of the unit that amounts are drawn in, by SI unit."""
MARGIN = 0.02
"""Accuracy below the worst static one down to which assignments are drawn."""


@styled
def draw_headroom(found: Headroom) -> Figure:
    """Accuracies of static networks and of oracles; below, by how much the oracles are better."""
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained", dpi=DOTS)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    metric = METRICS[found.metric]
    scale, unit = SCALES[metric.unit]
    amounts = [point.amount * scale for point in found.points]
    _accuracies(upper, found, amounts, scale)
    _gains(lower, found, amounts)
    for axes in (upper, lower):
        axes.axvline(found.at_budget.amount * scale, color=INK, linewidth=1, linestyle="--")
        dress(axes)
    lower.set_xlabel(f"simulated {metric.name} per input without gates, {unit} (mean over inputs)")
    upper.set_title(
        f"{len(found.seeds)} networks, {found.inputs} test inputs, "
        f"{len(found.assignments)} assignments; bands: 95 % intervals over inputs; upright: the "
        "budget",
        loc="left",
        color=FAINT,
    )
    return figure


def write_headroom_picture(found: Headroom, path: Path) -> None:
    """Draw to a PNG file."""
    write_drawing(path, lambda: draw_headroom(found))


def _accuracies(axes: Axes, found: Headroom, amounts: list[float], scale: float) -> None:
    """Curves of all policies, and a dot for each assignment that is not far below them."""

    def curve(name: str, label: str, **style: Any) -> None:
        values = [100 * getattr(point, name) for point in found.points]
        axes.plot(amounts, values, label=label, **style)

    curve("lottery", "oracle that chooses by luck, too", color=LOTTERY, linestyle=":")
    curve("limit", "oracle by any number of other networks", color=LIMIT, linestyle="--")
    curve("oracle", f"oracle by {_number(found)}, label in view", color=ORACLE)
    curve("static", "best static assignment, by validation inputs", color=INK, linewidth=2)
    floor = min(point.static for point in found.points) - MARGIN
    shown = [pair for pair in zip(found.costs, found.alone, strict=True) if pair[1] > floor]
    axes.scatter(
        [cost * scale for cost, _ in shown],
        [100 * accuracy for _, accuracy in shown],
        s=9,
        color=FAINT,
        alpha=0.6,
        label="one assignment for all inputs",
    )
    axes.set_ylabel("test accuracy, %")
    axes.legend(loc="lower right")


def _gains(axes: Axes, found: Headroom, amounts: list[float]) -> None:
    for name, label, color, style in (
        ("headroom", "no gate can be expected to earn more", LIMIT, "--"),
        ("shown", f"earned by {_number(found)}, label in view", ORACLE, "-"),
    ):
        gains = [getattr(point, name) for point in found.points]
        low, high = ([100 * getattr(gain, end) for gain in gains] for end in ("low", "high"))
        axes.fill_between(amounts, low, high, color=color, alpha=0.15, linewidth=0)
        means = [100 * gain.mean for gain in gains]
        axes.plot(amounts, means, color=color, linestyle=style, label=label)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_ylabel("over the best static, points")
    axes.legend(loc="upper right")


def _number(found: Headroom) -> str:
    others = len(found.seeds) - 1
    return f"{others} other network" + ("s" if others > 1 else "")
