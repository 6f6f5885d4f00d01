"""Who leads a comparison is replayed from the trace of every seed that is there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from comparison_files import FIGURES, comparison_record
from exploring import trace_of

from accel_models import InputError
from accel_models.documents import digest_of
from dfs_hw.data import load_dataset
from dfs_hw.report import report_of
from dfs_hw.report.charts.everything import charts_of


def comparison_at(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    record = comparison_record()
    (folder / "compare.json").write_text(json.dumps({**record, "digest": digest_of(record)}))
    return folder


def leave_trace(path: Path, seed: int) -> Path:
    """A trace of the digits' test inputs, one in so many of which takes what costs most."""
    path.parent.mkdir(parents=True)
    labels = load_dataset("digits", seed).test.labels.numpy()
    trace = trace_of(inputs=len(labels), seed=seed)
    choices = np.zeros_like(trace.choices)
    choices[:: seed + 2] = len(trace.header.choices) - 1
    replace(trace, labels=labels, predictions=labels, choices=choices).write(path)
    return path


@pytest.mark.parametrize("study", [False, True])
def test_every_seed_whose_trace_is_there_is_replayed_and_the_first_looked_at(
    tmp_path: Path, study: bool
) -> None:
    folder = comparison_at(tmp_path / "loom-2b" if study else tmp_path)
    within = "loom-2b/test.parquet" if study else "test.parquet"
    traces = [leave_trace(tmp_path / f"seed{seed}" / "dfs" / within, seed) for seed in (0, 1)]
    report = report_of(folder)
    assert report.comparison is not None
    (subject,) = report.subjects
    assert subject.name == "DFS, as trained, seed 0"
    alone = [report_of(path).subjects[0] for path in traces]
    for seed, (one, own) in enumerate(zip(report.comparison.replays, alone, strict=True)):
        energy, latency = (
            next(cost for cost in own.expectations if cost.metric == metric)
            for metric in ("energy", "latency")
        )
        assert (one.seed, one.inputs, one.accuracy) == (seed, own.energy.samples, own.accuracy)
        assert (one.expected_j, one.energy_j) == (energy.expected, own.energy.joules_per_inference)
        assert (one.expected_s, one.latency_s) == (latency.expected, own.energy.latency_s)
        assert one.recorded_j == FIGURES["energy_j"]
    assert alone[0].energy != alone[1].energy
    assert [len(one.frame.rows) for one in charts_of(report) if one.name == "seeds"] == [2]


def test_a_seed_without_its_trace_is_passed_over(tmp_path: Path) -> None:
    leave_trace(comparison_at(tmp_path) / "seed1" / "dfs" / "test.parquet", 1)
    report = report_of(tmp_path)
    assert report.comparison is not None
    assert [one.seed for one in report.comparison.replays] == [1]
    assert [one.name for one in report.subjects] == ["DFS, as trained, seed 1"]


def test_a_trace_of_other_inputs_is_refused(tmp_path: Path) -> None:
    place = comparison_at(tmp_path) / "seed0" / "dfs" / "test.parquet"
    leave_trace(place, 1)
    with pytest.raises(InputError, match=r"test\.parquet has other labels than .* digits, seed 0"):
        report_of(tmp_path)
