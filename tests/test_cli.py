"""The command line as a person meets it: what it prints, and how it ends."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from networks import gated_pair

from accel_models.precision import highest, parse_choices
from accel_models.trace import GateTrace, TraceHeader
from accel_models.validate import PUBLISHED


def dfs_hw(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from dfs_hw.cli import main; main()", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def refused(*words: str | Path) -> str:
    """Run a command that must fail with one sentence; return the sentence."""
    done = dfs_hw(*words)
    assert done.returncode == 2, done
    assert done.stdout == ""
    (sentence,) = done.stderr.strip().splitlines()
    assert sentence.startswith("dfs-hw: ")
    return sentence


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    choices = parse_choices("skip,2,8")
    header = TraceHeader(
        "pair", "none", gated_pair(), choices, highest(choices), "bitfusion-published", 0, "0"
    )
    numbers = np.arange(9)
    taken = np.stack([numbers % 3, numbers // 3], axis=1).astype(np.uint8)
    GateTrace(header, numbers, numbers, numbers, taken).write(tmp_path / "trace.parquet")
    return tmp_path / "trace.parquet"


def test_validate_succeeds_on_published_results_and_says_how_many() -> None:
    done = dfs_hw("validate", PUBLISHED)
    assert done.returncode == 0
    assert done.stdout.strip() == "305 of 305 rows are exact"


def test_validate_fails_on_a_wrong_cell_and_says_which(tmp_path: Path) -> None:
    rows = list(csv.DictReader(PUBLISHED.read_text().splitlines()))[:3]
    rows[1]["dram_read_bits"] = str(int(rows[1]["dram_read_bits"]) * 2)
    with open(tmp_path / "wrong.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    done = dfs_hw("validate", tmp_path / "wrong.csv")
    assert done.returncode == 1
    assert "P001" in done.stdout
    assert "dram_read_bits" in done.stdout
    assert "-0.5 relative" in done.stdout
    assert "2 of 3 rows are exact" in done.stdout
    facts = json.loads(dfs_hw("validate", tmp_path / "wrong.csv", "--json").stdout)
    assert facts["exact"] == 2


def test_replay_says_the_same_to_people_programs_and_files(trace: Path, tmp_path: Path) -> None:
    table = dfs_hw("replay", trace, "--out", tmp_path / "costs.parquet")
    facts = json.loads(dfs_hw("replay", trace, "--json").stdout)
    rows = pq.read_table(tmp_path / "costs.parquet")
    assert table.returncode == 0
    assert "9 inputs on bitfusion-published" in table.stdout
    assert facts["energy_j"]["mean"] == pytest.approx(rows["energy_j"].to_numpy().mean())
    assert sum(facts["energy_by_component_j"].values()) == pytest.approx(facts["energy_j"]["mean"])
    assert sum(facts["energy_by_layer_j"].values()) == pytest.approx(facts["energy_j"]["mean"])
    assert facts["choices"]["a"] == {"skip": 3, "2": 3, "8": 3}


def test_simulate_json_adds_up() -> None:
    facts = json.loads(
        dfs_hw("simulate", "resnet20", "--precision", "8", "--precision", "2", "--json").stdout
    )
    for run in facts.values():
        assert sum(layer["cycles"] for layer in run["layers"]) == run["cycles"]
        assert sum(layer["energy_j"] for layer in run["layers"]) == pytest.approx(run["energy_j"])
    assert facts["2"]["energy_j"] < facts["8"]["energy_j"]


def test_accelerators_lists_machines_and_shows_sources() -> None:
    assert "bitfusion-published" in dfs_hw("accelerators").stdout
    assert "bf_e_conf.ini" in dfs_hw("accelerators", "bitfusion-published").stdout
    (machine,) = json.loads(dfs_hw("accelerators", "bitfusion-published", "--json").stdout)
    assert machine["array"]["columns"] == 32


def test_help_teaches() -> None:
    text = dfs_hw("--help").stdout
    for command in ("demo", "train", "record", "replay", "simulate", "validate", "report"):
        assert command in text
    assert "45uJ" in dfs_hw("train", "--help").stdout


def test_bad_input_ends_in_one_sentence(trace: Path, tmp_path: Path) -> None:
    toml = tmp_path / "mine.toml"
    toml.write_text("name = 'x'\n[array]\nrows = 4\n")
    out = tmp_path / "run"
    cases = {
        "known are": ("simulate", "resnet20", "--accelerator", "abacus"),
        "wider than the array's 8": ("simulate", "resnet20", "--precision", "12"),
        "'huge' is not a precision": ("simulate", "resnet20", "--precision", "huge"),
        "no network is called": ("simulate", "resnet21"),
        "cannot read": ("simulate", tmp_path / "absent.csv"),
        "does not say where it comes from": ("accelerators", toml),
        "lacks the column": ("validate", toml),
        "there is no trace": ("replay", tmp_path / "absent.parquet"),
        "no Parquet file": ("replay", toml),
        "there is no checkpoint": ("record", tmp_path / "absent.safetensors"),
        "run.json": ("report", tmp_path),
        "no data set": ("train", "--data", "mnist", "--out", out),
        "nothing to run": ("train", "--choices", "skip", "--out", out),
        "can be reached": ("train", "--budget", "0.0001", "--out", out),
        "no metric": ("demo", "--metric", "joy", "--out", out),
        "not in 'ms'": ("demo", "--budget", "1ms", "--out", out),
        "16 bits on bitfusion-published": ("train", "--choices", "8,16", "--out", out),
        "seed must be at least 0, got -1": ("train", "--seed", "-1", "--out", out),
        "cannot write to the folder": ("train", "--out", toml),
    }
    for said, words in cases.items():
        assert said in refused(*words)
    assert not out.exists()
