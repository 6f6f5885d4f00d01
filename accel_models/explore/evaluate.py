"""What configurations cost, a chunk of them at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from accel_models.accelerator import Accelerator
from accel_models.errors import DfsHwError
from accel_models.explore.space import COLUMNS, METRICS, Configuration, Space
from accel_models.explore.tables import Kinds, TableMaker
from accel_models.explore.tally import Tally, tally
from accel_models.explore.workloads import Demand, Run
from accel_models.pricing import Pricing

AREA, ERROR = COLUMNS.index("area_mm2"), COLUMNS.index("error")
ENERGY, LATENCY, P95, EDP, POWER = (
    COLUMNS.index(METRICS[name].column) for name in ("energy", "latency", "p95", "edp", "power")
)


Metrics = dict[str, float | None]
"""By column of `space.METRICS`; None where nobody knows."""


class Outcome(NamedTuple):
    """What became of a configuration.

    Args:
        metrics: all None if infeasible.
        infeasible: why the machine cannot run the workloads, or "".
    """

    metrics: Metrics
    infeasible: str = ""

    @property
    def is_feasible(self) -> bool:
        """Whether it runs at all, whatever it costs."""
        return not self.infeasible


NOTHING: Metrics = dict.fromkeys(COLUMNS)


class _Machine(NamedTuple):
    """One configuration, ready to run."""

    number: int
    machine: Accelerator
    pricing: Pricing
    runs: tuple[Run, ...]


@dataclass
class Evaluator:
    """Evaluates configurations of a space; can be sent to other processes.

    What an outcome is does not depend on which configurations come with it.
    """

    space: Space
    demands: tuple[Demand, ...]
    _makers: dict[int, TableMaker] = field(default_factory=dict, repr=False)
    _tallies: dict[Any, Tally] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {"space": self.space, "demands": self.demands, "_makers": {}, "_tallies": {}}

    def __call__(self, configurations: Sequence[Configuration]) -> list[Outcome]:
        """What each of some configurations costs, in their order."""
        outcomes: list[Outcome | None] = [None] * len(configurations)
        ready: list[_Machine] = []
        for number, configuration in enumerate(configurations):
            try:
                machine = self.space.machine(configuration)
                runs = tuple(demand.chosen(configuration) for demand in self.demands)
                ready.append(_Machine(number, machine, Pricing(machine), runs))
            except DfsHwError as error:
                outcomes[number] = Outcome(NOTHING, str(error))
        by_run = {(one.number, place): cost for one, place, cost in self._costs(ready)}
        for one in ready:
            costs = [by_run[one.number, place] for place in range(len(self.demands))]
            outcomes[one.number] = self._together(one.pricing, one.runs, costs)
        return [outcome for outcome in outcomes if outcome is not None]

    def run(self, numbers: tuple[int, int]) -> list[Outcome]:
        """Outcomes of the space's configurations from one number up to another."""
        return self(list(self.space.configurations(*numbers)))

    def _costs(self, ready: list[_Machine]) -> Iterator[tuple[_Machine, int, np.ndarray | str]]:
        """(machine, place of its run, four costs or why there are none) of every run."""
        for place in range(len(self.demands)):
            alike: dict[
                tuple[int, bool, bool], list[tuple[_Machine, tuple[Kinds, np.ndarray]]]
            ] = {}
            for one in ready:
                run, fidelity = one.runs[place], one.machine.fidelity
                try:
                    made = self._maker(run).figures(one.machine, one.pricing)
                except DfsHwError as error:
                    yield one, place, str(error)
                    continue
                key = (id(run), fidelity.gates == "vector-unit", fidelity.prefetch)
                alike.setdefault(key, []).append((one, made))
            for (_, on_vector_unit, prefetch), group in alike.items():
                machines = [one.machine for one, _ in group]
                run = group[0][0].runs[place]
                tables = self._maker(run).tables(machines, [made for _, made in group])
                prices = [one.pricing for one, _ in group]
                costs = self._tally(run, on_vector_unit, prefetch).costs(machines, prices, tables)
                for (one, _), cost in zip(group, costs, strict=True):
                    yield one, place, cost

    def repriced(self, configuration: Configuration) -> Callable[[Pricing], Metrics]:
        """The metrics of a configuration as a function of its prices: mappings stay as they are.

        Raises:
            DfsHwError: if the machine cannot run the workloads.
        """
        machine = self.space.machine(configuration)
        pricing = Pricing(machine)
        runs = tuple(demand.chosen(configuration) for demand in self.demands)
        fidelity, parts = machine.fidelity, []
        for run in runs:
            maker = self._maker(run)
            tables = maker.tables([machine], [maker.figures(machine, pricing)])
            columns = self._tally(run, fidelity.gates == "vector-unit", fidelity.prefetch)
            parts.append((columns, tables))

        def metrics(drawn: Pricing) -> Metrics:
            costs: list[np.ndarray | str] = [
                columns.costs([machine], [drawn], tables)[0] for columns, tables in parts
            ]
            return self._together(drawn, runs, costs).metrics

        return metrics

    def _together(
        self, pricing: Pricing, runs: Sequence[Run], costs: list[np.ndarray | str]
    ) -> Outcome:
        for cost in costs:
            if isinstance(cost, str):
                return Outcome(NOTHING, cost)
        weights = np.array([demand.weight for demand in self.demands])
        weights = weights / weights.sum()
        energy, latency, p95, edp = np.array(costs).T
        errors = [run.error for run in runs]
        known = [error for error in errors if error is not None]
        values = [math.nan] * len(COLUMNS)
        values[ENERGY], values[LATENCY] = float(weights @ energy), float(weights @ latency)
        values[P95], values[EDP] = float(p95.max()), float(weights @ edp)
        values[AREA] = _area(pricing)
        values[POWER] = float((energy / latency).max())
        if len(known) == len(errors):
            values[ERROR] = float(weights @ np.array(known))
        plain = [None if math.isnan(value) else value for value in values]
        return Outcome(dict(zip(COLUMNS, plain, strict=True)))

    def _maker(self, run: Run) -> TableMaker:
        return self._makers.setdefault(id(run), TableMaker(run))

    def _tally(self, run: Run, gates_on_vector_unit: bool, prefetch: bool) -> Tally:
        key = (id(run), gates_on_vector_unit, prefetch)
        if key not in self._tallies:
            self._tallies[key] = tally(run, gates_on_vector_unit, prefetch)
        return self._tallies[key]


def _area(pricing: Pricing) -> float:
    """Of array and buffers in mm²; NaN where the array's is not known."""
    parts = pricing.area_mm2
    return sum(parts.values()) if parts["array"] > 0 else math.nan


__all__ = ["Evaluator", "Outcome"]
