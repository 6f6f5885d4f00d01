"""Machines and families from outside the package, on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import own_machine
import pytest
from exploring import trace_of

from accel_models import load_accelerator
from accel_models.accelerators.plugins import plugin_of

pytestmark = pytest.mark.usefixtures("own_families")

Printed = Callable[..., str]


def test_the_worked_example_runs_as_its_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    own_machine.written(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = own_machine.PAGE.read_text(encoding="utf-8")
    (command,) = re.findall(r"^    dfs-hw (simulate .*--plugin .*)$", text, flags=re.M)
    runs = json.loads(printed(*command.split(), "--json"))
    assert {run["accelerator"] for run in runs.values()} == {"ant"}
    assert runs["4"]["cycles"] < runs["8"]["cycles"]
    sheet = printed("accelerators", "ant.toml", "--plugin", "ant.py")
    assert re.search(
        r"array\.stated\.pj_per_operation +0\.14 +own +(stated in ant\.toml|as above)", sheet
    )
    assert '[array] of family = "ant"' in printed("accelerators", "--fields", "--plugin", "ant.py")


def test_a_trace_says_which_plugin_its_machine_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: Printed, refused: Printed
) -> None:
    own_machine.written(tmp_path)
    monkeypatch.chdir(tmp_path)
    trace = trace_of(accelerator="ant.toml")
    header = replace(trace.header, plugin="ant.py")
    replace(trace, header=header).write("ant.parquet")
    Path("space.toml").write_text('base = "ant.toml"\nobjectives = ["energy"]\n')
    for command in (("replay",), ("timeline",), ("cross",), ("explore", "space.toml")):
        said = refused(*command, "ant.parquet")
        assert "or of a plugin that is loaded, got 'ant' (its trace was made with" in said
        assert "--plugin ant.py" in said
    found = json.loads(printed("replay", "ant.parquet", "--plugin", "ant.py", "--json"))
    assert found["accelerator"] == "ant"
    assert plugin_of(type(load_accelerator("ant.toml").array)) == header.plugin
    assert plugin_of(type(load_accelerator("bitfusion").array)) == ""


def test_the_first_example_of_the_page_loads_too(tmp_path: Path, printed: Printed) -> None:
    (text,) = (block for block in own_machine.blocks("toml") if 'name = "mine"' in block)
    path = tmp_path / "mine.toml"
    path.write_text(text)
    said = printed("simulate", "resnet8", "--accelerator", path, "--uncertainty")
    assert "taken as exact, as your own numbers without a range: dram.gb_per_s" in said
    assert re.search(r"dram\.latency_ns +40 +100", said)


def test_a_plugin_that_does_not_load_ends_the_command(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import nothing_of_that_name")
    said = refused("simulate", "resnet8", "--plugin", path)
    assert f"plugin {path} does not import: ModuleNotFoundError" in said
    machine = own_machine.written(tmp_path)[1]
    assert "or of a plugin that is loaded" in refused("simulate", "resnet8", "--machine", machine)
