"""A replay beside what training was told, and beside networks that decide nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accel_models.costs.cost_table import CostTable, Metric
from accel_models.costs.simulator import simulate
from accel_models.errors import InfeasibleError
from accel_models.precision import highest
from accel_models.replay.plan import Plan
from accel_models.replay.policy import Policy
from accel_models.replay.replay import served
from accel_models.replay.summary.summary import Summary
from accel_models.trace import GateTrace, TraceHeader


@dataclass(frozen=True)
class Cost:
    """Mean of one input: J, s and BitOps."""

    energy_j: float
    latency_s: float
    bitops: float


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
        replayed=Cost(
            *(found.spreads[name]["mean"] for name in ("energy_j", "latency_s", "bitops"))
        ),
        expected=_expected(table, found.totals.choice_counts / found.totals.inputs),
        highest=uniform.get(str(highest(table.choices))),
        uniform=uniform,
        frozen=_frozen(found, header),
    )


def _expected(table: CostTable, shares: np.ndarray) -> Cost | None:
    """Cost of inputs of which a share [unit, choice] took each choice."""

    def mean(metric: Metric) -> float:
        always, units = table.costs(metric)
        return always + float((units * shares).sum())

    try:
        return Cost(mean("energy"), mean("latency"), mean("bitops"))
    except InfeasibleError:
        return None


def _uniform(table: CostTable) -> dict[str, Cost]:
    bare, found = table.workload.without_gates(), {}
    for choice in table.choices:
        if choice.is_skip:
            continue
        try:
            run = simulate(bare, table.accelerator, choice, always=table.always)
        except InfeasibleError:
            continue
        found[str(choice)] = Cost(run.energy_j, run.latency_s, float(run.bitops))
    return found


def _frozen(found: Summary, header: TraceHeader) -> Cost:
    """One input at a time, switches charged as in the replay."""
    modal = found.totals.choice_counts.argmax(axis=1).astype(np.uint8)
    one = np.zeros(1, dtype=np.int32)
    trace = GateTrace(header, one.astype(np.int64), one, one, modal[None])
    policy = Policy(switches=found.plan.policy.switches)
    outcome = served(trace, Plan(found.plan.table, policy))
    return Cost(float(outcome.energy_j[0]), float(outcome.latency_s[0]), float(outcome.bitops[0]))
