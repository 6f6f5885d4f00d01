"""The page of a cross table: a heat map for each metric."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accel_models.exploration.cross import CrossTable
from accel_models.exploration.report.template import render
from accel_models.files import whole_file, writable_folder
from accel_models.metrics import METRICS

FULL_COLOUR = 50.0
"""Percent of loss at which a cell is as dark as it gets."""


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
    return render(
        path,
        "cross.html.jinja",
        network=crossed.network,
        machines=crossed.machines,
        without_own=crossed.without_own,
        tables=[
            {"title": METRICS[metric].title, "rows": _rows(crossed, metric)}
            for metric in crossed.costs
        ],
        about=json.dumps(dict(about), indent=1, ensure_ascii=False),
    )


def _rows(crossed: CrossTable, metric: str) -> list[dict[str, Any]]:
    losses, costs = crossed.loss(metric), crossed.costs[metric]
    return [
        {
            "policy": policy,
            "home": crossed.trained_for[row],
            "accuracy": f"{crossed.accuracies[row]:.1%}",
            "cells": [
                _cell(
                    metric,
                    float(losses[row, column]),
                    float(costs[row, column]),
                    crossed.infeasible.get((policy, machine), ""),
                )
                for column, machine in enumerate(crossed.machines)
            ],
        }
        for row, policy in enumerate(crossed.policies)
    ]


def _cell(metric: str, loss: float, cost: float, why: str) -> dict[str, str]:
    if math.isnan(cost):
        return {"loss": "cannot run", "cost": "", "colour": "#eceff1", "why": why}
    text = f"{loss:+.1f} %".replace("-", "−") if abs(loss) >= 0.05 else "0 %"
    return {"loss": text, "cost": METRICS[metric].text(cost), "colour": colour(loss), "why": ""}


def colour(loss: float) -> str:
    """White at 0, red above, teal below."""
    if math.isnan(loss):
        return "#eceff1"
    share = min(1.0, abs(loss) / FULL_COLOUR) ** 0.6
    end = (226, 120, 84) if loss > 0 else (96, 170, 160)
    parts = (round(255 + share * (part - 255)) for part in end)
    return f"rgb({', '.join(map(str, parts))})"


__all__ = ["colour", "write_cross_page", "write_cross_table"]
