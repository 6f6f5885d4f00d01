"""What matters in a space, and whether its ranking survives what nobody knows for sure."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import optuna
from optuna.importance import (
    BaseImportanceEvaluator,
    MeanDecreaseImpurityImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.trial import create_trial

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.pricing import Pricing
from accel_models.costs.simulator import layer_simulator
from accel_models.errors import DfsHwError
from accel_models.exploration.adaptive import distribution
from accel_models.exploration.evaluate import Evaluator, TrialOutcome
from accel_models.exploration.finished_search import FinishedSearch
from accel_models.exploration.results import TrialTable, undominated
from accel_models.exploration.space import Configuration, Dimension, Value
from accel_models.exploration.storage import quiet
from accel_models.metrics import METRICS

IMPORTANCE_TRIALS = 2000
"""Trials that importances are worked out from, at most."""
LEAST_TRIALS = 10
"""Fewer say nothing."""
STEPS = 9
"""Values that a tornado tries of one dimension, at most."""
CANDIDATES = 24
"""Machines whose ranking is looked at: the front, and those behind it."""
DRAWS = 100
"""Draws of all uncertain constants together."""


@dataclass(frozen=True)
class Swing:
    """What one dimension does to an objective while all others stay as they are.

    Args:
        low, high: least and most of the objective over the dimension's values that run.
        at_low, at_high: the values that give them.
        infeasible: how many values do not run.
    """

    dimension: str
    objective: str
    low: float
    at_low: Value
    high: float
    at_high: Value
    infeasible: int


@dataclass(frozen=True)
class Stability:
    """How much of a ranking is left when all uncertain constants are drawn from their ranges.

    Constants that several machines share are drawn together. Only prices are: what would change
    the schedule stays as it is.

    Args:
        machines: how many were ranked.
        constants: paths of what was drawn.
        not_drawn: paths of uncertain constants that change the schedule.
        pairs_kept: percent of pairs of machines, over draws, that stay in order, by objective.
        best_kept: percent of draws in which the best machine stays the best, by objective.
        front_kept: percent of the Pareto front, over draws, that stays on the front of these
            machines.
    """

    machines: int
    draws: int
    constants: tuple[str, ...]
    not_drawn: tuple[str, ...]
    pairs_kept: dict[str, float]
    best_kept: dict[str, float]
    front_kept: float


@dataclass(frozen=True)
class Importance:
    """How much each dimension matters for an objective, shares that add up to 1; empty where
    nothing can be said.

    Args:
        variance: for how it varies over all machines that run: mean decrease of impurity in a
            random forest.
        best: for being among the tenth of machines with the least of it: PED-ANOVA.
    """

    variance: dict[str, float]
    best: dict[str, float]


def importances(trials: TrialTable, seed: int = 0) -> dict[str, Importance]:
    """What Optuna's two quick measures say of each objective.

    From trials that run, and of these a sample if they are many; among several base machines, of
    the dimensions that all have.
    """
    rows = np.flatnonzero(~np.isnan(trials.objectives).any(axis=1))
    if len(rows) > IMPORTANCE_TRIALS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, IMPORTANCE_TRIALS, replace=False))
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that little is wanted of each objective
        study = optuna.create_study(directions=["minimize"] * len(trials.space.objectives))
        study.add_trials(_trials(trials, rows))
        return {
            objective: _importance(study, place, trials.objectives[rows, place], seed)
            for place, objective in enumerate(trials.space.objectives)
        }


def _importance(study: optuna.Study, place: int, values: np.ndarray, seed: int) -> Importance:
    if len(values) < LEAST_TRIALS or not np.ptp(values) > 0:
        return Importance({}, {})

    def shares(evaluator: BaseImportanceEvaluator) -> dict[str, float]:
        found = get_param_importances(
            study, evaluator=evaluator, target=lambda trial: trial.values[place]
        )
        return {name: float(share) for name, share in found.items()}

    return Importance(
        shares(MeanDecreaseImpurityImportanceEvaluator(seed=seed)),
        shares(PedAnovaImportanceEvaluator()),
    )


def _trials(trials: TrialTable, rows: np.ndarray) -> Iterator[optuna.trial.FrozenTrial]:
    distributions = {d.name: distribution(d) for d in trials.space.dimensions}
    for row in rows.tolist():
        params = trials.configuration(row)
        yield create_trial(
            values=trials.objectives[row].tolist(),
            params=params,
            distributions={name: distributions[name] for name in params},
        )


def tornado(evaluator: Evaluator, configuration: Configuration) -> list[Swing]:
    """Every dimension varied by itself around one configuration, largest swing first."""
    space, found = evaluator.space, []
    base = space.base_of(configuration)
    for dimension in space.dimensions:
        if not space.applies(dimension, base):
            continue
        values = _values(dimension)
        outcomes = evaluator([{**configuration, dimension.name: value} for value in values])
        for objective in space.objectives:
            swing = _swing(dimension, objective, values, outcomes)
            if swing is not None:
                found.append(swing)
    return sorted(found, key=lambda s: (s.objective, -(s.high / s.low if s.low else math.inf)))


def _swing(
    dimension: Dimension, objective: str, values: Sequence[Value], outcomes: Sequence[TrialOutcome]
) -> Swing | None:
    column = METRICS[objective].column
    amounts = [
        (amount, value)
        for value, outcome in zip(values, outcomes, strict=True)
        if (amount := outcome.metrics[column]) is not None
    ]
    if not amounts:
        return None
    low, high = min(amounts, key=lambda one: one[0]), max(amounts, key=lambda one: one[0])
    return Swing(dimension.name, objective, *low, *high, len(values) - len(amounts))


def _values(dimension: Dimension) -> list[Value]:
    """The ends of a dimension and some values between, or all of them."""
    if dimension.values:
        if len(dimension.values) <= STEPS:
            return list(dimension.values)
        places = np.unique(np.linspace(0, len(dimension.values) - 1, STEPS).round().astype(int))
        return [dimension.values[place] for place in places]
    spaced = np.geomspace if dimension.log else np.linspace
    values = np.clip(spaced(dimension.low, dimension.high, STEPS), dimension.low, dimension.high)
    if dimension.integer:
        return [int(value) for value in np.unique(values.round())]
    return [float(value) for value in values]


def stability(found: FinishedSearch, draws: int = DRAWS, seed: int = 0) -> Stability | None:
    """Whether the ranking of the best machines survives the ranges of their constants.

    None if there are fewer than two machines, or nothing is uncertain.
    """
    trials, evaluator = found.trials, found.evaluator
    rows = _candidates(trials)
    configurations = [trials.configuration(row) for row in rows]
    machines = [found.space.machine(configuration) for configuration in configurations]
    prices, schedules = _uncertain(evaluator, configurations[0], machines) if rows else ((), ())
    if len(rows) < 2 or not prices:
        return None
    nominal = trials.objectives[rows]
    priced = [evaluator.repriced(configuration) for configuration in configurations]
    rng = np.random.default_rng(seed)
    drawn = np.empty((draws, *nominal.shape))
    for draw in range(draws):
        shares = dict(zip(prices, rng.random(len(prices)), strict=True))
        for place, (machine, reprice) in enumerate(zip(machines, priced, strict=True)):
            metrics = reprice(_drawn(machine, shares))
            drawn[draw, place] = [metrics[METRICS[o].column] for o in found.space.objectives]
    moved = [
        place
        for place in range(nominal.shape[1])
        if not np.array_equal(
            drawn[:, :, place], np.broadcast_to(nominal[:, place], drawn.shape[:2])
        )
    ]
    names = {place: found.space.objectives[place] for place in moved}
    front = {place for place, row in enumerate(rows) if row in set(trials.front.tolist())}
    return Stability(
        machines=len(rows),
        draws=draws,
        constants=tuple(prices),
        not_drawn=tuple(schedules),
        pairs_kept={n: _pairs_kept(nominal[:, p], drawn[:, :, p]) for p, n in names.items()},
        best_kept={n: _best_kept(nominal[:, p], drawn[:, :, p]) for p, n in names.items()},
        front_kept=_front_kept(front, drawn),
    )


def _candidates(trials: TrialTable) -> list[int]:
    """The front and, while there is room, the fronts behind it."""
    left = np.flatnonzero(trials.kept & ~np.isnan(trials.objectives).any(axis=1))
    values, first = np.unique(trials.objectives[left], axis=0, return_index=True)
    left = left[first]
    chosen: list[int] = []
    while len(left) and len(chosen) < CANDIDATES:
        front = undominated(values)
        chosen += left[front].tolist()
        rest = np.setdiff1d(np.arange(len(left)), front)
        left, values = left[rest], values[rest]
    return chosen[:CANDIDATES]


def _uncertain(
    evaluator: Evaluator, configuration: Configuration, machines: Sequence[Accelerator]
) -> tuple[list[str], list[str]]:
    """Paths of constants with a range that are prices, and of those that change a schedule."""
    ranged = sorted(
        {
            path
            for machine in machines
            for path, source in machine.provenance.items()
            if source.low is not None and source.high is not None and source.low < source.high
        }
    )
    machine = machines[0]
    run = evaluator.demands[0].chosen(configuration)
    precisions = [run.always, *run.choices]
    members = [
        (layer, precision)
        for layer in run.workload.layers
        for choice in run.used
        if (precision := layer.precision(run.choices[choice], run.always)) is not None
    ]
    here = layer_simulator(run.workload, machine, precisions, 1)

    def is_price(path: str) -> bool:
        source = machine.provenance.get(path)
        if source is None or source.low is None:
            return True  # of other machines alone: energies, as their families have it
        for end in (source.low, source.high):
            try:
                there = machine.configured(**{path.replace(".", "__"): end})
                simulator = layer_simulator(run.workload, there, precisions, 1)
                if not simulator.solves_as(here, run.workload, members):
                    return False
            except DfsHwError:
                return False
        return True

    prices = [path for path in ranged if is_price(path)]
    return prices, [path for path in ranged if path not in prices]


def _drawn(machine: Accelerator, shares: dict[str, float]) -> Pricing:
    """A machine's prices with each uncertain constant so far up its range."""
    changes: dict[str, Any] = {}
    for path, share in shares.items():
        source = machine.provenance.get(path)
        if source is not None and source.low is not None and source.high is not None:
            changes[path.replace(".", "__")] = source.low + share * (source.high - source.low)
    return Pricing(machine.configured(**changes))


def _pairs_kept(nominal: np.ndarray, drawn: np.ndarray) -> float:
    pairs = [(i, j) for i, j in combinations(range(len(nominal)), 2) if nominal[i] != nominal[j]]
    kept = [
        np.sign(drawn[:, i] - drawn[:, j]) == np.sign(nominal[i] - nominal[j]) for i, j in pairs
    ]
    return 100.0 * float(np.mean(kept)) if kept else 100.0


def _best_kept(nominal: np.ndarray, drawn: np.ndarray) -> float:
    best = int(np.argmin(nominal))
    return 100.0 * float(np.mean(drawn[:, best] <= drawn.min(axis=1)))


def _front_kept(front: set[int], drawn: np.ndarray) -> float:
    kept = 0
    for values in drawn:
        distinct, first = np.unique(values, axis=0, return_index=True)
        kept += len(front & set(first[undominated(distinct)].tolist()))
    return 100.0 * kept / (len(front) * len(drawn))


__all__ = ["Importance", "Stability", "Swing", "importances", "stability", "tornado"]
