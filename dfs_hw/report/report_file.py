"""A report as JSON, and the schema of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from accel_models.documents import read_json, typed
from accel_models.errors import InputError, quoted
from accel_models.files import whole_file
from dfs_hw.report.report import FORMAT, EnergyReport


def write_report_json(report: EnergyReport, path: Path) -> Path:
    """Write a report; `read_report` reads it again."""
    text = json.dumps(asdict(report), indent=1, ensure_ascii=False, allow_nan=False)
    with whole_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return path


def read_report(path: str | Path) -> EnergyReport:
    """Read a report's JSON.

    Raises:
        InputError: if it is none, of a version that is not known, or a field is not what it should
            be: names it.
    """
    data = read_json(path)
    if not is_report(data):
        raise InputError(f"{path} is no report: it has no subjects and no verdict")
    check_version(data, str(path))
    return typed(EnergyReport, data, str(path))


def is_report(data: Any) -> bool:
    """Whether JSON is meant to be a report."""
    return isinstance(data, dict) and {"verdict", "subjects"} <= data.keys()


def check_version(data: dict[str, Any], where: str) -> None:
    """Refuse a report of a format that is not known."""
    version = data.get("format")
    if type(version) is not int or not 1 <= version <= FORMAT:
        raise InputError(
            f"{where}: format must be a whole number from 1 to {FORMAT}, got {quoted(version)}: "
            "make the report again from what it was made of"
        )


def report_schema() -> dict[str, Any]:
    """JSON Schema of a report, in draft 2020-12."""
    schema = TypeAdapter(EnergyReport).json_schema(mode="serialization")
    address = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": address, **schema, "title": f"dfs-hw energy report, format {FORMAT}"}


__all__ = ["check_version", "is_report", "read_report", "report_schema", "write_report_json"]
