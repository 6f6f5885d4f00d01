"""The page of a report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accel_models.pages import render
from accel_models.pages.frame import PREFIXED, SHARE, Cell, Frame
from accel_models.si import apart, si
from dfs_hw.report.charts.everything import charts_of, prefix_of
from dfs_hw.report.report import EnergyReport
from dfs_hw.report.subject import Subject

PACKAGE = "dfs_hw.report.outputs"


def write_page(report: EnergyReport, path: Path) -> Path:
    """Write the page: one file that needs no other and no network."""
    charts = charts_of(report)
    return render(
        path,
        "report.html.jinja",
        package=PACKAGE,
        charts=charts,
        filters={"si": si, "percent": percent, "plain": _plain},
        report=report,
        cards=cards(report),
        sections=[
            Section(subject, prefix_of(report, number))
            for number, subject in enumerate(report.subjects)
        ],
    )


@dataclass(frozen=True)
class Section:
    """A subject on the page, and what names of its charts begin with."""

    subject: Subject
    prefix: str

    @property
    def anchor(self) -> str:
        """Name to link to."""
        return f"subject-{self.prefix or '1-'}"


@dataclass(frozen=True)
class SummaryCard:
    """One figure of the first screen; a grey one is a promise, not a result."""

    figure: str
    text: str
    grey: bool = False


def cards(report: EnergyReport) -> list[SummaryCard]:
    """What was saved; or, where nothing was, what is spent."""
    comparison = report.comparison
    found = []
    if comparison is not None and comparison.saved:
        for one in comparison.saved:
            before, after, between, share = apart(one.before, one.after, one.unit)
            less = "less" if one.after <= one.before else "more"
            words = f"{one.title} an input: {before} → {after} ({share})"
            promised = one.title == "BitOps"
            figure = share if promised else f"{between} {less}"
            found.append(SummaryCard(figure, words, promised))
    for subject in report.subjects:
        if not found or len(report.subjects) > 1:
            energy = subject.energy
            found.append(
                SummaryCard(si(energy.joules_per_inference, "J"), f"an inference: {subject.name}")
            )
            if len(report.subjects) == 1:
                found.append(SummaryCard(si(energy.latency_s, "s"), "an inference"))
    for subject in report.subjects:
        if subject.accuracy is not None:
            found.append(SummaryCard(percent(subject.accuracy), f"accuracy: {subject.name}"))
        if subject.energy_range is not None and len(report.subjects) == 1:
            ends = subject.energy_range
            text = "energy of an input, with all constants at the ends of their ranges"
            figure = f"{si(ends.low, 'J')} – {si(ends.high, 'J')}"
            found.append(SummaryCard(figure, text, True))
    return found


def percent(share: float, digits: int = 1) -> str:
    """Share as a percentage."""
    return f"{share:.{digits}%}"


def _plain(value: Any) -> str:
    """A setting as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cell_text(value: Cell, unit: str) -> str:
    """A cell of a table, as people read it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if unit in PREFIXED:
        return si(value, unit)
    if unit == SHARE:
        return f"{100 * value:z.1f} %"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def text_rows(frame: Frame) -> list[list[str]]:
    """Rows of a table as text."""
    units = [column.unit for column in frame.columns]
    return [[cell_text(*one) for one in zip(row, units, strict=True)] for row in frame.rows]


__all__ = ["SummaryCard", "cards", "cell_text", "text_rows", "write_page"]
