"""Cells of a study: each a contender trained from one seed, then measured on every machine.

A cell has its folder, its lock and its results to itself: cells run in any order, in as many
processes as there are cores, and what is finished stays so. What networks have in common they take
from cells that are finished.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from accel_models.errors import InputError
from accel_models.owned_folder import owned_folder
from dfs_hw.baselines.contenders import Contender, LineUp, line_up
from dfs_hw.baselines.measurement import FIGURES, measure
from dfs_hw.baselines.preparation import Ready, prepare
from dfs_hw.baselines.setups import ContenderSetups, same_trunk
from dfs_hw.gates import TableGate
from dfs_hw.studies.definition import StudyDefinition, machine_name
from dfs_hw.training.config import plain
from dfs_hw.training.stages.tables import settled_anew


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

    def finished(self, definition: StudyDefinition) -> bool:
        """Whether it was measured on every machine."""
        return all(self.figures(definition, one).is_file() for one in definition.machines)


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
        InputError: if one is not of the study: says which are.
    """
    known = list(cells)
    found: list[Cell] = []
    for name in names:
        fits = [one for one in known if name in (one.name, one.contender.name)]
        if not fits:
            there = ", ".join(dict.fromkeys(one.contender.name for one in known))
            raise InputError(f"no cell is called '{name}': write CONTENDER@SEED, of {there}")
        found += [one for one in fits if one not in found]
    return found


def run_cell(
    definition: StudyDefinition,
    cell: Cell,
    setups: ContenderSetups,
    *,
    overwrite: bool = False,
) -> None:
    """Train a cell, or the rest of it, and measure it on every machine.

    Args:
        setups: of the first machine.
        overwrite: take its folder from a cell of other settings; what fits is used again.

    Raises:
        InputError: if another process works at it, or its folder is one of other settings.
        DfsHwError: if the loss stops being finite.
    """
    fields = {machine: line_up(definition.study(machine)) for machine in definition.machines}
    field, folder = fields[definition.machines[0]], cell.folder(definition)
    settings = plain(cell.contender.config)
    settings |= {"seed": cell.seed, "choice": cell.contender.choice}
    with owned_folder(folder, settings, (FIGURES,), overwrite=overwrite):
        relatives = [
            definition.folder / f"seed{cell.seed}" / one.name
            for one in field.contenders
            if one.name != cell.contender.name and one.trained
            if same_trunk(one.config, cell.contender.config)
        ]
        config = replace(cell.contender.config, seed=cell.seed)
        ready = prepare(cell.contender, setups.of(config), folder, relatives)
        for machine in definition.machines:
            measured_on(definition, ready, machine, fields[machine], setups)


def measured_on(
    definition: StudyDefinition,
    ready: Ready,
    machine: str,
    field: LineUp,
    setups: ContenderSetups,
) -> None:
    """Measure a trained contender on a machine: the network as it is, with thresholds settled anew
    for what that machine charges.

    Args:
        field: who can take part on the machine.
        setups: that it was trained with.
    """
    there = ContenderSetups(setups.device, setups.progress)
    own = next((one for one in field.contenders if one.name == ready.contender.name), None)
    if own is None:
        return  # the page says why
    folder = ready.folder / machine_name(machine)
    setup = there.of(replace(own.config, seed=ready.seed))
    trained = ready.trained
    if isinstance(trained.network.gate, TableGate):
        trained = settled_anew(setup, trained, ready.kept)
    measure(
        Ready(own, folder, setup, trained, ready.fixed), definition.study(machine), field.budget
    )
