"""Accuracy against energy of everyone in a comparison."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from accel_models.files import whole_file
from dfs_hw.baselines.contenders import AT_BUDGET, Contender
from dfs_hw.baselines.findings import Findings
from dfs_hw.baselines.measurement import AS_TRAINED, FROZEN, SHUFFLED
from dfs_hw.baselines.study import STATIC
from dfs_hw.baselines.tabulation import Row, Spread
from dfs_hw.palette import FAINT, INK, frame

COLORS = {
    "static": "#6b7a89",
    "best-static": "#1b2a3a",
    "dfs": "#0b6e6e",
    "skipnet": "#c8553d",
    "dfq": "#3b5b92",
    "feedforward": "#8e7cc3",
    "upfront": "#a0522d",
    "knob": "#e08e2b",
}
MARKERS = {AS_TRAINED: "o", FROZEN: "x", SHUFFLED: "o"}


def draw_findings(findings: Findings) -> Figure:
    """One point a contender, error bars over seeds; ablations in the colour of their network."""
    figure = Figure(figsize=(10.0, 6.0), layout="constrained", dpi=160)
    axes = figure.add_subplot()
    curve = findings.curve()
    if curve:
        axes.plot(
            [_mean(row, "energy_j") * 1e6 for row in curve],
            [_mean(row, "accuracy") * 100 for row in curve],
            color=COLORS["knob"],
            linewidth=1.2,
            marker=".",
            label="the knob turned, in order of price",
        )
    for row in findings.rows:
        if row.variant in MARKERS:
            _point(axes, row, findings.contender(row.contender), row.contender)
    if findings.study.config.metric == "energy":
        budget = findings.line_up.budget * 1e6
        axes.axvline(budget, color=INK, linewidth=1, linestyle="--", label="budget", zorder=1)
    axes.scatter(
        [], [], marker="o", facecolors="none", edgecolors=FAINT, label="shuffled decisions"
    )
    if any(one.family == "static" for one in findings.line_up.contenders):
        axes.scatter([], [], marker="s", color=COLORS["static"], label="static, one width")
    axes.scatter([], [], marker="x", color=FAINT, label="frozen choices, no gates")
    axes.set_xlabel("simulated energy per input, µJ (mean over test inputs)")
    axes.set_ylabel("test accuracy, %")
    seeds = len(findings.study.seeds)
    bars = "; bars: ± standard deviation" if seeds > 1 else ""
    axes.set_title(
        f"{seeds} seed{'s' if seeds > 1 else ''}{bars}", loc="left", fontsize=9, color=FAINT
    )
    frame(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return figure


def write_findings_picture(findings: Findings, path: Path) -> None:
    """Draw to a PNG file."""
    with whole_file(path) as partial:
        draw_findings(findings).savefig(partial, format="png")


def _point(axes: Axes, row: Row, contender: Contender, name: str) -> None:
    trained = row.variant == AS_TRAINED
    square = contender.family in STATIC
    color = COLORS[contender.family]
    shape = "s" if square else "D" if contender.target != AT_BUDGET else MARKERS[row.variant]
    if row.variant == FROZEN:
        shape = "x"
    energy, accuracy = row.figures["energy_j"], row.figures["accuracy"]
    assert energy is not None
    assert accuracy is not None
    axes.errorbar(
        energy.mean * 1e6,
        accuracy.mean * 100,
        xerr=_bar(energy, 1e6),
        yerr=_bar(accuracy, 100),
        fmt=shape,
        color=color,
        markerfacecolor="white" if row.variant == SHUFFLED else color,
        markersize=8 if trained else 6,
        elinewidth=1 if trained else 0.6,
        alpha=1 if trained else 0.7,
        zorder=3 if trained else 2,
        label=contender.title if trained and contender.family != "static" else None,
    )
    if trained and square:
        text = contender.title.removeprefix("static, ")
        axes.annotate(
            text, (energy.mean * 1e6, accuracy.mean * 100), (6, 6), textcoords="offset points",
            fontsize=7, color=color,
        )  # fmt: skip


def _bar(spread: Spread, scale: float) -> float:
    return 0.0 if spread.deviation is None else spread.deviation * scale


def _mean(row: Row, name: str) -> float:
    spread = row.figures[name]
    assert spread is not None
    return spread.mean
