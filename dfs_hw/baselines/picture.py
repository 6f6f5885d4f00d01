"""Accuracy against energy of everyone in a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from accel_models.pages.style import DOTS, FAINT, INK, WIDTH, dress, styled, write_drawing
from dfs_hw.baselines.contenders import AT_BUDGET, Contender
from dfs_hw.baselines.findings import Findings
from dfs_hw.baselines.records import AS_TRAINED, FROZEN, SHUFFLED, WITHIN
from dfs_hw.baselines.study import STATIC
from dfs_hw.baselines.tabulation import Row, Spread

COLORS = {
    "static": "#6b7a89",
    "best-static": "#1b2a3a",
    "smaller": "#8796a3",
    "dfs": "#0b6e6e",
    "skipnet": "#c8553d",
    "dfq": "#3b5b92",
    "feedforward": "#8e7cc3",
    "upfront": "#a0522d",
    "knob": "#e08e2b",
    "supervised": "#2f6f9f",
    "shaped": "#9fae3a",
    "static-exits": "#d487b8",
    "smaller-exits": "#c9b2d9",
    "exits": "#b5307a",
    "error": "#c9a227",
    "dfs-exits": "#4fb0ae",
    "cascade": "#5a9a3c",
}
UNNAMED = ("static", "smaller", "smaller-exits")
"""Families of many networks, of which the legend has the family: static ones are named where they
stand."""
CURVED = ("static-exits",)
"""Families of many networks with thresholds: the legend has the curve of each."""
LINES = ("-", "--", ":", "-.")
"""How curves of one family are told apart, in the order of tables."""
ABOVE: dict[str, Any] = {"xytext": (-5, 4), "ha": "right", "va": "bottom"}
BELOW: dict[str, Any] = {"xytext": (5, -4), "ha": "left", "va": "top"}
"""Where names of static networks stand: of the best at their energy above the stairs, of others
below."""
HALO = withStroke(linewidth=2, foreground="white")
"""Around names, which curves of others may cross."""
MARKERS = {AS_TRAINED: "o", FROZEN: "x", SHUFFLED: "o"}


@styled
def draw_findings(findings: Findings) -> Figure:
    """One point a contender, error bars over seeds; ablations in the colour of their network."""
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained", dpi=DOTS)
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
    _stairs(axes, findings)
    shown = [row for row in findings.rows if _at_its_own_target(findings, row)]
    for row in shown:
        _point(axes, findings, row)
    for contender in findings.line_up.contenders:
        if contender.name != "knob":  # whose curve is drawn at every price
            _within(axes, findings, contender)
    if findings.study.config.metric == "energy":
        budget = findings.line_up.budget * 1e6
        axes.axvline(budget, color=INK, linewidth=1, linestyle="--", label="budget", zorder=1)
    variants = {row.variant for row in shown}
    if SHUFFLED in variants:
        axes.scatter(
            [], [], marker="o", facecolors="none", edgecolors=FAINT, label="shuffled decisions"
        )
    for family, label in (("static", "static, one width"), ("smaller", "static, smaller")):
        if any(one.family == family for one in findings.line_up.contenders):
            axes.scatter([], [], marker="s", color=COLORS[family], label=label)
    if any(one.family == "smaller-exits" for one in findings.line_up.contenders):
        axes.plot([], [], color=COLORS["smaller-exits"], label="static, smaller, with exits")
    if FROZEN in variants:
        axes.scatter([], [], marker="x", color=FAINT, label="frozen choices, no gates")
    axes.set_xlabel("simulated energy per input, µJ (mean over test inputs)")
    axes.set_ylabel("test accuracy, %")
    seeds = len(findings.study.seeds)
    bars = "; bars: ± standard deviation" if seeds > 1 else ""
    axes.set_title(f"{seeds} seed{'s' if seeds > 1 else ''}{bars}", loc="left", color=FAINT)
    dress(axes)
    axes.set_xlim(left=0)  # where the names of the cheapest have room
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def write_findings_picture(findings: Findings, path: Path) -> None:
    """Draw to a PNG file."""
    write_drawing(path, lambda: draw_findings(findings))


def _at_its_own_target(findings: Findings, row: Row) -> bool:
    """Whether a row is a mark: as trained or ablated, at the budget its contender was made for."""
    return row.variant in MARKERS and row.target == findings.contender(row.contender).target


def _point(axes: Axes, findings: Findings, row: Row) -> None:
    contender = findings.contender(row.contender)
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
        markersize=6 if trained else 5,
        elinewidth=1 if trained else 0.6,
        alpha=1 if trained else 0.7,
        zorder=3 if trained else 2,
        label=contender.title if trained and contender.family not in (*UNNAMED, *CURVED) else None,
    )
    if trained and square:
        text = contender.title.removeprefix("static, ")
        above = contender in [stair.contender for stair in findings.frontier.stairs()]
        axes.annotate(
            text, (energy.mean * 1e6, accuracy.mean * 100), **(ABOVE if above else BELOW),
            textcoords="offset points", fontsize=6, color=color, path_effects=[HALO], zorder=4,
        )  # fmt: skip


def _stairs(axes: Axes, findings: Findings) -> None:
    """The best that static networks do at every energy: those that validation calls best."""
    rows = {row.contender: row for row in findings.rows if row.variant == AS_TRAINED}
    static = findings.frontier.networks
    steps = [rows[stair.contender.name] for stair in findings.frontier.stairs()]
    if findings.study.config.metric == "energy" and steps:
        dearest = max(_mean(rows[one.contender.name], "energy_j") for one in static)
        axes.step(
            [*(_mean(row, "energy_j") * 1e6 for row in steps), dearest * 1e6],
            [*(_mean(row, "accuracy") * 100 for row in steps), _mean(steps[-1], "accuracy") * 100],
            where="post",
            color=COLORS["best-static"],
            linewidth=1,
            alpha=0.5,
            label="best static within that, by validation",
            zorder=1,
        )


def _within(axes: Axes, findings: Findings, contender: Contender) -> None:
    """A contender at every budget that its thresholds were set for, from the lowest on."""
    rows = [
        row
        for row in findings.rows
        if row.contender == contender.name and row.variant in (AS_TRAINED, WITHIN)
    ]
    if len(rows) > 1:
        rows.sort(key=lambda row: row.target)
        axes.plot(
            [_mean(row, "energy_j") * 1e6 for row in rows],
            [_mean(row, "accuracy") * 100 for row in rows],
            color=COLORS[contender.family],
            linewidth=1.2,
            linestyle=LINES[_place(findings, contender) % len(LINES)],
            marker=".",
            zorder=2,
            label=contender.title if contender.family in CURVED else None,
        )


def _place(findings: Findings, contender: Contender) -> int:
    """Number of a contender among those of its family."""
    family = [one for one in findings.line_up.contenders if one.family == contender.family]
    return family.index(contender)


def _bar(spread: Spread, scale: float) -> float:
    return 0.0 if spread.deviation is None else spread.deviation * scale


def _mean(row: Row, name: str) -> float:
    spread = row.figures[name]
    assert spread is not None
    return spread.mean
