"""A comparison of contenders as a table on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfs_hw.cli.show.tables import line, new_table, terminal

if TYPE_CHECKING:  # torch, which `--help` need not wait for
    from dfs_hw.baselines.findings import Findings


def comparison(findings: Findings) -> None:
    """Every contender with its ablations below it, the knob's curve, and the verdicts."""
    from dfs_hw.baselines.findings import CURVE_HEADER, HEADER

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
    for remark in findings.remarks():
        line(remark)


def _two_lines(name: str) -> str:
    return name.replace(", ", "\n").replace("of the ", "of the\n")
