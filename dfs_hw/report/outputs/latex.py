"""A report's tables for papers."""

from __future__ import annotations

from accel_models.pages import Chart
from dfs_hw.report.charts.everything import charts_of
from dfs_hw.report.outputs.page import text_rows
from dfs_hw.report.report import EnergyReport

MOST_ROWS = 80
LEFT_OUT = ("source", "boundary")
"""Columns of sentences, which no table of a paper has room for."""
_SIGNS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "µ": r"\ensuremath{\mu}", "−": r"\ensuremath{-}", "–": "--", "×": r"\ensuremath{\times}",
    "±": r"\ensuremath{\pm}", "≥": r"\ensuremath{\geq}", "≤": r"\ensuremath{\leq}",
    "²": r"\textsuperscript{2}", "→": r"\ensuremath{\rightarrow}", "…": r"\ldots{}",
}  # fmt: skip


def as_latex(report: EnergyReport) -> str:
    """Tables with booktabs' rules, one after the other; those of over 80 rows are left to CSV."""
    head = "% Needs \\usepackage{booktabs}. Every joule and second is simulated.\n"
    tables = [_table(chart) for chart in charts_of(report) if len(chart.frame.rows) <= MOST_ROWS]
    return head + "\n".join(tables)


def _table(chart: Chart) -> str:
    texts = text_rows(chart.frame)
    kept = [
        at
        for at, column in enumerate(chart.frame.columns)
        if column.name not in LEFT_OUT and any(row[at] not in ("–", "") for row in texts)
    ]
    numbers = [any(isinstance(row[at], int | float) for row in chart.frame.rows) for at in kept]
    columns = "".join("r" if number else "l" for number in numbers)
    titles = [chart.frame.columns[at].title for at in kept]
    lines = [_row(titles), r"\midrule", *(_row([row[at] for at in kept]) for row in texts)]
    body = "\n".join(lines)
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{latex_text(chart.title)}}}\n\\label{{tab:{chart.name}}}\n"
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{body}\n\\bottomrule\n"
        "\\end{tabular}\n\\end{table}\n"
    )


def _row(cells: list[str]) -> str:
    return " & ".join(map(latex_text, cells)) + r" \\"


def latex_text(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_SIGNS.get(letter, letter) for letter in text)
