"""Commands for long studies: one cell at a time, and what they come to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfs_hw.cli.app import app
from dfs_hw.cli.loading import numbers, words
from dfs_hw.cli.options import Device, Overwrite, Quiet, SpaceFile
from dfs_hw.cli.show import tables as show

studies = typer.Typer(
    help="A long study, cell by cell: each a network trained from one seed, then measured on "
    "every machine.",
    no_args_is_help=True,
)
app.add_typer(studies, name="study")

StudyFile = Annotated[
    Path,
    typer.Argument(
        metavar="STUDY.toml", help="What the study consists of; all it leaves goes beside it."
    ),
]


@studies.command()
def run(
    study: StudyFile,
    only: Annotated[
        str | None,
        typer.Option(
            help="Cells, such as static-4@0, or static-4 for all seeds; default: all.",
            show_default=False,
        ),
    ] = None,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Train cells and measure them; those that are finished are not repeated.

    The same command goes on where it was stopped. Other processes may run it at the same time:
    each passes over the cells that another works at.
    """
    from accel_models.owned_folder import FolderInUse
    from dfs_hw.baselines.setups import ContenderSetups
    from dfs_hw.studies import (
        StudyDefinition,
        cells_of,
        named_cells,
        priced_studies,
        run_cell,
    )

    definition = StudyDefinition.read(study)
    places = priced_studies(definition, not quiet)
    cells = cells_of(definition, places[0].field)
    if only is not None:
        cells = named_cells(cells, words(only))
    setups, passed = ContenderSetups(device, not quiet), 0
    for cell in cells:
        try:
            run_cell(definition, cell, places, setups, overwrite=overwrite)
        except FolderInUse as error:
            if len(cells) == 1:
                raise
            passed += 1
            show.line(f"{cell.name}: passed over: {error}")
        else:
            show.line(f"{cell.name}: {cell.folder(definition)}")
    if passed:
        show.line(f"Passed over: {passed} of {len(cells)}. The same command runs what they leave.")


@studies.command()
def page(study: StudyFile) -> None:
    """Write what the finished cells come to: a comparison for every machine, and a page."""
    from dfs_hw.studies import StudyDefinition, study_page

    show.line(f"What it comes to: {study_page(StudyDefinition.read(study), progress=True)}")


@studies.command()
def machines(
    study: StudyFile,
    space: SpaceFile,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for it; default: beside the study, called as the file of the space.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="Seeds to look at, such as 0,1; default: those of which most is finished.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Where deciding per input pays, of the machines of a space, by what was measured already.

    Nothing is trained: the finished networks are priced on every machine, and each is told by the
    static networks that are best there.
    """
    from accel_models.exploration import read_space
    from accel_models.owned_folder import owned_folder
    from dfs_hw.studies import (
        WORTH_FILES,
        FinishedNetworks,
        StudyDefinition,
        cells_of,
        check_space,
        measured_cells,
        priced_on,
        told_by,
        worth_in,
        write_worth,
    )

    definition, (wanted, _) = StudyDefinition.read(study), read_space(space)
    check_space(wanted)
    of = () if seeds is None else definition.checked_seeds(numbers("seeds", seeds, int))
    folder = out or definition.folder / space.stem
    settings = told_by(definition, wanted, of)
    with owned_folder(folder, settings, WORTH_FILES, overwrite=overwrite):
        place = priced_on(definition, definition.machines[0], progress=not quiet)
        done = measured_cells(definition, place, cells_of(definition, place.field))
        networks = FinishedNetworks(place, done, of)
        found = worth_in(networks, wanted, not quiet)
        page = write_worth(networks, wanted, found, folder, definition.title)
    show.line(f"Where it pays: {page}")


@studies.command()
def cells(study: StudyFile) -> None:
    """List all cells, which are finished, and who is left out on which machine."""
    from dfs_hw.studies import StudyDefinition, cells_of, priced_studies

    definition = StudyDefinition.read(study)
    places = priced_studies(definition, progress=True)
    for cell in cells_of(definition, places[0].field):
        state = cell.state(definition, places)
        show.line(f"{cell.name:24} {state:10} {cell.contender.title}")
    for place in places:
        for name, why in place.field.left_out.items():
            show.line(f"Left out on {place.machine}: {name}: {why}.")
