"""What was given, and the report that can be made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from accel_models.accelerators.accelerator import Accelerator
from accel_models.errors import InputError
from dfs_hw.report.report import Comparison, EnergyReport, ReportVerdict
from dfs_hw.report.report_file import read_report
from dfs_hw.report.sources import of_comparison, of_run
from dfs_hw.report.sources.of_comparison import report_of_comparison
from dfs_hw.report.sources.of_run import report_of_run
from dfs_hw.report.sources.of_trace import report_of_trace
from dfs_hw.report.subject import Subject

KINDS = (
    "a folder that `dfs-hw demo` or `dfs-hw compare` wrote, a gate trace (.parquet), a report's "
    "JSON, or a network"
)


def is_file_or_folder(source: str) -> bool:
    """Whether a source is read from disk as something else than a network."""
    path = Path(source)
    return path.is_dir() or path.suffix.lower() in (".parquet", ".json")


def report_of(source: str | Path, machine: Accelerator | None = None) -> EnergyReport:
    """The report on one source.

    Args:
        source: folder of a run or a comparison, trace, or a report's JSON.
        machine: to replay a trace on; by default the one that it names.

    Raises:
        InputError: if it is none of these, or a machine is given and it is no trace.
    """
    path = Path(source)
    if path.is_dir() and not (path / of_run.RUN).exists() and (path / of_run.TRACE).exists():
        path = path / of_run.TRACE
    if path.suffix.lower() == ".parquet":
        return report_of_trace(path, machine)
    if machine is not None:
        raise InputError(f"{path}: a machine is chosen for a trace or a network, not for this")
    if (path / of_run.RUN).is_file():
        return report_of_run(path)
    if (path / of_comparison.FILE).is_file():
        return report_of_comparison(path)
    if path.suffix.lower() == ".json":
        return read_report(path)
    raise InputError(f"{path}: a report is made of {KINDS}")


def side_by_side(reports: Sequence[EnergyReport]) -> EnergyReport:
    """One report of several: their subjects beside each other, everybody on one chart."""
    if len(reports) == 1:
        return reports[0]
    subjects = _named_apart([subject for report in reports for subject in report.subjects])
    verdicts = " ".join(f"{report.title}: {report.verdict.sentence}" for report in reports)
    return EnergyReport(
        title=" beside ".join(dict.fromkeys(report.title for report in reports)),
        verdict=ReportVerdict(verdicts, inputs=sum(one.verdict.inputs for one in reports)),
        subjects=tuple(subjects),
        comparison=_together(reports),
        command="",
    )


def _together(reports: Sequence[EnergyReport]) -> Comparison | None:
    """Everybody of all comparisons, told apart by what they are of."""
    found = [
        (number, report.title, report.comparison)
        for number, report in enumerate(reports, start=1)
        if report.comparison is not None
    ]
    if not found:
        return None
    return Comparison(
        competitors=tuple(
            replace(one, name=f"{number}: {one.name}", group=f"{number}: {one.group}", best=False)
            for number, _, comparison in found
            for one in comparison.competitors
        ),
        remarks=tuple(f"{number} is {title}." for number, title, _ in found),
    )


def _named_apart(subjects: Sequence[Subject]) -> list[Subject]:
    names = [subject.name for subject in subjects]
    return [
        replace(one, name=f"{one.name} ({names[:at].count(one.name) + 1})")
        if names.count(one.name) > 1
        else one
        for at, one in enumerate(subjects)
    ]
