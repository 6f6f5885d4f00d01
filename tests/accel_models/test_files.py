"""Outputs take the place of files alone, never of folders or devices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from killing import killed_while_writing

from accel_models import InputError
from accel_models.files import (
    is_running,
    made_folders,
    read_bytes,
    readable,
    remove_empty,
    replaceable,
    same_file,
    whole_file,
    writable_folder,
)


def test_a_file_appears_whole_in_the_place_of_another(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    for content in ("one", "two"):
        with whole_file(target) as partial:
            partial.write_text(content)
        assert target.read_text() == content
    assert list(target.parent.iterdir()) == [target]


def test_names_that_libraries_cannot_write_are_refused(tmp_path: Path) -> None:
    latin = tmp_path / os.fsdecode("é".encode("latin-1"))
    for take in (readable, replaceable, read_bytes, writable_folder):
        with pytest.raises(InputError, match=r"\\udce9: it is under a name that is not UTF-8"):
            take(latin)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("platform", [sys.platform, "win32"])
def test_processes_that_are_there_and_those_that_are_not(
    platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    pytest.importorskip("psutil")
    monkeypatch.setattr(sys, "platform", platform)
    assert is_running(os.getpid())
    assert not is_running(gone.pid)
    assert not is_running(10**30)


def test_what_is_no_file_is_left_where_it_is(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    before = pipe.stat().st_mode
    for place in (pipe, link):
        with pytest.raises(InputError, match="it is no regular file"), whole_file(place):
            pass
    assert pipe.stat().st_mode == before and link.is_symlink()
    for folder in (tmp_path, Path("")):
        with pytest.raises(InputError, match="it is a folder"):
            replaceable(folder)
    with pytest.raises(InputError, match="cannot write"), whole_file(tmp_path / ("a" * 300)):
        pass


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="files without a size of Linux")
def test_a_file_that_states_no_size_is_read_no_further_than_its_limit() -> None:
    assert Path("/proc/self/pagemap").stat().st_size == 0
    with pytest.raises(InputError, match="pagemap is too large: it may have 1000 bytes"):
        read_bytes("/proc/self/pagemap", 1000)  # of 2**45


def test_one_file_has_several_names(tmp_path: Path) -> None:
    one, link = tmp_path / "one", tmp_path / "link"
    link.symlink_to(one)
    assert not same_file(one, link)
    one.write_text("")
    assert same_file(one, link) and not same_file(one, tmp_path)


def test_what_killed_runs_left_goes_and_what_others_write_stays(tmp_path: Path) -> None:
    """Names are of processes that were killed; numbers say nothing of those of another host."""
    target = tmp_path / "a[1].json"
    other, left = (killed_while_writing(path) for path in (tmp_path / "b.json", target))
    own = left.suffixes[-2].strip(".")
    numbers, pid, drawn = own.split("-")
    elsewhere, forgotten, alive = (
        left.with_name(left.name.replace(own, new))
        for new in (
            f"{'0' * 8}-{pid}-{drawn}",
            f"{'1' * 8}-{pid}-{drawn}",
            f"{numbers}-{os.getppid()}-{drawn}",
        )
    )
    for path in (elsewhere, forgotten, alive):
        path.touch()
    os.utime(forgotten, (0, 0))
    with whole_file(target) as partial:
        partial.write_text("whole")
    assert {*tmp_path.iterdir()} == {target, other, elsewhere, alive}


def test_a_link_in_a_partial_files_place_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with whole_file(tmp_path / "a") as partial:
        name = partial.name
    monkeypatch.setattr("accel_models.files.token_hex", lambda _: name.split(".")[-2][-8:])
    (tmp_path / name).symlink_to(tmp_path / "precious")
    with pytest.raises(InputError, match="/a: File exists"), whole_file(tmp_path / "a"):
        pass
    assert not (tmp_path / "precious").exists()


def test_folders_made_for_nothing_are_gone_again(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with made_folders() as made:
        writable_folder(tmp_path / "there" / "new" / "newer")
        writable_folder(tmp_path / "there")
        with pytest.raises(InputError), whole_file(tmp_path / "b" / "c" / "file"):
            raise OSError("no")
        with made_folders(), whole_file(tmp_path / "kept" / "file") as partial:
            partial.touch()
    writable_folder(tmp_path / "later")  # another's
    remove_empty(made)
    assert {*tmp_path.rglob("*")} == {
        tmp_path / "there",
        tmp_path / "kept",
        tmp_path / "kept" / "file",
        tmp_path / "later",
    }
