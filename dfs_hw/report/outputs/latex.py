"""A report's tables for papers."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from accel_models.pages import Chart
from dfs_hw.report.charts.everything import charts_of, title_of
from dfs_hw.report.outputs.page import text_rows
from dfs_hw.report.report import EnergyReport

MOST_ROWS = 80
PAGE_ROWS = 36
"""Rows that fit on a page, with a caption; tables of more stand in parts."""
LEFT_OUT = ("source", "boundary", "line", "row")
"""Columns of sentences, which no table of a paper has room for, and of what two others say."""
NOTHING = ("–", "")
TABLES_AT_ONCE = 16
"""Tables after which a document that is all tables has them set: LaTeX holds no more than 18 back,
or, of late, 52."""
NARROW = 12
"""Characters up to which a title stays in one line."""
HEAD = r"""% Needs \usepackage{booktabs,graphicx}. Every joule and second is simulated.
% Names in other than Latin letters need XeLaTeX or LuaLaTeX.
\providecommand{\fitted}[1]{% no wider than the text
  \resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{#1}}
"""
_SIGNS = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"{\ttfamily\char34}",
    "µ": r"\ensuremath{\mu}", "μ": r"\ensuremath{\mu}", "−": r"\ensuremath{-}",
    "–": "--", "×": r"\ensuremath{\times}",
    "±": r"\ensuremath{\pm}", "≥": r"\ensuremath{\geq}", "≤": r"\ensuremath{\leq}",
    "…": r"\ldots{}", "²": r"\textsuperscript{2}", "³": r"\textsuperscript{3}",
    "·": r"\ensuremath{\cdot}", "→": r"\ensuremath{\rightarrow}", "ρ": r"\ensuremath{\rho}",
}  # fmt: skip
_MINUS, _POWER = re.compile(r"(?<![\w.])-(?=\d)"), re.compile(r"(?<=\d)e([+-]\d+)")


class PaperColumn(NamedTuple):
    """A column of a table for papers, in LaTeX."""

    title: str
    cells: list[str]
    number: bool
    interval: bool


def as_latex(report: EnergyReport) -> str:
    """Tables with booktabs' rules, one after the other; those of over 80 rows are left to CSV."""
    tables: list[str] = []
    for chart in charts_of(report):
        if len(chart.frame.rows) <= MOST_ROWS:
            tables += _parts(chart, title_of(report, chart))
    for at in range(len(tables) - 1, 0, -1):
        if at % TABLES_AT_ONCE == 0:
            tables.insert(at, "\\clearpage\n")
    return "\n".join([HEAD, *tables])


def _parts(chart: Chart, title: str) -> Iterator[str]:
    """A table, or as many as it takes to have each on a page."""
    columns, rows = list(_columns(chart)), len(chart.frame.rows)
    note = [chart.note] if chart.note else []
    if any(column.interval for column in columns):
        note.append("In brackets: from, to.")
    parts = -(-rows // PAGE_ROWS)
    size = -(-rows // parts)
    for part in range(parts):
        own = f"{title}, part {part + 1} of {parts}" if parts > 1 else title
        said = ". ".join([own, " ".join(note)]) if note and part == 0 else own
        yield _table(
            f"\\caption[{{{latex_text(own)}}}]{{{latex_text(said)}}}",
            f"tab:{chart.name}" + (f"-{part + 1}" if part else ""),
            [one._replace(cells=one.cells[part * size : (part + 1) * size]) for one in columns],
        )


def _table(caption: str, label: str, columns: list[PaperColumn]) -> str:
    kinds = "".join("r" if one.number else "l" for one in columns)
    titles = [one.title for one in columns]
    rows = zip(*(one.cells for one in columns), strict=True)
    body = "\n".join([_row(titles), r"\midrule", *map(_row, rows)])
    return (
        "\\begin{table}\n\\centering\\small\n"
        "\\setlength{\\tabcolsep}{4pt}\\setlength{\\belowcaptionskip}{4pt}\n"
        f"{caption}\n\\label{{{label}}}\n"
        f"\\fitted{{\\begin{{tabular}}{{{kinds}}}\n\\toprule\n{body}\n\\bottomrule\n"
        "\\end{tabular}}\n\\end{table}\n"
    )


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return " & ".join(cells) + r" \\"


def _columns(chart: Chart) -> Iterator[PaperColumn]:
    """Columns that say something, the ends of an interval beside what lies between them."""
    names, texts, around = chart.frame.names, text_rows(chart.frame), _intervals(chart)
    ends = {name for pair in around.values() for name in pair}
    for at, column in enumerate(chart.frame.columns):
        if column.name in (*LEFT_OUT, *ends) or all(row[at] in NOTHING for row in texts):
            continue
        cells = [row[at] for row in texts]
        if column.name in around:
            low, high = (names.index(name) for name in around[column.name])
            cells = [_bracketed(row[at], row[low], row[high]) for row in texts]
        number = any(type(row[at]) in (int, float) for row in chart.frame.rows)
        written = [_number(cell) if number else latex_text(cell) for cell in cells]
        interval = any("(" in cell for cell in cells) and column.name in around
        title = _title(column.title, max(map(len, cells)), "r" if number else "l")
        yield PaperColumn(title, written, number, interval)


def _title(text: str, widest: int, side: str) -> str:
    """A title in as many lines as keep it no wider than the cells below it."""
    lines = [latex_text(line) for line in textwrap.wrap(text, max(NARROW, widest))]
    stacked = r" \\ ".join(lines)
    return f"\\shortstack[{side}]{{{stacked}}}" if len(lines) > 1 else stacked


def _intervals(chart: Chart) -> dict[str, tuple[str, str]]:
    """Columns of the ends of an interval, by the column of what lies between them."""
    drawn = ((chart.x, chart.spread), (chart.y, chart.reach))
    found = {name: ends for name, ends in drawn if ends is not None}
    columns = chart.frame.columns
    for value, low, high in zip(columns, columns[1:], columns[2:], strict=False):
        if (low.title, high.title) == ("from", "to") and value.unit == low.unit != "":
            found[value.name] = (low.name, high.name)
    return found


def _bracketed(value: str, low: str, high: str) -> str:
    """A figure with its interval, the unit said once where it is the same: 1.7 % (0.3 to 3.2)."""
    if {value, low, high} & set(NOTHING):
        return value
    amounts, units = zip(*(text.rpartition(" ")[::2] for text in (value, low, high)), strict=True)
    if len(set(units)) == 1:
        low, high = amounts[1:]
    return f"{value} ({low} to {high})"


def _number(text: str) -> str:
    """A figure with a minus, and powers of ten, as they are set."""
    text = _POWER.sub(lambda found: f"×10^{int(found[1])}^", _MINUS.sub("−", text))
    plain, *powers = text.split("^")
    if not powers:
        return latex_text(plain)
    return latex_text(plain) + f"\\textsuperscript{{{latex_text(powers[0].replace('-', '−'))}}}"


def latex_text(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_SIGNS.get(letter, letter) for letter in text)
