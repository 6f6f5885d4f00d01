"""What loads early is the same for all that build tables, on networks of any order of gates."""

from __future__ import annotations

import numpy as np
import pytest
import replay_reference as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_models import Accelerator, Layer, Workload, cost_table, load_accelerator, simulate
from accel_models.assignment.static_network import static_network
from accel_models.costs.cost_table import CostTable
from accel_models.costs.early_loads import STALL, is_known, pairs_within_units
from accel_models.costs.pricing import Pricing
from accel_models.exploration.batched_tables import TableMaker
from accel_models.exploration.tally import tally
from accel_models.exploration.workloads import NetworkRun
from accel_models.metrics import replayed
from accel_models.precision import highest, parse_choices
from accel_models.replay import replay
from accel_models.trace import GateTrace, TraceHeader

CHOICES = parse_choices("skip,2,8")
CONV = {"kernel": (3, 3), "out_size": (5, 5), "padding": (1, 1)}
UNITS = ("a", "b")
machines = st.builds(
    lambda name, gates, resident, prefetch: load_accelerator(name).configured(
        fidelity__gates=gates, storage__resident=resident, fidelity__prefetch=prefetch
    ),
    name=st.sampled_from(["bitfusion", "stripes"]),
    gates=st.sampled_from(["vector-unit", "array"]),
    resident=st.booleans(),
    prefetch=st.sampled_from([True, True, True, False]),
)


@st.composite
def networks(draw: st.DrawFn) -> Workload:
    """Layers of two units and of none in any order, gates before, between and behind others."""
    layers, channels = [Layer("stem", 3, 8, reads_image=True, **CONV)], 8
    kinds = [(role, unit) for role in ("gate", "shortcut", "body") for unit in UNITS]
    drawn = st.lists(st.sampled_from([*kinds, ("fixed", "")]), min_size=3, max_size=9)
    for number, (role, unit) in enumerate([*draw(drawn), *(("body", unit) for unit in UNITS)]):
        name, size = f"{number}.{unit}.{role}", {} if role == "gate" else CONV
        out = 3 if role == "gate" else draw(st.sampled_from([8, 40]))
        layers.append(Layer(name, channels, out, role=role, unit=unit, **size))
        channels = channels if role == "gate" else out
    return Workload.chain("drawn", [*layers, Layer("head", channels, 10)])


def every_choice(table: CostTable) -> GateTrace:
    """One input for each decision that there is."""
    header = TraceHeader("drawn", "none", table.workload, CHOICES, highest(CHOICES), "", 0, "0")
    grid = np.indices((len(CHOICES),) * len(table.units)).reshape(len(table.units), -1).T
    numbers = np.arange(len(grid))
    return GateTrace(header, numbers, numbers, numbers, grid.astype(np.uint8))


@settings(max_examples=25)
@given(network=networks(), machine=machines)
def test_whoever_adds_up_lets_the_same_weights_load_early(
    network: Workload, machine: Accelerator
) -> None:
    table = cost_table(network, machine, CHOICES, cache=False)
    trace = every_choice(table)
    run, pricing = NetworkRun.of_trace(trace), Pricing(machine)
    maker = TableMaker(run)
    batched = maker.tables([machine], maker.figures([machine], [pricing]))
    for name, figures in batched._asdict().items():
        np.testing.assert_array_equal(figures[0], getattr(table, name)[:, :, 0], err_msg=name)

    replayed = replay(trace, table)
    columns = tally(run, machine, switches=True)
    assert columns.costs([machine], [pricing], batched)[0, 2] == np.percentile(
        replayed.latency_s, 95
    )
    bare = network.without_gates()
    costs = static_network(table, 8).costs(trace.choices.astype(np.int64), "latency")
    for chosen, latency_s in zip(trace.choices, costs, strict=True):
        precisions = dict(zip(table.units, (CHOICES[choice] for choice in chosen), strict=True))
        assert simulate(bare, machine, precisions, always=8).latency_s == latency_s


@given(network=networks(), runs=st.data())
def test_pairs_are_neighbours_of_one_unit_whose_width_is_known(
    network: Workload, runs: st.DataObject
) -> None:
    layers = network.layers
    shape = (len(layers), 2)
    bits = runs.draw(st.lists(st.booleans(), min_size=shape[0] * 2, max_size=shape[0] * 2))
    running = np.array(bits).reshape(shape)
    found = set(map(tuple, pairs_within_units(network, running).T.tolist()))
    for choice in range(2):
        for before in range(len(layers)):
            for after in range(before + 1, len(layers)):
                between = range(before + 1, after)
                neighbours = (
                    running[before, choice]
                    and running[after, choice]
                    and not running[list(between), choice].any()
                    and len({layers[row].unit for row in range(before, after + 1)}) == 1
                )
                known = is_known(network, layers[before], layers[after])
                known &= layers[before].decides == layers[after].decides
                assert ((before, after, choice) in found) == (neighbours and known)


def test_what_is_spared_is_waiting() -> None:
    """Cycles taken off are cycles that the array would have stood still."""
    network = Workload.chain(
        "one unit",
        [Layer(name, 16, 16, role="body", unit="a", **CONV) for name in ("first", "second")],
    )
    early, late = (
        cost_table(network, load_accelerator("bitfusion").configured(fidelity__prefetch=prefetch))
        for prefetch in (True, False)
    )
    less = late.cycles - early.cycles
    assert less[1, 1:].min() > 0
    np.testing.assert_array_equal(late.counts[..., STALL] - early.counts[..., STALL], less)


@settings(max_examples=25)
@given(
    network=reference.networks(operators=True),
    machine=st.sampled_from([name for name in reference.MACHINES if name != "published"]),
    choices=st.sampled_from([c for c in reference.CHOICE_SETS if "exit" in c]),
    seed=st.integers(0, 2**32 - 1),
)
def test_inputs_that_leave_cost_the_same_whoever_adds_up(
    network: Workload, machine: str, choices: str, seed: int
) -> None:
    table = reference.table_of(network, machine, choices)
    trace = reference.trace_of(table, reference.random_choices(table, 12, seed))
    run, pricing = NetworkRun.of_trace(trace), Pricing(table.accelerator)
    maker = TableMaker(run)
    batched = maker.tables([table.accelerator], maker.figures([table.accelerator], [pricing]))
    found = tally(run, table.accelerator, switches=True).costs(
        [table.accelerator], [pricing], batched
    )
    work = replay(trace, table)
    for metric, cost in zip(replayed(), found[0], strict=True):
        assert cost == pytest.approx(metric.over(work), rel=1e-12), metric.name
