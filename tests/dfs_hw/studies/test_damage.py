"""Folders of a study in which somebody has been: said, and never taken for figures."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

from accel_models.documents import digest_of
from accel_models.errors import InputError
from dfs_hw.studies import (
    Cell,
    PricedStudy,
    StudyDefinition,
    cells_of,
    named_cells,
    priced_on,
    study_page,
)

SHIPPED = ROOT / "results/digits"


@pytest.fixture(scope="module")
def place() -> PricedStudy:
    return priced_on(StudyDefinition.read(SHIPPED / "study.toml"), "bitfusion")


@pytest.fixture
def study(tmp_path: Path) -> StudyDefinition:
    """Two seeds of one static network, as they are shipped."""
    for file in SHIPPED.glob("*.toml"):
        shutil.copy(file, tmp_path)
    for seed in (0, 1):
        shutil.copytree(SHIPPED / f"seed{seed}/static-4", tmp_path / f"seed{seed}/static-4")
    return StudyDefinition.read(tmp_path / "study.toml")


def cell_of(study: StudyDefinition, place: PricedStudy) -> Cell:
    (found,) = named_cells(cells_of(study, place.field), ["static-4@0"])
    return found


def changed(path: Path, seal: bool = True, **fields: Any) -> None:
    """Write a file of figures again with other fields."""
    content = json.loads(path.read_text()) | fields
    content["digest"] = digest_of([content["made_from"], content["result"]]) if seal else ""
    path.write_text(json.dumps(content))


def test_figures_of_another_seed_are_not_taken(study: StudyDefinition, place: PricedStudy) -> None:
    cell = cell_of(study, place)
    assert cell.measured(study, place, costs=False)
    figures = cell.figures(study, "bitfusion").parent
    shutil.rmtree(figures)
    shutil.copytree(SHIPPED / "seed1/static-4/bitfusion", figures)
    with pytest.raises(InputError, match="is of static-4@1, and its folder that of static-4@0"):
        cell.measured(study, place, costs=False)


def test_damage_in_what_figures_were_made_from_is_damage(
    study: StudyDefinition, place: PricedStudy
) -> None:
    cell = cell_of(study, place)
    path = cell.figures(study, "bitfusion")
    content = json.loads(path.read_text())
    content["made_from"]["cost allowed"] *= 2
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="its content is not what was left there"):
        cell.measured(study, place, costs=False)
    changed(path)  # figures for another budget, and whole
    assert cell.measured(study, place, costs=False) is None


@pytest.mark.parametrize("part", ["records", "digests"])
def test_figures_without_a_digest_are_warned_of_and_must_be_some(
    study: StudyDefinition, place: PricedStudy, part: str
) -> None:
    cell = cell_of(study, place)
    path = cell.figures(study, "bitfusion")
    result = json.loads(path.read_text())["result"]
    changed(path, seal=False)
    with pytest.warns(UserWarning, match="has no digest: whether it is whole cannot be told"):
        assert cell.measured(study, place, costs=False)
    changed(path, **{"result": result | {part: type(result[part])()}})
    with pytest.raises(InputError, match="it has no figures of test inputs"):
        cell.measured(study, place, costs=False)


def test_figures_that_nothing_says_the_training_of_are_none(
    study: StudyDefinition, place: PricedStudy
) -> None:
    cell = cell_of(study, place)
    (cell.folder(study) / "settings.json").unlink()
    said = "to do: its folder has figures, and no settings.json that says what they are of"
    assert cell.state(study, [place]) == said
    assert cell.measured(study, place, costs=False) is None


def test_seeds_that_are_asked_for_are_the_studys(study: StudyDefinition) -> None:
    assert study.checked_seeds([2, 0, 2]) == (2, 0)
    for seeds, said in (
        ([0, 7], "7 is no seed of the study, which has 0, 1, 2"),
        ([-1], "-1 is no seed of the study"),
        ([], "seeds names none"),
    ):
        with pytest.raises(InputError, match=said):
            study.checked_seeds(seeds)


def test_a_page_of_somebody_else_stays(study: StudyDefinition) -> None:
    other = "# How to read these folders\n"
    (study.folder / "README.md").write_text(other)
    with pytest.raises(InputError, match=r"README\.md begins with '# How to read.*move it away"):
        study_page(study)
    assert (study.folder / "README.md").read_text() == other
