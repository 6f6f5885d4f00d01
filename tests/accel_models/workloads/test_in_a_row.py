"""A cascade as one network: what it costs is what its two networks and the exit between them do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_reference import MACHINES, OWN, may_leave, networks, three_units

from accel_models import GateTrace, InputError, Workload, cost_table
from accel_models.precision import highest, parse_choices
from accel_models.replay import replay
from accel_models.trace import TraceHeader
from accel_models.workloads.in_a_row import in_a_row, is_in_a_row

CHOICES = parse_choices("4,2,8,exit")
STAY, LEAVE = CHOICES.index(highest(CHOICES)), len(CHOICES) - 1


def costs(workload: Workload, machine: str, rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Cycles and energy in J of inputs that choose so."""
    offered = CHOICES if workload.exits else CHOICES[:LEAVE]
    header = TraceHeader("random", "none", workload, offered, highest(CHOICES), "", 0, "0")
    numbers, taken = np.arange(len(rows)), np.array(rows, dtype=np.uint8)
    trace = GateTrace(header, numbers, numbers, numbers, taken)
    table = cost_table(workload, MACHINES[machine], offered, cache=False)
    played = replay(trace, table)
    return played.cycles, played.energy_j


@settings(max_examples=25)
@given(
    networks("none").map(Workload.without_gates),
    networks("none").map(Workload.without_gates),
    st.sampled_from(["bitfusion", "slow memory", "bit-serial", "single buffers", "published"]),
    st.data(),
)
def test_a_cascade_costs_what_its_networks_do_by_themselves(
    first: Workload, then: Workload, machine: str, data: st.DataObject
) -> None:
    """An input that stays takes exactly as much longer as the second network takes alone, and one
    that leaves as much longer than the first alone as any other that leaves."""
    widths = [
        data.draw(st.lists(st.integers(0, 2), min_size=len(one.units), max_size=len(one.units)))
        for one in (first, then)
    ]
    both = in_a_row(first, then)
    assert [is_in_a_row(one) for one in (first, then, both)] == [False, False, True]
    gone = [*widths[0], *[LEAVE] * (1 + len(widths[1]))]
    cycles, energy = costs(both, machine, [gone, [*widths[0], STAY, *widths[1]]])
    alone = [costs(one, machine, [row]) for one, row in zip((first, then), widths, strict=True)]
    assert cycles[1] - cycles[0] == alone[1][0][0]
    np.testing.assert_allclose(energy[1] - energy[0], alone[1][1][0], rtol=1e-9)
    decided = cycles[0] - alone[0][0][0]
    assert 0 < decided < 100  # a sum over ten classes
    assert 0 < energy[0] - alone[0][1][0] < 0.1 * alone[0][1][0]


def test_both_keep_their_layers_and_edges() -> None:
    first, then = three_units().without_gates(), may_leave(OWN)
    both = in_a_row(first, then)
    assert both.macs == first.macs + then.macs + first.layers[-1].out_channels
    assert both.exits == {"then", "then.a"}
    assert both.operands["then.stem"].inputs == ()  # the image again
    assert both.operands["then.classifier"].inputs == ("then.a.conv",)
    for before, after in then.edges:
        assert (f"then.{before}", f"then.{after}") in both.edges


def test_what_has_left_inside_the_first_network_cannot_come_back() -> None:
    with pytest.raises(InputError, match="have left for good and would never come to 'three'"):
        in_a_row(may_leave(OWN), three_units())
