"""The page of a cross table: a heat map for each metric."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from accel_models.exploration.cross import CrossTable
from accel_models.files import whole_file, writable_folder
from accel_models.metrics import METRICS
from accel_models.pages import Chart, Frame, render
from accel_models.pages.frame import Cell

FULL_COLOUR = 0.5
"""Loss, as a share, with which a cell is as dark as it gets."""
PACKAGE = "accel_models.exploration.report"


def write_cross_table(
    crossed: CrossTable, folder: str | Path, about: Mapping[str, Any] | None = None
) -> None:
    """Leave ``cross.json`` and a heat map, ``cross.html``, in a folder.

    Args:
        about: facts on how this came about.
    """
    folder = writable_folder(folder)
    record = {**crossed.to_dict(), "provenance": dict(about or {})}
    with whole_file(folder / "cross.json") as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    write_cross_page(folder / "cross.html", crossed, about or {})


def write_cross_page(path: Path, crossed: CrossTable, about: Mapping[str, Any]) -> Path:
    """Write the page; returns its path."""
    policies = zip(crossed.policies, crossed.trained_for, crossed.accuracies, strict=True)
    return render(
        path,
        "cross.html.jinja",
        package=PACKAGE,
        charts=[loss_chart(crossed, metric) for metric in crossed.costs],
        network=crossed.network,
        without_own=crossed.without_own,
        policies=[
            {"name": name, "home": home, "accuracy": f"{accuracy:.1%}"}
            for name, home, accuracy in policies
        ],
        about=json.dumps(dict(about), indent=1, ensure_ascii=False),
    )


def loss_chart(crossed: CrossTable, metric: str) -> Chart:
    """How much more each policy costs on each machine than the machine's own, as shares."""
    known = METRICS[metric]
    columns = [
        ("policy", "policy"),
        ("machine", "machine"),
        ("loss", "more than the machine's own", "share"),
        ("cost", known.title, known.unit),
        ("why", "why it cannot run"),
    ]
    return Chart(
        metric,
        known.title[0].upper() + known.title[1:],
        "heat",
        Frame.of(columns, _rows(crossed, metric)),
        x="machine",
        y="policy",
        value="loss",
        full=FULL_COLOUR,
        diverging=True,
        note="Red costs more than the machine's own policy, teal less; – cannot run.",
    )


def _rows(crossed: CrossTable, metric: str) -> Iterator[tuple[Cell, ...]]:
    losses, costs = crossed.loss(metric), crossed.costs[metric]
    for row, policy in enumerate(crossed.policies):
        for column, machine in enumerate(crossed.machines):
            loss, cost = float(losses[row, column]), float(costs[row, column])
            runs = not math.isnan(cost)
            why = crossed.infeasible.get((policy, machine), "")
            yield policy, machine, loss / 100 if runs else None, cost if runs else None, why


__all__ = ["loss_chart", "write_cross_page", "write_cross_table"]
