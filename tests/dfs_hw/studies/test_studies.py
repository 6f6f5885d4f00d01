"""Studies, cell by cell: the same figures as a comparison's, and files that say what is wrong."""

import json
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from comparing import CONFIG
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT

from accel_models import simulate
from accel_models.costs.drawn_prices import DrawnPrices
from accel_models.costs.pricing import Pricing
from accel_models.errors import InputError
from dfs_hw.baselines import Study, compare
from dfs_hw.baselines.bench import difficulty
from dfs_hw.baselines.contenders import line_up
from dfs_hw.baselines.drawn_costs import PricedRuns, drawn_costs
from dfs_hw.baselines.measurement import measured
from dfs_hw.baselines.preparation import prepare
from dfs_hw.baselines.setups import ContenderSetups
from dfs_hw.recording import evaluate
from dfs_hw.studies import (
    Cell,
    PricedStudy,
    StudyDefinition,
    cells_of,
    named_cells,
    priced_studies,
    run_cell,
    study_page,
)
from dfs_hw.studies.priced import at_choices_of
from dfs_hw.studies.together import comparisons
from dfs_hw.training.stages.exits import beliefs_of, exits_taken, left_at, right_at_exits

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = f"""
title = "Is it <worth> it?"
machines = ["bitfusion", "tpu-int8"]
seeds = [0, 1]
contenders = ["static", "static-exits"]
grid = [0.8]

[train]
network = "{CONFIG.network}"
widths = [4, 8, 8]
choices = "skip,8"
budget = "0.95"
backbone_epochs = 1
supernet_epochs = 1
joint_epochs = 1
exit_epochs = 1
"""


@pytest.fixture(scope="module")
def definition(tmp_path_factory: pytest.TempPathFactory) -> StudyDefinition:
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(SETTINGS)
    found = StudyDefinition.read(path)
    places = priced_studies(found)
    cells = cells_of(found, places[0].field)
    assert len(cells) == 4
    for cell in named_cells(cells, ["static-8@0", "static-8-exits@0"]):
        run_cell(found, cell, places, ContenderSetups())
    return found


@pytest.mark.slow
def test_cells_measure_what_a_comparison_does(definition: StudyDefinition, tmp_path: Path) -> None:
    asked = definition.study()
    study = Study(asked.config, (0,), asked.families, points=(), grid=asked.grid)
    findings = compare(study, tmp_path, progress=False)
    for name in ("static-8", "static-8-exits"):
        runs = measured(definition.folder / f"seed0/{name}/bitfusion/test.json", {}) or []
        assert [run.record for run in runs] == [
            record for record in findings.records if record.contender == name
        ]


@pytest.mark.slow
def test_what_is_finished_is_not_trained_again_though_its_network_is_gone(
    definition: StudyDefinition, tmp_path: Path
) -> None:
    shutil.copytree(definition.folder, tmp_path / "study")
    shipped = StudyDefinition.read(tmp_path / "study/study.toml")
    for path in shipped.folder.glob("**/*.safetensors"):
        path.unlink()
    before = {path: path.stat().st_mtime_ns for path in shipped.folder.glob("**/*")}
    places = priced_studies(shipped)
    (cell,) = named_cells(cells_of(shipped, places[0].field), ["static-8@0"])
    run_cell(shipped, cell, places, ContenderSetups())
    assert before == {path: path.stat().st_mtime_ns for path in shipped.folder.glob("**/*")}


@pytest.mark.slow
def test_another_machine_charges_for_the_same_network(definition: StudyDefinition) -> None:
    figures = [f"seed0/static-8/{machine}/test.json" for machine in definition.machines]
    (here,), (there,) = (measured(definition.folder / one, {}) or [] for one in figures)
    assert np.array_equal(here.correct, there.correct)
    setup = ContenderSetups().of(definition.study("tpu-int8").config)
    bare = setup.table.workload.without_gates()
    assert there.record.energy_j == simulate(bare, setup.table.accelerator, 8).energy_j


@pytest.mark.slow
def test_at_nominal_constants_everybody_is_drawn_as_measured(definition: StudyDefinition) -> None:
    place = priced_studies(definition)[0]
    pricing = Pricing(place.tables["static-8"].accelerator)
    nominal = DrawnPrices((), (), pricing, (pricing,))
    figures = [f"seed0/{name}/bitfusion/test.json" for name in ("static-8", "static-8-exits")]
    (static,), leaving = (measured(definition.folder / one, {}) or [] for one in figures)

    def trace_of(name: str, seed: int) -> Path:
        return definition.folder / f"seed{seed}/{name}/bitfusion/test.parquet"

    priced = PricedRuns(nominal, place.tables, trace_of, {"static-8-exits": "8"})
    seen = [run for run in leaving if run.record.variant in ("as trained", "within a budget")]
    assert {run.record.target for run in seen} == {1.0, 0.8}
    for run in (static, *seen):
        assert priced.of(run) == pytest.approx(run.record.energy_j, rel=1e-12)
        older = replace(run.record, energy_j=run.record.energy_j * (1 + 1e-8))
        assert priced.of(replace(run, record=older)) is None  # of another version of the costs
    as_trained = next(run for run in seen if run.record.variant == "as trained")
    replayed = PricedRuns(nominal, place.tables, trace_of, {}).of(as_trained)
    assert replayed == pytest.approx(as_trained.record.energy_j, rel=1e-12)
    twice = replace(static.record, energy_j=1.3 * static.record.energy_j)
    cascade = priced.of_cascade(twice, static.record, static.record)
    assert cascade == pytest.approx(twice.energy_j, rel=1e-12)


@pytest.mark.slow
def test_draws_are_of_whom_every_seed_is_known(definition: StudyDefinition) -> None:
    place = priced_studies(definition)[0]
    (static,) = measured(definition.folder / "seed0/static-8/bitfusion/test.json", {}) or []
    more = (place.tables, lambda name, seed: definition.folder / "nowhere")
    found = drawn_costs([static], place.field, *more)
    assert found is not None
    assert found.energies.keys() == {("static-8", "as trained", 1.0)}
    assert found.reproduced == {("static-8", 0)}
    other = replace(static.record, seed=1, energy_j=1.1 * static.record.energy_j)
    found = drawn_costs([static, replace(static, record=other)], place.field, *more)
    assert found is not None
    assert not found.energies
    assert found.reproduced == {("static-8", 0)}
    assert drawn_costs([static], replace(place.field, statistic="p95"), *more) is None
    damaged = replace(static, record=replace(static.record, fixed="8 8 8"))
    with pytest.raises(InputError, match="units, and '8 8 8' is of 3"):
        drawn_costs([damaged], place.field, *more)


@pytest.mark.slow
def test_the_page_has_what_is_finished_and_names_the_rest(definition: StudyDefinition) -> None:
    text = study_page(definition).read_text()
    assert "Is it <worth> it?" not in text
    for machine in definition.machines:
        assert (definition.folder / machine / "compare.json").is_file()
        assert f"## {machine}" in text
    assert text.count("| static, 8 bit, with exits | 1 |") == 2
    left = text.partition("## Not finished")[2]
    assert "static-8@1" in left
    assert "static-8@0" not in left


@pytest.mark.slow
def test_figures_of_other_settings_are_not_the_studys(definition: StudyDefinition) -> None:
    def states(changed: StudyDefinition) -> dict[str, str]:
        places = priced_studies(changed)
        cells = named_cells(cells_of(changed, places[0].field), ["static-8@0", "static-8-exits@0"])
        return {one.contender.name: one.state(changed, places) for one in cells}

    assert set(states(definition).values()) == {"finished"}
    other = states(replace(definition, grid=(0.9,)))
    assert other == {"static-8": "finished", "static-8-exits": "to do"}
    places = priced_studies(definition)
    for place in places:
        place.asked["static-8"]["cost_table"] = "of another version"
    (cell,) = named_cells(cells_of(definition, places[0].field), ["static-8@0"])
    assert cell.state(definition, places) == "older costs"
    assert cell.measured(definition, places[0]) is None
    assert cell.measured(definition, places[0], costs=False)
    longer = replace(definition, train={**definition.train, "joint_epochs": 2})
    assert all("joint_epochs was 1, is 2" in state for state in states(longer).values())
    assert "static-8@0" not in study_page(definition).read_text()
    assert "static-8@0: its folder is of" in study_page(longer).read_text()
    (cell.folder(definition) / "settings.json").write_text("{")
    assert "static-8@0: its folder has a settings.json that is damaged" in (
        study_page(definition).read_text()
    )


@given(st.sets(st.tuples(st.sampled_from("abcd"), st.integers(0, 3))))
def test_a_page_has_the_comparison_of_most_cells_and_that_of_most_contenders(
    done: set[tuple[str, int]],
) -> None:
    first, *more = comparisons(done)
    for one in (first, *more):
        assert {(name, seed) for name in one.names for seed in one.seeds} <= done
    every = [
        (picked, {n for n in "abcd" if all((n, seed) in done for seed in picked)})
        for number in range(1, 5)
        for picked in combinations(range(4), number)
    ]
    assert len(first.seeds) * len(first.names) == max(len(s) * len(n) for s, n in every)
    most = max(len(names) for _, names in every)
    assert len(more) == (most > len(first.names))
    for wider in more:
        assert len(wider.names) == most
        assert len(wider.seeds) == max(len(s) for s, n in every if len(n) == most)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"tpu-int8"', '"nothing"', r"study\.toml: unknown accelerator 'nothing'"),
        ('"tpu-int8"', '"bitfusion"', "machines names one twice"),
        ('["bitfusion", "tpu-int8"]', "[]", "machines names none"),
        ("[0, 1]", '["a"]', r"seeds\.0 must be"),
        ("[0, 1]", "[0, 0]", "seeds of a comparison must be different"),
        ("[train]", 'folder = "x"\n[train]', "folder is not a known field"),
        ("[train]", "[train]\nseed = 1", r"train\.seed is not a setting here"),
        ('"0.95"', '"0.95 apples"', "apples"),
        ("exit_epochs", "exit_epoch", "no setting of training is called 'exit_epoch'"),
    ],
)
def test_a_study_that_cannot_be_is_refused(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(SETTINGS.replace(old, new))
    with pytest.raises(InputError, match=said):
        definition = StudyDefinition.read(path)
        line_up(definition.study())


def test_cells_that_are_none_are_named(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(SETTINGS)
    definition = StudyDefinition.read(path)
    cells = cells_of(definition, line_up(definition.study()))
    with pytest.raises(InputError, match="no cell is called 'dfs': write CONTENDER@SEED"):
        named_cells(cells, ["static-8", "dfs"])
    with pytest.raises(InputError, match="no cell is called ''"):
        named_cells(cells, [])
    assert [one.name for one in named_cells(cells, ["static-8@1", "static-8"])] == [
        "static-8@1",
        "static-8@0",
    ]


def test_who_cannot_take_part_on_a_machine_is_finished_without_it(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(SETTINGS)
    definition = StudyDefinition.read(path)
    here, there = priced_studies(definition)
    cell = Cell(here.field.contenders[0], 0)
    nobody = PricedStudy(there.machine, there.study, there.field, {}, {})
    assert cell.state(definition, [nobody]) == "finished"
    assert cell.state(definition, [there]) == "to do"


def test_networks_trained_for_choices_of_another_machine_are_left_out() -> None:
    trained = line_up(Study(CONFIG, (0,), ("static", "dfs"), points=()))
    other = replace(trained.contenders[0], config=replace(CONFIG, choices="8,16"))
    field = at_choices_of(trained, replace(trained, contenders=(other, *trained.contenders[1:])))
    assert field.contenders == trained.contenders[1:]
    assert field.left_out.keys() == {other.name}
    assert CONFIG.choices in field.left_out[other.name]


@pytest.mark.slow
def test_how_hard_inputs_are_is_told_by_the_backbone_there_is(
    definition: StudyDefinition, tmp_path: Path
) -> None:
    (cell,) = named_cells(cells_of(definition, line_up(definition.study())), ["static-8-exits@0"])
    folder = cell.folder(definition)
    ready = prepare(cell.contender, ContenderSetups().of(cell.contender.config), folder)
    splits = ready.setup.splits
    unknown = replace(splits, test=replace(splits.test, severity=None))
    elsewhere = replace(ready, folder=tmp_path, setup=replace(ready.setup, splits=unknown))
    hardness = difficulty(elsewhere)
    assert hardness.shape == (len(splits.test),)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_dealt_inputs_are_right_wherever_they_leave(definition: StudyDefinition) -> None:
    (cell,) = named_cells(cells_of(definition, line_up(definition.study())), ["static-8-exits@0"])
    setup = ContenderSetups().of(cell.contender.config)
    ready = prepare(cell.contender, setup, cell.folder(definition))
    network, test = ready.trained.network, setup.splits.test
    generator = torch.Generator().manual_seed(0)
    taken = torch.randint(len(network.exits) + 1, (len(test),), generator=generator)
    whole, exits = network.assign(ready.kept), len(network.exits)
    ends = [left_at(network, whole, at) for at in range(exits + 1)]
    choices = torch.stack(ends)[taken]
    assert exits_taken(network, choices).tolist() == taken.tolist()
    seen = right_at_exits(*beliefs_of(network, test, whole))
    dealt = evaluate(network, test, choices).predictions == test.labels
    assert (seen[np.arange(len(test)), taken] == dealt.numpy()).mean() > 0.998  # but for last bits
    assert 0 < seen.mean() < 1


@pytest.mark.slow
def test_a_page_goes_on_with_more_networks_of_fewer_seeds(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[3] / "results/digits"
    text = (
        (shipped / "study.toml").read_text().replace("machines = [", 'machines = ["bitfusion"] # ')
    )
    (tmp_path / "study.toml").write_text(text)
    cells = [
        (seed, name) for seed in range(3) for name in ("static-2", "static-4", "static-2-exits")
    ]
    for seed, name in cells:
        shutil.copytree(shipped / f"seed{seed}/{name}", tmp_path / f"seed{seed}/{name}")
    wider = tmp_path / "bitfusion/more-networks"
    for seed in (1, 2):
        (tmp_path / f"seed{seed}/static-2-exits").rename(tmp_path / f"away{seed}")
    page = study_page(StudyDefinition.read(tmp_path / "study.toml")).read_text()
    first, more = page.split("### More networks, of seed 0 alone")
    assert "Seeds 0, 1, 2." in first
    assert "2 bit, with exits" not in first
    assert "2 bit, with exits" in more
    assert "(bitfusion/more-networks/compare.md)" in more
    found = json.loads((wider / "compare.json").read_text())
    assert found["study"]["seeds"] == [0]
    left = json.loads((tmp_path / "bitfusion/compare.json").read_text())["left_out"]
    assert left["static-2-exits"] == "not finished of all seeds (0, 1, 2)"
    for seed in (1, 2):
        (tmp_path / f"away{seed}").rename(tmp_path / f"seed{seed}/static-2-exits")
    page = study_page(StudyDefinition.read(tmp_path / "study.toml")).read_text()
    assert "More networks" not in page
    assert not list(wider.iterdir())


def test_the_pages_example_of_a_study_is_the_one_that_is_shipped() -> None:
    example = (ROOT / "results/digits/study.toml").read_text(encoding="utf-8")
    assert f"```toml\n{example}```" in (ROOT / "docs/studies.md").read_text(encoding="utf-8")
