"""Finished networks of a study, to be priced on machines that they were not trained for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache, cached_property
from statistics import fmean

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.cost_table import CostTable, cost_table
from accel_models.errors import InputError
from accel_models.metrics import METRICS, additive
from accel_models.precision import Precision, highest
from dfs_hw.baselines.cascades import cascade_runs
from dfs_hw.baselines.contenders import Contender, LineUp, amount_allowed
from dfs_hw.baselines.drawn_costs import SAME, fixed_choices
from dfs_hw.baselines.exit_costs import exits_told, replayed_exits
from dfs_hw.baselines.judgement.resampling import Resampling
from dfs_hw.baselines.records import AS_TRAINED, SHUFFLED, WITHIN, Run
from dfs_hw.baselines.study import Study
from dfs_hw.budgets.budget import Budget, statistic_of
from dfs_hw.budgets.hardware_cost import cost_of
from dfs_hw.experiment import static_cost
from dfs_hw.studies.priced import PricedStudy
from dfs_hw.studies.together import Done, Together, comparisons, in_seeds


class FinishedNetworks:
    """Networks of a study that were measured on one machine, to be priced on others.

    Static networks do the same everywhere; a cascade of two is put together anew for what a
    machine charges. Networks of one width with exits keep the decisions that they were settled to
    on the first machine, and are held against what is static at what these cost elsewhere.

    Args:
        place: the study on the machine that everything is trained for.
        done: what was measured there.
        seeds: to compare in; by default those of the first comparison with two static networks, of
            all that can be made.

    Raises:
        InputError: if fewer than two static networks are finished of the same seeds, nobody among
            those that are decides, or no contender is of the study's own network.
    """

    def __init__(self, place: PricedStudy, done: Done, seeds: tuple[int, ...] = ()) -> None:
        self.place, self.done = place, done
        self._at_exits = cache(self._cost_at_exits)
        self.together = self._told_by_two(seeds)
        self.left_out = self._reasons()
        taking_part = [
            one
            for one in place.field.contenders
            if not one.trained
            or (one.name in self.together.names and one.name not in self.left_out)
        ]
        self.static = [one for one in taking_part if not one.adaptive]
        self.leaving = [one for one in taking_part if one.adaptive and one.trained]
        if len(self.static) == len(taking_part):
            raise InputError("nobody who decides per input is finished, or can be told elsewhere")
        self.field = replace(place.field, contenders=tuple(taking_part))
        self.study: Study = replace(place.study, seeds=self.together.seeds)
        self.whole = _own_table(place)

    @property
    def has_cascade(self) -> bool:
        """Whether static networks are put in a row."""
        return any(not one.trained for one in self.field.contenders)

    def told_exits(self, contender: Contender, run: Run) -> np.ndarray | None:
        """Which exit each input left at [N], of a network of one width; None if its costs are of
        another version of the machine or of the cost models."""
        at_exits = self._at_exits(contender)
        taken = exits_told(run.cost, at_exits)
        same = np.allclose(at_exits[taken], run.cost, rtol=SAME, atol=0)
        return taken if same else None

    def _cost_at_exits(self, contender: Contender) -> np.ndarray:
        """What leaving at each exit costs on the first machine, and nowhere [exits + 1]."""
        outcome = replayed_exits(self.place.tables[contender.name], contender.choice)
        return np.asarray(METRICS[self.place.study.config.metric].of(outcome))

    def resampling(self) -> Resampling:
        """The test inputs of all seeds, drawn anew: the same on all machines."""
        first = self.static[0].name
        return Resampling({seed: self.done[first, seed][0].source for seed in self.together.seeds})

    def elsewhere(self, machine: Accelerator) -> Elsewhere:
        """Networks on another machine, with the same answers.

        Raises:
            InfeasibleError: if it cannot run one of them.
            InputError: if it charges nothing.
        """
        return Elsewhere(self, machine)

    def _told_by_two(self, seeds: tuple[int, ...]) -> Together:
        static = {one.name for one in self.place.field.contenders if not one.adaptive}
        found = (in_seeds(self.done, seeds),) if seeds else comparisons(self.done)
        for one in found:
            if len(static & one.names) > 1:
                return one
        most = max(len(static & one.names) for one in found)
        raise InputError(
            "what deciding is worth on a machine is told against static networks: two or more have "
            f"to be finished of the same seeds, and there {'is' if most == 1 else 'are'} {most}"
        )

    def _reasons(self) -> dict[str, str]:
        """Why some do not take part, by name."""
        networks = [one for one in self.place.field.contenders if one.trained]
        found = {one.name: self._reason(one) for one in networks}
        return {name: why for name, why in found.items() if why}

    def _reason(self, one: Contender) -> str:
        """Why a network does not take part; "" if it does."""
        seeds = self.together.seeds
        if one.name not in self.together.names:
            return f"not finished of all seeds ({', '.join(map(str, seeds))})"
        if not one.adaptive:
            return ""
        if not one.choice:
            return f"decides for {self.place.machine}"
        runs = [run for seed in seeds for run in judged_and_dealt(self.done[one.name, seed])]
        known = all(self.told_exits(one, run) is not None for run in runs)
        return "" if known else "measured by costs that are others now"


class Elsewhere:
    """Finished networks on another machine."""

    def __init__(self, networks: FinishedNetworks, machine: Accelerator) -> None:
        self.networks, self.machine = networks, machine
        config = networks.place.study.config
        self.metric = config.metric
        self._tables: dict[str, CostTable] = {}
        whole = self._table(networks.whole)
        if self._spent_by(whole, highest(whole.choices)) == 0:
            raise InputError(f"{machine.name} charges no {self.metric}, of which nothing is spared")
        cost = cost_of(whole, self.metric)
        self.budget = amount_allowed(Budget.read(config.budget, cost), cost)

    @cached_property
    def field(self) -> LineUp:
        """Who takes part, for the budget that there is on this machine."""
        return replace(self.networks.field, budget=self.budget)

    @property
    def floor(self) -> float:
        """What the whole network costs at the narrowest width, over what at the widest."""
        whole = self._table(self.networks.whole)
        running = [choice for choice in whole.choices if choice.runs]
        ends = (
            min(running, key=lambda one: one.weight_bits * one.activation_bits),
            highest(running),
        )
        narrow, wide = (self._spent_by(whole, one) for one in ends)
        return narrow / wide

    def _spent_by(self, table: CostTable, choice: Precision) -> float:
        """What a network costs with one choice everywhere, in the metric's SI unit."""
        return float(METRICS[self.metric].of(static_cost(table, choice)))

    def runs(self) -> list[Run]:
        """All runs as this machine charges them, cascades among them."""
        done, seeds = self.networks.done, self.networks.together.seeds
        static = [
            self._static(done[one.name, seed], one)
            for one in self.networks.static
            for seed in seeds
        ]
        left = [
            run
            for one in self.networks.leaving
            for run in self._left([run for seed in seeds for run in done[one.name, seed]], one)
        ]
        return [*static, *left, *cascade_runs(static, self.networks.study, self.field)]

    def _table(self, table: CostTable) -> CostTable:
        """What a network costs here, given what it costs on the machine it was trained for."""
        key = table.digest
        if key not in self._tables:
            self._tables[key] = cost_table(
                table.workload, self.machine, table.choices, always=table.always
            )
        return self._tables[key]

    def _static(self, runs: list[Run], contender: Contender) -> Run:
        """A static network of the same answers at another cost."""
        (run,) = runs
        table = self._table(self.networks.place.tables[contender.name])
        cost = static_cost(table, fixed_choices(contender.name, table, run.record.fixed))
        amounts = {metric.name: float(metric.of(cost)) for metric in additive()}
        spent = float(METRICS[self.metric].of(cost))
        return self._priced(run, amounts, np.full(len(run.cost), spent))

    def _left(self, runs: list[Run], contender: Contender) -> Iterator[Run]:
        """A network that inputs leave, of all seeds, each input where it left on the machine of
        training. What was a budget there is here what these decisions cost, over the seeds."""
        table = self._table(self.networks.place.tables[contender.name])
        outcome = replayed_exits(table, contender.choice)
        here = {metric.name: np.asarray(metric.of(outcome)) for metric in additive()}
        priced: dict[float, list[Run]] = {}
        for run in judged_and_dealt(runs):
            taken = self.networks.told_exits(contender, run)
            assert taken is not None  # or it would have been left out
            means = {name: float(each[taken].mean()) for name, each in here.items()}
            one = self._priced(run, means, here[self.metric][taken])
            priced.setdefault(run.record.target, []).append(one)
        for alike in priced.values():
            spent = fmean(run.record.share for run in alike if run.record.variant != SHUFFLED)
            for run in alike:
                yield replace(run, record=replace(run.record, target=spent))

    def _priced(self, run: Run, means: dict[str, float], costs: np.ndarray) -> Run:
        """A run at what its inputs cost here."""
        record = replace(
            run.record,
            bitops=means["bitops"],
            energy_j=means["energy"],
            latency_s=means["latency"],
            share=statistic_of(costs, self.field.statistic) / self.budget,
        )
        return replace(run, record=record, cost=costs)


def judged_and_dealt(runs: Iterable[Run]) -> list[Run]:
    """Runs that are judged, and their decisions dealt, without what is frozen."""
    return [run for run in runs if run.record.variant in (AS_TRAINED, WITHIN, SHUFFLED)]


def _own_table(place: PricedStudy) -> CostTable:
    """What choices of the study's own network cost, by which its budgets are told, without exits;
    be that network finished or not."""
    own = place.study.config.without_exits()
    for one in place.field.contenders:
        same = (one.config.network, one.config.widths) == (own.network, own.widths)
        if one.trained and same and one.config.choices == own.choices:
            return place.tables[one.name]
    raise InputError(
        f"no contender of the study is of {own.network} itself, by which its budget is told: "
        "static ones, say"
    )


__all__ = ["Elsewhere", "FinishedNetworks"]
