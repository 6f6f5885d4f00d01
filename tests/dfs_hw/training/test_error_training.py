"""Training for the gate that goes by estimated error: nothing of its own, and budgets that hold."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from trainings import QUICK, equal_states, setup_of

from dfs_hw.gates import ErrorGate
from dfs_hw.networks.checkpoint import load_checkpoint
from dfs_hw.recording import evaluate
from dfs_hw.training.run import train
from dfs_hw.training.stages.before_joint import train_supernet
from dfs_hw.training.stages.results import Trained
from dfs_hw.training.stages.tables import settled_anew

pytestmark = pytest.mark.usefixtures("one_thread")

BY_ERROR = replace(QUICK, gate="error", budget="0.75", feasibility=True, norm="running")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    folder = tmp_path_factory.mktemp("error")
    return train(BY_ERROR, folder, progress=False), folder


def test_the_network_is_that_of_all_widths_before_an_lstm_decides(
    run: tuple[Trained, Path], tmp_path: Path
) -> None:
    trained, folder = run
    (tmp_path / "supernet.safetensors").write_bytes((folder / "supernet.safetensors").read_bytes())
    found = train_supernet(setup_of(replace(BY_ERROR, gate="lstm")), tmp_path)
    assert not (tmp_path / "backbone.safetensors").exists()  # it was taken as it is
    assert equal_states(found.network.model, trained.network.model)


def test_a_budget_is_met_and_points_cost_what_their_decisions_do(run: tuple[Trained, Path]) -> None:
    trained, setup = run[0], setup_of(BY_ERROR)
    gate = trained.network.gate
    assert isinstance(gate, ErrorGate)
    assert trained.outcome.cost == pytest.approx(0.75, rel=0.02)
    assert trained.meets_budget
    for point in (0, 16, 32, int(gate.point)):
        gate.point.fill_(point)
        cost = setup.cost.of_choices(evaluate(trained.network, setup.judge).choices).mean()
        assert float(cost) == pytest.approx(float(gate.cost[point]), rel=1e-5)
    assert bool((gate.cost.diff() >= 0).all() and (gate.accuracy.diff() >= 0).all())
    assert float(gate.cost[0]) == pytest.approx(setup.cost.floor, rel=1e-3)
    assert gate.cost[-1] > 0.95


def test_prices_are_settled_anew_for_another_machine_and_the_fit_stays(
    run: tuple[Trained, Path],
) -> None:
    trained, folder = run
    kept = load_checkpoint(folder / "network.safetensors").network
    there = setup_of(replace(BY_ERROR, accelerator="loom-2b", budget="0.9"))
    again = settled_anew(there, trained)
    before, after = kept.gate.state_dict(), again.network.gate.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in ("level", "slope"))
    assert not torch.equal(before["table"], after["table"])
    assert equal_states(kept.model, again.network.model)
    assert again.outcome.cost == pytest.approx(0.9, rel=0.02)
