"""Files of an exploration that were damaged: made again where they can be, refused in one sentence
where not, and never taken for results."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from changed_rows import change_rows, exchanged
from optuna.samplers import RandomSampler
from places import HELPERS

from accel_models import InputError
from accel_models.exploration import Exploration, explore
from accel_models.exploration.adaptive import SAMPLERS
from accel_models.exploration.journal import JOURNAL, SEAL, Journal
from accel_models.exploration.storage import StudyStorage
from accel_models.owned_folder import IDENTITY, lock_folder

CHUNK = "chunks/chunk-000000.parquet"
NET = "name,in_channels,out_channels,out_size\na,3,8,4\n"
Damage = Callable[[bytes], bytes]


def space(folder: Path) -> dict[str, Any]:
    (folder / "net.csv").write_text(NET)
    return {
        "name": "damaged",
        "base": "bitfusion",
        "objectives": ["energy", "area"],
        "fields": {"array": {"rows": [8, 16], "columns": [16, 32]}},
        "workloads": [{"layers": str(folder / "net.csv"), "precision": 8}],
    }


def explored(folder: Path, sampler: str, out: str | Path) -> Exploration:
    return explore(space(folder), out=out, sampler=sampler, trials=4, batch=2)


@pytest.fixture(scope="module", params=["sweep", "nsga2"])
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("study")
    return folder, request.param, explored(folder, request.param, folder / "out")


def flipped(at: float) -> Damage:
    def flip(content: bytes) -> bytes:
        place = int(at * len(content))
        return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]

    return flip


def unsealed(journal: Path) -> list[dict[str, Any]]:
    """Lines of a journal as version 0.1 had them, which can be changed."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return [{name: line[name] for name in line if name != SEAL} for line in lines]


DAMAGES: dict[str, Damage] = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "garbage": lambda content: os.urandom(64) + b"\n",
    "a number": lambda content: b"7\n",
    "a list": lambda content: b"[[]]\n",
    "deep": lambda content: b"[" * 100_000 + b"\n",
    "a bit at a third": flipped(0.33),
    "a bit at two thirds": flipped(0.67),
}


@pytest.mark.parametrize("name", [JOURNAL, IDENTITY, CHUNK])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_mended_or_named(study: Any, tmp_path: Path, name: str, damage: str) -> None:
    folder, sampler, whole = study
    if not (folder / "out" / name).exists():
        pytest.skip("a search has no chunks")
    shutil.copytree(folder / "out", tmp_path / "out")
    file = tmp_path / "out" / name
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    try:
        found = explored(folder, sampler, tmp_path / "out")
    except InputError:
        assert name != CHUNK
        return
    assert found.trials.table.equals(whole.trials.table)


def test_a_chunk_whose_columns_were_exchanged_is_made_again(study: Any, tmp_path: Path) -> None:
    folder, sampler, whole = study
    if sampler != "sweep":
        pytest.skip("a search has no chunks")
    shutil.copytree(folder / "out", tmp_path / "out")
    change_rows(tmp_path / "out" / CHUNK, exchanged("energy_j", "latency_s"))
    assert explored(folder, sampler, tmp_path / "out").trials.table.equals(whole.trials.table)


@pytest.mark.parametrize("directions", [[], [1], [1, 2], [2, 2]])
def test_a_study_of_other_objectives_is_refused(
    study: Any, tmp_path: Path, directions: list[int]
) -> None:
    folder, sampler, _ = study
    shutil.copytree(folder / "out", tmp_path / "out")
    journal = tmp_path / "out" / JOURNAL
    lines = unsealed(journal)
    lines[0]["directions"] = directions
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match="journal is damaged: study 'damaged' is to make 2"):
        explored(folder, sampler, tmp_path / "out")


def test_no_bit_of_a_journal_can_flip(study: Any, tmp_path: Path) -> None:
    """Samplers go on from its values, whose last digits nobody would miss."""
    folder, _, _ = study
    journal = tmp_path / JOURNAL
    content = (folder / "out" / JOURNAL).read_bytes()
    journal.write_bytes(content)
    whole = list(Journal(journal).read_logs(0))
    refused = 0
    for place in range(7, len(content), 53):
        journal.write_bytes(flipped(place / len(content))(content))
        try:
            found = list(Journal(journal).read_logs(0))
            # A seal by another name is one field more.
            assert all(old.items() <= new.items() for old, new in zip(whole, found, strict=True))
        except InputError as error:
            assert "journal is damaged: line" in str(error)
            refused += 1
    assert refused > len(content) / 53 * 0.8


def test_no_line_of_a_journal_can_be_there_twice(study: Any, tmp_path: Path) -> None:
    """Optuna would take it for one trial more, or pass over it."""
    folder, sampler, _ = study
    shutil.copytree(folder / "out", tmp_path / "out")
    journal = tmp_path / "out" / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    trial = next(at for at, line in enumerate(lines) if json.loads(line)["op_code"] == 4)
    for place in (trial + 1, len(lines)):
        journal.write_bytes(b"".join([*lines[:place], lines[trial], *lines[place:]]))
        with pytest.raises(InputError, match=rf"journal is damaged: line {place + 1} is not what"):
            explored(folder, sampler, tmp_path / "out")
    journal.write_bytes(b"".join([*lines[:trial], *lines[trial + 1 :]]))
    with pytest.raises(InputError, match=rf"journal is damaged: line {trial + 1} is not what"):
        explored(folder, sampler, tmp_path / "out")
    journal.write_bytes(b"".join([*lines[:-1], lines[-1][:-9] + b"\n"]))
    with pytest.raises(InputError, match=rf"journal is damaged: line {len(lines)} is no JSON"):
        explored(folder, sampler, tmp_path / "out")
    journal.write_bytes(b"".join(lines[:trial]))
    assert len(explored(folder, sampler, tmp_path / "out").study.trials) == 4


def test_an_outcome_is_that_of_its_configuration(study: Any, tmp_path: Path) -> None:
    folder, sampler, _ = study
    if sampler == "sweep":
        pytest.skip("a sweep's outcomes are its chunks'")
    shutil.copytree(folder / "out", tmp_path / "out")
    journal = tmp_path / "out" / JOURNAL
    lines = unsealed(journal)
    noted = next(line["user_attr"]["outcome"] for line in lines if "outcome" in str(line))
    noted[0]["energy_j"] *= 0.5
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match="trial 0 is damaged"):
        explored(folder, sampler, tmp_path / "out")


FULL = """
import resource, signal, sys
from accel_models.errors import DfsHwError
sys.path[:0] = {here!r}
from pathlib import Path
from test_explore_damage import explored
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
try:
    explored(Path({folder!r}), {sampler!r}, {out!r})
except DfsHwError as error:
    print("refused:", error)
else:
    print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", [100, 600, 5000])
def test_a_full_disk_is_said_and_nothing_is_lost(study: Any, tmp_path: Path, limit: int) -> None:
    """As a file that may not grow, which every system can be asked for."""
    folder, sampler, whole = study
    script = FULL.format(
        here=[str(Path(__file__).parent), str(HELPERS)],
        limit=limit,
        folder=str(folder),
        sampler=sampler,
        out=str(tmp_path / "out"),
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith(("refused: cannot ", "done"))
    assert done.stdout.startswith("refused") or limit >= 2000
    found = explored(folder, sampler, tmp_path / "out")
    assert found.trials.table.equals(whole.trials.table)


@pytest.mark.parametrize("table", ["trials", "study_user_attributes", "trial_values"])
def test_a_database_that_fails_in_mid_run_is_a_sentence_and_keeps_no_lock(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where somebody drops its tables: after the second batch, as its trials are drawn."""
    team, out = tmp_path / "team.db", tmp_path / "out"
    drawn = 0

    def dropping(of: Any, seed: int) -> RandomSampler:
        nonlocal drawn
        drawn += 1
        if drawn == 3:
            with sqlite3.connect(team) as database:
                database.execute(f"DROP TABLE {table}")
        return RandomSampler(seed=seed)

    monkeypatch.setitem(SAMPLERS, "dropping", dropping)
    monkeypatch.setattr("accel_models.exploration.storage.SIGN_S", 0.0)
    tables = space(tmp_path)
    settings: dict[str, Any] = {"sampler": "dropping", "trials": 8, "batch": 2}
    with pytest.raises(InputError, match=f"^the storage cannot be used: .*no such table: {table}$"):
        explore(tables, out=out, storage=f"sqlite:///{team}", **settings)
    team.unlink()
    (out / IDENTITY).unlink()
    found = explore(tables, out=out, storage=f"sqlite:///{team}", **settings)
    assert len(found.trials) == 8


def test_a_database_that_is_gone_at_the_end_keeps_no_lock(tmp_path: Path) -> None:
    team, out = tmp_path / "team.db", tmp_path / "out"
    storage = StudyStorage(out, f"sqlite:///{team}")
    study = storage.study("one", 1, {"space": "a"})
    with sqlite3.connect(team) as database:
        database.execute("DROP TABLE study_user_attributes")
    storage.close(study)
    os.close(lock_folder(out))
