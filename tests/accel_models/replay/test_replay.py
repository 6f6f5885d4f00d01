"""Traces survive the disk, and replaying one conserves every picojoule."""

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import cifar_resnet38, gated_pair

from accel_models import InputError, Workload, cost_table, load_accelerator, simulate
from accel_models.precision import highest, parse_choices
from accel_models.replay import Policy, replay
from accel_models.trace import GateTrace, TraceHeader, TraceWriter

MACHINE = load_accelerator("bitfusion-published")
CHOICES = parse_choices("skip,2,4/8,8")
TABLE = cost_table(gated_pair(), MACHINE, CHOICES)


def trace_of(choices: np.ndarray, workload: Workload | None = None) -> GateTrace:
    header = TraceHeader(
        network="pair",
        dataset="none",
        workload=workload or gated_pair(),
        choices=CHOICES,
        always=highest(CHOICES),
        accelerator=MACHINE.name,
        seed=0,
        version="0",
    )
    numbers = np.arange(len(choices))
    return GateTrace(header, numbers, numbers % 10, numbers % 7, choices.astype(np.uint8))


@pytest.mark.parametrize("pair", list(itertools.product(range(4), repeat=2)))
def test_a_static_network_written_as_a_trace_costs_exactly_what_simulate_says(
    pair: tuple[int, int],
) -> None:
    outcome = replay(trace_of(np.array([pair, pair])), TABLE, Policy.off())
    assignment = {unit: CHOICES[index] for unit, index in zip(TABLE.units, pair, strict=True)}
    static = simulate(gated_pair(), MACHINE, assignment, always=highest(CHOICES))
    assert outcome.cycles.tolist() == [static.cycles] * 2
    assert outcome.energy_pj.tolist() == [static.energy_pj.tolist()] * 2
    assert outcome.energy_j == pytest.approx([static.energy_j] * 2, rel=1e-12)
    assert outcome.bitops.tolist() == [static.bitops] * 2


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 2), min_size=1, max_size=30))
def test_layers_add_up_to_the_network(choices: list[tuple[int, int]]) -> None:
    outcome = replay(trace_of(np.array(choices)), TABLE)
    by_layer = outcome.layer_energy_pj.sum(axis=0)
    assert by_layer == pytest.approx(outcome.energy_pj.mean(axis=0), rel=1e-12)
    assert outcome.layer_latency_s.sum() == pytest.approx(outcome.latency_s.mean(), rel=1e-12)
    assert outcome.choice_counts.sum(axis=1).tolist() == [len(choices)] * 2


def test_layers_add_up_where_weights_load_while_the_unit_before_computes() -> None:
    """Only a network without gates knows what comes next, and is spared cycles the table has."""
    workload, machine = gated_pair().without_gates(), load_accelerator("bitfusion")
    table = cost_table(workload, machine, CHOICES)
    choices = np.array(list(itertools.product(range(4), repeat=2)))
    outcome = replay(trace_of(choices, workload), table)
    assert outcome.spared_cycles.sum() > 0
    by_layer = outcome.layer_energy_pj.sum(axis=0)
    assert by_layer == pytest.approx(outcome.energy_pj.mean(axis=0), rel=1e-12)
    assert outcome.layer_latency_s.sum() == pytest.approx(outcome.latency_s.mean(), rel=1e-12)


def test_energy_moves_with_the_choice() -> None:
    energy = replay(trace_of(np.array([[i, i] for i in range(4)])), TABLE).energy_j
    assert list(energy) == sorted(energy)
    assert len(set(energy)) == 4


def test_a_trace_survives_the_disk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    trace = trace_of(rng.integers(0, 4, (1000, 2)))
    trace.write(tmp_path / "t.parquet")
    again = GateTrace.read(tmp_path / "t.parquet")
    assert again.header == trace.header
    for name in ("input_ids", "labels", "predictions", "choices"):
        assert np.array_equal(getattr(again, name), getattr(trace, name))
    assert pq.read_table(tmp_path / "t.parquet").column_names[3:] == ["a", "b"]


def test_an_interrupted_writer_leaves_nothing(tmp_path: Path) -> None:
    trace = trace_of(np.zeros((4, 2)))
    columns = (trace.input_ids, trace.labels, trace.predictions, trace.choices)
    with (
        pytest.raises(KeyboardInterrupt),
        TraceWriter(tmp_path / "t.parquet", trace.header) as writer,
    ):
        writer.add(*columns)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 5, 400, -10])
def test_a_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "t.parquet"
    trace_of(np.zeros((50, 2))).write(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"t\.parquet is truncated, damaged or no Parquet file"):
        GateTrace.read(path)


def test_foreign_and_missing_files_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="no gate trace"):
        GateTrace.read(tmp_path / "x.parquet")
    with pytest.raises(InputError, match="there is no trace"):
        GateTrace.read(tmp_path / "y.parquet")


def test_choices_outside_the_set_are_refused_on_both_ways(tmp_path: Path) -> None:
    good = trace_of(np.zeros((3, 2)))
    bad = np.array([[0, 0], [0, 4], [0, 0]], dtype=np.uint8)
    columns = (good.input_ids, good.labels, good.predictions)
    with (
        pytest.raises(InputError, match="outside the set of 4"),
        TraceWriter(tmp_path / "t.parquet", good.header) as writer,
    ):
        writer.add(*columns, bad)
    arrays = [pa.array(c) for c in (*columns, *bad.T)]
    schema = good.header.schema()
    table = pa.Table.from_arrays(
        [a.cast(f.type) for a, f in zip(arrays, schema, strict=True)], schema=schema
    )
    pq.write_table(table, tmp_path / "bad.parquet")
    with pytest.raises(InputError, match="row 1 has choice 4 in b"):
        GateTrace.read(tmp_path / "bad.parquet")


def test_a_trace_of_another_network_or_choice_set_is_refused() -> None:
    trace = trace_of(np.zeros((3, 2)))
    with pytest.raises(InputError, match="of network 'pair'"):
        replay(trace, cost_table(cifar_resnet38(), MACHINE, CHOICES))
    with pytest.raises(InputError, match=r"choices \(skip, 2, 4/8, 8\) differ"):
        replay(trace, cost_table(gated_pair(), MACHINE, "skip,2,4,8"))
    with pytest.raises(InputError, match="precision outside its units"):
        replay(trace, cost_table(gated_pair(), MACHINE, CHOICES, always=4))
