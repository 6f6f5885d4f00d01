"""Traces on disk: replayed part by part, resumed after a kill, damage found and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from changed_rows import change_rows, exchanged
from hypothesis import given
from hypothesis import strategies as st
from replay_reference import MACHINES, random_choices, three_units, trace_of

from accel_models import InputError, cost_table
from accel_models.costs.pricing import COMPONENTS
from accel_models.replay import Policy, replay, replay_file, spread, summarise, write_rows
from accel_models.replay.on_disk.joined_file import TOTALS, is_whole
from accel_models.replay.on_disk.rows import rows_of
from accel_models.replay.summary.percentiles import spreads
from accel_models.row_groups import RowGroupWriter
from accel_models.trace import DamagedRows, GateTrace, TraceFile, TraceWriter

TABLE = cost_table(three_units(), MACHINES["bitfusion"], "skip,2,8", max_group=8)
ALONE = cost_table(three_units(), MACHINES["bitfusion"], "skip,2,8")
INPUTS, ROWS = 1000, 256
POLICIES = {
    "default": Policy(),
    "modal": Policy("modal"),
    "grouped": Policy(batching="grouped", batch=8),
    "max": Policy(batching="max", batch=8),
    "queued": Policy(arrivals="poisson", load=0.6, seed=4),
    "queued batches": Policy(batching="grouped", batch=8, arrivals="poisson", load=0.6),
    "recorded": Policy(arrivals="recorded", idle_gating=True),
}


def recorded(inputs: int = INPUTS) -> GateTrace:
    times = np.cumsum(np.random.default_rng(1).exponential(1e-5, inputs))
    return trace_of(TABLE, random_choices(TABLE, inputs, 0), times)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    recorded().write(tmp_path / "trace.parquet", rows=ROWS)
    return tmp_path / "trace.parquet"


@pytest.mark.slow
@pytest.mark.parametrize("name", POLICIES)
def test_a_file_replays_as_the_trace_in_memory_does(trace: Path, tmp_path: Path, name: str) -> None:
    policy, out = POLICIES[name], tmp_path / "rows.parquet"
    found = replay_file(trace, TABLE, policy, out=out)
    whole = replay(GateTrace.read(trace), TABLE, policy)
    write_rows(whole, tmp_path / "whole.parquet")
    rows, expected = pq.read_table(out), pq.read_table(tmp_path / "whole.parquet")
    assert rows.column_names == expected.column_names
    for column in rows.column_names:
        values = rows[column].to_numpy()
        assert values == pytest.approx(expected[column].to_numpy(), rel=1e-9, abs=1e-15)
    assert found.plan.policy == whole.policy
    reference = summarise(whole)
    for amount, figures in reference.spreads.items():
        assert found.spreads[amount] == pytest.approx(figures, rel=1e-9, abs=1e-15)
        again = spread(rows[amount].to_numpy())
        assert found.spreads[amount].pop("mean") == pytest.approx(again.pop("mean"), rel=1e-12)
        assert found.spreads[amount] == again
    ran, once = found.totals.to_dict(), reference.totals.to_dict()
    assert ran["sums"] == once["sums"]
    assert ran["choice_counts"] == once["choice_counts"]
    assert [path.name for path in tmp_path.glob(".*")] == []
    about = json.loads(pq.read_schema(out).metadata[b"dfs_hw_replay"])
    assert about["policy"]["batching"] == policy.batching


@pytest.mark.parametrize("gating", [False, True])
def test_background_is_charged_while_a_machine_waits(
    trace: Path, tmp_path: Path, gating: bool
) -> None:
    machine = MACHINES["bitfusion"].configured(
        dram__channel_gb_per_s=6.4, dram__background_mw=40.0, fidelity__static_power=True
    )
    table = cost_table(three_units(), machine, "skip,2,8")
    policy = Policy(arrivals="poisson", load=0.3, seed=4, idle_gating=gating)
    found = replay_file(trace, table, policy, out=tmp_path / "rows.parquet")
    rows = pq.read_table(tmp_path / "rows.parquet")
    parts = {name: rows[f"{name.replace(' ', '_')}_j"].to_numpy() for name in COMPONENTS}
    assert sum(parts.values()) == pytest.approx(rows["energy_j"].to_numpy(), rel=1e-9)
    pricing, charged_s = found.plan.pricing, rows["latency_s"].to_numpy().sum()
    if not gating:
        charged_s += found.totals.idle_s
    for name, watts in (
        ("dram background", pricing.background_power_w),
        ("leakage", pricing.leakage_power_w),
    ):
        assert watts > 0
        assert parts[name].sum() == pytest.approx(watts * charged_s, rel=1e-9)


def test_components_classes_and_rows_add_up(trace: Path, tmp_path: Path) -> None:
    found = replay_file(trace, ALONE, Policy("planes"), out=tmp_path / "rows.parquet")
    rows = pq.read_table(tmp_path / "rows.parquet")
    parts = sum(rows[f"{name.replace(' ', '_')}_j"].to_numpy() for name in COMPONENTS)
    assert parts == pytest.approx(rows["energy_j"].to_numpy(), rel=1e-12)
    mean = found.spreads["energy_j"]["mean"]
    assert found.totals.energy_pj(found.plan).sum() * 1e-12 == pytest.approx(mean, rel=1e-9)
    classes = found.totals.classes
    assert sum(one.energy_j for one in classes.values()) / INPUTS == pytest.approx(mean)
    label = rows["label"].to_numpy()
    for number, one in classes.items():
        latency = rows["latency_s"].to_numpy()[label == number]
        assert one.inputs == len(latency)
        assert one.latency_s == pytest.approx(latency.sum())
    right = label == rows["prediction"].to_numpy()
    for split, which in ((found.correct, right), (found.wrong, ~right)):
        expected = spread(rows["energy_j"].to_numpy()[which])
        assert split["energy_j"] == pytest.approx(expected, rel=1e-12)


@given(
    st.lists(st.floats(0, 1e30) | st.integers(0, 3).map(float), min_size=1, max_size=60),
    st.integers(1, 20),
)
def test_percentiles_of_chunks_are_those_of_the_whole(values: list[float], size: int) -> None:
    array = np.array(values)
    chunks = [[array[start : start + size]] for start in range(0, len(array), size)]
    (found,) = spreads(lambda: chunks, 1)
    expected = spread(array)
    assert found.pop("mean") == pytest.approx(expected.pop("mean"))
    assert found == expected


def damage(path: Path, group: int, column: int = 4) -> None:
    """Flip one bit at the end of a column's pages."""
    flip(path, pages(path, group, column).stop - 3)


def pages(path: Path, group: int, column: int) -> range:
    chunk = pq.read_metadata(path).row_group(group).column(column)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    return range(start, start + chunk.total_compressed_size)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


def test_no_flipped_bit_changes_a_trace_unnoticed(trace: Path) -> None:
    """What goes unnoticed are statistics in the headers of pages, which nobody reads."""
    intact, content = GateTrace.read(trace), trace.read_bytes()
    noticed = 0
    for column in range(7):
        for at in pages(trace, 1, column)[:: 11 if column != 3 else 101]:
            flip(trace, at)
            try:
                read = GateTrace.read(trace)
            except DamagedRows as error:
                noticed += 1
                assert error.group == 1
            else:
                assert np.array_equal(read.choices, intact.choices)
                assert np.array_equal(read.input_ids, intact.input_ids)
                assert np.array_equal(read.labels, intact.labels)
                assert np.array_equal(read.predictions, intact.predictions)
                assert np.array_equal(read.arrival_s, intact.arrival_s)
            trace.write_bytes(content)
    assert noticed > 50


def test_exchanged_columns_are_noticed_and_placed(trace: Path) -> None:
    change_rows(trace, exchanged(*TABLE.units[:2]))
    with pytest.raises(DamagedRows, match=r"row group 0 .* do not match their digest"):
        GateTrace.read(trace)
    with TraceFile(trace) as file, pytest.raises(DamagedRows):
        file.first(3)


def test_a_trace_that_another_program_wrote_is_read_with_a_warning(trace: Path) -> None:
    pq.write_table(pq.read_table(trace), trace)
    with pytest.warns(UserWarning, match=r"trace\.parquet has no digests of its columns"):
        assert len(GateTrace.read(trace)) == INPUTS


def test_a_part_that_is_not_what_was_written_is_not_taken(tmp_path: Path) -> None:
    outcome, part = replay(recorded(20), TABLE), tmp_path / "part.parquet"
    rows = rows_of(outcome)
    with RowGroupWriter(part, rows.schema, ROWS) as writer:
        writer.add(rows)
        writer.describe({TOTALS: json.dumps(outcome.totals.to_dict())})
    assert is_whole(part)
    change_rows(part, exchanged("energy_j", "latency_s"))
    assert not is_whole(part)


@pytest.mark.parametrize("column", [0, 1, 3, 5])
def test_a_flipped_bit_is_noticed_and_placed(trace: Path, column: int) -> None:
    damage(trace, 2, column)
    with pytest.raises(DamagedRows, match=r"row group 2 \(rows 512 to 767\) is damaged"):
        GateTrace.read(trace)
    for policy in (Policy(), Policy("modal")):
        with pytest.raises(InputError, match=r"row group 2 \(rows 512 to 767\) is damaged"):
            replay_file(trace, ALONE, policy)


def test_damaged_row_groups_are_left_out_and_counted(trace: Path, tmp_path: Path) -> None:
    damage(trace, 1)
    damage(trace, 3)
    out = tmp_path / "rows.parquet"
    found = replay_file(trace, ALONE, Policy("modal"), out=out, skip_damaged=True)
    assert [one.group for one in found.damaged] == [1, 3]
    assert found.damaged_inputs == 256 + 1000 - 768
    assert found.totals.inputs == 512
    kept = np.r_[0:256, 512:768]
    assert pq.read_table(out)["input_id"].to_numpy().tolist() == kept.tolist()
    alone = recorded()
    rest = trace_of(ALONE, alone.choices[kept])
    whole = replay(rest, ALONE, Policy("modal"))
    assert pq.read_table(out)["energy_j"].to_numpy().tolist() == whole.energy_j.tolist()


def test_nothing_is_left_of_a_replay_that_is_refused(trace: Path, tmp_path: Path) -> None:
    damage(trace, 0)
    with pytest.raises(DamagedRows):
        replay_file(trace, ALONE, out=tmp_path / "rows.parquet")
    for group in (1, 2, 3):
        damage(trace, group)
    with pytest.raises(InputError, match="all of its row groups are damaged"):
        replay_file(trace, ALONE, out=tmp_path / "rows.parquet", skip_damaged=True)
    assert [path.name for path in tmp_path.iterdir()] == ["trace.parquet"]


def test_row_groups_have_the_size_asked_for_however_rows_come(tmp_path: Path) -> None:
    whole = recorded(700)
    with TraceWriter(tmp_path / "t.parquet", whole.header, rows=256) as writer:
        for start in range(0, 700, 90):
            part = whole[start : start + 90]
            writer.add(part.input_ids, part.labels, part.predictions, part.choices)
    with TraceFile(tmp_path / "t.parquet") as file:
        assert file.groups == [range(256), range(256, 512), range(512, 700)]
    assert np.array_equal(GateTrace.read(tmp_path / "t.parquet").choices, whole.choices)


def test_the_difference_between_networks_is_named(trace: Path) -> None:
    layers = list(three_units().layers)
    layers[2] = replace(layers[2], out_channels=24)
    changed = replace(three_units(), layers=tuple(layers))
    other = cost_table(changed, MACHINES["bitfusion"], "skip,2,8", cache=False)
    with pytest.raises(InputError, match=r"layer 2 is 'a.conv' with out_channels = 16.* 24"):
        replay_file(trace, other)
    fewer = replace(three_units(), layers=three_units().layers[:-1], edges=())
    table = cost_table(fewer, MACHINES["bitfusion"], "skip,2,8", cache=False)
    with pytest.raises(InputError, match="it has 8 layers, the table 7"):
        replay_file(trace, table)
    with pytest.raises(InputError, match="need the whole trace at once"):
        replay_file(trace, TABLE, Policy(batching="sorted", batch=8))


@pytest.mark.parametrize("words", [(), ("--batching", "sorted")])
def test_rows_are_what_their_name_says(
    trace: Path, tmp_path: Path, refused: Callable[..., str], words: tuple[str, ...]
) -> None:
    out = tmp_path / "rows.csv"
    said = f"cannot write {out}: rows of inputs are a file that ends in .parquet"
    assert said in refused("replay", trace, "--out", out, *words)
    assert not out.exists()


def test_a_trace_is_not_written_over(trace: Path, refused: Callable[..., str]) -> None:
    content = trace.read_bytes()
    with pytest.raises(InputError, match="is the trace itself"):
        replay_file(trace, ALONE, out=trace)
    for words in (("--out", trace), ("--batching", "sorted", "--out", trace)):
        assert "is the trace itself" in refused("replay", trace, *words)
    assert trace.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda header: [header], "it is no table of fields"),
        (lambda header: header | {"choices": 5}, "choices is not a list of precisions: 5"),
        (lambda header: header | {"accelerator": 7}, "accelerator is not text: 7"),
        (lambda header: header | {"always": "skip"}, "always: what always runs cannot be at skip"),
        (lambda header: header | {"workload": {"layers": [1]}}, "not a workload: missing edges"),
        (lambda header: {"format": 1}, "it has no accelerator"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(
    trace: Path, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    table = pq.read_table(trace)
    header = change(json.loads(table.schema.metadata[b"dfs_hw"]))
    pq.write_table(table.replace_schema_metadata({b"dfs_hw": json.dumps(header)}), trace)
    with pytest.raises(InputError, match=f"header that cannot be read: {said}"), TraceFile(trace):
        pass
