"""All charts and tables of a report, in the order of its page."""

from __future__ import annotations

from accel_models.pages import Chart
from dfs_hw.report.charts.everybody import comparison_charts, figures_chart, subjects_chart
from dfs_hw.report.charts.gates import gate_charts
from dfs_hw.report.charts.inputs import input_charts
from dfs_hw.report.charts.machine_work import work_charts
from dfs_hw.report.report import EnergyReport


def prefix_of(report: EnergyReport, number: int) -> str:
    """What names of a subject's charts begin with: nothing where there is only one."""
    return "" if len(report.subjects) == 1 else f"{number + 1}-"


def charts_of(report: EnergyReport) -> list[Chart]:
    """Every chart and table, none without rows."""
    charts: list[Chart] = []
    if report.comparison is not None:
        charts += comparison_charts(report.comparison)
    if report.subjects:
        charts.append(figures_chart(report))
    if len(report.subjects) > 1:
        charts.append(subjects_chart(report))
    for number, subject in enumerate(report.subjects):
        prefix = prefix_of(report, number)
        for part in (input_charts, gate_charts, work_charts):
            charts += part(subject, prefix)
    return [chart for chart in charts if chart.frame.rows]


def title_of(report: EnergyReport, chart: Chart) -> str:
    """Title of a chart where it stands alone: with the subject, where there are several."""
    for number, subject in enumerate(report.subjects):
        prefix = prefix_of(report, number)
        if prefix and chart.name.startswith(prefix):
            return f"{chart.title}: {subject.name}"
    return chart.title
