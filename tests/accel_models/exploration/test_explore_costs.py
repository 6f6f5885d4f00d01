"""Many machines at once cost what each costs by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from exploring import SPACE, branching, of_many_operators, trace_of, up_front
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import gated_pair

from accel_models import (
    DfsHwError,
    InfeasibleError,
    Layer,
    Workload,
    cost_table,
    list_accelerators,
    load_accelerator,
    simulate,
)
from accel_models.costs.pricing import Pricing
from accel_models.exploration.evaluate import Evaluator, TrialOutcome
from accel_models.exploration.space import Space
from accel_models.exploration.space import choice as dimension
from accel_models.exploration.space_file import parse_space
from accel_models.exploration.workloads import Demand, NetworkRun, demands_of_traces
from accel_models.reference_machine.events.timeline import Player
from accel_models.replay import Policy, replay
from accel_models.trace import GateTrace

WORKLOADS = {
    "gated": gated_pair(),
    "static": gated_pair().without_gates(),
    "up front": up_front(),
    "branching": branching(),
    "operators": of_many_operators(),
    "operators, static": of_many_operators().without_gates(),
    "branching, static": branching().without_gates(),
}


def evaluator(trace: GateTrace, **tables: Any) -> Evaluator:
    return Evaluator(parse_space({**SPACE, **tables})[0], demands_of_traces([trace]))


def expected(evaluated: Evaluator, trace: GateTrace, configuration: Any) -> dict[str, float]:
    """The same by a table and a replay of its own."""
    machine = evaluated.space.machine(configuration)
    header = trace.header
    policy = Policy(**evaluated.space.policy(configuration))
    table = cost_table(
        header.workload,
        machine,
        header.choices,
        always=header.always,
        max_group=policy.batch,
        cache=False,
    )
    outcome = replay(trace, table, policy)
    return {
        "energy_j": float(outcome.energy_j.mean()),
        "latency_s": float(outcome.latency_s.mean()),
        "p95_s": float(np.percentile(outcome.latency_s, 95)),
        "edp_js": outcome.edp_js,
        "area_mm2": sum(Pricing(machine).area_mm2.values()),
        "power_w": float(outcome.energy_j.mean() / outcome.latency_s.mean()),
        "error": 1 - trace.accuracy,
    }


def compare(
    evaluated: Evaluator, trace: GateTrace, configuration: Any, outcome: TrialOutcome
) -> None:
    """The same costs, or the same reason why there are none."""
    try:
        wanted = expected(evaluated, trace, configuration)
    except DfsHwError as error:
        assert outcome.infeasible == str(error)
        assert set(outcome.metrics.values()) == {None}
        return
    assert not outcome.infeasible
    if not Pricing(evaluated.space.machine(configuration)).area_mm2["array"]:  # nobody knows it
        assert outcome.metrics["area_mm2"] is None
        del wanted["area_mm2"]
    assert outcome.metrics["p95_s"] == wanted["p95_s"]  # integers, divided once
    for name, value in wanted.items():
        assert outcome.metrics[name] == pytest.approx(value, rel=1e-12), name


@pytest.mark.slow
@settings(max_examples=12)
@given(
    workload=st.sampled_from(sorted(WORKLOADS)),
    seed=st.integers(0, 99),
    inputs=st.integers(1, 60),
    fields=st.fixed_dictionaries(
        {
            "storage.weights": st.sampled_from(["full", "planes", "copies"]),
            "storage.resident": st.booleans(),
            "fidelity.prefetch": st.booleans(),
            "fidelity.gates": st.sampled_from(["vector-unit", "array"]),
            "mapping.objective": st.sampled_from(["edp", "latency", "latency-then-energy"]),
            "widths": st.sampled_from([(), (4, 8), (1, 2, 8)]),
            "policy.switches": st.booleans(),
        }
    ),
)
def test_a_chunk_costs_what_tables_and_replays_say(
    workload: str, seed: int, inputs: int, fields: dict[str, Any]
) -> None:
    trace = trace_of(WORKLOADS[workload], inputs, seed)
    own = {path: [list(v) if isinstance(v, tuple) else v] for path, v in fields.items()}
    several = evaluator(trace, fields={**SPACE["fields"], **own})
    assert several.space.size == 36
    numbers = np.random.default_rng(seed).choice(36, 5, replace=False).tolist()
    configurations = [several.space.configuration(number) for number in numbers]
    outcomes = several(configurations)
    for configuration, outcome in zip(configurations, outcomes, strict=True):
        compare(several, trace, configuration, outcome)


@pytest.mark.parametrize("name", list_accelerators())
@pytest.mark.parametrize("network", ["branching", "operators"])
def test_every_family_costs_what_tables_and_replays_say(name: str, network: str) -> None:
    """In one chunk with another machine of the library."""
    trace = trace_of(WORKLOADS[network])
    fields = {"storage": {"weights": ["full", "copies"]}}
    other = "bitblade" if name != "bitblade" else "stripes"
    mixed = evaluator(trace, base=[name, other], fields=fields, objectives=["energy"])
    configurations = list(mixed.space.configurations(0, 4))
    for configuration, outcome in zip(configurations, mixed(configurations), strict=True):
        compare(mixed, trace, configuration, outcome)


def test_every_policy_costs_what_replays_say() -> None:
    """Those that are no sum over decisions beside one that is, some of which cannot be."""
    policy = {
        "prefetch": ["none", "modal", "planes", "oracle"],
        "batching": ["single", "grouped"],
        "batch": [1, 3],
    }
    storage = {"weights": ["planes", "copies"]}
    trace = trace_of(branching())
    several = evaluator(trace, fields={"policy": policy, "storage": storage})
    assert several.space.size == 32
    outcomes = several.run((0, 32))
    configurations = several.space.configurations(0, 32)
    for configuration, outcome in zip(configurations, outcomes, strict=True):
        compare(several, trace, configuration, outcome)
    reasons = {outcome.infeasible.partition(":")[0] for outcome in outcomes}
    assert reasons == {"", "policy", "prefetch = planes"}


def test_what_comes_in_one_chunk_does_not_matter() -> None:
    one = evaluator(trace_of())
    together = one.run((0, 36))
    apart = [outcome for number in range(36) for outcome in one.run((number, number + 1))]
    assert together == apart


def test_a_fixed_precision_in_batches_costs_what_simulate_says_of_whole_ones() -> None:
    """Weights are read once for the batch, also where one input stands for all."""
    machine = load_accelerator("bitfusion").configured(array__reconfiguration_cycles=0)
    dimensions = (dimension("policy.batching", ["grouped"]), dimension("policy.batch", [4]))
    space = Space("one", {machine.name: machine}, dimensions, ("energy",))
    demand = Demand("pair", 1.0, (NetworkRun.fixed(gated_pair(), 8),))
    (outcome,) = Evaluator(space, (demand,))([space.configuration(0)])
    whole = simulate(gated_pair().without_gates(), machine, 8, batch=4)
    assert outcome.metrics["energy_j"] == pytest.approx(whole.energy_j / 4, rel=1e-9)
    assert outcome.metrics["latency_s"] == pytest.approx(whole.latency_s, rel=1e-9)


@pytest.mark.parametrize("bits", ["2", "4/8"])
def test_a_fixed_precision_costs_what_simulate_says(bits: str) -> None:
    """And changes of width, which `simulate` leaves out."""
    machine = load_accelerator("bitfusion").configured(array__reconfiguration_cycles=0)
    space = Space("one", {machine.name: machine}, (), ("energy",))
    demand = Demand("pair", 1.0, (NetworkRun.fixed(gated_pair(), bits, accuracy=0.75),))
    (outcome,) = Evaluator(space, (demand,))([{}])
    whole = simulate(gated_pair().without_gates(), machine, bits)
    assert outcome.metrics["latency_s"] == whole.latency_s == outcome.metrics["p95_s"]
    assert outcome.metrics["energy_j"] == pytest.approx(whole.energy_j, rel=1e-14)
    assert outcome.metrics["error"] == 0.25


def test_several_workloads_are_weighted_and_the_worst_tail_counts() -> None:
    traces = [trace_of(gated_pair(), seed=1), trace_of(branching(), seed=2)]
    space = parse_space(SPACE)[0]
    parts = [
        Evaluator(space, demands_of_traces([trace]))([space.configuration(0)]) for trace in traces
    ]
    demands = tuple(
        Demand(str(weight), weight, demands_of_traces([trace])[0].runs)
        for weight, trace in zip((1.0, 3.0), traces, strict=True)
    )
    (both,) = Evaluator(space, demands)([space.configuration(0)])
    first, second = (part[0].metrics for part in parts)
    for name in ("energy_j", "latency_s", "edp_js", "error"):
        mean = (first[name] + 3 * second[name]) / 4
        assert both.metrics[name] == pytest.approx(mean, rel=1e-12)
    for name in ("p95_s", "power_w"):
        assert both.metrics[name] == max(first[name], second[name])


def test_a_machine_on_which_nothing_fits_says_why_beside_others_that_run() -> None:
    fields = {"array": {"rows": [4], "columns": [8]}, "buffers": {"weight_bytes": [4096, 16384]}}
    conv = Layer("wide", 8, 8, (47, 47), (32, 32), padding=(23, 23))
    trace = trace_of(Workload.chain("wide", [conv]))
    tight = evaluator(trace, fields=fields)
    small, large = tight.run((0, 2))
    assert small.infeasible.startswith("layer 'wide' at 8 bits on bitfusion: no tiling fits")
    assert "weight buffer" in small.infeasible
    compare(tight, trace, tight.space.configuration(0), small)
    compare(tight, trace, tight.space.configuration(1), large)
    assert not large.infeasible


def test_operands_run_at_the_next_width_that_is_offered() -> None:
    machine, pair = load_accelerator("bitfusion"), gated_pair().without_gates()
    only = machine.configured(widths=[4, 8])
    for bits, runs_at in ((1, 4), (3, 4), (4, 4), (5, 8), (8, 8)):
        rounded, plain = simulate(pair, only, bits), simulate(pair, machine, runs_at)
        assert rounded.cycles == plain.cycles
        assert rounded.bitops == plain.bitops
        assert np.array_equal(rounded.counts, plain.counts)
    assert simulate(pair, only, "3/7").cycles == simulate(pair, machine, "4/8").cycles
    with pytest.raises(InfeasibleError, match="wider than the 8 bits that it offers"):
        simulate(pair, only, 9)


@pytest.mark.slow
def test_table_timeline_and_simulation_agree_on_widths_that_are_offered() -> None:
    machine, trace = load_accelerator("bitfusion").configured(widths=[4, 8]), trace_of(branching())
    table = cost_table(trace.header.workload, machine, trace.header.choices, cache=False)
    outcome = replay(trace, table)
    player = Player(table, Policy())
    for row in range(8):
        assert player.play(trace.choices[row : row + 1]).cycles == outcome.cycles[row]
    bare = trace_of(branching().without_gates())
    static = cost_table(bare.header.workload, machine, bare.header.choices, cache=False)
    for index, choice in enumerate(static.choices):
        whole = simulate(bare.header.workload, machine, choice, always=8)
        same = GateTrace(
            bare.header, *[np.zeros(1, dtype=np.int64)] * 3, np.full((1, 2), index, dtype=np.uint8)
        )
        assert replay(same, static).bitops.tolist() == [whole.bitops]


def test_offering_fewer_widths_never_helps_a_trace() -> None:
    widths = evaluator(trace_of(), fields={"widths": [[2, 4, 8], [4, 8], [8]]})
    energies = [outcome.metrics["energy_j"] for outcome in widths.run((0, 3))]
    assert energies == sorted(energies)
    assert len(set(energies)) == 3
