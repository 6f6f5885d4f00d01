"""Tables that say all they know: every part of a layer, what settles widths, and nothing run."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from accel_models import InputError, Layer, Workload, cost_table, load_accelerator, simulate
from accel_models.explain.layer import explain, pieces_of
from accel_models.precision import highest, parse_choices
from accel_models.reference_machine import (
    timeline,
    write_perfetto,
    write_timeline_picture,
)
from accel_models.replay import replay
from accel_models.trace import GateTrace, TraceHeader
from accel_models.workloads.layer_csv import read_layers
from dfs_hw.cli.show.timeline import busy

UPSCALED = """name,in_channels,out_channels,kernel,out_size,stride,padding,operator
a,3,64,3,32,1,1,conv
up,64,64,4,64,2,1,transposed_conv
"""
ATTENTION = """name,in_channels,out_channels,in_size,operator,groups,reads
q,8,8,5x1,conv,1,-
k,8,8,5x1,conv,1,q
scores,8,10,5x1,matmul,2,k *q
"""


@pytest.fixture
def upscaled(tmp_path: Path) -> Path:
    (tmp_path / "net.csv").write_text(UPSCALED)
    return tmp_path / "net.csv"


def test_a_layer_in_pieces_is_taken_apart_piece_by_piece(
    upscaled: Path, printed: Callable[..., str]
) -> None:
    text = printed("simulate", upscaled, "--explain", "up")
    facts = json.loads(printed("simulate", upscaled, "--explain", "up", "--json"))["8"]
    names = [piece["layer"] for piece in facts["pieces"]]
    assert names == [f"up[{n}]" for n in range(len(names))] and len(names) == 4
    assert all(f"{name} at 8 bits" in text for name in names)
    (layer,) = json.loads(printed("simulate", upscaled, "--json"))["8"]["layers"][1:]
    assert f"{layer['cycles']:,} cycles" in text.splitlines()[1]
    one = json.loads(printed("simulate", upscaled, "--explain", "up[2]", "--json"))["8"]
    assert one == facts["pieces"][2]


def test_energy_of_a_layer_is_in_the_table_part_by_part(
    upscaled: Path, printed: Callable[..., str]
) -> None:
    text = printed("simulate", upscaled, "--explain", "a")
    facts = json.loads(printed("simulate", upscaled, "--explain", "a", "--json"))["8"]
    rows = text[text.index("where the energy goes") :].splitlines()[1:]
    shown = [row.split("  ")[0] for row in rows[: rows.index("")]]
    spent = [name for name, joules in facts["energy_by_component_j"].items() if joules]
    assert shown == [*spent, "all"]
    total = sum(facts["energy_by_component_j"].values())
    share = facts["energy_by_component_j"]["array"] / total
    assert f"{share:.1%}" in next(row for row in rows if row.startswith("array "))


def test_nothing_saved_is_said(upscaled: Path, printed: Callable[..., str]) -> None:
    text = printed("simulate", upscaled, "--explain", "a")
    facts = json.loads(printed("simulate", upscaled, "--explain", "a", "--json"))["8"]
    (saved,) = (row for row in text.splitlines() if row.startswith("cycles saved"))
    for resource, cycles in facts["cycles_without"].items():
        assert f"{resource} {1 - cycles / facts['cycles']:.1%}" in saved
    assert " 0.0%" in saved


def test_widths_of_weights_without_weights_are_named(
    tmp_path: Path, printed: Callable[..., str]
) -> None:
    (tmp_path / "net.csv").write_text(ATTENTION)
    command = ("simulate", tmp_path / "net.csv", "--explain")
    said = "so the 4 bits that are asked for weights settle nothing here"
    assert said in printed(*command, "scores", "--precision", "4/8")
    assert said not in printed(*command, "q", "--precision", "4/8")
    assert "settle nothing" not in printed(*command, "scores", "--precision", "8")


def test_totals_are_named_after_what_settles_the_widths(
    upscaled: Path, tmp_path: Path, printed: Callable[..., str]
) -> None:
    for text, name in (('"*" = 8\n', "all.toml"), ("up = 4\n", "some.toml")):
        (tmp_path / name).write_text(text)
    command = ("simulate", upscaled, "--precision", "2")

    def row(*words: str | Path) -> str:
        rows = printed(*command, *words).splitlines()
        return rows[next(n for n, one in enumerate(rows) if one.startswith("net, batch 1")) + 1]

    assert row().startswith("2 bit  ")
    assert row("--widths", tmp_path / "all.toml").startswith("all.toml  ")
    assert row("--widths", tmp_path / "some.toml").startswith("some.toml, else 2 bit  ")


def test_where_all_is_skipped_nothing_happens(tmp_path: Path) -> None:
    body = Layer("a", 8, 8, out_size=(4, 4), role="body", unit="u")
    choices = parse_choices("skip,8")
    table = cost_table(Workload.chain("one", [body]), load_accelerator("bitfusion"), choices)
    skipped = np.zeros(1, dtype=np.uint8)
    played = timeline(table, skipped, draw=True)
    assert (played.cycles, played.latency_s, played.energy_j) == (0, 0.0, 0.0)
    assert set(busy(played).values()) == {0.0}
    header = TraceHeader(
        "one", "none", table.workload, choices, highest(choices), "bitfusion", 0, "0"
    )
    none = np.zeros(1, dtype=np.int64)
    trace = GateTrace(header, none, none.astype(np.int32), none.astype(np.int32), skipped[None])
    assert replay(trace, table).cycles.tolist() == [0]
    write_perfetto(tmp_path / "a.json", {"skipped": played})
    write_timeline_picture(tmp_path / "a.png", {"skipped": played})
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_the_python_door_names_the_pieces(upscaled: Path) -> None:
    run = simulate(read_layers(upscaled), load_accelerator("bitfusion"), 8)
    assert pieces_of(run, "a") == ("a",)
    assert pieces_of(run, "up") == tuple(f"up[{n}]" for n in range(4))
    with pytest.raises(InputError, match="runs in pieces"):
        explain(run, "up")


def test_names_out_of_files_do_nothing_to_a_terminal(
    tmp_path: Path, ended: Callable[..., tuple[int, str, str]]
) -> None:
    """Neither colours nor text from right to left, and names stay told apart; also in warnings."""
    odd = "a\x1b[31m\x07\x9b2J\u202ecod"
    shown = r"a\x1b[31m\x07\x9b2J\u202ecod"
    path = tmp_path / "net.csv"
    path.write_text(UPSCALED.replace("\na,", f"\n{odd},"))
    for words in (
        ("simulate", path),
        ("simulate", path, "--explain", odd),
        ("networks", path),
    ):
        status, out, err = ended(*words)
        assert status == 0, err
        assert shown in out + err
        assert all(letter.isprintable() or letter == "\n" for letter in out + err)
    with pytest.warns(UserWarning):
        warnings.warn(odd, stacklevel=1)
    assert shown in warnings.formatwarning(odd, UserWarning, "net.py", 1)
