"""`simulate` gives every layer as data, as CSV and as JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

Printed = Callable[..., str]


def test_layers_as_csv_and_json_add_up_to_the_totals(tmp_path: Path, printed: Printed) -> None:
    path = tmp_path / "layers.csv"
    command = ("simulate", "resnet8", "--precision", "8", "--precision", "4/8", "--csv", path)
    runs = json.loads(printed(*command, "--json"))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == [
        bits for bits, run in runs.items() for _ in run["layers"]
    ]
    for bits, run in runs.items():
        here = [row for row in rows if row["run"] == bits]
        assert sum(int(row["cycles"]) for row in here) == run["cycles"]
        energy = sum(float(row["energy_pj"]) for row in here)
        assert energy * 1e-12 == pytest.approx(run["energy_j"], rel=1e-12)
        for row, layer in zip(here, run["layers"], strict=True):
            assert row["layer"] == layer["name"]
            for name in ("dram_weights_read_bits", "tile_out_rows", "waiting_cycles"):
                assert int(row[name]) == layer[name]
            assert row["loop_order"] == layer["loop_order"]
            assert float(row["energy_pj"]) * 1e-12 == pytest.approx(layer["energy_j"], rel=1e-12)
        for component, joule in run["energy_by_component_j"].items():
            name = f"energy_{component.replace(' ', '_')}_pj"
            found = sum(float(row[name]) for row in here) * 1e-12
            assert found == pytest.approx(joule, rel=1e-12)


def test_where_the_csv_is_is_said(tmp_path: Path, printed: Printed) -> None:
    path = tmp_path / "deep" / "layers.csv"
    assert f"{path}: every layer as a row" in printed("simulate", "resnet8", "--csv", path)
    assert path.read_text().startswith('"run","layer"')


def test_a_csv_that_cannot_be_written_is_named(tmp_path: Path, refused: Callable[..., str]) -> None:
    assert f"cannot write {tmp_path}" in refused("simulate", "resnet8", "--csv", tmp_path)


def test_widths_of_a_file_hold_beside_any_precision(
    tmp_path: Path, printed: Printed, refused: Callable[..., str]
) -> None:
    """Layers that it leaves out run at what is asked for."""
    for kind, text in (
        ("toml", '"block*.conv2" = "2/4"\nclassifier = 8\n'),
        ("csv", "name,precision\nblock*.conv2,2/4\nclassifier,8\n"),
    ):
        path = tmp_path / f"mixed.{kind}"
        path.write_text(text)
        given = ("--widths", path, "--precision", "4", "--precision", "8")
        runs = json.loads(printed("simulate", "resnet8", *given, "--json"))
        for bits in ("4", "8"):
            found = {layer["name"]: layer["precision"] for layer in runs[bits]["layers"]}
            assert found["block2.conv2"] == "2/4"
            assert found["classifier"] == "8"
            assert found["block2.conv1"] == bits
            assert runs[bits]["assumed"] == [
                f"widths that mixed.{kind} gives hold whatever is asked for: 4 of 10 layers"
            ]
    path.write_text("name,precision\nblok2,8\n")
    assert "nearest is 'block2'" in refused("simulate", "resnet8", "--widths", path)
    assert "none.toml" in refused("simulate", "resnet8", "--widths", tmp_path / "none.toml")
