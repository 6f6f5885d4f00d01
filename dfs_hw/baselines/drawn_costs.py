"""What contenders would spend if the machine's uncertain constants were others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from accel_models.costs.cost_table import CostTable
from accel_models.costs.drawn_prices import DrawnPrices, drawn_prices
from accel_models.precision import Precision
from accel_models.replay import replay
from accel_models.trace import GateTrace
from dfs_hw.baselines.contenders import LineUp
from dfs_hw.baselines.judgement.robustness import DrawnCosts, Way
from dfs_hw.baselines.records import AS_TRAINED, Record, Run
from dfs_hw.experiment import static_cost

Traces = Callable[[str, int], Path]
"""File that the trace of a contender and a seed would be, as training left it."""


def drawn_costs(
    runs: Iterable[Run], field: LineUp, tables: Mapping[str, CostTable], trace_of: Traces
) -> DrawnCosts | None:
    """Energies of static networks and cascades, and of those that decide as training left them.

    Schedules, decisions and thresholds stay as they are; prices alone are drawn. Nothing is known
    of networks with thresholds or a knob at other budgets, of which no trace is kept.

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
    priced = PricedRecords(drawn, tables, trace_of)
    everybody = [run.record for run in runs]
    by_way: dict[Way, dict[int, np.ndarray]] = {}
    for record in everybody:
        own = priced.of(record)
        if own is not None:
            key = record.contender, record.variant, record.target
            by_way.setdefault(key, {})[record.seed] = own
    static = {(one.contender, one.seed): one for one in everybody if one.variant == AS_TRAINED}
    for record in everybody:
        if record.made_of:
            pair = (static[name, record.seed] for name in record.made_of)
            key = record.contender, record.variant, record.target
            by_way.setdefault(key, {})[record.seed] = priced.of_cascade(record, *pair)
    return DrawnCosts(drawn.constants, len(drawn.pricings), by_way)


class PricedRecords:
    """Records at every draw of a machine's prices, in J [draws]."""

    def __init__(
        self, drawn: DrawnPrices, tables: Mapping[str, CostTable], trace_of: Traces
    ) -> None:
        self.drawn, self.tables, self.trace_of = drawn, tables, trace_of
        self._fixed = cache(self._of_choices)

    def of(self, record: Record) -> np.ndarray | None:
        """A network at choices that all inputs have, or one whose trace is there; else None."""
        if record.variant != AS_TRAINED or record.contender not in self.tables:
            return None
        if record.fixed:
            return self._fixed(record.contender, record.fixed)
        path = self.trace_of(record.contender, record.seed)
        return self._of_trace(record.contender, path) if path.is_file() else None

    def of_cascade(self, record: Record, first: Record, then: Record) -> np.ndarray:
        """The first network for all inputs, the second for as many as were passed on."""
        passed = (record.energy_j - first.energy_j) / then.energy_j
        one, two = (
            self._fixed(first.contender, first.fixed),
            self._fixed(then.contender, then.fixed),
        )
        return one + passed * two

    def _of_choices(self, contender: str, fixed: str) -> np.ndarray:
        table = self.tables[contender]
        chosen = dict(zip(table.units, map(Precision.parse, fixed.split()), strict=True))
        cost = static_cost(table, chosen)
        return self.drawn.energy_j(cost.counts, cost.cycles)

    def _of_trace(self, contender: str, path: Path) -> np.ndarray:
        outcome = replay(GateTrace.read(path), self.tables[contender])
        counts = outcome.totals.counts(outcome.plan) / len(outcome.trace)
        return self.drawn.energy_j(counts, float(outcome.cycles.mean()))


__all__ = ["PricedRecords", "drawn_costs"]
