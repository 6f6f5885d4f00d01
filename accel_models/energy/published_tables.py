"""Published figures, kept as CSV beside the code that reads them."""

from __future__ import annotations

import csv
from importlib import resources


def read_table(name: str, package: str = "accel_models.energy") -> list[dict[str, str]]:
    """Rows of ``data/<name>`` of a package, as text by column name."""
    file = resources.files(package).joinpath("data", name)
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
