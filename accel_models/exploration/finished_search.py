"""A search as it was asked for, and as it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna

from accel_models.accelerators.accelerator import Accelerator
from accel_models.errors import InfeasibleError, InputError, quoted
from accel_models.exploration.evaluate import Evaluator
from accel_models.exploration.results import TrialTable
from accel_models.exploration.space import Configuration, Space
from accel_models.exploration.workloads import Demand
from accel_models.seeds import checked_seed

SWEEP = "sweep"
TRIALS = 200
"""Trials of an adaptive search, unless said."""

MOST = {"trials": 10**7, "batch": 10**5, "workers": 10**4}
"""Largest value of each setting that is a number."""


@dataclass(frozen=True)
class Settings:
    """How a space is searched.

    Args:
        sampler: ``nsga2``, ``tpe``, ``random`` or ``grid`` as Optuna has them, or ``sweep``: every
            configuration.
        trials: how many a search makes, those of runs before included.
        seed: of everything that is drawn.
        batch: trials that are proposed together, before any of them is learned from.
        workers: processes of this machine.
        dask: address of a Dask scheduler, which takes all evaluations.
        storage: ``""`` for a journal in the output folder, ``memory``, or a database's URL.
    """

    sampler: str = "nsga2"
    trials: int = TRIALS
    seed: int = 0
    batch: int = 16
    workers: int = 1
    dask: str = ""
    storage: str = ""


def checked_settings(settings: Mapping[str, Any]) -> Settings:
    """Settings of an exploration; raises `InputError` if one is unknown or out of its range."""
    unknown = settings.keys() - Settings.__dataclass_fields__.keys()
    if unknown:
        raise InputError(f"explore has no setting '{min(unknown)}'")
    wanted = Settings(**settings)
    for name in ("trials", "batch", "workers"):
        value = getattr(wanted, name)
        if type(value) is not int or not 1 <= value <= MOST[name]:
            raise InputError(f"{name} must be 1 to {MOST[name]}, got {quoted(value)}")
    for name in ("sampler", "dask", "storage"):
        if not isinstance(getattr(wanted, name), str):
            raise InputError(f"{name} must be text, got {quoted(getattr(wanted, name))}")
    checked_seed(wanted.seed)
    return wanted


@dataclass(frozen=True)
class FinishedSearch:
    """A search of a space and what it found.

    Args:
        opened: gives Optuna's study, with every trial.
    """

    space: Space
    demands: tuple[Demand, ...]
    settings: Settings
    trials: TrialTable
    opened: Callable[[], optuna.Study]
    folder: Path

    @cached_property
    def study(self) -> optuna.Study:
        """Optuna's study, with every trial; a sweep's is read from its journal when it is asked
        for."""
        return self.opened()

    @property
    def evaluator(self) -> Evaluator:
        return Evaluator(self.space, self.demands)

    def machine(self, position: int | None = None) -> Accelerator:
        """The machine of a trial, by default of the chosen one, under a name of its own.

        Raises:
            InfeasibleError: if no trial keeps to the constraints.
        """
        place = self.trials.chosen if position is None else position
        if place is None:
            raise InfeasibleError(f"no machine of '{self.space.name}' keeps to the constraints")
        number = self.trials.table["number"][place].as_py()
        return named(self.space, self.trials.configuration(place), f"{self.space.name}-{number}")


def named(space: Space, configuration: Configuration, name: str) -> Accelerator:
    """The machine of a configuration under a name of its own, its difference told in the title."""
    base = space.base_of(configuration)
    changes = space.changes(configuration).items()
    changed = ", ".join(f"{path} = {value}" for path, value in changes if value is not None)
    machine = space.machine(configuration)
    title = f"{base.title}; {changed}" if changed else base.title
    return machine.model_copy(update={"name": name, "title": title, "departures": None})
