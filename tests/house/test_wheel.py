"""The source archive is the checkout; its wheel holds the packages alone, and runs elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from places import ROOT

pytestmark = pytest.mark.slow

PACKAGES = ("accel_models", "dfs_hw")
DEMO = (
    *("demo", "--network", "resnet8", "--choices", "skip,2,8", "--budget", "0.9", "--quiet"),
    *("--set", "widths=4,8,8", "--set", "batch=16", "--set", "joint_lr=0.01"),
    *("--set", "backbone_steps=2", "--set", "supernet_steps=2"),
    *("--set", "gate_steps=1", "--set", "joint_steps=1", "--out", "out"),
)


def pip(*words: str | Path) -> None:
    """Run pip without an index: everything is here."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*command, *map(str, words)], check=True)


def of_the_checkout() -> set[str]:
    """Files of the checkout that a release needs: no caches, environments or what runs left."""
    left = {"out", "build", "dist", *(path.name for path in ROOT.glob("*.egg-info"))}
    kept = (path for path in ROOT.iterdir() if path.name not in left)
    tops = [path for path in kept if not path.name.startswith(".") or path.name == ".github"]
    files = (file for top in tops for file in ([top] if top.is_file() else top.rglob("*")))
    return {
        file.relative_to(ROOT).as_posix()
        for file in files
        if file.is_file() and "__pycache__" not in file.parts
    }


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, made from a copy: what an earlier build left would land in it."""
    folder = tmp_path_factory.mktemp("release")
    for name in of_the_checkout():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder / "source")
    (built,) = folder.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(archive: Path) -> Path:
    """The wheel, built from the source archive."""
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", archive.parent, archive)
    (built,) = archive.parent.glob("*.whl")
    return built


def test_all_say_the_same_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = [
        re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        for name, pattern in (("CITATION.cff", r"^version: (.*)$"), ("CHANGELOG.md", r"^## (.*)$"))
    ]
    assert [found and found[1] for found in said] == [project["version"]] * 2


def test_the_source_archive_is_the_checkout(archive: Path) -> None:
    with tarfile.open(archive) as opened:
        names = {one.name.partition("/")[2] for one in opened.getmembers() if one.isfile()}
    assert of_the_checkout() <= names
    more = {name for name in names - of_the_checkout() if ".egg-info/" not in name}
    assert more <= {"PKG-INFO", "setup.cfg", ".gitignore", ".pre-commit-config.yaml"}


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*"))
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == wanted
    assert {Path(name).suffix for name in names} >= {".py", ".toml", ".csv", ".css", ".jinja"}


def test_the_demo_runs_from_the_wheel_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    pip("install", "--no-deps", "--no-index", "--target", home, wheel)
    work.mkdir()
    # Kernels as plain Python: to compile them anew takes six times as long as all else.
    env = os.environ | {"PYTHONPATH": str(home), "NUMBA_DISABLE_JIT": "1"}

    def run(*words: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, cwd=work, env=env, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import accel_models, dfs_hw; print(accel_models.__file__, dfs_hw.__file__, sep='\\n')"
    assert all(Path(file).is_relative_to(home) for file in run("-c", where).splitlines())
    run(home / "bin" / "dfs-hw", *DEMO)
    assert "</html>" in (work / "out" / "report.html").read_text()
