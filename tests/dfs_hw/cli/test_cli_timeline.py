"""Single inputs on the timeline, from the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from places import ROOT

from accel_models.trace import TraceFile

TRACE = ROOT / "traces" / "digits-resnet14-bitfusion.parquet"


@pytest.mark.slow
def test_inputs_are_shown_as_they_are_replayed(printed: Callable[..., str], tmp_path: Path) -> None:
    picture, events = tmp_path / "t.png", tmp_path / "t.json"
    said = printed("timeline", TRACE, "--picture", picture, "--perfetto", events, "--window", "0:5")
    assert "off by 0 cycles" in said
    assert picture.read_bytes().startswith(b"\x89PNG")
    shown = json.loads(events.read_text())["traceEvents"]
    assert all(event["ts"] < 5 for event in shown if event["ph"] == "X")
    facts = json.loads(printed("timeline", TRACE, "--inputs", "cheapest,7,dearest", "--json"))
    cheapest, seventh, dearest = facts.values()
    assert cheapest["energy_j"] <= seventh["energy_j"] <= dearest["energy_j"]
    for one in facts.values():
        assert one["layers"][-1]["end_s"] == one["latency_s"]
        assert all(0 < share < 1 for share in one["busy"].values())


@pytest.mark.slow
def test_a_static_network_is_played(printed: Callable[..., str], tmp_path: Path) -> None:
    picture, events = tmp_path / "t.png", tmp_path / "t.json"
    words = ("timeline", "--network", "resnet8", "--precision", "8", "--precision", "2")
    said = printed(*words, "--picture", picture, "--perfetto", events, "--window", "0:5")
    assert "What simulate says, layer by layer, is off by 0 cycles" in said
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads(events.read_text())["traceEvents"]
    facts = json.loads(printed(*words, "--json"))
    simulated = json.loads(
        printed("simulate", "resnet8", "--precision", "8", "--precision", "2", "--json")
    )
    for bits, run in simulated.items():
        assert facts[f"resnet8 at {bits} bits"]["cycles"] == run["cycles"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "say what to run: a TRACE, or --network NAME"),
        ((TRACE, "--network", "resnet8"), "say what to run: a TRACE, or --network NAME"),
        ((TRACE, "--precision", "8"), "--precision and --image go with --network"),
        (("--network", "resnet8", "--inputs", "3"), "--inputs and --prefetch go with a trace"),
        (("--network", "resnet8", "--precision", "skip"), "it cannot be at skip"),
    ],
)
def test_either_a_trace_or_a_network(
    refused: Callable[..., str], words: tuple[str | Path, ...], sentence: str
) -> None:
    assert sentence in refused("timeline", *words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--window", "0:5"), "--window goes with --perfetto FILE"),
        (("--perfetto", "t.json", "--window", "5"), "FROM:TO in microseconds, got '5'"),
        (("--perfetto", "t.json", "--window", "0:inf"), "a window begins at 0 or later and ends"),
        (("--inputs", "450"), "cheapest, dearest or numbers from 0 to 449, got '450'"),
        (("--inputs", ","), "--inputs names no input"),
        (("--picture", "t.xyz"), "cannot draw into t.xyz: end its name with .png"),
        (("--picture", "t.pgf"), "cannot draw into t.pgf: end its name with .png"),
        (("--perfetto", ""), "cannot write .: it is a folder"),
        (("--perfetto", "t.png", "--picture", "t.png"), "are different files"),
        (("--perfetto", TRACE), "the trace, --perfetto and --picture are different files"),
    ],
)
def test_what_makes_no_sense_is_answered_in_a_sentence(
    refused: Callable[..., str], words: tuple[str | Path, ...], sentence: str
) -> None:
    assert sentence in refused("timeline", TRACE, *words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("timeline", "--prefetch", "all"), "prefetch must be one of none, modal, planes, oracle"),
        (("replay", "--prefetch", "all"), "prefetch must be one of none, modal, planes, oracle"),
        (("replay", "--guess", "8,8"), "a guess is only for prefetch = modal"),
        (("replay", "--prefetch", "modal", "--guess", "7"), "which the trace has no choice of"),
        (("replay", "--arrivals", "poisson", "--load", "2"), "load must lie between 0 and 1"),
    ],
)
def test_a_wrong_policy_is_refused_before_anything_is_computed(
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: tuple[str, ...],
    sentence: str,
) -> None:
    """A cost table that was computed would be in the cache."""
    monkeypatch.setenv("DFS_HW_CACHE", str(tmp_path))
    command, *options = words
    assert sentence in refused(command, TRACE, *options)
    assert list(tmp_path.iterdir()) == []


def test_a_machine_whose_time_is_a_bound_says_so(printed: Callable[..., str]) -> None:
    published = ("--accelerator", "bitfusion-published")
    said = printed("timeline", TRACE, *published)
    assert "cycles: bitfusion-published takes the larger of two totals" in " ".join(said.split())
    facts = json.loads(printed("replay", TRACE, *published, "--timeline", "5", "--json"))
    assert facts["timeline"]["worst_cycles"] > 0 and facts["timeline"]["reason"]
    own = json.loads(printed("replay", TRACE, "--timeline", "9" * 30, "--json"))["timeline"]
    with TraceFile(TRACE) as file:
        first = len(file.groups[0])
    assert (own["inputs"], own["worst_cycles"], own["reason"]) == (first, 0, "")
