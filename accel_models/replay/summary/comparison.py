"""A replay beside what training was told, and beside networks that decide nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accel_models.costs.cost_table import CostTable
from accel_models.costs.simulator import simulate
from accel_models.errors import InfeasibleError
from accel_models.leaving import left_for_good
from accel_models.metrics import Done, additive
from accel_models.precision import highest
from accel_models.replay.plan import Plan
from accel_models.replay.policy import Policy
from accel_models.replay.replay import served
from accel_models.replay.summary.summary import Summary
from accel_models.trace import GateTrace, TraceHeader

Cost = dict[str, float]
"""Mean of one input by column of the metrics that add up over layers: J, s and BitOps."""


@dataclass(frozen=True)
class ReplayComparison:
    """One replay and what it is measured against.

    Args:
        replayed: as the trace ran.
        expected: what the training loss charges for the same choices, a sum over units that knows
            of no neighbours and no policies; None if the machine cannot run every choice.
        highest: the network without gates at the highest precision everywhere.
        uniform: the same at each width that is no skip and that the machine can run.
        frozen: the gated network with every unit at its most frequent choice.
    """

    replayed: Cost
    expected: Cost | None
    highest: Cost | None
    uniform: dict[str, Cost]
    frozen: Cost


def compare_replay(found: Summary, header: TraceHeader) -> ReplayComparison:
    """Compare what a trace came to; `header` is the trace's."""
    table = found.plan.table
    uniform = _uniform(table)
    return ReplayComparison(
        replayed={one.column: found.spreads[one.column]["mean"] for one in additive()},
        expected=_expected(table, found.totals.choice_counts / found.totals.inputs),
        highest=uniform.get(str(highest(table.choices))),
        uniform=uniform,
        frozen=_frozen(found, header),
    )


def _expected(table: CostTable, shares: np.ndarray) -> Cost | None:
    """Cost of inputs of which a share [unit, choice] came to each unit and took each choice."""

    def mean(metric: str) -> float:
        return float(table.stages(metric).mean(shares, table.leaving))

    try:
        return {one.column: mean(one.name) for one in additive()}
    except InfeasibleError:
        return None


def _uniform(table: CostTable) -> dict[str, Cost]:
    bare, found = table.workload.without_gates(), {}
    for choice in table.choices:
        if not choice.runs:
            continue
        try:
            run = simulate(bare, table.accelerator, choice, always=table.always)
        except InfeasibleError:
            continue
        found[str(choice)] = _cost(run)
    return found


def _frozen(found: Summary, header: TraceHeader) -> Cost:
    """One input at a time, switches charged as in the replay."""
    table = found.plan.table
    modal = found.totals.choice_counts.argmax(axis=1).astype(np.uint8)
    one = np.zeros(1, dtype=np.int32)
    settled = left_for_good(modal[None], table.leaving)
    trace = GateTrace(header, one.astype(np.int64), one, one, settled)
    policy = Policy(switches=found.plan.policy.switches)
    return _cost(served(trace, Plan(table, policy)))


def _cost(done: Done) -> Cost:
    """What one input took, of a simulation or a replay of it alone."""
    return {one.column: float(one.of(done).item()) for one in additive()}
