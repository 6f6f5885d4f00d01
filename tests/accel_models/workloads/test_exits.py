"""Inputs that leave a network: where they may, what that spares, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from accel_models import (
    GateTrace,
    InputError,
    Layer,
    Policy,
    Workload,
    cost_table,
    load_accelerator,
    simulate,
)
from accel_models.assignment import best_assignment
from accel_models.leaving import left_for_good, units_run
from accel_models.precision import EXIT, Precision, highest, parse_choices
from accel_models.replay import replay
from accel_models.trace import TraceHeader

CONV = {"kernel": (3, 3), "padding": (1, 1), "out_size": (8, 8)}
CHOICES = parse_choices("skip,2,8,exit")
LEAVE = CHOICES.index(EXIT)


def layers() -> list[Layer]:
    """A stem, two units with an exit, a layer between them, a third unit without, a classifier."""
    found = [Layer("stem", 3, 16, reads_image=True, **CONV)]
    for unit in "abc":
        found.append(Layer(f"{unit}.gate", 16, 4, role="gate", unit=unit))
        if unit != "c":
            found.append(Layer(f"{unit}.exit", 32, 10, role="exit", unit=unit))
        found.append(Layer(f"{unit}.conv", 16, 16, role="body", unit=unit, **CONV))
        if unit == "a":
            found.append(Layer("between", 16, 16, **CONV))
    return [*found, Layer("classifier", 16, 10)]


NETWORK = Workload.chain("leaving", layers())
MACHINE = load_accelerator("bitfusion")
TABLE = cost_table(NETWORK, MACHINE, CHOICES, cache=False)


def trace(rows: list[list[int]]) -> GateTrace:
    header = TraceHeader("leaving", "none", NETWORK, CHOICES, highest(CHOICES), "", 0, "0")
    numbers = np.arange(len(rows))
    return GateTrace(header, numbers, numbers, numbers, np.array(rows, dtype=np.uint8))


def test_an_input_that_leaves_runs_what_lies_before() -> None:
    """As a network that ends there, gates and exits that it came to included."""
    ends = {0: "a.conv", 1: "b.conv"}
    for unit, first in ends.items():
        at = [layer.name for layer in NETWORK.layers].index(first)
        # What decides there costs what gates cost, with nothing left to decide.
        ran = [
            replace(layer, role="gate") if layer.role == "exit" else layer
            for layer in NETWORK.layers[:at]
        ]
        short = Workload.chain("short", ran)
        row = [2] * unit + [LEAVE] * (3 - unit)
        found = replay(trace([row]), TABLE, Policy.off())
        static = simulate(short, MACHINE, dict.fromkeys(short.units, "8"), always=8)
        assert found.cycles[0] == static.cycles
        assert found.counts[0].tolist() == static.counts.tolist()
        assert found.bitops[0] == static.bitops


def test_who_leaves_first_pays_least_and_fills_no_later_row() -> None:
    rows = [[LEAVE] * 3, [2, LEAVE, LEAVE], [2, 2, 2]]
    found = replay(trace(rows), TABLE)
    assert (np.diff(found.energy_j) > 0).all() and (np.diff(found.cycles) > 0).all()
    # The first unit is come to by three, the second by two, the third by one.
    assert found.choice_counts.sum(axis=1).tolist() == [3, 2, 1]
    assert units_run(trace(rows).choices, LEAVE).tolist() == [0, 1, 3]
    alone = replay(trace(rows[:1]), TABLE)
    names = [layer.name for layer in NETWORK.layers]
    behind = alone.layer_energy_pj[names.index("a.conv") :]
    assert behind.sum() == 0 and alone.layer_energy_pj.sum() > 0


def test_a_batch_shrinks_as_inputs_leave() -> None:
    """Two that stay run on as a batch of two, and bring their own weights: a batch of which half
    leaves takes less than one that stays whole, and more than its stayers alone."""
    table = cost_table(NETWORK, MACHINE, CHOICES, max_group=4, cache=False)
    policy = Policy.off()
    batched = replace(policy, batching="grouped", batch=4)
    stay, leave = [2, 2, 2], [2, LEAVE, LEAVE]
    half = replay(trace([stay, leave, stay, leave]), table, batched)
    whole = replay(trace([stay] * 4), table, batched)
    two = replay(trace([stay] * 2), table, replace(batched, batch=2))
    assert two.cycles[0] < half.cycles[0] < whole.cycles[0]
    assert half.busy_j[1] < half.busy_j[0]
    assert half.totals.counts(half.plan) == pytest.approx(half.counts.sum(axis=0), rel=1e-12)


def test_weights_fetched_for_an_input_that_leaves_are_wasted() -> None:
    rows = trace([[2, 2, 2], [2, LEAVE, LEAVE]])
    guess = Policy("modal", guess=(2, 2, 2))
    found = replay(rows, TABLE, guess)
    assert found.wasted_bits[0] == 0 < found.wasted_bits[1]


def test_expected_costs_weigh_every_stage_by_who_comes_to_it() -> None:
    """Of a table's stages, by counting: exactly the sum of its layers."""
    rows = [[LEAVE] * 3, [0, LEAVE, LEAVE], [2, 1, 0], [1, 2, 2]]
    shares = replay(trace(rows), TABLE).choice_counts / len(rows)
    mean = float(TABLE.stages("bitops").mean(shares, TABLE.leaving))
    assert mean == pytest.approx(replay(trace(rows), TABLE).bitops.mean(), rel=1e-12)
    none_leaves = TABLE.costs("energy")
    stages = TABLE.stages("energy")
    assert stages.settled.sum() < none_leaves[0] + none_leaves[1].max(axis=1).sum()


def test_simulate_ends_where_a_unit_says_exit() -> None:
    whole = simulate(NETWORK, MACHINE, {"a": 8, "b": 8, "c": 8}, always=8)
    short = simulate(NETWORK, MACHINE, {"a": 8, "b": "exit", "c": 8}, always=8)
    names = [cost.layer.name for cost in short.layers]
    assert names == ["stem", "a.gate", "a.exit", "a.conv", "between", "b.gate", "b.exit"]
    assert short.energy_j < whole.energy_j
    with pytest.raises(InputError, match=r"no exit at unit 'c': inputs may leave at a, b"):
        simulate(NETWORK, MACHINE, {"a": 8, "b": 8, "c": "exit"}, always=8)


def test_to_leave_is_no_static_choice() -> None:
    losses = np.array([[3.0, 2, 1, 0]] * 3)
    found = best_assignment(TABLE, losses, 1.0)
    assert found.choices == (2, 2, 2)
    with pytest.raises(InputError, match="has exits, which no static assignment takes"):
        TABLE.query(np.array([[2, LEAVE, LEAVE]]))


def test_traces_say_where_inputs_left(tmp_path: Path) -> None:
    written = trace([[LEAVE] * 3, [0, LEAVE, LEAVE], [2, 2, 1]])
    written.write(tmp_path / "trace.parquet")
    read = GateTrace.read(tmp_path / "trace.parquet")
    assert read.choices.tolist() == written.choices.tolist()
    assert read.header.choices == CHOICES and read.header.workload.exits == {"a", "b"}
    with pytest.raises(InputError, match="row 1 left at a and yet chooses at b"):
        trace([[2, 2, 2], [LEAVE, 2, 2]])
    with pytest.raises(InputError, match="row 0 leaves at c, which has no exit"):
        trace([[2, 2, LEAVE]])
    settled = left_for_good(np.array([[LEAVE, 0, 1], [0, 1, 2]], dtype=np.uint8), LEAVE)
    assert settled.tolist() == [[LEAVE] * 3, [0, 1, 2]]


@pytest.mark.parametrize(
    ("moved", "why"),
    [
        (lambda found: [*found[:2], found[3], found[2], *found[4:]], "'a.exit' stands behind"),
        (
            lambda found: [*found[:-1], replace(found[3], name="late"), found[-1]],
            "units run one after the other",
        ),
        (
            lambda found: [layer for layer in found if layer.name != "b.conv"],
            "every unit has layers of its own",
        ),
    ],
)
def test_exits_stand_where_inputs_can_leave(moved: object, why: str) -> None:
    assert callable(moved)
    with pytest.raises(InputError, match=why):
        Workload.chain("leaving", moved(layers()))


def test_a_choice_to_leave_needs_a_place() -> None:
    plain = Workload.chain("plain", [layer for layer in layers() if layer.role != "exit"])
    with pytest.raises(InputError, match="no unit of 'plain' has one to leave at"):
        cost_table(plain, MACHINE, CHOICES)
    with pytest.raises(InputError, match="leaves nothing to run"):
        parse_choices("skip,exit")
    with pytest.raises(InputError, match="runs nothing at any width"):
        Precision(8, 8, exits=True)
    assert str(EXIT) == "exit" and not EXIT.is_skip and not EXIT.runs
