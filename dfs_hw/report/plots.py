"""The report's figures. Each function draws one from `Facts`; none touches global state."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure

from accel_models.costs.pricing import COMPONENTS
from accel_models.errors import InputError
from accel_models.precision import EXIT, SKIP, Precision
from accel_models.reference_machine.events.picture import draw_timelines
from accel_models.reference_machine.events.timeline import Player
from accel_models.replay import spread
from dfs_hw.palette import FAINT, GRID, INK
from dfs_hw.report.facts import Facts

BITOPS, ENERGY, LATENCY = "#b9c2cb", "#0b6e6e", "#e08e2b"
COMPONENT_COLORS = {
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
SKIPPED, LEFT, NARROW, WIDE = "#e9edf0", "#f0dfb2", "#bfdee6", "#0a3b5c"
WIDTH = 9.0


def savings(facts: Facts) -> Figure:
    """BitOps beside simulated energy and latency, all relative to the highest precision."""
    variants = [v for v in facts.variants if v.kind != "shuffled"]
    figure, axes = _figure(0.62 * len(variants) + 1.1)
    top = facts.top
    for row, variant in enumerate(variants):
        for offset, value, color in (
            (-0.26, variant.bitops / top.bitops, BITOPS),
            (0.0, variant.energy_j / top.energy_j, ENERGY),
            (0.26, variant.latency_s / top.latency_s, LATENCY),
        ):
            axes.barh(row + offset, value, height=0.24, color=color)
            axes.text(value + 0.01, row + offset, f"{value:.0%}", va="center", fontsize=8)
    axes.set_yticks(range(len(variants)), [_two_lines(v.name, v.accuracy) for v in variants])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("relative to the highest precision everywhere")
    for label, color in (("BitOps", BITOPS), ("energy", ENERGY), ("latency", LATENCY)):
        axes.bar(0, 0, color=color, label=label)
    _legend_above(axes)
    axes.grid(axis="x", color=GRID)
    return figure


def distribution(facts: Facts) -> Figure:
    """How energy is spread over inputs: histogram, right and wrong predictions apart."""
    figure, axes = _figure(3.4)
    energy = facts.replay.energy_j * 1e6
    trace = facts.replay.trace
    right = trace.labels == trace.predictions
    edges = np.histogram_bin_edges(energy, bins=min(40, max(8, facts.distinct_decisions)))
    axes.hist(
        [energy[right], energy[~right]],
        bins=edges.tolist(),
        stacked=True,
        color=[ENERGY, "#c8553d"],
        label=["predicted right", "predicted wrong"],
    )
    for share, name in (("mean", "mean"), ("p95", "p95")):
        value = spread(energy)[share]
        axes.axvline(value, color=INK, linewidth=1, linestyle="--" if share == "p95" else "-")
        axes.annotate(
            name, (value, 1), (0, 3), ("data", "axes fraction"), "offset points",
            ha="center", fontsize=8, color=INK,
        )  # fmt: skip
    _mark_static(axes, facts)
    axes.set_xlabel("energy of one input, µJ")
    axes.set_ylabel("inputs")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.04), ncols=2, frameon=False, fontsize=8)
    axes.grid(axis="y", color=GRID)
    return figure


def choices(facts: Facts) -> Figure:
    """What each block chose: shares of inputs."""
    units = facts.table.units
    figure, axes = _figure(0.34 * len(units) + 1.2)
    shares = facts.replay.choice_counts / len(facts.replay.trace)
    left = np.zeros(len(units))
    for column, (choice, color) in enumerate(
        zip(facts.table.choices, _choice_colors(facts.table.choices), strict=True)
    ):
        label = f"{choice} bit" if choice.runs else str(choice)
        axes.barh(units, shares[:, column], left=left, color=color, label=label, height=0.72)
        for row, share in enumerate(shares[:, column]):
            if share >= 0.08:
                dark = choice.runs and column >= len(facts.table.choices) / 2
                axes.text(
                    left[row] + share / 2,
                    row,
                    f"{share:.0%}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if dark else INK,
                )
        left += shares[:, column]
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set_xlabel("share of test inputs")
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(facts.table.choices), frameon=False
    )
    return figure


def components(facts: Facts) -> Figure:
    """Where the energy goes: adaptive beside static networks."""
    bars = [(v.name, facts.static(v).energy_pj) for v in facts.variants if v.kind == "static"]
    bars.append((facts.adaptive.name, facts.replay.energy_pj.mean(axis=0)))
    figure, axes = _figure(0.5 * len(bars) + 1.2)
    left = np.zeros(len(bars))
    for index, component in enumerate(COMPONENTS):
        amounts = np.array([energy[index] for _, energy in bars]) * 1e-6
        if amounts.any():
            color = COMPONENT_COLORS[component]
            axes.barh([name for name, _ in bars], amounts, left=left, color=color, label=component)
        left += amounts
    axes.invert_yaxis()
    axes.set_xlabel("mean energy per input, µJ")
    _legend_above(axes)
    axes.grid(axis="x", color=GRID)
    return figure


def layers(facts: Facts) -> Figure:
    """Mean energy of every layer under the recorded choices, in the order they run."""
    energy = facts.replay.layer_energy_pj * 1e-6
    names = [layer.name for layer in facts.table.workload.layers]
    figure, axes = _figure(0.19 * len(names) + 1.2)
    left = np.zeros(len(names))
    for index, component in enumerate(COMPONENTS):
        if energy[:, index].any():
            color = COMPONENT_COLORS[component]
            axes.barh(names, energy[:, index], left=left, color=color, label=component)
        left += energy[:, index]
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.margins(y=0.01)
    axes.set_xlabel("mean energy per input, µJ")
    _legend_above(axes)
    axes.grid(axis="x", color=GRID)
    return figure


def difficulty(facts: Facts) -> Figure | None:
    """Energy against how badly an image was degraded; None where that is not known."""
    if facts.images.severity is None:
        return None
    severity = facts.images.severity.numpy()
    energy = facts.replay.energy_j * 1e6
    figure, axes = _figure(3.4)
    edges = [-0.01, 0.0, 0.25, 0.5, 0.75, 1.0]
    groups = [energy[(severity > low) & (severity <= high)] for low, high in pairwise(edges)]
    names = ["clean", *(f"{low:g}–{high:g}" for low, high in pairwise(edges[1:]))]
    kept = [
        (group, f"{name}\n{len(group)} inputs")
        for group, name in zip(groups, names, strict=True)
        if len(group)
    ]
    boxes = axes.boxplot(
        [group for group, _ in kept],
        tick_labels=[name for _, name in kept],
        patch_artist=True,
        showmeans=True,
        medianprops={"color": INK},
        meanprops={"markerfacecolor": INK, "markeredgecolor": INK, "markersize": 4},
        flierprops={"markersize": 2, "markeredgecolor": FAINT},
    )
    for box in boxes["boxes"]:
        box.set_facecolor(NARROW)
    axes.set_xlabel("severity of the degradation")
    axes.set_ylabel("energy of one input, µJ")
    axes.grid(axis="y", color=GRID)
    return figure


def timelines(facts: Facts) -> Figure | None:
    """The cheapest and the dearest input at work: resources as rows, time to the right; None if
    they have more tiles than can be drawn."""
    (cheap,), (dear,) = facts.extremes(1)
    replay, player = facts.replay, Player(facts.table, facts.replay.policy)
    shown = {}
    for name, row in (("cheapest", cheap), ("dearest", dear)):
        try:
            played = player.play(replay.trace.choices[row], draw=True)
        except InputError:
            return None
        title = f"{name} input: {played.energy_j * 1e6:.1f} µJ, {played.latency_s * 1e6:.1f} µs"
        shown[title] = played
    return draw_timelines(shown, width=WIDTH)


FIGURES: dict[str, Callable[[Facts], Figure | None]] = {
    "savings": savings,
    "distribution": distribution,
    "difficulty": difficulty,
    "choices": choices,
    "components": components,
    "layers": layers,
    "timelines": timelines,
}


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained", dpi=160)
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    return figure, axes


def _choice_colors(choice_set: tuple[Precision, ...]) -> list[str]:
    """Grey for skipping, amber for leaving, then from pale to deep by BitOps."""
    shades = LinearSegmentedColormap.from_list("widths", [NARROW, WIDE])
    costs = sorted({c.bitops_per_mac for c in choice_set if c.runs})
    depth = dict(zip(costs, np.linspace(0 if len(costs) > 1 else 1, 1, len(costs)), strict=True))
    idle = {SKIP: SKIPPED, EXIT: LEFT}
    return [idle.get(c) or to_hex(shades(depth[c.bitops_per_mac])) for c in choice_set]


def _mark_static(axes: Axes, facts: Facts) -> None:
    for variant in facts.variants:
        if variant.kind == "static":
            axes.axvline(variant.energy_j * 1e6, color=FAINT, linewidth=1, linestyle=":")
            axes.text(
                variant.energy_j * 1e6,
                axes.get_ylim()[1] * 0.55,
                f"{variant.precision} bit everywhere",
                rotation=90,
                va="center",
                ha="right",
                fontsize=7,
                color=FAINT,
            )


def _legend_above(axes: Axes) -> None:
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=6, frameon=False, fontsize=8)


def _two_lines(name: str, accuracy: float) -> str:
    return f"{name.replace(', ', ',' + chr(10))}\naccuracy {accuracy:.1%}"
