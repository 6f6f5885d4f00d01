"""Exits in training: what they go on from, what they leave alone, and budgets that hold."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from trainings import TINY, equal_states, setup_of

from accel_models.errors import InputError
from dfs_hw.experiment import run_experiment
from dfs_hw.gates import ConfidenceGate
from dfs_hw.networks.checkpoint import load_checkpoint
from dfs_hw.recording import evaluate
from dfs_hw.report.sources.run_file import read_run
from dfs_hw.training.run import train
from dfs_hw.training.stages.before_joint import train_fixed, train_supernet
from dfs_hw.training.stages.exits import train_exits
from dfs_hw.training.stages.results import Trained

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

LEAVING = replace(
    TINY,
    choices="skip,2,8,exit",
    gate="confidence",
    exits_on="supernet",
    exit_epochs=2,
    budget="0.8",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    folder = tmp_path_factory.mktemp("exits")
    return train(LEAVING, folder, progress=False), folder


def test_what_comes_before_exits_is_the_network_without_them(
    run: tuple[Trained, Path], tmp_path: Path
) -> None:
    trained, folder = run
    bare = setup_of(TINY)
    (tmp_path / "supernet.safetensors").write_bytes((folder / "supernet.safetensors").read_bytes())
    found = train_supernet(bare, tmp_path)
    assert not (tmp_path / "backbone.safetensors").exists()  # it was taken as it is
    assert equal_states(found.network.model, trained.network.model)


def test_exits_learn_and_nothing_else_does(run: tuple[Trained, Path]) -> None:
    trained, folder = run
    before = train_supernet(setup_of(LEAVING).trunk, folder).network
    exits = train_exits(setup_of(LEAVING), folder)
    assert equal_states(before.model, exits.network.model)
    assert exits.history[-1].validation_accuracy > exits.history[0].validation_accuracy - 0.02
    assert exits.history[-1].validation_accuracy > 0.15  # of ten classes
    assert trained.network.leaving == 3


def test_a_point_costs_what_its_table_says_and_the_budget_is_met(run: tuple[Trained, Path]) -> None:
    trained, setup = run[0], setup_of(LEAVING)
    gate = trained.network.gate
    assert isinstance(gate, ConfidenceGate)
    assert trained.outcome.cost == pytest.approx(0.8, rel=0.02)
    for point in (0, 10, 20, 32, int(gate.point)):
        gate.point.fill_(point)
        seen = evaluate(trained.network, setup.judge)
        cost = float(setup.cost.of_choices(seen.choices).mean())
        assert cost == pytest.approx(float(gate.cost[point]), rel=1e-4)
    assert bool((gate.cost.diff() >= 0).all() and (gate.accuracy.diff() >= 0).all())


def test_a_floor_is_kept_at_least_cost_or_refused_with_the_best_there_is(
    run: tuple[Trained, Path],
) -> None:
    (trained, folder), floor = run, 0.0
    gate = load_checkpoint(folder / "network.safetensors").network.gate
    assert isinstance(gate, ConfidenceGate)
    floor = float(gate.accuracy[20])
    found = train(replace(LEAVING, floor=floor), folder, progress=False, overwrite=True)
    again = found.network.gate
    assert isinstance(again, ConfidenceGate)
    assert float(again.accuracy[again.point]) >= floor
    assert again.point == 0 or float(again.accuracy[again.point - 1]) < floor
    with pytest.raises(InputError, match=r"no setting reaches an accuracy of 100\.0%: the best"):
        train(replace(LEAVING, floor=1.0), folder, progress=False, overwrite=True)
    assert trained.network.exits


def test_exits_of_one_width_are_on_the_static_network_and_answer_as_it_does(
    tmp_path: Path,
) -> None:
    config = replace(LEAVING, choices="8,exit", exits_on="static", exit_epochs=1)
    trained = train(config, tmp_path, progress=False)
    setup = setup_of(config)
    static = train_fixed(setup, 8, tmp_path / "static").network
    assert equal_states(static.model, trained.network.model)
    network, leaving = trained.network, trained.network.leaving
    whole = evaluate(network, setup.judge, network.uniform(8)).predictions
    assert torch.equal(whole, evaluate(static, setup.judge, static.uniform(8)).predictions)
    left = evaluate(network, setup.judge).choices
    assert set(left.unique().tolist()) <= {leaving, int(network.uniform(8)[0])}
    assert bool((left == leaving).any())


def test_an_experiment_with_an_lstm_that_leaves_goes_all_the_way(tmp_path: Path) -> None:
    config = replace(TINY, choices="2,8,exit", exit_epochs=1, joint_epochs=1, feasibility=False)
    found = read_run(run_experiment(config, tmp_path, progress=False))
    kinds = [variant.kind for variant in found.variants]
    assert kinds == ["static", "static", "adaptive", "frozen", "shuffled"]
    saved = load_checkpoint(tmp_path / "network.safetensors").network
    assert torch.isfinite(saved.exits["0"].hidden.weight).all()


def test_the_trunk_of_exits_needs_no_budget_that_it_could_reach() -> None:
    paper = replace(LEAVING, metric="paper", gate="lstm", exits_on="static", budget="0.01")
    assert setup_of(paper).trunk.cost.ceiling < 1
    with pytest.raises(InputError, match="exits has no effect"):
        replace(TINY, exits="block2")


def test_where_an_accuracy_is_asked_for_nobody_has_to_reach_the_budget() -> None:
    unreached = replace(LEAVING, budget="0.01")
    with pytest.raises(InputError, match="can be reached"):
        setup_of(unreached)
    assert setup_of(replace(unreached, floor=0.5)).floor == 0.5
