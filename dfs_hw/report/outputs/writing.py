"""A report in the formats that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from accel_models.errors import InputError, listed, quoted
from accel_models.files import whole_file, writable_folder
from accel_models.pages import write_figure
from dfs_hw.report.charts.everything import charts_of
from dfs_hw.report.outputs.latex import as_latex
from dfs_hw.report.outputs.markdown import as_markdown
from dfs_hw.report.outputs.page import write_page
from dfs_hw.report.outputs.trace_events import as_trace_events
from dfs_hw.report.report import EnergyReport
from dfs_hw.report.report_file import write_report_json

TABLES, FIGURES = "tables", "figures"


def write_report(
    report: EnergyReport, folder: str | Path, formats: Sequence[str] = ("html",)
) -> list[Path]:
    """Write a report into a folder: ``report.html``, ``report.json``, ``report.md``,
    ``report.tex``, ``report.perfetto.json``, and ``tables/*.csv``, ``figures/*.pdf`` and
    ``figures/*.svg``.

    Args:
        formats: some of html, json, csv, md, tex, pdf, svg and perfetto.

    Returns:
        The files, or of csv, pdf and svg their folder.

    Raises:
        InputError: if a format is not known, or the folder cannot be written to.
    """
    checked_formats(formats)
    folder = writable_folder(folder)
    return [_WRITERS[one](report, folder) for one in dict.fromkeys(formats)]


def checked_formats(formats: Sequence[str]) -> None:
    """Refuse what is no format."""
    for one in formats:
        if one not in _WRITERS:
            raise InputError(f"a report is written as {listed(_WRITERS)}, got {quoted(one)}")


def _tables(report: EnergyReport, folder: Path) -> Path:
    for chart in charts_of(report):
        _text(writable_folder(folder / TABLES) / f"{chart.name}.csv", chart.frame.as_csv())
    return folder / TABLES


def _figures(kind: str) -> Callable[[EnergyReport, Path], Path]:
    def write(report: EnergyReport, folder: Path) -> Path:
        for chart in charts_of(report):
            if chart.kind != "table":
                write_figure(chart, writable_folder(folder / FIGURES) / f"{chart.name}.{kind}")
        return folder / FIGURES

    return write


def _text(path: Path, text: str) -> Path:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


_WRITERS: dict[str, Callable[[EnergyReport, Path], Path]] = {
    "html": lambda report, folder: write_page(report, folder / "report.html"),
    "json": lambda report, folder: write_report_json(report, folder / "report.json"),
    "csv": _tables,
    "md": lambda report, folder: _text(folder / "report.md", as_markdown(report)),
    "tex": lambda report, folder: _text(folder / "report.tex", as_latex(report)),
    "pdf": _figures("pdf"),
    "svg": _figures("svg"),
    "perfetto": lambda report, folder: _text(
        folder / "report.perfetto.json", as_trace_events(report)
    ),
}
FORMATS = tuple(_WRITERS)

__all__ = ["FORMATS", "checked_formats", "write_report"]
