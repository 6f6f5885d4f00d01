"""What gates have won, and could win, as tables on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accel_models.metrics import METRICS
from dfs_hw.cli.show.tables import line, new_table, terminal

if TYPE_CHECKING:  # torch, which `--help` need not wait for
    from dfs_hw.baselines.findings import Findings
    from dfs_hw.headroom import Headroom
    from dfs_hw.headroom.oracle import Gain

SHOWN = 4
"""Every fourth point of a curve is printed."""


def comparison(findings: Findings) -> None:
    """Every contender with its ablations below it, the knob's curve, and the verdicts."""
    from dfs_hw.baselines.findings import CURVE_HEADER, HEADER, VERDICT_HEADER

    table = new_table(*(_two_lines(name) for name in HEADER))
    for cells in findings.table():
        table.add_row(*cells, style="dim" if cells[0].startswith(" ") else "")
    terminal().print(table)
    seeds = len(findings.study.seeds)
    line(f"Test split; means ± standard deviation over {seeds} seeds. * best static in the budget")
    line(f"ρ: rank correlation of an input's energy with the {findings.line_up.difficulty}")
    if findings.curve():
        curve = new_table(*CURVE_HEADER)
        for cells in findings.curve_table():
            curve.add_row(*cells)
        line("")
        line("The knob:")
        terminal().print(curve)
    line("")
    verdicts = new_table(*map(_two_lines, VERDICT_HEADER))
    for cells in findings.verdict_table():
        verdicts.add_row(*cells)
    line("Against static networks, both ways round (95 % intervals):")
    terminal().print(verdicts)
    line(findings.stairs())
    for remark in findings.remarks():
        line(remark)
    line("")
    line(findings.lead())


def headroom(found: Headroom) -> None:
    """Accuracies along the cost, what more choosers find, and the sentence."""
    metric = METRICS[found.metric]
    table = new_table(
        metric.name, "best static", "oracle", "in the limit", "with luck", "shown", "at most"
    )
    for point in (*found.points[::SHOWN], found.at_budget):
        accuracies = (point.static, point.oracle, point.limit, point.lottery)
        table.add_row(
            metric.text(point.amount),
            *(f"{accuracy:.1%}" for accuracy in accuracies),
            _points(point.shown),
            _points(point.headroom),
            style="bold" if point is found.at_budget else "",
        )
    terminal().print(table)
    choosers = new_table("networks that choose", "repeats in another", "shown at the budget")
    for one in found.choosers:
        choosers.add_row(str(one.number), f"{one.repeats:.0%}", _points(one.shown))
    terminal().print(choosers)
    line("")
    line(found.sentence)


def _points(gain: Gain) -> str:
    return f"{100 * gain.mean:.1f} ({100 * gain.low:.1f} to {100 * gain.high:.1f})"


def _two_lines(name: str) -> str:
    return name.replace(", ", "\n").replace("of the ", "of the\n")
