"""What a replay comes to: means, percentiles and breakdowns, of inputs in memory or on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from accel_models.metrics import additive
from accel_models.replay.plan import Plan
from accel_models.replay.policy import Policy
from accel_models.replay.replay import Replay
from accel_models.replay.summary.percentiles import spreads
from accel_models.replay.totals import Totals
from accel_models.trace import DamagedRows

QUEUED = ("waiting_s", "response_s")
SPLIT = ("energy_j", "latency_s")
"""Amounts that are also stated for correct and for wrong predictions apart."""


RowsAgain = Callable[[], Iterable[tuple[Mapping[str, np.ndarray], np.ndarray]]]
"""Begins a pass over inputs: amounts by name, and whether predictions are right."""


@dataclass(frozen=True)
class Summary:
    """What all inputs of a trace come to.

    Args:
        spreads: mean, percentiles and maximum by amount, in J, s and BitOps; of inputs that arrive
            by themselves also of how long they wait and when they are answered.
        correct, wrong: spreads of energy and latency, by whether the prediction was right.
        damaged: row groups that were left out.
    """

    plan: Plan
    totals: Totals
    spreads: dict[str, dict[str, float]]
    correct: dict[str, dict[str, float]]
    wrong: dict[str, dict[str, float]]
    damaged: tuple[DamagedRows, ...] = ()

    @property
    def damaged_inputs(self) -> int:
        return sum(len(one.rows) for one in self.damaged)

    @property
    def utilisation(self) -> float | None:
        """Share of time that the machine is busy, where inputs arrive by themselves."""
        if self.plan.policy.arrivals == "none":
            return None
        busy = self.totals.busy_cycles / self.plan.table.accelerator.frequency_hz
        return busy / (busy + self.totals.idle_s)


def amounts(policy: Policy) -> tuple[str, ...]:
    """Columns of what is known of every input under a policy."""
    taken = tuple(metric.column for metric in additive())
    return taken if policy.arrivals == "none" else (*taken, *QUEUED)


def summarise(outcome: Replay) -> Summary:
    """The summary of a replay in memory."""
    columns = {metric.column: metric.of(outcome) for metric in additive()}
    if outcome.queued is not None:
        columns |= {"waiting_s": outcome.queued.waiting, "response_s": outcome.queued.response}
    right = outcome.trace.labels == outcome.trace.predictions
    return summary(outcome.plan, outcome.totals, lambda: [(columns, right)])


def summary(
    plan: Plan,
    totals: Totals,
    read: RowsAgain,
    damaged: Sequence[DamagedRows] = (),
) -> Summary:
    """The summary of inputs that can be read again and again, chunk by chunk."""
    names = amounts(plan.policy)

    def chunks() -> Iterator[list[np.ndarray]]:
        for columns, right in read():
            split = [columns[name][which] for which in (right, ~right) for name in SPLIT]
            yield [columns[name] for name in names] + split

    found = spreads(chunks, len(names) + 2 * len(SPLIT))
    whole, correct, wrong = found[: len(names)], found[len(names) : -2], found[-2:]
    return Summary(
        plan,
        totals,
        dict(zip(names, whole, strict=True)),
        dict(zip(SPLIT, correct, strict=True)),
        dict(zip(SPLIT, wrong, strict=True)),
        tuple(damaged),
    )
