"""Runs that are killed without warning, and go on to what they would have come to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killing import command, kill_when

from accel_models.owned_folder import owned_folder

pytestmark = pytest.mark.slow

COMPARED = (
    *("--network", "resnet8", "--choices", "skip,2,8", "--budget", "0.9", "--quiet"),
    *("--set", "widths=4,8,8", "--set", "batch=16", "--set", "joint_lr=0.01"),
    *("--set", "backbone_steps=4", "--set", "supernet_steps=2"),
    *("--set", "gate_steps=1", "--set", "joint_steps=4"),
)
TINY = (*COMPARED, "--set", "knob=true")
PASSING = ("created", "seconds", "commit", "digest")
SPACE = """
name = "shapes"
objectives = ["energy"]
base = "bitfusion"

[fields.array]
rows = [8, 16]
columns = [16, 32]
"""


def figures(path: Path) -> dict[str, Any]:
    """What a run found, without when and how long."""
    return {name: x for name, x in json.loads(path.read_text()).items() if name not in PASSING}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "demo"
    demo = [sys.executable, "-m", "dfs_hw", "demo", *TINY, "--out", folder]
    done = subprocess.run(demo, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_a_demo_killed_at_any_time_comes_to_the_same(
    whole: Path, tmp_path: Path, printed: Callable[..., str]
) -> None:
    folder = tmp_path / "demo"
    moments = ("settings.json", "backbone.safetensors", "network.safetensors", "trace.parquet")

    def there(name: str) -> Callable[[], bool]:
        return lambda: (folder / name).exists()

    for moment in moments:
        kill_when(there(moment), command, "demo", *TINY, "--out", folder)
        assert not (folder / "run.json").exists()
    printed("demo", *TINY, "--out", folder)
    assert figures(folder / "run.json") == figures(whole / "run.json")
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}
    for path in (*whole.glob("*.safetensors"), whole / "trace.parquet"):
        assert (folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_codesign_killed_at_any_time_comes_to_the_same(
    whole: Path, tmp_path: Path, printed: Callable[..., str]
) -> None:
    space = tmp_path / "space.toml"
    space.write_text(SPACE)
    words = ("codesign", space, whole / "network.safetensors", "--floor", "0.01", "--quiet")
    words = (*words, "--prices", "0.2,0.8", "--sampler", "sweep", "--workers", "1", "--out")
    printed(*words, tmp_path / "whole")
    killed = tmp_path / "killed"

    def left(pattern: str, number: int) -> Callable[[], bool]:
        return lambda: len(list(killed.glob(pattern))) >= number

    for happened in (
        left("settings.json", 1),
        left("traces/*.parquet", 1),
        left("traces/*.parquet", 3),
        left("machines-at-*/*", 1),
        left("traces/*-test-*.parquet", 1),
    ):
        kill_when(happened, command, *words, killed)
    printed(*words, killed)
    assert figures(killed / "codesign.json") == figures(tmp_path / "whole" / "codesign.json")
    chosen = (killed / "chosen.toml").read_bytes()
    assert chosen == (tmp_path / "whole" / "chosen.toml").read_bytes()


def test_the_second_of_two_runs_in_one_folder_is_refused(
    whole: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    space, folder = tmp_path / "space.toml", tmp_path / "run"
    space.write_text(SPACE)
    with owned_folder(folder, {}, ()):
        for words in (
            ("demo", *TINY),
            ("train", *TINY),
            ("compare", *COMPARED, "--seeds", "0", "--contenders", "static,knob"),
            ("codesign", space, whole / "network.safetensors", "--floor", "0.01"),
        ):
            for more in ((), ("--overwrite",)):
                said = refused(*words, *more, "--out", folder)
                assert f"{folder} is in use by another run (process {os.getpid()})" in said


def test_a_finished_run_is_not_overwritten_by_other_settings(
    whole: Path, refused: Callable[..., str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.iterdir() if path.name != ".lock"}
    for words in (("demo", *TINY), ("train", *TINY)):
        said = refused(*words, "--seed", "1", "--set", "joint_lr=0.02", "--out", whole)
        assert "other settings (joint_lr was 0.01, is 0.02, network and images was " in said
        assert "seed was 0, is 1)" in said
    said = refused("compare", *COMPARED, "--contenders", "static,knob", "--out", whole)
    assert "dfq_choices was None" in said
    after = {path: path.stat().st_mtime_ns for path in whole.iterdir() if path.name != ".lock"}
    assert after == before
