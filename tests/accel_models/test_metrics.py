"""A metric is one entry: all that counts, names or compares metrics knows a new one at once."""

from __future__ import annotations

import numpy as np
import pytest
from exploring import SPACE, trace_of

from accel_models import InputError, best_assignment, cost_table, load_accelerator, simulate
from accel_models.exploration.cross import cross_table
from accel_models.exploration.evaluate import Evaluator
from accel_models.exploration.space_file import parse_space
from accel_models.exploration.workloads import demands_of_traces
from accel_models.mapping.problem import ACTIONS
from accel_models.metrics import (
    METRICS,
    Efficiency,
    Metric,
    Percentile,
    Product,
    Sum,
    additive,
    budgeted,
    efficiency,
    explored,
    register,
    registered,
    replayed,
)
from accel_models.replay import Policy, replay
from accel_models.replay.on_disk.rows import rows_of
from accel_models.replay.summary.comparison import compare_replay
from accel_models.replay.summary.summary import summarise

DRAM = [number for number, action in enumerate(ACTIONS) if action.startswith("dram")]
TRAFFIC = Metric(
    "traffic",
    "traffic",
    "mean DRAM bits of an input",
    "bits",
    "dram_bits",
    Sum(lambda done: done.counts[..., DRAM].sum(axis=-1), step=lambda machine: 1.0, waits=False),
)
BITFUSION = load_accelerator("bitfusion")


def test_where_each_can_be_asked_for() -> None:
    assert [one.name for one in additive()] == ["energy", "latency", "bitops"]
    assert [one.name for one in budgeted()] == ["energy", "latency", "edp", "bitops"]
    assert [one.name for one in replayed()] == ["energy", "latency", "p95", "edp"]
    wanted = ["energy", "latency", "p95", "edp", "area", "power", "error"]
    assert [one.name for one in explored()] == wanted


def test_a_new_one_is_counted_wherever_layers_add_up() -> None:
    trace = trace_of()
    with registered(TRAFFIC):
        table = cost_table(trace.header.workload, BITFUSION, trace.header.choices, cache=False)
        fixed, units = table.costs("traffic")
        top = simulate(trace.header.workload.without_gates(), BITFUSION, 8)
        assert table.reference("traffic") == top.counts[DRAM].sum()
        chosen = [fixed + sum(row[pick] for row, pick in zip(units, one, strict=True))
                  for one in trace.choices]  # fmt: skip

        outcome = replay(trace, table)
        np.testing.assert_array_equal(TRAFFIC.of(outcome), chosen)
        np.testing.assert_array_equal(rows_of(outcome)["dram_bits"].to_numpy(), chosen)
        found = summarise(outcome)
        assert found.spreads["dram_bits"]["max"] == max(chosen)
        beside = compare_replay(found, trace.header)
        assert beside.replayed["dram_bits"] == pytest.approx(np.mean(chosen))
        assert beside.expected is not None
        assert beside.expected["dram_bits"] == pytest.approx(np.mean(chosen))
        assert beside.uniform["8"]["dram_bits"] == table.reference("traffic")

        losses = -np.arange(8.0).reshape(2, 4)  # wider is better, and so is the last of all
        best = best_assignment(table, losses, table.reference("traffic"), "traffic")
        assert best.choices == (3, 3)
        assert best.cost == table.reference("traffic")
        least = best_assignment(table, np.zeros((2, 4)), table.reference("traffic"), "traffic")
        assert least.cost < best.cost
        with pytest.raises(InputError, match=r"within 0\.0 bits: the least traffic"):
            best_assignment(table, losses, 0.0, "traffic")
    with pytest.raises(InputError, match="unknown metric 'traffic': use energy, latency or bitops"):
        table.costs("traffic")


@pytest.mark.parametrize("policy", [{}, {"policy": {"prefetch": ["oracle"]}}])
def test_machines_are_searched_for_a_new_one(policy: dict[str, object]) -> None:
    """By the columns of a tally and, where inputs are replayed, by replays."""
    trace = trace_of(inputs=30)
    worst = Metric("p90", "p90", "90th percentile", "bits", "p90_bits", Percentile("traffic", 90))
    both = Metric("btp", "btp", "bits x time", "bits s", "btp", Product(("traffic", "latency")))
    fields = {**SPACE["fields"], **policy}
    with registered(TRAFFIC), registered(worst), registered(both):
        given = {
            **SPACE,
            "fields": fields,
            "objectives": ["traffic", "p90"],
            "constraints": {"btp": 1e9},
        }
        space, _ = parse_space(given)
        configuration = space.configuration(3)
        (outcome,) = Evaluator(space, demands_of_traces([trace]))([configuration])
        machine = space.machine(configuration)
        run = replay(trace, machine, Policy(**space.policy(configuration)))
        bits = run.counts[:, DRAM].sum(axis=1)
        assert outcome.metrics["dram_bits"] == pytest.approx(bits.mean(), rel=1e-12)
        assert outcome.metrics["p90_bits"] == np.percentile(bits, 90)
        product = (bits * run.latency_s).mean()
        assert outcome.metrics["btp"] == pytest.approx(product, rel=1e-12)
        assert "traffic" in cross_table({"one": trace}).costs
    with pytest.raises(InputError, match=r"unknown objective 'traffic': use energy, .* or error"):
        parse_space(given)


def test_bitops_can_be_searched_for_like_any_sum() -> None:
    """No machine of the library has fewer, but the columns hold them."""
    trace = trace_of(inputs=30)
    twice = Metric("twice", "twice", "", "BitOps", "twice", Sum(lambda done: 2 * done.bitops))
    with registered(twice):
        space, _ = parse_space({**SPACE, "objectives": ["twice"]})
        configuration = space.configuration(0)
        (outcome,) = Evaluator(space, demands_of_traces([trace]))([configuration])
        run = replay(trace, space.machine(configuration))
        assert outcome.metrics["twice"] == 2 * run.bitops.mean()


def test_efficiency_is_what_a_run_does_for_what_it_draws() -> None:
    """4 inputs of 10^9 multiplications in 2 s for 8 J."""
    found = efficiency(energy_j=8.0, latency_s=2.0, macs=4e9, inputs=4)
    assert found == Efficiency(mean_power_w=4.0, tops_per_w=1e-3, inputs_per_j=0.5)
    assert found.tops_per_w * found.mean_power_w == pytest.approx(2 * 4e9 / 2.0 * 1e-12)


def test_a_taken_name_or_column_is_refused() -> None:
    for name, column in (("energy", "other"), ("other", "energy_j")):
        with pytest.raises(InputError, match="there is a metric 'energy'"):
            register(Metric(name, "", "", "J", column, Sum(lambda done: done.cycles)))
    assert "other" not in METRICS
