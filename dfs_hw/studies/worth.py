"""Which machine makes deciding pay: a study's finished networks on every machine of a space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

import numpy as np
from tqdm import tqdm

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.cost_table import CostTable, cost_table
from accel_models.errors import DfsHwError, InputError
from accel_models.exploration.space import Configuration, Space, is_outside
from accel_models.metrics import METRICS, additive
from accel_models.precision import Precision, highest
from accel_models.replay import Replay
from dfs_hw.baselines.cascades import cascade_runs
from dfs_hw.baselines.contenders import Contender, LineUp
from dfs_hw.baselines.exit_costs import exits_told, replayed_exits
from dfs_hw.baselines.judgement.frontier import AS_ACCURATE
from dfs_hw.baselines.judgement.resampling import Resampling
from dfs_hw.baselines.judgement.verdicts import Evidence, Saving, Verdict
from dfs_hw.baselines.records import AS_TRAINED, SHUFFLED, WITHIN, Run
from dfs_hw.baselines.study import Study
from dfs_hw.budgets.budget import Budget, statistic_of
from dfs_hw.budgets.hardware_cost import cost_of
from dfs_hw.experiment import static_cost
from dfs_hw.studies.priced import PricedStudy
from dfs_hw.studies.together import Done, Together


@dataclass(frozen=True)
class Sparing:
    """What deciding spares at the accuracy of the best static network, within 0.3 points on the
    validation inputs: the cheapest that decides beside the cheapest static network."""

    contender: str
    target: float
    """Budget over the study's."""
    saving: Saving


@dataclass(frozen=True)
class Worth:
    """What deciding per input is worth on a machine."""

    configuration: Configuration
    """The machine, by what the space varies."""
    refused: str = ""
    """Why nothing can be said of it; "" if something can."""
    budget: float = 0.0
    """The study's budget there, in the metric's SI unit."""
    floor: float = 0.0
    """What the study's network costs at the narrowest width, over what it costs at the widest: the
    share of the cost that no width saves."""
    leads: Verdict | None = None
    """The verdict that validation inputs see furthest ahead of the best static network at equal
    cost; None if none costs so little."""
    spares: Sparing | None = None
    """What deciding spares at the accuracy of the best static network; None if nobody who decides
    is as accurate."""


class FinishedNetworks:
    """Networks of a study that were measured on one machine, to be priced on others.

    Static networks do the same everywhere; a cascade of two is put together anew for what a
    machine charges. Networks of one width with exits keep the decisions that they were settled to
    on the first machine, and are held against what is static at what these cost elsewhere.

    Args:
        place: the study on the machine that everything is trained for.
        together: contenders and seeds that are compared.
        done: what was measured there.

    Raises:
        InputError: if fewer than two static networks are among them, or no contender is of the
            study's own network.
    """

    def __init__(self, place: PricedStudy, together: Together, done: Done) -> None:
        self.place, self.together, self.done = place, together, done
        taking_part = [one for one in place.field.contenders if self._takes_part(one)]
        self.static = [one for one in taking_part if not one.adaptive]
        self.leaving = [one for one in taking_part if one.adaptive and one.trained]
        if len(self.static) < 2:
            raise InputError(
                "what deciding is worth on a machine is told against static networks: two or more "
                f"have to be finished of the same seeds, and there are {len(self.static)}"
            )
        self.field = replace(place.field, contenders=tuple(taking_part))
        self.study: Study = replace(place.study, seeds=together.seeds)
        self.whole = _own_table(place)
        self._resampling: Resampling | None = None

    def _takes_part(self, one: Contender) -> bool:
        if not one.trained:
            return True
        return one.name in self.together.names and (not one.adaptive or bool(one.choice))

    @property
    def left_out(self) -> list[str]:
        """Names of finished networks that decide otherwise than by leaving, for the machine that
        they were trained for."""
        taking_part = {one.name for one in self.field.contenders}
        return sorted(self.together.names - taking_part)

    def elsewhere(self, machine: Accelerator) -> Elsewhere:
        """Networks on another machine, with the same answers.

        Raises:
            InfeasibleError: if it cannot run one of them.
        """
        return Elsewhere(self, machine)

    def worth_on(self, configuration: Configuration, machine: Accelerator) -> Worth:
        """What deciding is worth on a machine.

        Raises:
            InfeasibleError: if it cannot run one of the networks.
        """
        there = self.elsewhere(machine)
        runs, line = there.runs(), there.field
        evidence = Evidence(runs, line, resampling=self._resampling)
        self._resampling = evidence.resampling
        seen = [
            _Seen.of(runs, one.name, variant, target)
            for one in line.contenders
            if one.adaptive
            for variant, target in evidence.points(one)
        ]
        return Worth(
            configuration,
            budget=there.budget,
            floor=there.floor,
            leads=_leading(evidence, seen),
            spares=_sparing(evidence, seen),
        )


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


@dataclass(frozen=True)
class _Seen:
    """What validation inputs say of a contender at one point; they choose what is shown."""

    contender: str
    variant: str
    target: float
    share: float
    """Mean cost over the study's budget."""
    accuracy: float
    """Mean accuracy on the validation inputs, 0 to 1."""

    @classmethod
    def of(cls, runs: list[Run], contender: str, variant: str, target: float) -> _Seen:
        """Mean over the seeds."""
        own = [
            one.record
            for one in runs
            if (one.record.contender, one.record.variant, one.record.target)
            == (contender, variant, target)
        ]
        share = fmean(record.share for record in own)
        accuracy = fmean(record.validation_accuracy or 0.0 for record in own)
        return cls(contender, variant, target, share, accuracy)


def _leading(evidence: Evidence, seen: list[_Seen]) -> Verdict | None:
    """The verdict on who is seen furthest ahead of the best static network at equal cost."""
    ahead: list[tuple[float, _Seen]] = []
    for one in seen:
        rival = evidence.frontier.best_within(max(one.target, one.share))
        if rival is not None:
            ahead.append((one.accuracy - rival.validation_accuracy, one))
    if not ahead:
        return None
    _, first = max(ahead, key=lambda each: each[0])
    contender = next(c for c in evidence.field.contenders if c.name == first.contender)
    return evidence.verdict(contender, first.variant, first.target)


def _sparing(evidence: Evidence, seen: list[_Seen]) -> Sparing | None:
    """The cheapest that is seen to be as accurate as the best static network, beside the cheapest
    static one that is."""
    best = max(one.validation_accuracy for one in evidence.frontier.networks)
    static = evidence.frontier.cheapest_with(best)
    good = [one for one in seen if one.accuracy >= best - AS_ACCURATE]
    if static is None or not good:
        return None
    first = min(good, key=lambda one: (one.share, -one.accuracy))
    saving = evidence.saving(first.contender, first.variant, first.target, static)
    return None if saving is None else Sparing(first.contender, first.target, saving)


class Elsewhere:
    """Finished networks on another machine."""

    def __init__(self, networks: FinishedNetworks, machine: Accelerator) -> None:
        self.networks, self.machine = networks, machine
        self.metric = networks.place.study.config.metric
        whole = self._table(networks.whole)
        cost = cost_of(whole, self.metric)
        fraction = Budget.read(networks.place.study.config.budget, cost).fraction
        self.budget = float(f"{fraction * cost.reference:.6g}")

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
        narrow, wide = (METRICS[self.metric].of(static_cost(whole, one)) for one in ends)
        return float(narrow / wide)

    def runs(self) -> list[Run]:
        """All runs as this machine charges them, cascades among them."""
        found: list[Run] = []
        for seed in self.networks.together.seeds:
            for one in self.networks.static:
                (run,) = self.networks.done[one.name, seed]
                found.append(self._static(run, one))
            for one in self.networks.leaving:
                found += self._left(self.networks.done[one.name, seed], one)
        return found + cascade_runs(found, self.networks.study, self.field)

    def _table(self, table: CostTable) -> CostTable:
        """What a network costs here, given what it costs on the machine it was trained for."""
        return cost_table(table.workload, self.machine, table.choices, always=table.always)

    def _static(self, run: Run, contender: Contender) -> Run:
        """A static network of the same answers at another cost."""
        table = self._table(self.networks.place.tables[contender.name])
        fixed = map(Precision.parse, run.record.fixed.split())
        cost = static_cost(table, dict(zip(table.units, fixed, strict=True)))
        amounts = {metric.name: float(metric.of(cost)) for metric in additive()}
        spent = float(METRICS[self.metric].of(cost))
        return self._priced(run, amounts, np.full(len(run.cost), spent))

    def _left(self, runs: list[Run], contender: Contender) -> Iterator[Run]:
        """A network that inputs leave, each where it left on the machine of training. What was a
        budget there is here what these decisions cost."""
        first = self.networks.place.tables[contender.name]
        before = self._amounts(replayed_exits(first, contender.choice))
        here = self._amounts(replayed_exits(self._table(first), contender.choice))
        kept = [run for run in runs if run.record.variant in (AS_TRAINED, WITHIN, SHUFFLED)]
        spent: dict[float, float] = {}
        for run in sorted(kept, key=lambda run: run.record.variant == SHUFFLED):
            taken = exits_told(run.cost, before[self.metric])
            means = {name: float(each[taken].mean()) for name, each in here.items()}
            found = self._priced(run, means, here[self.metric][taken])
            share = spent.setdefault(run.record.target, found.record.share)
            yield replace(found, record=replace(found.record, target=share))

    def _amounts(self, outcome: Replay) -> dict[str, np.ndarray]:
        return {metric.name: np.asarray(metric.of(outcome)) for metric in additive()}

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


def worth_in(networks: FinishedNetworks, space: Space, progress: bool = False) -> list[Worth]:
    """What deciding is worth on every machine of a space, in the order of the space.

    Objectives and constraints of the space are those of `explore`, and not asked here.

    Args:
        progress: show a bar on stderr.

    Raises:
        InputError: if the space varies anything but machines, or there is no end of them.
    """
    varied = (path for dimension in space.dimensions for path in dimension.paths)
    if outside := next((path for path in varied if is_outside(path)), ""):
        raise InputError(
            f"{space.name}: {outside} is no field of a machine, and a study is told by machines: "
            "leave it out"
        )
    if space.size is None:
        endless = next(one.name for one in space.dimensions if not one.is_finite)
        raise InputError(
            f"{space.name}: {endless} has no end of values, and every machine is tried: give it a "
            "step, or a set"
        )
    every = space.configurations(0, space.size)
    bar = tqdm(every, desc="machines", total=space.size, disable=not progress)
    return [_worth(networks, space, configuration) for configuration in bar]


def _worth(networks: FinishedNetworks, space: Space, configuration: Configuration) -> Worth:
    try:
        return networks.worth_on(configuration, space.machine(configuration))
    except DfsHwError as error:
        return Worth(configuration, refused=str(error))


__all__ = ["FinishedNetworks", "Sparing", "Worth", "worth_in"]
