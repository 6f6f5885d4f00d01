"""A report as Markdown: the verdict, and tables short enough to read."""

from __future__ import annotations

from dfs_hw.report.charts.everything import charts_of, title_of
from dfs_hw.report.outputs.page import cards, text_rows
from dfs_hw.report.report import EnergyReport

MOST_ROWS = 40
"""Tables longer than that are for programs, and in the files of data."""


def as_markdown(report: EnergyReport) -> str:
    """The report as text."""
    lines = [f"# {escaped(report.title)}", "", escaped(report.verdict.sentence), ""]
    if report.verdict.survives:
        lines += [escaped(report.verdict.survives), ""]
    lines += [f"- **{card.figure}** {escaped(card.text)}" for card in cards(report)]
    lines += ["", "Every joule and second is simulated.", ""]
    for chart in charts_of(report):
        if len(chart.frame.rows) > MOST_ROWS:
            continue
        header = [escaped(column.title) for column in chart.frame.columns]
        rule = ["---", *("---:" for _ in header[1:])]
        rows = [[escaped(cell) for cell in row] for row in text_rows(chart.frame)]
        lines += [f"## {escaped(title_of(report, chart))}", ""]
        lines += [f"| {' | '.join(row)} |" for row in (header, rule, *rows)]
        lines += ["", escaped(chart.note), ""] if chart.note else [""]
    if report.command:
        lines += [f"Made by `{report.command}`.", ""]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text that Markdown leaves as it is."""
    for letter in ("\\", "|", "*", "_", "`", "<", "["):
        text = text.replace(letter, f"\\{letter}")
    return text.replace("\n", " ")
