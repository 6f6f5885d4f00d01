"""Adaptive search: Optuna proposes a batch of configurations, workers evaluate it, Optuna learns.

A batch is asked as a whole and told in order, and what the sampler draws for a trial depends on the
seed and the trial's number alone: so a search is the same on any number of workers, and also if it
was killed in between. A result is written down as it comes, before the batch is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GridSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import BaseTrial, FrozenTrial, Trial, TrialState

from accel_models.errors import InputError, quoted
from accel_models.exploration.evaluate import TrialOutcome
from accel_models.exploration.executors import Executor
from accel_models.exploration.outcomes import OUTCOME, kept_outcome, outcome_in
from accel_models.exploration.space import Configuration, Dimension, Space, Value
from accel_models.exploration.storage import StudyStorage, quiet
from accel_models.metrics import METRICS

RUNS = "runs"
"""The constraint that a machine can run the workloads at all."""
CANNOT_RUN = 10.0
"""How far a machine that cannot run is said to be off: further than most that run but cost too
much, so that a search turns to those first."""
STEP_ERROR = 1e-8
"""Share of a step by which Optuna lets a value miss it."""
GRID_LIMIT = 20_000
"""Points that Optuna's grid sampler is given at most: what it does for each grows with all."""


class Grid(GridSampler):
    """Optuna's grid, which would note all of itself in every trial, and at its end would stop
    `optuna.Study.optimize`: nothing to stop here."""

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        if "grid_id" not in trial.system_attrs:
            study._storage.set_trial_system_attr(trial._trial_id, "grid_id", trial.number)

    def after_trial(self, *_: Any) -> None:
        pass


class Nsga2(NSGAIISampler):
    """Optuna's NSGA-II, which would look through all trials for the dimensions they share: here
    every trial has all."""

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(seed=seed)
        every = {d.name: distribution(d) for d in space.dimensions}
        self._shared = {name: values for name, values in every.items() if not values.single()}

    def infer_relative_search_space(self, *_: Any) -> dict[str, BaseDistribution]:
        return self._shared


SAMPLERS: Mapping[str, Callable[[Space, int], BaseSampler]] = {
    "nsga2": lambda space, seed: Nsga2(space, seed),
    "tpe": lambda space, seed: TPESampler(seed=seed),
    "random": lambda space, seed: RandomSampler(seed=seed),
    "grid": lambda space, seed: Grid({d.name: d.points for d in space.dimensions}, seed=seed),
}


@dataclass(frozen=True)
class FinishedTrial:
    """One finished trial."""

    number: int
    configuration: dict[str, Value]
    outcome: TrialOutcome


def search_adaptively(
    space: Space,
    study: optuna.Study,
    storage: StudyStorage,
    executor: Executor,
    *,
    sampler: str,
    trials: int,
    batch: int,
    seed: int,
    advance: Callable[[int], None],
) -> None:
    """Bring a study to a number of trials, from wherever it stands.

    Args:
        executor: evaluates lists of one configuration.
        advance: is called with the number of trials that were finished.
    """
    distributions = {d.name: distribution(d) for d in space.dimensions}
    sampler_of = partial(_sampler_of, space, sampler, seed)
    known = {_key(record.configuration): record.outcome for record in records(space, study)}
    if sampler == "grid":
        trials = min(trials, math.prod(len(d.points) for d in space.dimensions))
    while True:
        asked = study.get_trials(deepcopy=False)
        pending = [trial.number for trial in asked if not trial.state.is_finished()]
        if len(asked) >= trials and not pending:
            return
        started = len(asked) if pending else len(asked) + 1
        end = min(max(trials, len(asked)), math.ceil(started / batch) * batch)
        with storage.together(study), quiet():
            _ask_to_the_end(study, distributions, sampler_of)
            for number in range(len(asked), end):
                study.sampler = sampler_of(number)
                study.ask(distributions)
        _evaluate(space, study, storage, executor, known)
        with storage.together(study), quiet():
            finished = _tell(space, study)
        advance(finished)


def _evaluate(
    space: Space,
    study: optuna.Study,
    storage: StudyStorage,
    executor: Executor,
    known: dict[Any, TrialOutcome],
) -> None:
    """Have every trial that was asked evaluated, equal ones once."""
    waiting: dict[Any, list[Trial]] = {}
    configurations = {}
    for trial in _running(study):
        if OUTCOME in trial.user_attrs:
            continue
        configuration = _configuration(space, trial)
        key = _key(configuration)
        if key in known:
            _note(trial, configuration, known[key])
        else:
            waiting.setdefault(key, []).append(trial)
            configurations[key] = configuration
    numbered = list(enumerate(configurations.items()))
    items = ((number, [configuration]) for number, (_, configuration) in numbered)
    for number, (outcome,) in executor.each(items):
        key = numbered[number][1][0]
        known[key] = outcome
        with storage.together(study):
            for trial in waiting[key]:
                _note(trial, dict(key), outcome)


def _tell(space: Space, study: optuna.Study) -> int:
    """Tell Optuna of all trials that have an outcome, in order."""
    running = _running(study)
    for trial in running:
        outcome = _outcome(space, trial)
        for name, excess in constraints(space, outcome).items():
            trial.set_constraint(name, excess)
        study.tell(trial, values_of(space, outcome))
    return len(running)


def _note(trial: Trial, configuration: Configuration, outcome: TrialOutcome) -> None:
    trial.set_user_attr(OUTCOME, kept_outcome(configuration, outcome))


def _outcome(space: Space, trial: Trial | FrozenTrial) -> TrialOutcome:
    """What a trial keeps of its outcome."""
    return outcome_in(trial.user_attrs, _configuration(space, trial), f"trial {trial.number}")


def _running(study: optuna.Study) -> list[Trial]:
    """Trials that were asked and not told, as Optuna hands them out, by number."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [Trial(study, trial._trial_id) for trial in trials]


def _ask_to_the_end(
    study: optuna.Study,
    distributions: Mapping[str, BaseDistribution],
    sampler_of: Callable[[int], BaseSampler],
) -> None:
    """Finish asking for trials that a killed run was at, as it would have."""
    for half in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if half.params.keys() == distributions.keys():
            continue
        study.sampler = sampler_of(half.number)
        trial = Trial(study, half._trial_id)
        for name, values in distributions.items():
            if name in half.params and not values.single() and name not in trial.relative_params:
                # Drawn again and forgotten: what is drawn next depends on how often it was before.
                study.sampler.sample_independent(study, half, name, values)
            trial._suggest(name, values)


def records(space: Space, study: optuna.Study) -> list[FinishedTrial]:
    """Finished trials, by number."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [
        FinishedTrial(trial.number, _configuration(space, trial), _outcome(space, trial))
        for trial in done
    ]


def constraints(space: Space, outcome: TrialOutcome) -> dict[str, float]:
    """How far an outcome misses each constraint, 0 or less if it keeps to it."""
    found = {RUNS: -1.0 if outcome.is_feasible else CANNOT_RUN}
    for bound in space.bounds:
        value = outcome.metrics[METRICS[bound.metric].column]
        found[bound.metric] = 0.0 if value is None else bound.excess(value)
    return found


def values_of(space: Space, outcome: TrialOutcome) -> list[float]:
    """What Optuna minimises; infinite where the machine cannot run."""
    columns = (METRICS[objective].column for objective in space.objectives)
    values = (outcome.metrics[column] for column in columns)
    return [math.inf if value is None else value for value in values]


def distribution(dimension: Dimension) -> BaseDistribution:
    """A dimension as Optuna has it, and repeats it in every trial: so no list of steps."""
    if dimension.step and _has_exact_steps(dimension):
        low, high = dimension.values[0], dimension.values[-1]
        if isinstance(low, int) and isinstance(dimension.step, int):
            return IntDistribution(low, int(high), step=dimension.step)
        return FloatDistribution(float(low), float(high), step=dimension.step)
    if dimension.values:
        return CategoricalDistribution(dimension.values)
    if dimension.integer:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _has_exact_steps(dimension: Dimension) -> bool:
    """Whether Optuna would take every value for a step: it divides the ends as decimals, and allows
    for 1e-8 of a step in between."""
    low, high = (Decimal(str(end)) for end in (dimension.values[0], dimension.values[-1]))
    steps = (np.array(dimension.values, dtype=np.float64) - float(low)) / dimension.step
    whole = (high - low) % Decimal(str(dimension.step)) == 0
    return whole and bool((np.abs(steps - np.arange(len(steps))) < STEP_ERROR).all())


def check_sampler(space: Space, sampler: str) -> None:
    """Refuse a sampler that cannot search a space.

    Raises:
        InputError: if there is none of that name, or it needs an end of configurations.
    """
    if sampler not in SAMPLERS:
        raise InputError(f"unknown sampler '{sampler}': use {', '.join(SAMPLERS)} or sweep")
    if sampler == "grid":
        endless = [d.name for d in space.dimensions if not d.is_finite]
        if endless:
            raise InputError(f"{endless[0]} has no end of values: give it a step for a grid")
        size = math.prod(len(d.points) for d in space.dimensions)
        if size > GRID_LIMIT:
            raise InputError(
                f"a grid of {size} points is too large to ask for one by one: take sampler sweep"
            )


def _sampler_of(space: Space, sampler: str, seed: int, number: int) -> BaseSampler:
    """What draws a trial. A grid's points are numbered by its seed, so that stays."""
    if sampler != "grid":
        seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    return SAMPLERS[sampler](space, seed)


def _configuration(space: Space, trial: BaseTrial) -> dict[str, Value]:
    """What a trial tries: what applies, at the points that Optuna's steps stand for.

    Raises:
        InputError: if it tries something else, as a trial that is damaged does.
    """
    try:
        params = space.relevant(trial.params)
        return {name: space.by_name[name].nearest(value) for name, value in params.items()}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"trial {trial.number} is damaged: it tries {quoted(trial.params)}"
        ) from error


def _key(configuration: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
    return tuple(configuration.items())


__all__ = [
    "SAMPLERS",
    "FinishedTrial",
    "check_sampler",
    "constraints",
    "distribution",
    "records",
    "search_adaptively",
    "values_of",
]
