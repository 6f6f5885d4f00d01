"""A replay held against the event timeline, on some of its inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.reference_machine.events.timeline import Player, Timeline
from accel_models.replay.plan import Plan
from accel_models.replay.replay import served
from accel_models.trace import GateTrace


@dataclass(frozen=True)
class Check:
    """Means of one input as they were played, and as the tables have them.

    Args:
        inputs: how many.
        played: how many of them, or of their batches, differ: equal ones are played once.
        worst_cycles: the largest difference, of any input.
        reason: why the tables cannot say the same; "" if they must.
    """

    inputs: int
    played: int
    energy_j: float
    latency_s: float
    replayed_energy_j: float
    replayed_latency_s: float
    worst_cycles: int
    reason: str = ""


def check(trace: GateTrace, plan: Plan) -> Check:
    """Play all inputs of a trace, as the plan's policy has them run; they arrive as asked for.

    Raises:
        InfeasibleError: if the machine cannot run a choice that occurs in the trace.
    """
    plan = Plan(plan.table, replace(plan.policy, arrivals="none"))
    outcome = served(trace, plan)
    order = np.arange(len(trace)) if outcome.order is None else outcome.order
    player, known = Player(plan.table, plan.policy), dict[tuple[int, bytes], Timeline]()
    energy = latency = 0.0
    worst = 0
    for start in range(0, len(trace), plan.policy.batch):
        rows = order[start : start + plan.policy.batch]
        together = trace.choices[rows]
        key = (len(rows), together.tobytes())  # of a network without units, no bytes at all
        if key not in known:
            known[key] = player.play(together)
        energy += known[key].energy_j
        latency += known[key].latency_s * len(rows)
        worst = max(worst, int(np.abs(outcome.cycles[rows] - known[key].cycles).max()))
    return Check(
        inputs=len(trace),
        played=len(known),
        energy_j=energy / len(trace),
        latency_s=latency / len(trace),
        replayed_energy_j=float(outcome.energy_j.mean()),
        replayed_latency_s=float(outcome.latency_s.mean()),
        worst_cycles=worst,
        reason=why_apart(plan.table.accelerator),
    )


def why_apart(machine: Accelerator) -> str:
    """Why a machine's tables do not say what its timeline does; "" if they do."""
    if machine.fidelity.schedule == "fluid":
        return f"{machine.name} takes the larger of two totals, less than any order of tiles does"
    return ""
