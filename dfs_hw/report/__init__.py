"""The energy report: one self-contained page, and its plots."""

from dfs_hw.report.page import write_report

__all__ = ["write_report"]
