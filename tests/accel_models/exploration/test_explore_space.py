"""Space files: what they may say, and the one sentence that refuses all else before any work."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from exploring import SPACE, branching, trace_of
from hypothesis import given
from hypothesis import strategies as st
from networks import gated_pair
from places import ROOT

from accel_models import InputError, list_accelerators, load_accelerator
from accel_models.accelerators.banks import buffers_of
from accel_models.accelerators.ground import ranked
from accel_models.accelerators.toml_file import read_accelerator
from accel_models.exploration import explore, parse_space, read_space
from accel_models.exploration.finished_search import named
from accel_models.exploration.machine_toml import machine_toml
from accel_models.exploration.space import Bound, Space
from accel_models.exploration.workloads import demands_of

EXAMPLES = sorted((ROOT / "docs" / "spaces").glob("*.toml"))

FILE = """
base = "bitfusion"
objectives = ["energy", "p95"]

[fields.array]
rows = [8, 16]
columns = { low = 8, high = 24, step = 8 }
[fields.dram]
gb_per_s = { low = 4, high = 48, log = true }
preset = ["lpddr4", "hbm2"]

[options.technology]
old = { "technology.node_nm" = 45, "technology.volts" = 0.9 }
new = { "technology.node_nm" = 28, "technology.volts" = 0.8 }

[constraints]
area = 6
p95 = { low = 1e-6, high = 1e-3 }

[[workloads]]
trace = "a.parquet"
weight = 2
"""


def test_a_file_says_what_varies(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(FILE)
    space, (entry,) = read_space(tmp_path / "s.toml")
    points = {d.name: d.values or (d.low, d.high, d.log) for d in space.dimensions}
    assert points == {
        "array.rows": (8, 16),
        "array.columns": (8, 16, 24),
        "dram.gb_per_s": (4.0, 48.0, True),
        "dram.preset": ("lpddr4", "hbm2"),
        "technology": ("old", "new"),
    }
    assert space.size is None  # bandwidth is any number between
    assert space.bounds == (Bound("area", high=6.0), Bound("p95", 1e-6, 1e-3))
    assert entry.trace == [str(tmp_path / "a.parquet")]


def test_a_configuration_becomes_its_machine(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(FILE)
    space, _ = read_space(tmp_path / "s.toml")
    chosen = {
        "array.rows": 8,
        "array.columns": 24,
        "dram.gb_per_s": 5.5,
        "dram.preset": "hbm2",
        "technology": "new",
    }
    machine = space.machine(chosen)
    assert (machine.array.rows, machine.array.columns, machine.dram.gb_per_s) == (8, 24, 5.5)
    assert (machine.dram.preset, machine.dram.pj_per_bit) == ("hbm2", 3.9)
    assert (machine.technology.node_nm, machine.technology.volts) == (28, 0.8)


def test_a_device_brings_its_channels_along() -> None:
    tables = {
        "base": "bitfusion",
        "objectives": ["energy"],
        "fields": {"dram": {"device": ["lpddr4", "hbm2"], "gb_per_s": [6.0, 24.0, 96.0]}},
    }
    space, _ = parse_space(tables)
    channels = {
        (device, bandwidth): space.machine(
            {"dram.device": device, "dram.gb_per_s": bandwidth}
        ).dram_channels
        for device in ("lpddr4", "hbm2")
        for bandwidth in (6.0, 24.0, 96.0)
    }
    assert list(channels.values()) == [1, 4, 15, 1, 1, 3]


def test_families_keep_the_fields_that_they_have() -> None:
    tables = {
        "base": ["bitfusion", "loom-1b"],
        "objectives": ["energy"],
        "fields": {"array": {"min_bits": [2, 4], "windows": [8, 16, 32]}},
    }
    space, _ = parse_space(tables)
    assert space.size == 2 + 3
    assert [tuple(c) for c in space.configurations(0, 5)] == [
        *[("base", "array.min_bits")] * 2,
        *[("base", "array.windows")] * 3,
    ]
    both = {"base": "loom-1b", "array.min_bits": 2, "array.windows": 16}
    assert space.relevant(both) == {"base": "loom-1b", "array.windows": 16}
    assert space.machine(both) == load_accelerator("loom-1b").configured(array__windows=16)


@pytest.mark.slow
@given(st.data())
def test_numbered_configurations_are_all_there_are(data: st.DataObject) -> None:
    values = st.lists(st.integers(1, 99), min_size=1, max_size=4, unique=True)
    rows, columns, banks = (data.draw(values) for _ in range(3))
    fields = {"array": {"rows": rows, "columns": columns}, "frequency_hz": [b * 1e6 for b in banks]}
    space, _ = parse_space({"base": "bitfusion", "objectives": ["energy"], "fields": fields})
    assert space.size == len(rows) * len(columns) * len(banks)
    every = [tuple(space.configuration(number).values()) for number in range(space.size)]
    assert every == [(r, c, b * 1e6) for r in rows for c in columns for b in banks]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_spaces(path: Path) -> None:
    space, _ = read_space(path)
    assert space.size
    space.machine(space.configuration(0))


@pytest.mark.parametrize("name", list_accelerators())
def test_a_machine_written_as_toml_loads_back(name: str) -> None:
    machine = load_accelerator(name)
    again = read_accelerator(machine_toml(machine), "again.toml")
    assert again.key_fields == machine.key_fields
    assert {path: s[:2] for path, s in again.provenance.items()}.items() >= {
        path: s[:2] for path, s in machine.provenance.items() if "departures" not in path
    }.items()


@given(st.integers(0, 35))
def test_an_explored_machine_written_as_toml_loads_back(number: int) -> None:
    fields = {**SPACE["fields"], "dram": {"preset": ["lpddr4", "hmc"]}, "widths": [[2, 8]]}
    space, _ = parse_space({**SPACE, "fields": fields})
    machine = named(space, space.configuration(number), "mine")
    try:
        buffers_of(machine, "mine.toml")
    except InputError as error:  # a bank without figures: its file says so, too
        with pytest.raises(InputError, match=re.escape(str(error))):
            read_accelerator(machine_toml(machine), "mine.toml")
        return
    again = read_accelerator(machine_toml(machine), "mine.toml")
    assert again.key_fields == machine.key_fields
    assert again.provenance["array.rows"].status == "assumed"


def wrong(**changes: Any) -> dict[str, Any]:
    return {**SPACE, **changes}


REFUSED = [
    (wrong(fields={"array": {"rowz": [8]}}), r"array\.rowz is no field .* do you mean rows"),
    (wrong(fields={"array": {"rows": []}}), "fields.array.rows is an empty set"),
    (wrong(fields={"array": {"rows": {"low": 8, "high": 8}}}), "is an empty range"),
    (wrong(fields={"array": {"rows": {"low": 9, "high": 8}}}), "is an empty range"),
    (wrong(fields={"array": {"rows": {"low": 8}}}), "is a range of low and high"),
    (wrong(fields={"array": {"rows": {"low": 8, "high": 9, "step": 0}}}), "a step above 0"),
    (wrong(fields={"array": {"rows": {"low": 8, "high": 9, "step": 2}}}), "nothing up to 9"),
    (wrong(fields={"array": {"rows": {"low": 8, "high": 9, "step": 0.5}}}), "a whole number"),
    (
        wrong(fields={"array": {"rows": {"low": 8, "high": 16, "step": 2, "log": True}}}),
        "is given step and log: leave one out",
    ),
    (wrong(fields={"array": {"rows": [2**60]}}), "at most 2"),
    (wrong(fields={"array": {"family": ["loom"]}}), "by naming several bases"),
    (wrong(fields={"array": {"rows": [0]}}), "must be greater than 0, got 0"),
    (wrong(fields={"array": {"rows": [8.5]}}), "must be a valid integer"),
    (wrong(fields={"array": {"rows": [8, 8]}}), "names a value twice"),
    (wrong(fields={"array": [1]}), "is a section: name its fields"),
    (wrong(fields={"storage": {"weights": ["plane"]}}), "must be 'full', 'planes' or 'copies'"),
    (wrong(fields={"storage": {"weights": {"low": "full", "high": "planes"}}}), "has no order"),
    (wrong(fields={"dram": {"preset": ["lpddr5"]}}), "unknown DRAM preset"),
    (wrong(fields={"dram": {"device": ["gddr5"]}}), "unknown DRAM device"),
    (wrong(fields={"dram": {"preset": ["lpddr4"], "pj_per_bit": [4.0]}}), "set by both"),
    (wrong(options={"t": {"a": {"array.rows": 4}}}), "array.rows is set by both"),
    (wrong(options={"kept": {"a": {"frequency_hz": 4e8}}}), "'kept' means something else"),
    (wrong(options={"policy.x": {"a": {"frequency_hz": 4e8}}}), "'policy.x' means something"),
    (
        wrong(options={"array.rows": {"a": {"frequency_hz": 4e8}}}),
        "two things that vary are called array.rows",
    ),
    (wrong(fields={}), "nothing varies"),
    (wrong(base="bitfusian"), "unknown accelerator 'bitfusian'"),
    (wrong(base=["bitfusion", "bitfusion"]), "base names a machine twice"),
    (wrong(objectives=["joules"]), "unknown objective 'joules'"),
    (wrong(objectives=[]), "objectives"),
    ({name: x for name, x in SPACE.items() if name != "objectives"}, "objectives is missing"),
    (wrong(constraints={"area": {"low": 3, "high": 2}}), "contradictory constraint"),
    (wrong(constraints={"power": 0}), "contradictory constraint"),
    (wrong(constraints={"power": {"low": 0, "high": 1}}), "power.low must be above 0"),
    (wrong(objectives="energy"), "objectives must be a list, got 'energy'"),
    (wrong(base=3), "space: base must be a valid string, got 3"),
    (wrong(constraints={"size": 2}), "unknown constraint 'size'"),
    (wrong(constraints={"area": "small"}), "is a number it may not exceed"),
    (wrong(constrains={"area": 2}), "constrains is not a known field"),
    (
        wrong(base="bismo-published", fields={"array": {"rows": [8]}}),
        "nobody knows the area of bismo",
    ),
]


@pytest.mark.parametrize(("tables", "sentence"), REFUSED, ids=[s for _, s in REFUSED])
def test_a_wrong_space_is_refused_before_any_work(
    tmp_path: Path, tables: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence) as error:
        explore(tables, [trace_of()], out=tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sampler": "nsga3"}, "unknown sampler 'nsga3'"),
        ({"trials": 0}, "trials must be 1 to 10000000, got 0"),
        ({"batch": 0}, "batch must be 1 to 100000, got 0"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"trails": 9}, "no setting 'trails'"),
        ({"storage": "sqlite:////nowhere/at/all.db"}, "the storage cannot be used"),
        ({"storage": "cabinet"}, "the storage cannot be used"),
    ],
)
def test_wrong_settings_are_refused(
    tmp_path: Path, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        explore(SPACE, [trace_of()], out=tmp_path / "out", **settings)


@pytest.mark.parametrize("sampler", ["grid", "sweep"])
def test_what_has_no_end_cannot_be_tried_throughout(tmp_path: Path, sampler: str) -> None:
    fields = {"dram": {"gb_per_s": {"low": 1, "high": 9}}}
    with pytest.raises(InputError, match=r"dram\.gb_per_s has no end of values"):
        explore(wrong(fields=fields), [trace_of()], out=tmp_path / "out", sampler=sampler)


def test_a_long_range_is_counted_and_not_spelled_out(tmp_path: Path) -> None:
    fields = {"buffers": {"weight_bytes": {"low": 1, "high": 2**39}}}
    assert parse_space(wrong(fields=fields))[0].size == 2**39
    with pytest.raises(InputError, match="a sweep of 549755813888 configurations is over"):
        explore(wrong(fields=fields), [trace_of()], out=tmp_path / "out", sampler="sweep")


def test_an_option_sets_fields_of_machine_and_policy_together() -> None:
    """Groups want a batch, so that the two change as one."""
    grouped = {"policy.batching": "grouped", "policy": {"batch": 4}, "array.rows": 8}
    options = {"inputs": {"alone": {}, "grouped": grouped}}
    space, _ = parse_space({**SPACE, "fields": {}, "options": options})
    alone, together = space.configurations(0, 2)
    assert (space.changes(alone), space.policy(alone)) == ({}, {})
    assert space.changes(together) == {"array.rows": 8}
    assert space.policy(together) == {"batching": "grouped", "batch": 4}
    with pytest.raises(InputError, match=r"policy\.batch is set by both policy\.batch and inputs"):
        parse_space({**SPACE, "fields": {"policy": {"batch": [1, 2]}}, "options": options})


def test_workloads_that_cannot_run_are_refused(tmp_path: Path) -> None:
    out = {"out": tmp_path / "out"}
    pair, other = tmp_path / "pair.parquet", tmp_path / "other.parquet"
    trace_of(gated_pair()).write(pair)
    trace_of(branching()).write(other)
    with pytest.raises(InputError, match="nothing runs on the machines"):
        explore(SPACE, **out)
    with pytest.raises(InputError, match="there is no trace"):
        explore(SPACE, [tmp_path / "none.parquet"], **out)
    for entry, sentence in (
        ({"trace": [str(pair), str(other)]}, "of another network \\('branching'\\)"),
        ({"trace": str(pair), "network": "resnet20"}, "is of network 'pair', not 'resnet20'"),
        ({"trace": str(pair), "precision": 8}, "its trace says at what precision"),
        ({"network": "resnet20", "precision": 8}, "nobody here can build network 'resnet20'"),
        ({"trace": str(pair), "accuracy": 0.5}, "its trace says how accurate it is"),
        ({"weight": 2}, "workload '1' names nothing"),
        ({"layers": "none.csv", "precision": 8}, "none.csv"),
        ({"layers": _layers(tmp_path), "precision": [8, "8"]}, "names a precision twice"),
        ({"trace": str(pair), "widths": "mixed.toml"}, "its trace says at what widths"),
        ({"layers": _layers(tmp_path), "precision": 8, "widths": "no.toml"}, "cannot read no.toml"),
        (
            {"layers": _layers(tmp_path), "precision": [8, 4], "accuracy": 0.5},
            "has 2 precisions and 1 accuracies",
        ),
    ):
        with pytest.raises(InputError, match=sentence):
            explore(wrong(workloads=[entry]), **out)
    with pytest.raises(InputError, match="two workloads are called 'x'"):
        explore(wrong(workloads=[{"name": "x", "trace": str(pair)}] * 2), **out)
    unknown = {"name": "x", "layers": _layers(tmp_path), "precision": 8}
    with pytest.raises(InputError, match="does not say how accurate it is"):
        explore(wrong(workloads=[unknown], objectives=["energy", "error"]), **out)
    assert not (tmp_path / "out").exists()


def _layers(folder: Path) -> str:
    path = folder / "layers.csv"
    path.write_text("name,in_channels,out_channels,kernel,out_size\nconv,16,16,3x3,8x8\n")
    return str(path)


@pytest.mark.slow
def test_alternatives_are_searched_beside_the_machine(tmp_path: Path) -> None:
    """Of two policies of one network, the one that is right more often costs more or less."""
    paths = [tmp_path / "first.parquet", tmp_path / "second.parquet"]
    for seed, path in enumerate(paths):
        trace_of(seed=seed).write(path)
    entry = {"name": "pair", "trace": [str(path) for path in paths]}
    tables = wrong(workloads=[entry], objectives=["energy", "error"])
    found = explore(tables, out=tmp_path / "out", sampler="sweep")
    assert len(found.trials) == 72
    labels = found.trials.table["trace.pair"].to_pylist()
    errors = dict(zip(labels, found.trials.metric("error"), strict=True))
    assert set(errors) == {"first", "second"}
    for label, path in zip(("first", "second"), paths, strict=True):
        alone = explore(wrong(objectives=["energy"]), [path], out=tmp_path / label, sampler="sweep")
        rows = [row for row, own in enumerate(labels) if own == label]
        energy = found.trials.metric("energy")[rows]
        assert json.dumps(energy.tolist()) == json.dumps(alone.trials.metric("energy").tolist())


def test_each_precision_has_an_accuracy_of_its_own(tmp_path: Path) -> None:
    entry = {"name": "x", "layers": _layers(tmp_path), "precision": [8, 4], "accuracy": [0.9, 0.7]}
    tables = wrong(workloads=[entry], objectives=["energy", "error"])
    found = explore(tables, out=tmp_path / "out", sampler="sweep")
    rows = found.trials.table.to_pylist()
    told = {(row["trace.x"], row["error"]) for row in rows if row["infeasible"] is None}
    assert {(label, round(error, 9)) for label, error in told} == {
        ("layers@8", 0.1),
        ("layers@4", 0.3),
    }


def test_widths_by_name_hold_at_every_precision(tmp_path: Path) -> None:
    """Named beside the layers, in a file relative to that of the space."""
    _layers(tmp_path)
    (tmp_path / "mixed.toml").write_text('"con*" = 4\n')
    (tmp_path / "space.toml").write_text(
        'base = ["bitfusion", "loom-2b"]\nobjectives = ["energy"]\n[[workloads]]\n'
        'layers = "layers.csv"\nwidths = "mixed.toml"\nprecision = [8, 2]\n'
    )
    _, entries = read_space(tmp_path / "space.toml")
    (demand,) = demands_of(entries)
    for run in demand.runs:
        assert [str(layer.widths) for layer in run.workload.layers] == ["4"]


def test_a_space_is_a_plain_value() -> None:
    machine = load_accelerator("bitfusion")
    space = Space("one", {machine.name: machine}, (), ("energy",))
    assert space.size == 1
    assert space.configuration(0) == {}
    assert space.machine({}) == machine


def test_the_space_in_the_documents_is_one() -> None:
    text = (EXAMPLES[0].parent.parent / "explore.md").read_text()
    tables = tomllib.loads(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])
    space, entries = parse_space(tables)
    assert {"policy.prefetch", "technology", "widths"} <= space.by_name.keys()
    assert [bool(entry.trace) for entry in entries] == [True, False]


def test_no_base_is_all_machines_on_common_ground() -> None:
    space, _ = parse_space({"objectives": ["energy", "latency"]})
    assert list(space.bases) == ranked()
    assert space.size == len(ranked())
