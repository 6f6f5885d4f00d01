"""Tables for papers: what they say, and that LaTeX takes them as they are."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from reporting import made_up

from dfs_hw.report import side_by_side
from dfs_hw.report.outputs.latex import MOST_ROWS, PAGE_ROWS, TABLES_AT_ONCE, as_latex
from dfs_hw.report.report import (
    Bounds,
    Comparison,
    EnergyReport,
    Judgement,
    ReportVerdict,
    SweepPoint,
)

DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs,graphicx}
\begin{document}
\input{report}
\end{document}
"""
SIGNS = "\\&%$#_{}~^<>|\"µμ−–×±≥≤…²³·→ρé-'"


def test_latex_sets_every_table_no_wider_than_the_text(tmp_path: Path) -> None:
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("no pdflatex on this machine: tables were not set")
    report = made_up()
    named = replace(report, subjects=(replace(report.subjects[0], name=SIGNS),))
    text = as_latex(side_by_side([report, named, report]))
    assert text.count(r"\begin{table}") > 2 * TABLES_AT_ONCE
    (tmp_path / "report.tex").write_text(text)
    (tmp_path / "paper.tex").write_text(DOCUMENT)
    words = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    faults = re.findall(r"^(?:!|Overfull|LaTeX Warning: Float).*", done.stdout, re.MULTILINE)
    assert (done.returncode, faults) == (0, [])


def compared(**more: object) -> str:
    """Tables of a comparison alone."""
    comparison = replace(Comparison(competitors=()), **more)  # type: ignore[arg-type]
    return as_latex(EnergyReport("", ReportVerdict(""), (), comparison, ""))


def test_an_interval_stands_in_brackets_with_a_minus_where_it_is_below_nothing() -> None:
    less, none = Bounds(-0.012, -0.03, 0.005), Bounds(-1e-7, -1e-7, 0.0)
    text = compared(judgements=(Judgement("a-2", 1, 0.9, 0.8, "b", less, none, None, None, ""),))
    minus = r"\ensuremath{-}"
    assert f" & {minus}1.2 \\% ({minus}3.0 to 0.5) & 0.0 \\% (0.0 to 0.0) " in text
    assert "a-2 &" in text
    assert "In brackets: from, to." in text


@pytest.mark.parametrize("rows", [PAGE_ROWS, PAGE_ROWS + 1, MOST_ROWS])
def test_a_table_longer_than_a_page_stands_in_parts_that_are_the_whole(rows: int) -> None:
    text = compared(
        sweep=tuple(SweepPoint("a", seed, "", 1, 1, 0.5, 1e-6, 1e-6) for seed in range(rows))
    )
    parts = text.split(r"\midrule")[1:]
    seeds = [re.findall(r"^a & (\d+)", part, re.MULTILINE) for part in parts]
    assert [seed for part in seeds for seed in part] == [str(seed) for seed in range(rows)]
    assert max(map(len, seeds)) <= PAGE_ROWS
    assert len(set(re.findall(r"\\label\{.*\}", text))) == len(parts) == -(-rows // PAGE_ROWS)
