"""The command line as a person meets it: what it prints, and how it ends."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from networks import gated_pair

from accel_models import list_accelerators, load_accelerator, simulate
from accel_models.accelerators.ground import ranked
from accel_models.precision import highest, parse_choices
from accel_models.trace import GateTrace, TraceHeader
from accel_models.validation.published_rows import PUBLISHED

Command = Callable[..., subprocess.CompletedProcess[str]]


def row_of(table: str, name: str) -> str:
    """The one line that begins with `name` as a whole."""
    (row,) = (line for line in table.splitlines() if f"{line}  ".startswith(f"{name}  "))
    return row


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


def test_validate_succeeds_on_published_results_and_says_how_many(dfs_hw: Command) -> None:
    done = dfs_hw("validate", PUBLISHED)
    assert done.returncode == 0
    assert done.stdout.strip() == "305 of 305 rows are exact"


def test_validate_fails_on_a_wrong_cell_and_says_which(dfs_hw: Command, tmp_path: Path) -> None:
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


def test_replay_says_the_same_to_people_programs_and_files(
    dfs_hw: Command, trace: Path, tmp_path: Path
) -> None:
    table = dfs_hw("replay", trace, "--out", tmp_path / "costs.parquet")
    facts = json.loads(dfs_hw("replay", trace, "--json").stdout)
    rows = pq.read_table(tmp_path / "costs.parquet")
    assert table.returncode == 0
    assert "9 inputs on bitfusion-published" in table.stdout
    assert facts["energy_j"]["mean"] == pytest.approx(rows["energy_j"].to_numpy().mean())
    assert sum(facts["energy_by_component_j"].values()) == pytest.approx(facts["energy_j"]["mean"])
    assert sum(facts["energy_by_layer_j"].values()) == pytest.approx(facts["energy_j"]["mean"])
    assert facts["choices"]["a"] == {"skip": 3, "2": 3, "8": 3}
    assert facts["policy"]["prefetch"] == "none"
    mean = facts["comparison"]["replayed"]["energy_j"]
    assert mean == facts["energy_j"]["mean"]
    # The highest width without gates, as `simulate` has it.
    top = simulate(gated_pair().without_gates(), load_accelerator("bitfusion-published"), 8)
    assert facts["comparison"]["highest"]["energy_j"] == pytest.approx(top.energy_j)
    assert sum(one["inputs"] for one in facts["classes"].values()) == 9


def test_every_policy_is_an_option(trace: Path, printed: Callable[..., str]) -> None:
    def replayed(*words: str) -> dict[str, Any]:
        command = ("replay", trace, "--accelerator", "bitfusion", "--json", *words)
        facts: dict[str, Any] = json.loads(printed(*command))
        return facts

    options = {
        "prefetch": ("--prefetch", "modal", "--guess", "2,8"),
        "switches": ("--no-switches",),
        "batching": ("--batching", "grouped", "--batch", "3"),
        "arrivals": ("--arrivals", "poisson", "--load", "0.8", "--seed", "3", "--idle-gating"),
        "storage": (
            *("--machine-set", "storage.weights=copies"),
            *("--machine-set", "storage.stream_bits=16"),
        ),
    }
    plain = replayed()
    found = {name: replayed(*words) for name, words in options.items()}
    assert found["prefetch"]["policy"]["guess"] == [1, 2]
    assert found["prefetch"]["wasted_bits"] > 0
    assert found["switches"]["cycles"]["switching"] == 0 < plain["cycles"]["switching"]
    assert found["batching"]["latency_s"]["mean"] > plain["latency_s"]["mean"]
    assert found["arrivals"]["utilisation"] == pytest.approx(0.8, abs=0.2)
    assert found["arrivals"]["response_s"]["mean"] >= plain["latency_s"]["mean"]
    assert found["storage"]["energy_j"]["mean"] > plain["energy_j"]["mean"]
    for name, facts in found.items():
        changed = {key for key, value in facts["policy"].items() if value != plain["policy"][key]}
        assert (name in changed) == (name != "storage")


def test_an_ablation_switches_one_effect_at_a_time(
    trace: Path, printed: Callable[..., str]
) -> None:
    words = ("replay", trace, "--accelerator", "bitfusion", "--ablate", "--batch", "3")
    text, facts = printed(*words), json.loads(printed(*words, "--json"))
    effects = {effect["name"]: effect for effect in facts["effects"]}
    asked = effects["as asked"]
    for name, effect in effects.items():
        assert row_of(text, name + (" *" if effect["bounds"] else ""))
    bounds = {name for name, effect in effects.items() if effect["bounds"]}
    batches = {f"batches of 3, {kind}" for kind in ("highest choice", "sorted")}
    assert bounds == {"all widths known early", *batches}
    early = effects["all widths known early"]["latency_s"]["mean"]
    assert early < asked["latency_s"]["mean"] < effects["nothing loads early"]["latency_s"]["mean"]
    copies, full = (
        effects[f"weights: {how}"] for how in ("a copy for each width", "one full copy")
    )
    assert copies["weight_bits"] > asked["weight_bits"] == full["weight_bits"]
    assert copies["traffic_bits"] == asked["traffic_bits"] < full["traffic_bits"]
    alone = json.loads(
        printed("replay", trace, "--accelerator", "bitfusion", "--no-switches", "--json")
    )
    assert alone["energy_j"] == effects["switching is free"]["energy_j"]


def test_the_seed_of_an_ablation_is_that_of_its_random_arrivals(
    trace: Path, printed: Callable[..., str]
) -> None:
    words = ("replay", trace, "--accelerator", "bitfusion", "--ablate", "--json")
    plain, other = (
        {effect.pop("name"): effect for effect in json.loads(printed(*words, *seed))["effects"]}
        for seed in ((), ("--seed", "3"))
    )
    moved = {name for name, effect in plain.items() if effect != other[name]}
    assert moved == {name for name in plain if name.startswith("random arrivals")} != set()


def test_damage_is_named_and_left_out_if_asked(
    trace: Path, printed: Callable[..., str], refused: Callable[..., str]
) -> None:
    GateTrace.read(trace).write(trace, rows=3)
    chunk = pq.read_metadata(trace).row_group(1).column(0)
    content = bytearray(trace.read_bytes())
    content[chunk.dictionary_page_offset + chunk.total_compressed_size - 3] ^= 1
    trace.write_bytes(content)
    assert "row group 1 (rows 3 to 5) is damaged" in refused("replay", trace)
    facts = json.loads(printed("replay", trace, "--skip-damaged", "--json"))
    assert facts["inputs"] == 6
    assert facts["damaged"] == [{"row_group": 1, "rows": [3, 5]}]
    assert "left out as damaged: 3 inputs, row groups 1" in printed(
        "replay", trace, "--skip-damaged"
    )


def test_what_a_table_left_open_is_said(dfs_hw: Command, tmp_path: Path) -> None:
    (tmp_path / "net.csv").write_text("name,in_channels,out_channels,out_size\na,3,8,4\n")
    sentence = "'a' is taken to read the image, in 8-bit pixels"
    facts = json.loads(dfs_hw("simulate", tmp_path / "net.csv", "--json").stdout)
    assert facts["8"]["assumed"] == [sentence]
    said = " ".join(dfs_hw("simulate", tmp_path / "net.csv").stdout.split())
    assert f"assumed: {sentence}" in said


def test_simulate_json_adds_up(dfs_hw: Command) -> None:
    facts = json.loads(
        dfs_hw("simulate", "resnet20", "--precision", "8", "--precision", "2", "--json").stdout
    )
    for run in facts.values():
        assert sum(layer["cycles"] for layer in run["layers"]) == run["cycles"]
        assert sum(layer["energy_j"] for layer in run["layers"]) == pytest.approx(run["energy_j"])
    assert facts["2"]["energy_j"] < facts["8"]["energy_j"]


def test_accelerators_lists_all_machines_with_their_peaks(printed: Callable[..., str]) -> None:
    listed = printed("accelerators")
    for name in list_accelerators():
        assert name in listed
    assert listed.index("on common ground") < listed.index("as published")
    # 512 elements of 400 MHz; 92 TOPS in the TPU's abstract.
    assert row_of(listed, "bitfusion").count("1–2|3–4|5–8|9–16") == 2
    assert "410 GOPS" in row_of(listed, "bitfusion")
    assert "91.8 TOPS" in row_of(listed, "tpu-published")
    facts = json.loads(printed("accelerators", "--json"))
    assert [sheet["name"] for sheet in facts] == list_accelerators()
    assert [sheet["name"] for sheet in facts if not sheet["off_ground"]] == ranked()


def test_a_data_sheet_shows_every_constant_and_its_source(printed: Callable[..., str]) -> None:
    text = printed("accelerators", "bitfusion")
    machine = load_accelerator("bitfusion")
    for path, _, source in machine.constants():
        assert source.text[:40] in row_of(text, path) or "as above" in row_of(text, path)
    for option in machine.fidelity.model_dump():
        assert option.replace("_", " ") in text
    assert machine.departures is not None
    for step in machine.departures.step:
        assert step.title in text
    assert "refused: weights of 9–16 bits" in printed("accelerators", "tpu-int8")
    (sheet,) = json.loads(printed("accelerators", "bitfusion", "--json"))
    assert sheet["fields"]["array"]["columns"] == 32
    assert sheet["peaks"]["8"]["gops"] == pytest.approx(409.6)


def test_accelerators_compared(printed: Callable[..., str]) -> None:
    words = ("accelerators", "--compare", "bitfusion", "unpu-published", "--network", "resnet8")
    text, facts = printed(*words), json.loads(printed(*words, "--json"))
    assert row_of(text, "peak at 16 bits").split()[-4:] == ["102", "GOPS", "346", "GOPS"]
    assert row_of(text, "frequency_hz").split()[1:] == ["400,000,000", "200,000,000"]
    assert "Processes are not the same" in text
    network = json.loads(printed("simulate", "resnet8", "--json"))["8"]
    assert facts["runs"]["8"]["bitfusion"]["cycles"] == network["cycles"]
    assert facts["differences"]["technology.node_nm"] == {"bitfusion": 28, "unpu-published": 65}
    assert "Not on common ground: unpu-published." in text


def test_machines_on_common_ground_are_ranked(printed: Callable[..., str]) -> None:
    words = ("accelerators", "--compare", "--network", "resnet8")
    text, facts = printed(*words), json.loads(printed(*words, "--json"))
    order = list(facts["ranking"]["8"]["energy_j"])
    assert sorted(order) == ranked()
    energies = {name: run["energy_j"] for name, run in facts["runs"]["8"].items()}
    assert order == sorted(order, key=energies.__getitem__)
    assert sorted(order, key=text.index) == order
    assert "All on common ground" in text and "keep their order" in text
    for run in facts["runs"]["8"].values():
        split = run["split"]
        assert split["dynamic_j"] + split["static_j"] == pytest.approx(run["energy_j"])


def test_machines_compared_at_equal_area(printed: Callable[..., str]) -> None:
    words = ("accelerators", "--compare", "bitfusion", "stripes", "--network", "resnet8")
    facts = json.loads(printed(*words, "--equal", "area", "--json"))
    areas = [sum(sheet["area_mm2"].values()) for sheet in facts["machines"]]
    assert areas[0] == pytest.approx(areas[1], rel=0.02)
    plain = json.loads(printed(*words, "--json"))
    assert facts["runs"]["8"]["bitfusion"] == plain["runs"]["8"]["bitfusion"]
    assert facts["runs"]["8"]["stripes"] != plain["runs"]["8"]["stripes"]


def test_departures_of_a_machine_step_by_step(printed: Callable[..., str]) -> None:
    words = ("accelerators", "bitfusion", "--departures", "--network", "resnet8")
    text, facts = printed(*words), json.loads(printed(*words, "--json"))
    departures = load_accelerator("bitfusion").departures
    assert departures is not None
    assert [step["title"] for step in facts["steps"][1:]] == [s.title for s in departures.step]
    for number, step in enumerate(facts["steps"]):
        cycles = f"{step['runs']['8']['cycles']:,}"
        assert cycles in row_of(text, f"{number}. {step['title']}")
    assert departures.step[0].why[:40] in text


def test_another_objective_finds_other_mappings(printed: Callable[..., str]) -> None:
    costs = {}
    for objective in ("latency", "energy"):
        words = ("simulate", "resnet8", "--objective", objective, "--json")
        costs[objective] = json.loads(printed(*words))["8"]
    assert costs["latency"]["cycles"] < costs["energy"]["cycles"]
    assert costs["latency"]["energy_j"] > costs["energy"]["energy_j"]


def test_version_is_that_of_the_package(dfs_hw: Command) -> None:
    done = dfs_hw("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"dfs-hw {version('dfs-hw')}")


def test_help_teaches(dfs_hw: Command) -> None:
    text = dfs_hw("--help").stdout
    for command in ("demo", "train", "record", "replay", "simulate", "validate", "report"):
        assert command in text
    assert "45uJ" in dfs_hw("train", "--help").stdout


@pytest.mark.slow
def test_bad_input_ends_in_one_sentence(
    trace: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    # One function: a table of what is refused, and in which words.
    toml = tmp_path / "mine.toml"
    toml.write_text("name = 'x'\n[array]\nrows = 4\n")
    out = tmp_path / "run"
    cases = {
        "known are": ("simulate", "resnet20", "--accelerator", "abacus"),
        "known are bismo-published": ("accelerators", "bitfusion", "abacus"),
        "needs two machines": ("accelerators", "--compare", "bitfusion"),
        "bitfusion twice": ("accelerators", "--compare", "bitfusion", "bitfusion"),
        "needs one machine": ("accelerators", "--departures"),
        "does not say which machine": ("accelerators", "--departures", "stripes"),
        "ask for one": ("accelerators", "--compare", "--departures", "bitfusion", "stripes"),
        "goes with --compare": ("accelerators", "bitfusion", "--network", "resnet20"),
        "goes with --compare and the names": ("accelerators", "--compare", "--equal", "area"),
        "no layer of 'resnet8' is called 'head'": ("simulate", "resnet8", "--explain", "head"),
        "goes with --explain": ("simulate", "resnet8", "--pareto"),
        "mapping.objective must be": ("simulate", "resnet8", "--objective", "speed"),
        "wider than the array's 16": ("simulate", "resnet20", "--precision", "17"),
        "'huge' is not a precision": ("simulate", "resnet20", "--precision", "huge"),
        "no network is called": ("simulate", "resnet21"),
        "cannot read": ("simulate", tmp_path / "absent.csv"),
        "--image cannot apply": ("simulate", tmp_path / "absent.csv", "--image", "64"),
        "array.family must be one of bismo, ": ("accelerators", toml),
        "lacks the column": ("validate", toml),
        "there is no trace": ("replay", tmp_path / "absent.parquet"),
        "no Parquet file": ("replay", toml),
        "--load goes with --arrivals poisson": ("replay", trace, "--load", "0.9"),
        "--seed goes with --arrivals poisson": ("replay", trace, "--seed", "0"),
        "or with an --ablate that tries it": (
            *("replay", trace, "--ablate", "--batching", "sorted", "--seed", "3"),
        ),
        "--idle-gating goes with --arrivals": ("replay", trace, "--idle-gating", "--ablate"),
        "1 to 1024 inputs, got 9999": ("replay", trace, "--batching", "max", "--batch", "9999"),
        "it must be a whole number of 64 bits": (
            *("replay", trace, "--machine-set"),
            f"array.reconfiguration_cycles={10**30}",
        ),
        "frequency_hz must be greater": (
            "simulate",
            "resnet8",
            "--machine-set",
            "frequency_hz=1e-300",
        ),
        "write FIELD=VALUE": ("timeline", trace, "--machine-set", "storage.weights"),
        "--machine-set array.rows=4": ("replay", trace, "--set", "array.rows=4"),
        "field of the machine is --machine-set": ("simulate", "resnet8", "--set", "array.rows=4"),
        "a field of the machine is": ("timeline", trace, "--set", "array.rows=4"),
        "are arguments: dfs-hw explore SPACE.toml a b": (
            *("explore", toml, "--trace", "a", "--trace", "b"),
        ),
        "there is no checkpoint": ("record", tmp_path / "absent.safetensors"),
        "a report is written as html, json": ("report", trace, "--format", "docx"),
        "no data set": ("train", "--data", "mnist", "--out", out),
        "nothing to run": ("train", "--choices", "skip", "--out", out),
        "can be reached": ("train", "--budget", "0.0001", "--out", out),
        "unknown metric": ("demo", "--metric", "joy", "--out", out),
        "not in 'ms'": ("demo", "--budget", "1ms", "--out", out),
        "16 bits on tpu-int8": (
            *("train", "--accelerator", "tpu-int8", "--choices", "8,16"),
            *("--budget", "0.9", "--out", out),
        ),
        "seed must be a whole number from 0": ("train", "--seed", "-1", "--out", out),
        "no style of training": ("train", "--style", "baroque", "--out", out),
        "'speed=9' sets nothing": ("train", "--set", "speed=9", "--out", out),
        "'slow' is no value for joint_lr": ("demo", "--set", "joint_lr=slow", "--out", out),
        "cannot train on the device 'abacus'": ("train", "--device", "abacus", "--out", out),
        f"/run: {toml} is a file": ("train", "--out", f"{toml}/run"),
    }
    for said, words in cases.items():
        assert said in refused(*words)
    assert not out.exists()
    command = [sys.executable, "-m", "dfs_hw", "simulate", "resnet21"]
    alone = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (alone.returncode, alone.stdout, alone.stderr.count("\n")) == (2, "", 1)


TINY_TRAINING = (
    *("--network", "resnet8", "--choices", "skip,2,8", "--budget", "0.9", "--quiet"),
    *("--set", "widths=4,8,8", "--set", "batch=16", "--set", "joint_lr=0.01"),
    *("--set", "backbone_steps=2", "--set", "supernet_steps=2"),
    *("--set", "gate_steps=1", "--set", "joint_steps=1"),
)


@pytest.mark.slow
def test_train_and_record_say_what_they_leave(printed: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = printed("train", *TINY_TRAINING, "--tensorboard", tmp_path / "curves", "--out", out)
    assert "the budget of 90.0%" in said
    assert f"Next: dfs-hw record {out / 'network.safetensors'}" in said
    assert [path.name[:6] for path in (tmp_path / "curves").iterdir()] == ["events"]
    recorded = printed("record", out / "network.safetensors", "--out", tmp_path / "t.parquet")
    trace = GateTrace.read(tmp_path / "t.parquet")
    assert f"{len(trace)} inputs, accuracy {trace.accuracy:.1%}" in recorded
    assert trace.header.network == "resnet8"


@pytest.mark.slow
def test_several_processes_train_one_network(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*torchrun, "-m", "dfs_hw", "train", *TINY_TRAINING, "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("the budget of 90.0%") == 1
    assert {path.name for path in (tmp_path / "run").glob("*.safetensors")} == {
        f"{stage}.safetensors" for stage in ("backbone", "supernet", "gates", "network")
    }
