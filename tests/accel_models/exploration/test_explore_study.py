"""Searches: the same wherever they run, never lost, and right about what is best."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import explored
import numpy as np
import optuna
import pytest
from exploring import SPACE, trace_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tqdm import tqdm

from accel_models import InputError
from accel_models.exploration import Exploration, explore
from accel_models.exploration.results import undominated
from accel_models.files import process_numbers
from accel_models.owned_folder import LOCK, owned_folder

pytestmark = pytest.mark.slow

SAMPLERS = ("nsga2", "tpe", "random", "grid", "sweep")


@pytest.fixture(scope="module")
def searches(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exploration]:
    """One search by each sampler, in this process."""
    return {
        sampler: explored.run(tmp_path_factory.mktemp(sampler), sampler) for sampler in SAMPLERS
    }


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "sweep"])
def test_two_processes_find_what_one_does(
    searches: dict[str, Exploration], tmp_path: Path, sampler: str
) -> None:
    two = explored.run(tmp_path, sampler, workers=2)
    assert two.trials.table.equals(searches[sampler].trials.table)


@pytest.mark.parametrize("sampler", ["nsga2", "sweep"])
def test_a_killed_search_goes_on_to_the_same_trials(
    searches: dict[str, Exploration], tmp_path: Path, sampler: str
) -> None:
    """Killed as soon as something is on disk, several times."""
    assert explored.kill_often(tmp_path, sampler)
    again = explored.run(tmp_path, sampler)
    assert again.trials.table.equals(searches[sampler].trials.table)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random", "grid"])
@pytest.mark.parametrize("place", ["", "sqlite:///{folder}/study.db"])
def test_a_search_stopped_while_it_asks_goes_on_to_the_same_trials(
    searches: dict[str, Exploration],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sampler: str,
    place: str,
) -> None:
    """Twice: before the first dimension of trial 12, and then within trial 27."""
    suggest, storage = optuna.Trial._suggest, place.format(folder=tmp_path)
    for number, dimension in ((12, "array.rows"), (27, "buffers.weight_bytes")):

        def stopped(
            trial: optuna.Trial, name: str, values: Any, at: Any = (number, dimension)
        ) -> Any:
            if (trial.number, name) == at:
                raise KeyboardInterrupt
            return suggest(trial, name, values)

        monkeypatch.setattr(optuna.Trial, "_suggest", stopped)
        with pytest.raises(KeyboardInterrupt):
            explored.run(tmp_path, sampler, storage=storage)
    monkeypatch.undo()
    again = explored.run(tmp_path, sampler, storage=storage)
    assert again.trials.table.equals(searches[sampler].trials.table)
    assert len(again.study.trials) == explored.TRIALS


def test_a_finished_search_takes_up_from_where_it_stands(
    searches: dict[str, Exploration], tmp_path: Path
) -> None:
    first = explored.run(tmp_path, "nsga2", trials=10)
    more = explored.run(tmp_path, "nsga2", trials=explored.TRIALS)
    assert more.trials.table.slice(0, 10).equals(first.trials.table)
    assert more.trials.table.equals(searches["nsga2"].trials.table)


def test_memory_and_sqlite_hold_the_same_trials_as_a_journal(
    searches: dict[str, Exploration], tmp_path: Path
) -> None:
    for storage in ("memory", f"sqlite:///{tmp_path / 'study.db'}"):
        other = explored.run(tmp_path / "out", "nsga2", storage=storage, trials=10)
        assert other.trials.table.equals(searches["nsga2"].trials.table.slice(0, 10))


@pytest.mark.parametrize("sampler", ["grid", "sweep"])
def test_every_machine_is_tried_once(searches: dict[str, Exploration], sampler: str) -> None:
    found = searches[sampler] if sampler == "sweep" else None
    if found is None:
        found = explored.run(Path(searches["grid"].folder), "grid", trials=1000)
    tried = [tuple(found.trials.configuration(row).items()) for row in range(len(found.trials))]
    assert len(set(tried)) == len(tried) == found.space.size == 36


def test_optuna_has_every_trial_of_a_sweep_with_its_constraints(
    searches: dict[str, Exploration],
) -> None:
    found = searches["sweep"]
    trials = found.study.get_trials(deepcopy=False)
    runs = found.trials.table["infeasible"].is_null().to_pylist()
    assert len(trials) == 36
    assert 0 < sum(runs) < 36
    for row, trial in enumerate(trials):
        assert trial.params == found.trials.configuration(row)
        assert (trial.constraints["runs"] <= 0) == runs[row]
        wanted = found.trials.objectives[row].tolist() if runs[row] else [math.inf] * 3
        assert trial.values == wanted
    best = {tuple(trial.values) for trial in found.study.best_trials}
    assert best == set(map(tuple, found.trials.objectives[found.trials.front].tolist()))


def test_infeasible_machines_are_kept_with_their_reason(searches: dict[str, Exploration]) -> None:
    for found in searches.values():
        for row in found.trials.table.to_pylist():
            if row["infeasible"] is None:
                assert row["energy_j"] > 0
                assert row["kept"]
            else:
                assert row["energy_j"] is None
                assert not row["kept"]
                assert "no CACTI figures" in row["infeasible"]
    assert any(searches["random"].trials.table["infeasible"].is_valid().to_pylist())


LIMIT_MM2 = 0.56
"""About half of the small space's machines are larger."""


def test_machines_that_cost_too_much_are_told_from_those_that_cannot_run(tmp_path: Path) -> None:
    sweep = {"sampler": "sweep", "out": tmp_path}
    found = explore({**SPACE, "constraints": {"area": LIMIT_MM2}}, [trace_of()], **sweep)
    runs = np.array(found.trials.table["infeasible"].is_null().to_pylist())
    small = found.trials.metric("area") <= LIMIT_MM2
    assert np.array_equal(found.trials.kept, runs & small)
    assert 0 < small.sum() < runs.sum()
    assert set(found.trials.front) <= set(np.flatnonzero(small))
    for row, trial in enumerate(found.study.get_trials(deepcopy=False)):
        if runs[row]:
            assert (trial.constraints["area"] <= 0) == small[row]


@given(arrays(float, st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=st.integers(0, 5)))
def test_the_front_is_what_brute_force_says(values: np.ndarray) -> None:
    distinct = np.unique(values, axis=0)
    beaten = [
        any((other <= row).all() and (other < row).any() for other in distinct) for row in distinct
    ]
    found = undominated(distinct)
    assert sorted(found.tolist()) == np.flatnonzero(~np.array(beaten)).tolist()


@pytest.mark.parametrize("storage", ["", "memory", "sqlite"])
def test_a_folder_is_left_to_one_study(tmp_path: Path, storage: str) -> None:
    """Whatever keeps its trials: a sweep's chunks, and the outputs, lie in the folder."""
    url = f"sqlite:///{tmp_path / 'team.db'}" if storage == "sqlite" else storage
    wanted = {"sampler": "sweep", "storage": url, "out": tmp_path / "out"}
    first = explore(SPACE, [trace_of()], **wanted)
    for other, what in (
        ({**SPACE, "base": "stripes"}, "space"),
        ({**SPACE, "base": "stripes", "name": "other"}, "name, space"),
    ):
        with pytest.raises(InputError, match=f"out was made with another {what}: choose another"):
            explore(other, [trace_of()], **wanted)
    with pytest.raises(InputError, match="out was made with another workloads: choose another"):
        explore(SPACE, [trace_of(seed=1)], **wanted)
    assert explore(SPACE, [trace_of()], **wanted).trials.table.equals(first.trials.table)


def test_a_folder_of_another_command_is_left_as_it_is(tmp_path: Path) -> None:
    with owned_folder(tmp_path, {}, []) as folder:
        (folder / "chosen.toml").write_text("another's")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.name != LOCK}
    with pytest.raises(InputError, match=r"run of another command, by its settings\.json: choose"):
        explore(SPACE, [trace_of()], out=tmp_path)
    after = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.name != LOCK}
    assert after == before


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost",
        "postgresql+nodriver://me:secret@nowhere/db",
        "postgresql+nodriver://nowhere/db?user=me&password=secret&sslmode=require",
    ],
)
def test_a_storage_that_cannot_be_had_is_named_without_its_password(
    tmp_path: Path, url: str
) -> None:
    with pytest.raises(InputError, match="the storage") as error:
        explored.run(tmp_path / "out", "nsga2", storage=url)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_study_that_another_run_writes_to_is_refused(tmp_path: Path) -> None:
    """In a database, where folders do not tell; unless that run is gone."""
    url = f"sqlite:///{tmp_path / 'team.db'}"
    explored.run(tmp_path / "mine", "nsga2", storage=url, trials=5)
    study = optuna.load_study(study_name="small", storage=url)
    assert study.user_attrs["run"] is None
    here = {"host": "here", "time": time.time(), "numbers": process_numbers()}
    study.set_user_attr("run", {**here, "pid": os.getppid()})
    with pytest.raises(InputError, match="study 'small' is locked by another run"):
        explored.run(tmp_path / "theirs", "nsga2", storage=url, trials=5)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    study.set_user_attr("run", {**here, "pid": ended.pid})
    found = explored.run(tmp_path / "theirs", "nsga2", storage=url, trials=5)
    assert len(found.trials) == 5
    study.set_user_attr("run", {**here, "pid": ended.pid, "numbers": "of another container"})
    with pytest.raises(InputError, match=rf"another run \(process {ended.pid} on here\)"):
        explored.run(tmp_path / "theirs", "nsga2", storage=url, trials=5)


@pytest.mark.parametrize("sampler", ["sweep", "random"])
def test_a_run_gives_way_to_one_that_took_its_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    url = f"sqlite:///{tmp_path / 'team.db'}"
    other = {"host": "theirs", "pid": 7, "time": time.time(), "numbers": "0"}
    owners: list[Any] = []

    class Taking(tqdm):  # type: ignore[type-arg]
        """A bar after whose third step the study is another's."""

        def update(self, n: float | None = 1) -> None:
            study = optuna.load_study(study_name="small", storage=url)
            owners.append(study.user_attrs["run"])
            if len(owners) == 3:
                study.set_user_attr("run", other)

    monkeypatch.setattr("accel_models.exploration.exploration.tqdm", Taking)
    monkeypatch.setattr("accel_models.exploration.storage.SIGN_S", 0.0)
    monkeypatch.setattr("accel_models.exploration.sweep.CHUNK", 5)
    with pytest.raises(InputError, match=r"another run's by now \(process 7 on theirs\): this"):
        explored.run(tmp_path / "mine", sampler, storage=url)
    times = [owner["time"] for owner in owners]
    assert len(times) == 3 and times[0] < times[1] < times[2]
    study = optuna.load_study(study_name="small", storage=url)
    assert study.user_attrs["run"] == other
    assert len(study.trials) == (0 if sampler == "sweep" else 15)


@pytest.mark.parametrize("place", ["new", "there", "new/and/deeper"])
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seed": 4}, "was made with another sampler, seed or batch: give the space another name"),
        ({"storage": "sqlite:////nowhere/team.db"}, "the storage cannot be used"),
        ({"storage": "pigeon://team"}, "cannot be used"),
    ],
)
def test_a_study_that_is_refused_leaves_nothing(
    team: str, tmp_path: Path, place: str, changes: dict[str, Any], sentence: str
) -> None:
    """In a database: what it is found to be another's by is not in the folder."""
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match=sentence):
        explored.run(tmp_path / place, "random", **{"storage": team, "trials": 2, **changes})
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with a study in it."""
    folder = tmp_path_factory.mktemp("team")
    url = f"sqlite:///{folder / 'team.db'}"
    explored.run(folder / "mine", "random", storage=url, trials=2)
    return url


def test_nsga2_learns_to_keep_away_from_what_cannot_run(tmp_path: Path) -> None:
    """Beyond the first generation, which is drawn at random."""
    found = explored.run(tmp_path, "nsga2", trials=150, storage="memory")
    runs = np.array(found.trials.table["infeasible"].is_null().to_pylist())
    assert runs[100:].mean() > runs[:50].mean()
    assert isinstance(found.study, optuna.Study)
