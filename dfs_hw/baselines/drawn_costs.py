"""What contenders would spend if the machine's uncertain constants were others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from accel_models.costs.cost_table import CostTable
from accel_models.costs.drawn_prices import DrawnPrices, drawn_prices
from accel_models.precision import Precision
from accel_models.replay import Replay, replay
from accel_models.trace import GateTrace
from dfs_hw.baselines.contenders import LineUp
from dfs_hw.baselines.judgement.robustness import DrawnCosts, Way
from dfs_hw.baselines.records import AS_TRAINED, WITHIN, Record, Run
from dfs_hw.experiment import static_cost

Traces = Callable[[str, int], Path]
"""File that the trace of a contender and a seed would be, as training left it."""


def drawn_costs(
    runs: Iterable[Run], field: LineUp, tables: Mapping[str, CostTable], trace_of: Traces
) -> DrawnCosts | None:
    """Energies of static networks and cascades, of networks of one width that inputs leave, and of
    others that decide as training left them.

    Schedules, decisions and thresholds stay as they are; prices alone are drawn. Of inputs that
    may run at several widths nothing is known at other budgets, as no trace of those is kept.

    Args:
        tables: of the machine, by contender.
        trace_of: where the decisions of a contender and seed lie; a file that is missing is none.

    Returns:
        None where what is compared is no mean energy, or no price of the machine is uncertain.

    Raises:
        InputError: if a trace is damaged, or of another network.
    """
    if field.statistic != "mean" or any(one.config.metric != "energy" for one in field.contenders):
        return None
    drawn = drawn_prices(next(iter(tables.values())).accelerator)
    if drawn is None:
        return None
    leaving = {one.name: one.choice for one in field.contenders if one.adaptive and one.choice}
    priced = PricedRuns(drawn, tables, trace_of, leaving)
    everybody = list(runs)
    by_way: dict[Way, dict[int, np.ndarray]] = {}

    def enter(record: Record, energies: np.ndarray | None) -> None:
        if energies is not None:
            key = record.contender, record.variant, record.target
            by_way.setdefault(key, {})[record.seed] = energies

    static = {(run.record.contender, run.record.seed): run for run in everybody if run.answers}
    for run in everybody:
        record = run.record
        if record.made_of:
            first, then = (static[name, record.seed].record for name in record.made_of)
            enter(record, priced.of_cascade(record, first, then))
        elif record.variant in (AS_TRAINED, WITHIN):
            enter(record, priced.of(run))
    return DrawnCosts(drawn.constants, len(drawn.pricings), by_way)


class PricedRuns:
    """Runs at every draw of a machine's prices, in J [draws].

    Args:
        leaving: networks of one width that inputs leave, with the choice that they run at.
    """

    def __init__(
        self,
        drawn: DrawnPrices,
        tables: Mapping[str, CostTable],
        trace_of: Traces,
        leaving: Mapping[str, str],
    ) -> None:
        self.drawn, self.tables, self.trace_of = drawn, tables, trace_of
        self.leaving = leaving
        self._fixed = cache(self._of_choices)
        self._ends = cache(self._at_exits)

    def of(self, run: Run) -> np.ndarray | None:
        """A network at choices that all inputs have, or one whose decisions are known; else
        None."""
        record = run.record
        if record.fixed:
            return self._fixed(record.contender, record.fixed)
        path = self.trace_of(record.contender, record.seed)
        if not path.is_file():
            return None
        if record.contender in self.leaving:
            return self._of_leaving(run.cost, *self._ends(record.contender, path))
        if record.variant != AS_TRAINED:
            return None
        return self._summed(replay(GateTrace.read(path), self.tables[record.contender]))

    def of_cascade(self, record: Record, first: Record, then: Record) -> np.ndarray:
        """The first network for all inputs, the second for as many as were passed on."""
        passed = (record.energy_j - first.energy_j) / then.energy_j
        two = self._fixed(then.contender, then.fixed)
        return self._fixed(first.contender, first.fixed) + passed * two

    def _of_choices(self, contender: str, fixed: str) -> np.ndarray:
        table = self.tables[contender]
        chosen = dict(zip(table.units, map(Precision.parse, fixed.split()), strict=True))
        cost = static_cost(table, chosen)
        return self.drawn.energy_j(cost.counts, cost.cycles)

    def _of_leaving(
        self, cost: np.ndarray, at_exits: np.ndarray, drawn: np.ndarray
    ) -> np.ndarray | None:
        """Inputs of which each leaves at the exit that its cost tells; None where one costs what no
        exit does, as it was measured by other costs."""
        apart = np.abs(cost[:, None] / at_exits - 1)
        taken = apart.argmin(axis=1)
        if apart[np.arange(len(cost)), taken].max() > 1e-9:
            return None
        shares = np.bincount(taken, minlength=len(at_exits)) / len(cost)
        return np.asarray(shares @ drawn)

    def _at_exits(self, contender: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """What an input costs that leaves at each exit, or at none: float64 [exits + 1] in J, and
        at every draw [exits + 1, draws].

        Args:
            path: a trace of the network.
        """
        table, trace = self.tables[contender], GateTrace.read(path)
        whole = table.choices.index(Precision.parse(self.leaving[contender]))
        places = np.arange(len(table.units))
        ends = [*map(table.units.index, table.workload.exits), len(table.units)]
        left = [np.where(places < end, whole, table.leaving) for end in ends]
        one_each = GateTrace(
            trace.header,
            np.arange(len(ends)),
            np.zeros(len(ends), dtype=np.int32),
            np.zeros(len(ends), dtype=np.int32),
            np.array(left, dtype=np.uint8),
        )
        outcome = replay(one_each, table)
        work = zip(outcome.counts, outcome.cycles.tolist(), strict=True)
        drawn = [self.drawn.energy_j(counts, cycles) for counts, cycles in work]
        return outcome.energy_j, np.stack(drawn)

    def _summed(self, outcome: Replay) -> np.ndarray:
        counts = outcome.totals.counts(outcome.plan) / len(outcome.trace)
        return self.drawn.energy_j(counts, float(outcome.cycles.mean()))


__all__ = ["PricedRuns", "drawn_costs"]
