"""What configurations cost, a chunk of them at a time."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.cost_table import CostTable, cost_table
from accel_models.costs.pricing import Pricing
from accel_models.errors import DfsHwError
from accel_models.exploration.batched_tables import KindCosts, TableMaker
from accel_models.exploration.space import Configuration, Space
from accel_models.exploration.tally import Tally, tally, tally_key
from accel_models.exploration.workloads import Demand, NetworkRun
from accel_models.metrics import (
    Metric,
    OfInputs,
    OfMachine,
    Quotient,
    columns,
    explored,
    replayed,
)
from accel_models.replay import Policy, replay
from accel_models.trace import GateTrace

Metrics = dict[str, float | None]
"""Figures by column of `metrics.explored`; None where nobody knows."""


class TrialOutcome(NamedTuple):
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


def cannot_run(why: str) -> TrialOutcome:
    """The outcome of what a machine cannot run."""
    return TrialOutcome(dict.fromkeys(columns()), why)


@contextmanager
def _garbage_left() -> Iterator[None]:
    """Cycles of objects are not looked for meanwhile.

    Machines and mappings of a chunk live to its end and hold no cycles, but there are so many that
    Python walks through all of them, and all that is imported, several times a chunk: a fifth of
    the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class _Machine(NamedTuple):
    """One configuration, ready to run."""

    number: int
    machine: Accelerator
    pricing: Pricing
    runs: tuple[NetworkRun, ...]
    policy: Policy


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

    def __call__(self, configurations: Sequence[Configuration]) -> list[TrialOutcome]:
        """What each of some configurations costs, in their order."""
        with _garbage_left():
            return self._evaluated(configurations)

    def _evaluated(self, configurations: Sequence[Configuration]) -> list[TrialOutcome]:
        outcomes: list[TrialOutcome | None] = [None] * len(configurations)
        ready: list[_Machine] = []
        for number, configuration in enumerate(configurations):
            try:
                machine = self.space.machine(configuration)
                runs = tuple(demand.chosen(configuration) for demand in self.demands)
                policy = Policy(**self.space.policy(configuration))
                ready.append(_Machine(number, machine, Pricing(machine), runs, policy))
            except DfsHwError as error:
                outcomes[number] = cannot_run(str(error))
        by_run = {(one.number, place): cost for one, place, cost in self._costs(ready)}
        for one in ready:
            costs = [by_run[one.number, place] for place in range(len(self.demands))]
            outcomes[one.number] = self._together(one.pricing, one.runs, costs)
        return [outcome for outcome in outcomes if outcome is not None]

    def run(self, numbers: tuple[int, int]) -> list[TrialOutcome]:
        """Outcomes of the space's configurations from one number up to another."""
        return self(list(self.space.configurations(*numbers)))

    def _costs(self, ready: list[_Machine]) -> Iterator[tuple[_Machine, int, np.ndarray | str]]:
        """Machine, place of its run, and its costs or why there are none, of every run."""
        for place in range(len(self.demands)):
            separable = [one for one in ready if is_separable(one.policy)]
            for one in ready:
                if not is_separable(one.policy):
                    yield one, place, self._replayed(one, place)
            yield from self._tallied(separable, place)

    def _replayed(self, one: _Machine, place: int) -> np.ndarray | str:
        """Costs of a run input by input, or why there are none."""
        run = one.runs[place]
        try:
            return costs_of(run, table_of(run, one.machine, one.policy), one.policy)
        except DfsHwError as error:
            return str(error)

    def _tallied(
        self, ready: Sequence[_Machine], place: int
    ) -> Iterator[tuple[_Machine, int, np.ndarray | str]]:
        """Costs of runs that are sums over what inputs chose, of all machines together."""
        by_run: dict[int, list[_Machine]] = {}
        for one in ready:
            by_run.setdefault(id(one.runs[place]), []).append(one)
        for several in by_run.values():
            run = several[0].runs[place]
            made = self._maker(run).figures(
                [one.machine for one in several], [one.pricing for one in several]
            )
            alike: dict[Any, list[tuple[_Machine, KindCosts]]] = {}
            for one, figures in zip(several, made, strict=True):
                if isinstance(figures, DfsHwError):
                    yield one, place, str(figures)
                else:
                    key = tally_key(run, one.machine, one.policy.switches)
                    alike.setdefault(key, []).append((one, figures))
            for group in alike.values():
                machines = [one.machine for one, _ in group]
                first = group[0][0]
                tables = self._maker(run).tables(machines, [figures for _, figures in group])
                counted = self._tally(run, first.machine, first.policy.switches)
                costs = counted.costs(machines, [one.pricing for one, _ in group], tables)
                for (one, _), cost in zip(group, costs, strict=True):
                    yield one, place, cost

    def repriced(self, configuration: Configuration) -> Callable[[Pricing], Metrics]:
        """The metrics of a configuration as a function of its prices: mappings stay as they are.

        Raises:
            DfsHwError: if the machine cannot run the workloads.
        """
        machine = self.space.machine(configuration)
        policy = Policy(**self.space.policy(configuration))
        runs = tuple(demand.chosen(configuration) for demand in self.demands)
        parts = [self._repriced(run, machine, policy) for run in runs]

        def metrics(drawn: Pricing) -> Metrics:
            return self._together(drawn, runs, [part(drawn) for part in parts]).metrics

        return metrics

    def _repriced(
        self, run: NetworkRun, machine: Accelerator, policy: Policy
    ) -> Callable[[Pricing], np.ndarray]:
        if not is_separable(policy):
            table = table_of(run, machine, policy)
            return lambda drawn: costs_of(run, replace(table, accelerator=drawn.machine), policy)
        maker = self._maker(run)
        (made,) = maker.figures([machine], [Pricing(machine)])
        if isinstance(made, DfsHwError):
            raise made
        tables = maker.tables([machine], [made])
        counted = self._tally(run, machine, policy.switches)
        return lambda drawn: counted.costs([machine], [drawn], tables)[0]

    def _together(
        self, pricing: Pricing, runs: Sequence[NetworkRun], costs: Sequence[np.ndarray | str]
    ) -> TrialOutcome:
        for cost in costs:
            if isinstance(cost, str):
                return cannot_run(cost)
        weights = np.array([demand.weight for demand in self.demands])
        weights = weights / weights.sum()
        ran = [metric.name for metric in replayed()]
        by_run = dict(zip(ran, np.array(costs).T, strict=True))
        metrics = {
            metric.column: _known(_of_all(metric, by_run, weights, runs, pricing))
            for metric in explored()
        }
        return TrialOutcome(metrics)

    def _maker(self, run: NetworkRun) -> TableMaker:
        return self._makers.setdefault(id(run), TableMaker(run))

    def _tally(self, run: NetworkRun, machine: Accelerator, switches: bool) -> Tally:
        key = tally_key(run, machine, switches)
        if key not in self._tallies:
            self._tallies[key] = tally(run, machine, switches)
        return self._tallies[key]


def is_separable(policy: Policy) -> bool:
    """Whether what an input costs under a policy is a sum over what it chose and pairs of that."""
    return policy.prefetch == "none" and policy.batching == "single"


def table_of(run: NetworkRun, machine: Accelerator, policy: Policy) -> CostTable:
    """The table that a policy needs."""
    return cost_table(
        run.workload,
        machine,
        run.choices,
        always=run.always,
        max_group=policy.batch,
        cache=False,
    )


def costs_of(run: NetworkRun, table: CostTable, policy: Policy) -> np.ndarray:
    """The costs of `Tally.costs`, input by input. A network at a fixed precision fills its
    batch: what it does is the same for every input."""
    trace = run.trace if run.recorded else _repeated(run.trace, policy.batch)
    outcome = replay(trace, table, policy)
    return np.array([metric.over(outcome) for metric in replayed()])


def _repeated(trace: GateTrace, times: int) -> GateTrace:
    """The one input of a trace so many times."""
    numbers = np.arange(times)
    return replace(
        trace,
        input_ids=numbers,
        labels=np.zeros_like(numbers),
        predictions=np.zeros_like(numbers),
        choices=np.repeat(trace.choices, times, axis=0),
    )


def _of_all(
    metric: Metric,
    by_run: Mapping[str, np.ndarray],
    weights: np.ndarray,
    runs: Sequence[NetworkRun],
    pricing: Pricing,
) -> float | None:
    """A metric over several workloads.

    Args:
        by_run: metrics that inputs run for, by name, float64 [workload].
        weights: float64 [workload], of sum 1.
    """
    follows = metric.follows
    if isinstance(follows, OfMachine):
        return follows.of(pricing)
    if isinstance(follows, OfInputs):
        known = [amount for run in runs if (amount := follows.of(run)) is not None]
        if len(known) < len(runs):
            return None
        amounts = np.array(known)
    elif isinstance(follows, Quotient):
        amounts = by_run[follows.over] / by_run[follows.under]
    else:
        amounts = by_run[metric.name]
    return float(amounts.max() if metric.workloads == "worst" else weights @ amounts)


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


__all__ = ["Evaluator", "TrialOutcome"]
