"""The wheel holds all that the packages need and nothing else, and runs outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: what an earlier build left in the checkout would land in it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "source")
    (built,) = folder.glob("*.whl")
    return built


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
