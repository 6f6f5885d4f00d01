"""The energy report: one object of plain data, and what is written of it.

>>> from dfs_hw.report import report_of, write_report                  # doctest: +SKIP
>>> write_report(report_of("out/demo"), "out/demo", ["html", "json"])  # doctest: +SKIP
"""

from dfs_hw.report.outputs.writing import FORMATS, write_report
from dfs_hw.report.report import EnergyReport
from dfs_hw.report.report_file import read_report, report_schema, write_report_json
from dfs_hw.report.sources.of_network import report_of_network
from dfs_hw.report.sources.opening import report_of, side_by_side

__all__ = [
    "FORMATS",
    "EnergyReport",
    "read_report",
    "report_of",
    "report_of_network",
    "report_schema",
    "side_by_side",
    "write_report",
    "write_report_json",
]
