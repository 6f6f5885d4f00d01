"""What an exploration leaves in its folder."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from accel_models.accelerators.plugins import outside_families
from accel_models.costs.table_cache import loaded_digest
from accel_models.exploration.finished_search import FinishedSearch
from accel_models.exploration.machine_toml import machine_toml
from accel_models.exploration.report.analysis import Analysis, analyse
from accel_models.exploration.report.study_page import write_study_page
from accel_models.exploration.space import Dimension
from accel_models.exploration.storage import public_url
from accel_models.files import whole_file

TRIALS, STUDY, PAGE, CHOSEN = "trials.parquet", "study.json", "study.html", "chosen.toml"
PACKAGES = ("dfs-hw", "numpy", "numba", "optuna", "pyarrow")


def write_outputs(
    found: FinishedSearch, about: Mapping[str, Any] | None = None, *, analysed: bool = True
) -> dict[str, Any]:
    """Write what `Exploration.write` says, which calls it."""
    folder, trials = found.folder, found.trials
    trials.write(folder / TRIALS)
    chosen = folder / CHOSEN
    if trials.chosen is None:
        chosen.unlink(missing_ok=True)  # of an earlier run with other constraints
    else:
        with whole_file(chosen) as partial:
            partial.write_text(machine_toml(found.machine()), encoding="utf-8")
    analysis = analyse(found) if analysed else None
    record = study_record(found, analysis, about)
    with whole_file(folder / STUDY) as partial:
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")
    write_study_page(folder / PAGE, found, analysis, record)
    return record


def study_record(
    found: FinishedSearch, analysis: Analysis | None, about: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What ``study.json`` holds."""
    space, trials = found.space, found.trials
    runs = trials.table["infeasible"].is_null().to_pylist()
    return {
        "space": {
            "name": space.name,
            "bases": {name: base.key_fields for name, base in space.bases.items()},
            "dimensions": [_dimension(dimension) for dimension in space.dimensions],
            "objectives": list(space.objectives),
            "constraints": [str(bound) for bound in space.bounds],
        },
        "workloads": [
            {
                "name": demand.name,
                "weight": demand.weight,
                "runs": [r.identity for r in demand.runs],
            }
            for demand in found.demands
        ],
        "settings": {**asdict(found.settings), "storage": public_url(found.settings.storage)},
        "trials": {
            "all": len(trials),
            "run": sum(runs),
            "within_constraints": int(trials.kept.sum()),
            "front": len(trials.front),
        },
        "chosen": None if trials.chosen is None else trials.facts(trials.chosen),
        "front": [trials.facts(int(position)) for position in trials.front],
        "analysis": None if analysis is None else analysis.to_dict(),
        "provenance": {**model_provenance(), **(about or {})},
    }


def model_provenance() -> dict[str, Any]:
    """Versions, the model's source, families of arrays from outside, and the time."""
    return {
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "model": loaded_digest()[:16],
        "families": outside_families(),
        "platform": platform.platform(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _dimension(dimension: Dimension) -> dict[str, Any]:
    if dimension.step:
        ends = {"low": dimension.values[0], "high": dimension.values[-1]}
        return {"name": dimension.name, **ends, "step": dimension.step}
    if dimension.values:
        return {"name": dimension.name, "values": list(dimension.values)}
    ends = {"low": dimension.low, "high": dimension.high}
    return {"name": dimension.name, **ends, "log": dimension.log, "integer": dimension.integer}


__all__ = ["model_provenance", "study_record", "write_outputs"]
