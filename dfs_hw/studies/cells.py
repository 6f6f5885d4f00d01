"""Cells of a study: each a contender trained from one seed, then measured on every machine.

A cell has its folder, its lock and its results to itself: cells run in any order, in as many
processes as there are cores, and what is finished stays so. What networks have in common they take
from cells that are finished.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accel_models.errors import InputError
from accel_models.owned_folder import SETTINGS, departure, owned_folder
from dfs_hw.baselines.contenders import Contender, LineUp
from dfs_hw.baselines.measurement import COSTS, FIGURES, measure, measured
from dfs_hw.baselines.preparation import Ready, prepare
from dfs_hw.baselines.records import Run
from dfs_hw.baselines.setups import ContenderSetups, same_trunk
from dfs_hw.gates import TableGate
from dfs_hw.studies.definition import StudyDefinition, machine_name
from dfs_hw.studies.priced import PricedStudy
from dfs_hw.training.config import DEFAULTS, plain
from dfs_hw.training.stages.tables import settled_anew

FINISHED, OLDER, TO_DO = "finished", "older costs", "to do"
"""States of a cell; one of older costs was measured by another version of a machine or of the cost
models."""


@dataclass(frozen=True)
class Cell:
    """A contender trained from one seed."""

    contender: Contender
    seed: int

    @property
    def name(self) -> str:
        """Contender and seed, such as ``static-4@0``."""
        return f"{self.contender.name}@{self.seed}"

    def folder(self, definition: StudyDefinition) -> Path:
        """Where everything of it lies."""
        return definition.folder / f"seed{self.seed}" / self.contender.name

    def figures(self, definition: StudyDefinition, machine: str) -> Path:
        """The file of what was measured of it on a machine."""
        return self.folder(definition) / machine_name(machine) / FIGURES

    @property
    def settings(self) -> dict[str, Any]:
        """All that tells its training from others."""
        settings = plain(self.contender.config)
        return settings | {"seed": self.seed, "choice": self.contender.choice}

    def departure(self, definition: StudyDefinition) -> str:
        """What keeps its folder from being of its settings; "" if nothing does."""
        folder = self.folder(definition)
        if not os.path.lexists(folder / SETTINGS) and any(folder.glob(f"*/{FIGURES}")):
            return f"has figures, and no {SETTINGS} that says what they are of"
        return departure(folder, self.settings, defaults=DEFAULTS)

    def measured(
        self, definition: StudyDefinition, place: PricedStudy, *, costs: bool = True
    ) -> list[Run] | None:
        """What was measured of it on a machine; None if it does not take part there, or nothing
        was measured yet of what the study asks now.

        Args:
            costs: whether the machine and the cost models have to be those of now, too.

        Raises:
            InputError: if a file is damaged.
        """
        name = self.contender.name
        if name not in place.asked or self.departure(definition):
            return None
        wanted = {
            field: value for field, value in place.asked[name].items() if costs or field != COSTS
        }
        path = self.figures(definition, place.machine)
        runs = measured(path, wanted)
        for run in runs or ():
            if (run.record.contender, run.record.seed) != (name, self.seed):
                other = f"{run.record.contender}@{run.record.seed}"
                raise InputError(f"{path} is of {other}, and its folder that of {self.name}")
        return runs

    def state(self, definition: StudyDefinition, places: Iterable[PricedStudy]) -> str:
        """`FINISHED`, if it was measured on every machine on which it takes part, or `OLDER`; else
        `TO_DO`, with what its folder is of if that is something else.

        Raises:
            InputError: if a file is damaged.
        """
        if fault := self.departure(definition):
            return f"{TO_DO}: its folder {fault}"
        there = [one for one in places if self.contender.name in one.asked]
        if any(self.measured(definition, one, costs=False) is None for one in there):
            return TO_DO
        now = all(self.measured(definition, one) is not None for one in there)
        return FINISHED if now else OLDER


def cells_of(definition: StudyDefinition, field: LineUp) -> list[Cell]:
    """All cells, seed by seed in the order of tables.

    Args:
        field: contenders on the study's first machine.
    """
    trained = [one for one in field.contenders if one.trained]
    return [Cell(one, seed) for seed in definition.seeds for one in trained]


def named_cells(cells: Iterable[Cell], names: Iterable[str]) -> list[Cell]:
    """Cells by name: ``static-4@0``, or ``static-4`` for all seeds.

    Raises:
        InputError: if none is named, or one is not of the study: says which are.
    """
    known = list(cells)
    found: list[Cell] = []
    for name in list(names) or [""]:
        fits = [one for one in known if name in (one.name, one.contender.name)]
        if not fits:
            there = ", ".join(dict.fromkeys(one.contender.name for one in known))
            raise InputError(f"no cell is called '{name}': write CONTENDER@SEED, of {there}")
        found += [one for one in fits if one not in found]
    return found


def run_cell(
    definition: StudyDefinition,
    cell: Cell,
    places: Sequence[PricedStudy],
    setups: ContenderSetups,
    *,
    overwrite: bool = False,
) -> None:
    """Train a cell, or the rest of it, and measure it on every machine on which it takes part; one
    that is finished is left as it is.

    Args:
        places: the study on each of its machines, as `priced_studies` has them.
        setups: of the first machine.
        overwrite: take its folder from a cell of other settings; what fits is used again.

    Raises:
        FolderInUse: if another process works at it.
        InputError: if its folder is one of other settings, or a file in it is damaged.
        DfsHwError: if the loss stops being finite.
    """
    if cell.state(definition, places) == FINISHED:  # be its network still there or not
        return
    folder = cell.folder(definition)
    figures = [cell.figures(definition, one.machine).relative_to(folder) for one in places]
    results = [str(one) for one in figures]
    with owned_folder(folder, cell.settings, results, defaults=DEFAULTS, overwrite=overwrite):
        relatives = [
            Cell(one, cell.seed).folder(definition)
            for one in places[0].field.contenders
            if one.name != cell.contender.name and one.trained
            if same_trunk(one.config, cell.contender.config)
        ]
        config = replace(cell.contender.config, seed=cell.seed)
        ready = prepare(cell.contender, setups.of(config), folder, relatives)
        for place in places:
            measured_on(ready, place, setups)


def measured_on(ready: Ready, place: PricedStudy, setups: ContenderSetups) -> None:
    """Measure a trained contender on a machine, if it takes part there: the network as it is, with
    thresholds settled anew for what that machine charges.

    Args:
        setups: that it was trained with.
    """
    own = place.contender(ready.contender.name)
    if own is None:
        return
    anew = ContenderSetups(setups.device, setups.progress)
    folder = ready.folder / machine_name(place.machine)
    setup = anew.of(replace(own.config, seed=ready.seed))
    trained = ready.trained
    if isinstance(trained.network.gate, TableGate):
        trained = settled_anew(setup, trained, ready.kept)
    there = replace(ready, contender=own, folder=folder, setup=setup, trained=trained)
    measure(there, place.study, place.field.budget)
