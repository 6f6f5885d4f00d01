"""Machine code on disk: found again, mended, and taken from nobody else."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from forks import answer_of
from tripling import KERNEL, tripled

from accel_models.private_folder import open_to_others, private_folder

pytestmark = pytest.mark.slow

NOBODY = 54321
"""A user that no machine knows."""
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


class Place:
    """A package with a kernel, a home and a cache, which others may look at."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.cache = folder, folder / "home", folder / "cache"
        self.kernel = folder / "wood" / "kernel"
        self.kernel.mkdir(parents=True)
        (self.kernel / "work.py").write_text(KERNEL)
        for name in ("__init__.py", "kernel/__init__.py"):
            (folder / "wood" / name).touch()
        self.home.mkdir()

    def run(self, *user: int, **environment: str) -> tuple[int, int, list[str]]:
        """Compile, or find compiled: result, functions that were found, and warnings."""
        given = {"PATH": os.environ["PATH"], "HOME": str(self.home), **environment}
        found: tuple[int, int, list[str]] = answer_of(tripled, str(self.folder), given, *user)
        return found

    def open_the_package(self) -> None:
        """Let everybody write to it: no machine code is kept there then."""
        for place in (self.folder / "wood", self.kernel, self.kernel / "__pycache__"):
            place.mkdir(exist_ok=True)
            place.chmod(0o777)


@pytest.fixture
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield Place(folder)


def kept(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.nb?") if path.is_file())


def test_it_lies_beside_the_kernel_for_its_user_alone(place: Place) -> None:
    assert place.run() == (42, 0, [])
    assert place.run() == (42, 1, [])
    (home,) = (place.kernel / "__pycache__").glob("compiled-*")
    assert len(kept(home)) == 2
    for path in (home, *home.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    assert not (place.home / ".cache").exists()


def test_a_damaged_file_is_made_anew(place: Place) -> None:
    place.run()
    files = kept(place.kernel)
    drawn = random.Random(0)
    for path in files:
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[drawn.randrange(len(whole))] ^= 1 << drawn.randrange(8)
        for content in (b"", whole[:-1], drawn.randbytes(len(whole)), bytes(flipped)):
            path.write_bytes(content)
            assert place.run() == (42, 0, []), path
        assert place.run() == (42, 1, []), path


def test_code_of_one_signature_is_not_taken_for_that_of_another(tmp_path: Path) -> None:
    """As two processes may leave it that save at once."""
    from accel_models.machine_code import Sealed

    files = Sealed(str(tmp_path), "work.triple", b"stamp")
    files.save("int64", "whole numbers")
    files.save("float64", "real numbers")
    assert (files.load("int64"), files.load("float64")) == ("whole numbers", "real numbers")
    first, second = sorted(tmp_path.glob("*.nbc"))
    shutil.copy(second, first)
    assert (files.load("int64"), files.load("float64")) == (None, "real numbers")
    files.save("int64", "whole numbers")
    assert files.load("int64") == "whole numbers"


def test_two_that_compile_at_once_both_do(place: Place) -> None:
    with ThreadPoolExecutor(3) as pool:
        assert [found[0] for found in pool.map(lambda _: place.run(), range(3))] == [42] * 3
    assert place.run() == (42, 1, [])
    assert not list(place.kernel.rglob("*.partial"))


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
def test_a_cache_that_others_may_write_to_is_not_used(place: Place, mode: int) -> None:
    place.open_the_package()
    planted = _copied_from_elsewhere(place)
    evil = place.folder / "evil"
    for path in kept(planted):
        path.write_bytes(pickle.dumps(_Touch(str(evil))))
    place.cache.chmod(mode)
    result, hits, said = place.run(DFS_HW_CACHE=str(place.cache))
    assert (result, hits, len(said)) == (42, 0, 1)
    assert f"the folder {place.cache} that DFS_HW_CACHE names is not used" in said[0]
    assert f"{place.home}/.cache/dfs-hw is used instead" in said[0]
    assert not evil.exists()
    assert place.run(DFS_HW_CACHE=str(place.cache))[:2] == (42, 1)
    assert len(kept(place.home / ".cache" / "dfs-hw")) == 2
    assert (place.home / ".cache" / "dfs-hw").stat().st_mode & 0o777 == 0o700
    place.cache.chmod(0o700)
    assert place.run(DFS_HW_CACHE=str(place.cache)) == (42, 0, [])  # what was planted is replaced
    assert not evil.exists()


def _copied_from_elsewhere(place: Place) -> Path:
    """Machine code where it will be looked for in the cache, by another way than this user's."""
    other = place.folder / "other"
    place.run(DFS_HW_CACHE=str(other))
    shutil.copytree(other, place.cache)
    (found,) = place.cache.glob("*/kernel")
    return found


class _Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


@AS_ROOT
def test_what_belongs_to_another_user_is_not_used(place: Place) -> None:
    place.open_the_package()
    code = _copied_from_elsewhere(place)
    for path in (place.cache, *place.cache.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    result, hits, said = place.run(DFS_HW_CACHE=str(place.cache))
    assert (result, hits) == (42, 0)
    assert f"since {place.cache} is another user's" in said[0]
    for path in (place.cache, code.parent, code):
        os.chown(path, 0, 0)  # but not the files, which stay what they are
    assert place.run(DFS_HW_CACHE=str(place.cache)) == (42, 0, [])
    assert place.run(DFS_HW_CACHE=str(place.cache)) == (42, 1, [])


def test_without_any_place_it_is_compiled_in_memory(place: Place) -> None:
    place.open_the_package()
    nowhere, source = {"HOME": "/proc/nowhere"}, place.home / "file"
    source.touch(0o600)
    for more in ({}, {"DFS_HW_CACHE": "/proc/nowhere/else"}, {"XDG_CACHE_HOME": f"{source}"}):
        result, hits, said = place.run(**nowhere, **more)
        assert (result, hits, len(said)) == (42, 0, 1)
        assert "compiled code cannot be kept for the next time" in said[0]
        assert f"{source} is no folder" in said[0] or "cannot make /proc/nowhere" in said[0]
    assert kept(place.folder) == []


@AS_ROOT
def test_a_user_without_a_name_or_a_home_compiles_in_memory(place: Place) -> None:
    result, hits, said = place.run(NOBODY)
    assert (result, hits, len(said)) == (42, 0, 1)
    assert "there is no cache in the home" in said[0]
    (place.folder / "theirs").mkdir()
    os.chown(place.folder / "theirs", NOBODY, NOBODY)
    assert place.run(NOBODY, DFS_HW_CACHE=str(place.folder / "theirs" / "cache")) == (42, 0, [])
    assert place.run(NOBODY, DFS_HW_CACHE=str(place.folder / "theirs" / "cache")) == (42, 1, [])


def test_a_private_folder_is_told_from_others(tmp_path: Path) -> None:
    own = private_folder(tmp_path / "a" / "b")
    assert own.stat().st_mode & 0o777 == (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert open_to_others(own) == open_to_others(tmp_path / "not" / "there") == ""
    for mode, said in ((0o777, "everybody may write"), (0o1777, ""), (0o770, ""), (0o755, "")):
        (tmp_path / "a").chmod(mode)
        assert open_to_others(own).startswith(said), oct(mode)
        assert bool(open_to_others(own)) == bool(said), oct(mode)
    for mode in (0o777, 0o775, 0o1777):
        own.chmod(mode)
        assert "others may write" in open_to_others(own)
    assert private_folder(own).stat().st_mode & 0o777 == 0o700
    (tmp_path / "link").symlink_to(own)
    assert private_folder(tmp_path / "link") == own
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="is no folder"):
        private_folder(tmp_path / "file" / "inside")


def test_windows_where_everybody_seems_to_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o777)
    assert open_to_others(tmp_path) == "others may write to it"
    monkeypatch.setattr(sys, "platform", "win32")
    assert open_to_others(tmp_path) == ""
    assert private_folder(tmp_path / "a") == tmp_path / "a"


@AS_ROOT
def test_folders_under_those_of_another_user_are_not_private(tmp_path: Path) -> None:
    own = private_folder(tmp_path / "a" / "b")
    os.chown(tmp_path / "a", NOBODY, NOBODY)
    assert "a is another user's" in open_to_others(own)
    with pytest.raises(PermissionError, match="is another user's"):
        private_folder(own / "c")
    assert not (own / "c").exists()
