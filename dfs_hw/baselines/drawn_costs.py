"""What contenders would spend if the machine's uncertain constants were others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from accel_models.costs.cost_table import CostTable
from accel_models.costs.drawn_prices import DrawnPrices, drawn_prices
from accel_models.errors import InputError
from accel_models.precision import Precision
from accel_models.replay import replay
from accel_models.trace import GateTrace
from dfs_hw.baselines.contenders import LineUp
from dfs_hw.baselines.exit_costs import exits_told, replayed_exits
from dfs_hw.baselines.judgement.robustness import DrawnCosts, RunKey
from dfs_hw.baselines.records import AS_TRAINED, WITHIN, Record, Run
from dfs_hw.experiment import static_cost

SAME = 1e-9
"""Share by which two energies may differ that were worked out in another order."""

Traces = Callable[[str, int], Path]
"""File that the trace of a contender and a seed would be, as training left it."""


def drawn_costs(
    runs: Iterable[Run], field: LineUp, tables: Mapping[str, CostTable], trace_of: Traces
) -> DrawnCosts | None:
    """Energies of static networks and cascades, of networks of one width that inputs leave, and of
    others that decide as training left them.

    Schedules, decisions and thresholds stay as they are; prices alone are drawn. Of inputs that
    may run at several widths nothing is known at other budgets, as no trace of those is kept; nor
    of runs that were measured by other costs than those of the tables.

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
    everybody = [run for run in runs if run.record.variant in (AS_TRAINED, WITHIN)]
    static = {(run.record.contender, run.record.seed): run for run in everybody if run.answers}
    found: dict[RunKey, dict[int, np.ndarray]] = {}
    for run in everybody:
        record = run.record
        pair = [static[name, record.seed].record for name in record.made_of]
        energies = priced.of_cascade(record, *pair) if pair else priced.of(run)
        if energies is not None:
            key = record.contender, record.variant, record.target
            found.setdefault(key, {})[record.seed] = energies
    seeds = {run.record.seed for run in everybody}
    whole = {key: by_seed for key, by_seed in found.items() if by_seed.keys() == seeds}
    reproduced = {
        (name, seed)
        for (name, variant, _), by_seed in found.items()
        for seed in by_seed
        if variant == AS_TRAINED
    }
    return DrawnCosts(
        drawn.constants, drawn.not_drawn, len(drawn.pricings), whole, frozenset(reproduced)
    )


class PricedRuns:
    """Runs at every draw of a machine's prices, in J [draws]; None where they are not what the
    tables say at nominal prices.

    Args:
        tables: of the machine, by contender.
        trace_of: as `drawn_costs` has it.
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
        """A network at choices that all inputs have, or one whose decisions are known."""
        record = run.record
        if record.fixed:
            return self._checked(record, self._fixed(record.contender, record.fixed))
        if record.contender in self.leaving:
            return self._checked(record, self._of_leaving(run.cost, record.contender))
        path = self.trace_of(record.contender, record.seed)
        if record.variant != AS_TRAINED or not path.is_file():
            return None
        return self._checked(record, self._of_trace(record.contender, path))

    def of_cascade(self, record: Record, first: Record, then: Record) -> np.ndarray | None:
        """The first network for all inputs, the second for as many as were passed on."""
        passed = (record.energy_j - first.energy_j) / then.energy_j
        one, two = (self._fixed(network.contender, network.fixed) for network in (first, then))
        return self._checked(record, one + passed * two)

    def _checked(self, record: Record, energies: np.ndarray) -> np.ndarray | None:
        """Energies at the draws, if those at nominal prices [0] are what was measured."""
        return energies[1:] if abs(energies[0] / record.energy_j - 1) < SAME else None

    def _of_choices(self, contender: str, fixed: str) -> np.ndarray:
        table = self.tables[contender]
        cost = static_cost(table, fixed_choices(contender, table, fixed))
        return self.drawn.energy_j(cost.counts, cost.cycles)

    def _of_leaving(self, cost: np.ndarray, contender: str) -> np.ndarray:
        """Inputs of which each leaves at the exit that its cost tells."""
        at_exits = self._ends(contender)
        return np.asarray(at_exits[exits_told(cost, at_exits[:, 0])].mean(axis=0))

    def _at_exits(self, contender: str) -> np.ndarray:
        """What an input costs that leaves at each exit, or at none, at nominal prices and at every
        draw: float64 [exits + 1, 1 + draws] in J."""
        outcome = replayed_exits(self.tables[contender], self.leaving[contender])
        work = zip(outcome.counts, outcome.cycles.tolist(), strict=True)
        return np.stack([self.drawn.energy_j(counts, cycles) for counts, cycles in work])

    def _of_trace(self, contender: str, path: Path) -> np.ndarray:
        outcome = replay(GateTrace.read(path), self.tables[contender])
        counts = outcome.totals.counts(outcome.plan) / len(outcome.trace)
        return self.drawn.energy_j(counts, float(outcome.cycles.mean()))


def fixed_choices(contender: str, table: CostTable, fixed: str) -> dict[str, Precision]:
    """The choice of every unit of a network that has the same for all inputs.

    Args:
        contender: what the network is called.
        fixed: choices in the order of units, as records have them.

    Raises:
        InputError: if they are not of as many units.
    """
    choices = fixed.split()
    if len(choices) != len(table.units):
        raise InputError(
            f"{contender} has {len(table.units)} units, and '{fixed}' is of {len(choices)}"
        )
    return dict(zip(table.units, map(Precision.parse, choices), strict=True))


__all__ = ["PricedRuns", "drawn_costs", "fixed_choices"]
