"""The published figures in ``data/*.csv``, as rows of text."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from importlib import resources


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of ``data/<name>``, by column name."""
    file = resources.files("accel_models").joinpath("data", name)
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def listed(items: Iterable[object]) -> str:
    """Items as they are named in an error."""
    return ", ".join(map(str, items))
