"""Sweeps as Optuna has them: stepped ranges, the size of a trial, entries that were cut short."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
import pytest
from exploring import trace_of
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from accel_models.exploration import explore, parse_space
from accel_models.exploration import sweep as sweeping
from accel_models.exploration.adaptive import FinishedTrial, distribution
from accel_models.exploration.evaluate import TrialOutcome
from accel_models.exploration.results import tabled
from accel_models.exploration.space import Space
from accel_models.exploration.storage import JOURNAL, StudyStorage
from accel_models.exploration.sweep import enter
from accel_models.metrics import columns

ROWS = {"array": {"rows": [8, 16]}}


def space_of(**fields: Any) -> Space:
    """Two or more machines, and a field that is varied."""
    tables = {"base": "bitfusion", "objectives": ["energy", "area"], "fields": {**ROWS, **fields}}
    return parse_space(tables)[0]


def bandwidths(low: float, high: float, step: float) -> Space:
    return space_of(dram={"gb_per_s": {"low": low, "high": high, "step": step}})


def entered(space: Space, folder: Path) -> optuna.Study:
    """All configurations of a space, at made-up costs, in a journal that may have some of them."""
    outcomes = (
        TrialOutcome({column: 1.0 + n for column in columns()}) for n in range(space.size or 0)
    )
    rows = [FinishedTrial(n, space.configuration(n), outcome) for n, outcome in enumerate(outcomes)]
    storage = StudyStorage(folder, outline=True)
    study = storage.study(space.name, len(space.objectives), {})
    enter(space, tabled(space, rows), study, storage, lambda _: None)
    assert study.get_trials() == []  # none is held in memory: the journal has them
    storage.close(study)
    return storage.whole(study)


@settings(max_examples=25)
@given(
    low=st.integers(1, 10**7),
    step=st.integers(1, 10**4),
    count=st.integers(1, 60),
    places=st.integers(0, 4),
)
def test_optuna_has_the_points_of_a_stepped_range(
    low: int, step: int, count: int, places: int
) -> None:
    """To the last digit, and each once."""
    low, step, end = (n / 10**places for n in (low, step, low + count * step + step // 3))
    space = bandwidths(low, end, step)
    (points,) = (d.points for d in space.dimensions if d.name == "dram.gb_per_s")
    assert points == tuple(float(f"{low + k * step:.{places}f}") for k in range(count + 1))
    with TemporaryDirectory() as folder:
        trials = entered(space, Path(folder)).get_trials(deepcopy=False)
    every = [(rows, point) for rows in (8, 16) for point in points]
    assert [tuple(trial.params.values()) for trial in trials] == every


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"low": 0.5, "high": 2.0, "step": 0.1}, FloatDistribution),
        ({"low": 1, "high": 9, "step": 2}, FloatDistribution),  # the field is no whole number
        ([0.5, 0.6, 0.7], CategoricalDistribution),
        ({"low": 1, "high": 8, "factor": 2}, CategoricalDistribution),
        ({"low": 1e9, "high": 1e9 + 1e-3, "step": 1e-4}, CategoricalDistribution),
    ],
)
def test_what_a_dimension_is_to_optuna(entry: Any, kind: type) -> None:
    """Steps, sets, and steps so small beside their ends that Optuna would take none for one."""
    space = space_of(dram={"gb_per_s": entry})
    made = distribution(space.by_name["dram.gb_per_s"])
    assert type(made) is kind
    for point in space.by_name["dram.gb_per_s"].points:
        assert made.to_external_repr(made.to_internal_repr(point)) == point
    whole = space_of(buffers={"weight_bytes": {"low": 16384, "high": 65536, "step": 16384}})
    assert distribution(whole.by_name["buffers.weight_bytes"]) == IntDistribution(
        16384, 65536, step=16384
    )


def test_a_trial_takes_no_more_bytes_with_more_steps(tmp_path: Path) -> None:
    sizes = []
    for steps in (10, 400):
        folder = tmp_path / str(steps)
        space = bandwidths(8.0, 8.0 + steps / 8, 0.125)
        assert space.size == 2 * (steps + 1)
        entered(space, folder)
        lines = (folder / JOURNAL).read_bytes().splitlines()
        sizes.append(max(len(line) for line in lines if b'"distributions"' in line))
    assert sizes[1] - sizes[0] < 20  # some more digits


@pytest.mark.parametrize("sampler", ["nsga2", "grid"])
def test_nor_does_one_that_is_asked_for(tmp_path: Path, sampler: str) -> None:
    sizes = []
    for steps in (10, 400):
        bandwidth = {"dram": {"gb_per_s": {"low": 8.0, "high": 8.0 + steps / 8, "step": 0.125}}}
        tables = {"base": "bitfusion", "objectives": ["energy"], "fields": {**ROWS, **bandwidth}}
        folder = tmp_path / str(steps)
        explore(tables, [trace_of()], out=folder, sampler=sampler, trials=6)
        sizes.append(max(len(line) for line in (folder / JOURNAL).read_bytes().splitlines()))
    assert sizes[1] - sizes[0] < 20


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random", "grid"])
def test_a_search_draws_points_alone(tmp_path: Path, sampler: str) -> None:
    """To the last digit in the results, of which Optuna's own arithmetic may miss it."""
    fields = {
        "dram": {"gb_per_s": {"low": 2.1, "high": 9.8, "step": 0.7}},
        "buffers": {"input_bytes": {"low": 16384, "high": 65536, "step": 8192}},
    }
    tables = {"base": "bitfusion", "objectives": ["energy", "area"], "fields": {**ROWS, **fields}}
    found = explore(tables, [trace_of()], out=tmp_path, sampler=sampler, trials=40, batch=10)
    trials = found.study.get_trials(deepcopy=False)
    drawn: set[Any] = set()
    for row, trial in enumerate(trials):
        configuration = found.trials.configuration(row)
        for name, value in configuration.items():
            assert value in found.space.by_name[name].points
            assert trial.params[name] == pytest.approx(value, rel=1e-12)
        drawn.add(configuration["dram.gb_per_s"])
    assert len(trials) == 40
    assert len(drawn) > 4


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.77, 0.999, 1.0])
def test_an_entry_that_was_killed_goes_on_and_neither_loses_nor_doubles_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """Anywhere: what a kill leaves is the beginning of a journal, to any byte."""
    monkeypatch.setattr(sweeping, "BULK", 7)
    space = bandwidths(4.0, 12.0, 0.5)
    whole = facts(entered(space, tmp_path))
    journal = tmp_path / JOURNAL
    content = journal.read_bytes()
    first = content.index(b'"distributions"')
    journal.write_bytes(content[: first + round(share * (len(content) - first))])
    assert facts(entered(space, tmp_path)) == whole
    assert len(whole) == space.size == 34
    names = {json.loads(line).get("study_name") for line in journal.read_bytes().splitlines()}
    assert names == {None, space.name}


def test_entering_shows_how_far_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tables = {"base": "bitfusion", "objectives": ["energy"], "fields": ROWS}
    run = {"out": tmp_path, "sampler": "sweep", "progress": True}
    explore(tables, [trace_of()], **run)
    assert re.search(r"into Optuna: 100%.* 2/2 ", capsys.readouterr().err)
    again = explore(tables, [trace_of()], **run)
    assert re.search(r"into Optuna: 100%.* 2/2 ", capsys.readouterr().err)
    assert len(again.study.trials) == 2


def facts(study: optuna.Study) -> list[Any]:
    """What the trials of a study are, but for the time at which they entered."""
    trials = study.get_trials(deepcopy=False)
    return [(t.number, t.params, t.values, t.user_attrs, t.constraints) for t in trials]
