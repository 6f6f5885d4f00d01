"""A study on each of its machines: who takes part there, and what figures there depend on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from accel_models.costs.cost_table import CostTable
from accel_models.errors import InfeasibleError, InputError
from dfs_hw.baselines.contenders import Contender, LineUp, line_up
from dfs_hw.baselines.measurement import asked
from dfs_hw.baselines.setups import ContenderSetups
from dfs_hw.baselines.study import Study
from dfs_hw.studies.definition import StudyDefinition


@dataclass(frozen=True)
class PricedStudy:
    """A study on one of its machines."""

    machine: str
    """Name of the machine, or its file, as the study has it."""
    study: Study
    field: LineUp
    asked: dict[str, dict[str, Any]]
    """What the figures of a contender depend on (`measurement.asked`), by its name."""
    tables: dict[str, CostTable]
    """What choices cost on the machine, by contender."""

    def contender(self, name: str) -> Contender | None:
        """The contender of a name as it takes part here; None if it does not."""
        return next((one for one in self.field.contenders if one.name == name), None)


def priced_studies(definition: StudyDefinition, progress: bool = False) -> list[PricedStudy]:
    """A study on all its machines, on the one that everything is trained for first.

    Raises:
        InputError: if one cannot be used for it: says which.
    """
    first, *others = definition.machines
    trained_for = priced_on(definition, first, progress=progress)
    return [
        trained_for,
        *(priced_on(definition, one, trained_for.field, progress=progress) for one in others),
    ]


def priced_on(
    definition: StudyDefinition,
    machine: str,
    trained: LineUp | None = None,
    *,
    progress: bool = False,
) -> PricedStudy:
    """A study on one of its machines.

    Args:
        trained: who was trained for another machine, the first; None on that one.

    Raises:
        InputError: as `priced_studies`.
    """
    study, setups = definition.study(machine), ContenderSetups(progress=progress)
    try:
        field = line_up(study, setups, elsewhere=trained is not None)
    except (InputError, InfeasibleError) as error:
        raise InputError(f"on {machine}: {error}") from error
    if trained is not None:
        field = at_choices_of(trained, field)
    on, tables = {}, {}
    for one in field.contenders:
        if one.trained:
            setup = setups.of(one.config)
            on[one.name] = asked(one, setup, study, field.budget)
            tables[one.name] = setup.table
    return PricedStudy(machine, study, field, on, tables)


def at_choices_of(trained: LineUp, field: LineUp) -> LineUp:
    """Who can take part of networks trained for another machine: those that have the choices that
    they would have on this one."""
    choices = {one.name: one.config.choices for one in trained.contenders}
    left_out = {
        one.name: f"it was trained for choices of another machine, {choices[one.name]}"
        for one in field.contenders
        if choices.get(one.name, one.config.choices) != one.config.choices
    }
    fits = tuple(one for one in field.contenders if one.name not in left_out)
    return replace(field, contenders=fits, left_out=field.left_out | left_out)
