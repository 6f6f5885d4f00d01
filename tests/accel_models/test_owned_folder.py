"""Folders that one run at a time has to itself: locks, settings, and what is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from accel_models import InputError
from accel_models.files import writable_folder
from accel_models.owned_folder import IDENTITY, LOCK, SETTINGS, owned_folder

HOLDER = """
import sys
from accel_models.owned_folder import owned_folder
with owned_folder(sys.argv[1], {"seed": 0}, ["run.json"]):
    print("taken", flush=True)
    sys.stdin.read()
"""


def enter(folder: Path, overwrite: bool = False, **settings: object) -> None:
    with owned_folder(
        folder, settings, ["run.json", "net.safetensors"], overwrite=overwrite
    ) as own:
        (own / "run.json").write_text(json.dumps(settings))


def test_a_folder_belongs_to_one_process_until_that_ends_or_dies(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    for end in ("killed", "asked"):
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "taken\n"
        with pytest.raises(
            InputError, match=rf"run is in use by another run \(process {holder.pid}"
        ):
            enter(folder, seed=0)
        with pytest.raises(InputError, match="is in use by another run"):
            enter(folder, seed=0, overwrite=True)
        if end == "killed":
            holder.send_signal(signal.SIGKILL)
        holder.communicate()
    enter(folder, seed=0)
    assert json.loads((folder / SETTINGS).read_text()) == {"seed": 0}


def test_one_process_has_a_folder_once(tmp_path: Path) -> None:
    with (
        owned_folder(tmp_path, {}, []),
        pytest.raises(InputError, match=f"process {os.getpid()}"),
        owned_folder(tmp_path, {}, []),
    ):
        pass


def test_other_settings_are_named_and_refused_until_they_may_overwrite(tmp_path: Path) -> None:
    enter(tmp_path, seed=0, widths=(4, 8), budget="0.5")
    enter(tmp_path, seed=0, widths=(4, 8), budget="0.5")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        InputError,
        match=r"other settings \(budget was 0\.5, is 0\.6, seed was 0, is 1\): .*--overwrite",
    ):
        enter(tmp_path, seed=1, widths=(4, 8), budget="0.6")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    enter(tmp_path, overwrite=True, seed=1)
    with pytest.raises(InputError, match="seed was 1, is 2"):
        enter(tmp_path, seed=2)


def test_what_cannot_become_a_result_is_found_at_once(tmp_path: Path) -> None:
    """Also by a run that goes on in a folder of its own."""
    enter(tmp_path, seed=0)
    (tmp_path / "report.html").mkdir()
    with (
        pytest.raises(InputError, match=r"cannot write .*report\.html: it is a folder"),
        owned_folder(tmp_path, {"seed": 0}, ["report.html"]),
    ):
        pytest.fail("work would be done that nothing is left of")
    assert (tmp_path / "report.html").is_dir()


def test_settings_that_came_later_were_at_their_defaults(tmp_path: Path) -> None:
    """Also those in a table; what both name is held against each other, defaults or not."""
    enter(tmp_path, seed=0, config={"rate": 0.1})
    defaults = {"norm": "batch", "seed": 7, "config": {"decay": 0.5, "rate": 0.2, "gone": 1}}

    def again(norm: str, seed: int = 0, **config: float) -> None:
        settings = {"seed": seed, "norm": norm, "config": config}
        with owned_folder(tmp_path, settings, (), defaults=defaults):
            pass

    for norm, config, changed in (
        ("running", {"rate": 0.1, "decay": 0.5}, "norm was batch, is running"),
        ("batch", {"rate": 0.1, "decay": 0.6}, "'decay': 0.5.* is .*'decay': 0.6"),
        ("batch", {"rate": 0.2, "decay": 0.5}, "'rate': 0.1.* is .*'rate': 0.2"),
    ):
        with pytest.raises(InputError, match=changed):
            again(norm, **config)
    with pytest.raises(InputError, match="seed was 0, is 7"):
        again("batch", 7, rate=0.1, decay=0.5)
    again("batch", rate=0.1, decay=0.5)
    assert json.loads((tmp_path / "settings.json").read_text())["norm"] == "batch"


def test_lists_that_grow_may_gain_entries_and_lose_none(tmp_path: Path) -> None:
    def grow(*seeds: int) -> None:
        with owned_folder(tmp_path, {"seeds": seeds}, (), growing=["seeds"]):
            pass

    for seeds in ((0, 1), (0, 1, 2), (2, 0, 1), (3, 2, 1, 0)):
        grow(*seeds)
    with pytest.raises(InputError, match=r"seeds was \[3, 2, 1, 0\], is \[0, 1, 2\]"):
        grow(0, 1, 2)
    settings = {"seeds": (3, 2, 1, 0), "grid": (0.5,)}  # a list that nobody knew of before
    with owned_folder(tmp_path, settings, (), growing=["seeds", "grid"]):
        pass
    fewer = owned_folder(tmp_path, settings | {"grid": ()}, (), growing=["seeds", "grid"])
    with pytest.raises(InputError, match=r"grid was \[0\.5\], is \[\]"), fewer:
        pass


def test_results_of_other_settings_do_not_stay_beside_new_ones(tmp_path: Path) -> None:
    enter(tmp_path, seed=0)
    (tmp_path / "net.safetensors").write_text("says itself what it is of")
    with owned_folder(tmp_path, {"seed": 1}, ["run.json", "net.safetensors"], overwrite=True):
        assert not (tmp_path / "run.json").exists()
        assert (tmp_path / "net.safetensors").exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_a_search_of_machines_is_no_other_runs(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / IDENTITY).write_text("{}")
    with pytest.raises(InputError, match=r"search of machines, by its identity\.json: choose"):
        enter(tmp_path, overwrite=overwrite, seed=0)
    assert not (tmp_path / SETTINGS).exists()


def test_a_folder_where_a_result_belongs_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*run\.json: it is a folder"):
        enter(tmp_path, overwrite=True, seed=0)
    assert (tmp_path / "run.json").is_dir()


def test_results_without_settings_and_settings_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds run\.json, and not the settings they"):
        enter(tmp_path, seed=0)
    assert {path.name for path in tmp_path.iterdir()} == {"run.json"}
    enter(tmp_path, seed=0, overwrite=True)
    for damage in ("", "{", "[]", "[" * 10**5, "null"):
        (tmp_path / SETTINGS).write_text(damage)
        with pytest.raises(InputError, match=r"settings\.json that is damaged"):
            enter(tmp_path, seed=0)
    enter(tmp_path, seed=0, overwrite=True)
    enter(tmp_path, seed=0)


def test_a_folder_of_no_settings_is_entered_again(tmp_path: Path) -> None:
    enter(tmp_path)
    enter(tmp_path)
    with pytest.raises(InputError, match=r"other settings \(seed was None, is 1\)"):
        enter(tmp_path, seed=1)


def test_a_run_that_leaves_nothing_leaves_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    with pytest.raises(KeyboardInterrupt), owned_folder(folder, {}, []):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), owned_folder(folder, {}, []):
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt
    assert {path.name for path in folder.iterdir()} == {"half.txt", LOCK, SETTINGS}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch(mode=0o000)
    with pytest.raises(InputError, match="cannot lock the folder"):
        enter(tmp_path)


def test_a_refused_run_takes_the_folders_inside_its_own_along(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="refused"),
        owned_folder(tmp_path / "a" / "b", {}, []) as b,
    ):
        writable_folder(b / "seed0")
        raise InputError("refused")
    assert not list(tmp_path.iterdir())


def test_a_refused_run_leaves_empty_folders_of_others(tmp_path: Path) -> None:
    before = writable_folder(tmp_path / "other" / "chunks")
    enter(tmp_path / "done")
    inside = writable_folder(tmp_path / "done" / "seed0")
    with pytest.raises(InputError, match="refused"), owned_folder(tmp_path / "done", {}, []) as own:
        writable_folder(own / "seed1")
        raise InputError("refused")
    assert before.is_dir() and inside.is_dir() and not (own / "seed1").exists()
