"""What gates chose, and where inputs left."""

from __future__ import annotations

import numpy as np

from accel_models.leaving import units_run
from accel_models.replay import Replay
from dfs_hw.report.subject import ExitUse, UnitUse

END = "the end"


def unit_uses(outcome: Replay) -> tuple[UnitUse, ...]:
    """What every unit chose, of the inputs that came to it."""
    table, choices = outcome.table, outcome.choices
    ran = units_run(choices, table.leaving)
    names = list(map(str, table.choices))
    found = []
    for number, unit in enumerate(table.units):
        chosen = choices[ran >= number, number]
        counts = np.bincount(chosen, minlength=len(names))
        shares = counts / max(1, len(chosen))
        some = shares[shares > 0]
        found.append(
            UnitUse(
                unit=unit,
                came=len(chosen) / len(choices),
                shares=dict(zip(names, shares.tolist(), strict=True)),
                entropy_bits=abs(float(-(some * np.log2(some)).sum())),
                switch_rate=float((chosen[1:] != chosen[:-1]).mean()) if len(chosen) > 1 else 0.0,
                dead=len(some) <= 1,
            )
        )
    return tuple(found)


def exit_uses(outcome: Replay) -> tuple[ExitUse, ...]:
    """Where inputs left, and what those took; empty where none can leave."""
    table = outcome.table
    if not table.workload.exits:
        return ()
    ran = units_run(outcome.choices, table.leaving)
    places = [(number, unit) for number, unit in enumerate(table.units)]
    exits = [place for place in places if place[1] in table.workload.exits]
    return tuple(_exit(outcome, ran, *place) for place in [*exits, (len(table.units), END)])


def _exit(outcome: Replay, ran: np.ndarray, number: int, unit: str) -> ExitUse:
    left, trace = ran == number, outcome.trace
    right = trace.labels == trace.predictions

    def mean(values: np.ndarray) -> float | None:
        return float(values[left].mean()) if left.any() else None

    return ExitUse(
        unit=unit,
        share=float(left.mean()),
        came=float((ran >= number).mean()),
        accuracy=mean(right),
        energy_j=mean(outcome.energy_j),
        latency_s=mean(outcome.latency_s),
    )
