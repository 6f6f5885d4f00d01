"""A run's record is taken at its word only field by field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_files import run_record

from accel_models import InputError
from accel_models.documents import digest_of
from dfs_hw.report.sources.run_file import read_run

Record = dict[str, Any]


def test_what_a_run_leaves_is_read(tmp_path: Path) -> None:
    path, record = tmp_path / "run.json", run_record()
    path.write_text(json.dumps({**record, "digest": digest_of(record)}, indent=2))
    run = read_run(path)
    assert [variant.name for variant in run.variants] == [v["name"] for v in record["variants"]]
    assert run.budget.target == 2e-5
    assert run.settings.choices == "skip,2,8"


def test_no_figure_of_a_run_can_change(tmp_path: Path) -> None:
    path, record = tmp_path / "run.json", run_record()
    sealed = {**record, "digest": digest_of(record)}
    sealed["variants"][2]["latency_s"] *= 1 + 1e-15
    path.write_text(json.dumps(sealed))
    with pytest.raises(InputError, match="is damaged: what it says does not match its digest"):
        read_run(path)
    del sealed["digest"]
    path.write_text(json.dumps(sealed))
    with pytest.warns(UserWarning, match="of version 0.1 and has no digest"):
        read_run(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: run.pop("variants"), "variants is missing"),
        (lambda run: run.update(more=1), "more is not a known field"),
        (lambda run: run["budget"].update(target=False), "budget.target must be a valid number"),
        (lambda run: run["budget"].update(target=0), "budget.target must be above 0, got 0"),
        (lambda run: run["budget"].update(more=1), "budget.more is not a known field"),
        (lambda run: run["variants"][2].update(kind="a\0b"), r"variants.2.kind must be one of"),
        (lambda run: run["variants"].pop(2), "variants must hold one that is adaptive"),
        (lambda run: run["variants"].append(run["variants"][2]), "name must be its own"),
        (lambda run: run["variants"][0].update(accuracy=7), "variants.0.accuracy must be 0 to 1"),
        (lambda run: run["variants"][1].update(energy_j=0), "energy_j must be above 0"),
        (lambda run: run["variants"][1].update(energy_j="1"), "energy_j must be a valid number"),
        (lambda run: run["variants"][0].update(precision="x"), "'x' is not a precision"),
        (lambda run: run["variants"][3].update(precision="8"), "precision is only for static"),
        (lambda run: run.update(best_static="adaptive (DFS)"), "best_static must be the name"),
        (lambda run: run.update(classes=[1, 2]), "classes.0 must be a valid string"),
        (lambda run: run["config"].update(batch="x"), "config: batch is a setting"),
        (lambda run: run["config"].update(more=1), "config: no setting of training is called"),
    ],
    ids=range(17),
)
def test_what_no_run_leaves_is_refused(
    change: Callable[[Record], Any], said: str, tmp_path: Path
) -> None:
    path, record = tmp_path / "run.json", run_record()
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=f"run.json: {said}|run.json: .*{said}"):
        read_run(path)
