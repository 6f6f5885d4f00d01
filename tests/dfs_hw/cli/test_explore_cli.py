"""Exploring from the command line: what it prints, leaves and refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from exploring import branching, trace_of
from places import ROOT

from accel_models import list_accelerators

SPACE = """
base = "bitfusion"
objectives = ["energy", "area"]
[fields.array]
rows = [8, 16]
columns = [8, 16]
[[workloads]]
trace = "trace.parquet"
"""


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def space(tmp_path: Path) -> Path:
    trace_of().write(tmp_path / "trace.parquet")
    (tmp_path / "space.toml").write_text(SPACE)
    return tmp_path / "space.toml"


@pytest.mark.slow
def test_explore_prints_the_front_and_leaves_its_files(
    dfs_hw: Command, space: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = dfs_hw("explore", space, "--sampler", "sweep", "--workers", 1, "--out", out, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("4 machines tried: 4 run the workloads")
    record = json.loads((out / "study.json").read_text())
    assert "commit" in record["provenance"]
    for name in ("study.html", "trials.parquet", "chosen.toml", "study.journal"):
        assert (out / name).is_file()
    shown = dfs_hw(
        "replay", space.parent / "trace.parquet", "--accelerator", out / "chosen.toml", "--json"
    )
    energy = json.loads(shown.stdout)["energy_j"]["mean"]
    assert energy == pytest.approx(record["chosen"]["metrics"]["energy_j"], rel=1e-12)
    again = dfs_hw("explore", space, "--sampler", "sweep", "--workers", 1, "--out", out, "--json")
    assert json.loads(again.stdout)["trials"] == record["trials"]


def test_a_wrong_space_and_a_wrong_cluster_end_in_one_sentence(
    dfs_hw: Command, space: Path, tmp_path: Path
) -> None:
    space.write_text(SPACE.replace("rows", "rowz"))
    out = tmp_path / "out"
    for words, sentence in (
        ((space,), "fields.array.rowz is no field"),
        ((space.with_name("none.toml"),), "cannot read"),
    ):
        done = dfs_hw("explore", *words, "--out", out)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.strip().splitlines()
        assert line.startswith("dfs-hw: ")
        assert sentence in line
    assert not out.exists()


def test_what_leaves_nothing_to_choose_is_told(
    dfs_hw: Command, space: Path, tmp_path: Path
) -> None:
    """A constraint and by how much it is missed, or why nothing runs."""
    plain = space.read_text()
    for number, (tables, sentence) in enumerate(
        (
            (
                "[constraints]\narea = 0.001",
                "area at most 0.001 mm²: 4 of 4 that run miss it; they",
            ),
            ("[options.all]\nsmall = { widths = [1] }", "None can run the workloads; 4 for this"),
        )
    ):
        space.write_text(plain + tables + "\n")
        words = ("--sampler", "sweep", "--workers", 1, "--quiet")
        done = dfs_hw("explore", space, *words, "--out", tmp_path / f"out{number}")
        assert (done.returncode, done.stderr) == (0, "")
        assert sentence in done.stdout


@pytest.mark.slow
def test_a_policy_that_was_searched_is_told_beside_the_machine(
    dfs_hw: Command, space: Path, tmp_path: Path
) -> None:
    """The machine's file cannot hold it."""
    space.write_text(space.read_text() + '[fields.policy]\nprefetch = ["modal"]\n')
    words = ("--sampler", "sweep", "--workers", 1, "--quiet")
    done = dfs_hw("explore", space, *words, "--out", tmp_path / "out")
    assert "Its figures are for replay with prefetch = modal." in done.stdout


@pytest.mark.slow
def test_ctrl_c_ends_in_one_sentence_also_while_compiled_code_runs(tmp_path: Path) -> None:
    """One process: most of its time is the mapping search's."""
    space, out = ROOT / "docs/spaces/bitfusion-shapes.toml", tmp_path / "o"
    process = subprocess.Popen(
        [sys.executable, "-c", SWEEP, str(space), str(out)], stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not list(out.glob("chunks/*.parquet")):
        time.sleep(0.01)
    time.sleep(0.3)  # it has left what writes the first chunk
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.strip() == "dfs-hw: interrupted; the same command goes on from what was finished"


SWEEP = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what a shell put behind
from dfs_hw.cli import main
words = ["explore", sys.argv[1], "--sampler", "sweep", "--workers", "1", "--quiet"]
sys.argv = ["dfs-hw", *words, "--out", sys.argv[2]]
main()
"""


def test_a_folder_in_use_is_refused(dfs_hw: Command, space: Path, tmp_path: Path) -> None:
    from accel_models.exploration.storage import StudyStorage

    out = tmp_path / "out"
    out.mkdir()
    holder = StudyStorage(out)
    done = dfs_hw("explore", space, "--workers", 1, "--out", out, "--quiet")
    holder.close()
    assert done.returncode == 2
    assert f"{out} is in use by another run (process " in done.stderr


def test_another_space_in_the_same_folder_is_refused(
    dfs_hw: Command, space: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ("--trials", 2, "--workers", 1, "--out", out, "--quiet")
    assert dfs_hw("explore", space, *words).returncode == 0
    space.write_text(SPACE.replace("[8, 16]", "[8, 32]"))
    done = dfs_hw("explore", space, *words)
    assert done.returncode == 2
    assert "was made with another space: choose another folder" in done.stderr


def test_cross_prints_losses_beside_accuracies(dfs_hw: Command, tmp_path: Path) -> None:
    paths = []
    for seed, machine in enumerate(("bitfusion", "stripes")):
        paths.append(tmp_path / f"for-{machine}.parquet")
        trace_of(branching(), seed=seed, accelerator=machine).write(paths[-1])
    done = dfs_hw("cross", *paths, "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line for line in done.stdout.splitlines() if line.startswith("for-")]
    assert len(rows) == 2
    assert rows[0].split().count("+0.0") == 1
    record = json.loads((tmp_path / "out" / "cross.json").read_text())
    assert record["machines"] == ["bitfusion", "stripes"]
    assert set(record["machines"]) <= set(list_accelerators())


def test_without_optuna_the_command_says_what_to_install(space: Path) -> None:
    hidden = "import sys; sys.modules['optuna'] = None; from dfs_hw.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        hidden,
        "explore",
        str(space),
        "--out",
        str(space.parent / "o"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == "dfs-hw: exploring needs Optuna: pip install 'dfs-hw[explore]'"


def test_importing_the_models_loads_no_optuna() -> None:
    """Nor does asking for the package by itself."""
    code = (
        "import sys, accel_models, accel_models.exploration; "
        "loaded = [name in sys.modules for name in ('optuna', 'distributed')]; "
        "print(*loaded, callable(accel_models.explore))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True"]
