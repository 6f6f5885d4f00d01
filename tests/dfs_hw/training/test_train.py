"""Training as a whole: stages that build on each other, resume, and keep to what they were told."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from trainings import DFS_STAGES, QUICK, TINY, Mine, equal_states, mine, setup_of

from accel_models.errors import DfsHwError, InputError
from dfs_hw.networks import make_dynamic
from dfs_hw.networks.checkpoint import load_checkpoint, read_facts
from dfs_hw.quantize.layers import PrecisionNorm
from dfs_hw.recording import evaluate
from dfs_hw.tensor_file import read_tensors, write_tensors
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.run import train, train_static
from dfs_hw.training.setup import TrainingSetup
from dfs_hw.training.stages.before_joint import random_assignment, train_fixed, train_supernet
from dfs_hw.training.stages.calibration import calibrate, open_all_widths
from dfs_hw.training.stages.gates import train_gates
from dfs_hw.training.stages.results import Trained, relevant
from dfs_hw.training.stages.validation import validate

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    folder = tmp_path_factory.mktemp("run")
    return train(TINY, folder, progress=False), folder


@pytest.fixture(scope="module")
def first() -> TrainingSetup:
    return setup_of(QUICK)


def checkpoints(folder: Path) -> list[Path]:
    return list(folder.glob("*.safetensors"))


def test_equal_seeds_give_identical_networks_also_from_saved_stages(tmp_path: Path) -> None:
    config = replace(QUICK, norm="running", feasibility=True)
    first = train(config, tmp_path / "first", progress=False)
    (tmp_path / "second").mkdir()
    for name in ("backbone.safetensors", "supernet.safetensors", "gates.safetensors"):
        (tmp_path / "second" / name).write_bytes((tmp_path / "first" / name).read_bytes())
    for folder in ("second", "third"):
        again = train(config, tmp_path / folder, progress=False)
        assert equal_states(first.network, again.network)
        assert first.history == again.history
    other = train(replace(config, seed=1), tmp_path / "fourth", progress=False)
    assert not equal_states(first.network, other.network)


def test_a_finished_run_is_not_repeated(run: tuple[Trained, Path]) -> None:
    trained, folder = run
    written = (folder / "network.safetensors").stat().st_mtime_ns
    again = train(TINY, folder, progress=False)
    assert (folder / "network.safetensors").stat().st_mtime_ns == written
    assert (again.history, again.chosen) == (trained.history, trained.chosen)
    assert again.outcome == trained.outcome
    assert equal_states(trained.network, again.network)
    assert not [path for path in folder.iterdir() if "resume" in path.name]


def test_what_was_trained_before_a_setting_came_is_found_again(
    run: tuple[Trained, Path], tmp_path: Path
) -> None:
    """At the setting's default, which is what went before it."""
    shutil.copytree(run[1], tmp_path, dirs_exist_ok=True)
    settings = json.loads((tmp_path / "settings.json").read_text())
    del settings["shaping"]
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    kept = tmp_path / "network.safetensors"
    tensors, facts = read_tensors(kept, "checkpoint", "")
    del facts["settings"]["config"]["shaping"]
    write_tensors(kept, "checkpoint", tensors, facts)
    written = kept.read_bytes()
    train(TINY, tmp_path, progress=False)
    assert kept.read_bytes() == written
    with pytest.raises(InputError, match=r"other settings \(shaping was 0\.0, is 0\.5\)"):
        train(replace(TINY, shaping=0.5), tmp_path, progress=False)


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"budget": "0.8", "beta": 0.1, "controller": "pi"}, {"joint"}),
        ({"joint_lr": 0.02}, {"joint", "static"}),
        ({"gate_lr": 0.02}, {"joint", "gates"}),
        ({"metric": "bitops"}, {"joint", "gates"}),
        ({"accelerator": "stripes"}, {"joint", "gates"}),
        ({"supernet_lr": 0.02}, {"joint", "gates", "static", "supernet"}),
        ({"seed": 1}, {"joint", "gates", "static", "supernet", "backbone"}),
        ({"backbone_lr": 0.05}, {"joint", "gates", "static", "supernet", "backbone"}),
    ],
)
def test_what_a_stage_depends_on(
    first: TrainingSetup, change: dict[str, Any], changed: set[str]
) -> None:
    other = setup_of(replace(QUICK, **change))
    kinds = ("backbone", "supernet", "gates", "joint", "static")
    assert {kind for kind in kinds if relevant(first, kind) != relevant(other, kind)} == changed


def test_only_what_other_settings_change_is_trained_again(tmp_path: Path) -> None:
    times = []
    for budget in ("0.9", "0.8"):
        train(replace(QUICK, budget=budget), tmp_path, progress=False, overwrite=True)
        train_static(replace(QUICK, budget=budget), 8, tmp_path, progress=False)
        times.append({path.stem: path.stat().st_mtime_ns for path in checkpoints(tmp_path)})
    assert {name for name in times[0] if times[0][name] != times[1][name]} == {"network"}


def test_a_static_network_is_of_no_machine_and_costs_what_each_charges(tmp_path: Path) -> None:
    here, there = (setup_of(replace(QUICK, accelerator=one)) for one in ("bitfusion", "loom-2b"))
    first, second = (train_fixed(setup, 2, tmp_path) for setup in (here, there))
    assert equal_states(first.network, second.network)
    assert first.history == second.history
    narrow = first.network.uniform(2)[None]
    for setup, trained in ((here, first), (there, second)):
        assert trained.outcome.cost == pytest.approx(setup.cost.of_choices(narrow).item())
    assert first.outcome.cost != second.outcome.cost


def test_gates_learn_to_ask_for_the_highest_precision_first(run: tuple[Trained, Path]) -> None:
    facts = read_facts(run[1] / "gates.safetensors")
    fresh = load_checkpoint(run[1] / "backbone.safetensors").network
    this = setup_of(TINY)
    images, _ = next(this.splits.validation.batches(64))
    untaught = this.cost(fresh.train().watch(images, fresh.uniform(8))).mean()
    assert facts["outcome"]["cost"] > untaught
    assert facts["outcome"]["cost"] > 0.95


def test_gates_can_start_biased_instead(tmp_path: Path) -> None:
    this = setup_of(replace(QUICK, gate_start="biased"))
    network = train_gates(this, tmp_path).network
    assert (evaluate(network, this.splits.test).choices == network.uniform(8)).all()
    assert not (tmp_path / "gates.safetensors").exists()


def test_the_network_learned_something(run: tuple[Trained, Path]) -> None:
    # Chance is 0.1. How far so few steps get depends on how a CPU rounds: one comes to 0.5.
    assert evaluate(run[0].network, setup_of(TINY).splits.test).accuracy > 0.3


def test_result_and_file_agree(run: tuple[Trained, Path]) -> None:
    trained, folder = run
    saved = load_checkpoint(folder / "network.safetensors")
    assert equal_states(trained.network, saved.network)
    assert (saved.facts["stage"], saved.facts["kind"]) == ("joint", "joint")
    assert TrainConfig.from_dict(saved.facts["config"]) == TINY
    assert trained.chosen is not None
    assert saved.facts["chosen"] == asdict(trained.chosen)
    accuracy, cost, _ = validate(setup_of(TINY), saved.network)
    assert (accuracy, cost) == (trained.outcome.accuracy, trained.outcome.cost)


def test_whether_the_budget_was_met_is_said_plainly(run: tuple[Trained, Path]) -> None:
    trained = run[0]
    for cost, met in ((0.9, True), (0.92, True), (0.93, False), (0.88, True), (0.87, False)):
        reached = replace(trained, outcome=replace(trained.outcome, cost=cost))
        assert reached.meets_budget == met


def test_static_baseline_runs_at_one_width_or_one_for_each_unit(tmp_path: Path) -> None:
    uniform = train_static(QUICK, 2, tmp_path, progress=False)
    mixed = train_static(QUICK, ["skip", 8], tmp_path, progress=False)
    assert {path.name for path in checkpoints(tmp_path)} == {
        *("backbone.safetensors", "static-2.safetensors", "static-skip-8.safetensors")
    }
    cost = setup_of().cost
    for trained, choices in ((uniform, [1, 1]), (mixed, [0, 2])):
        wanted = cost.of_choices(torch.tensor([choices])).item()
        assert trained.outcome.cost == pytest.approx(wanted)


def test_the_backbone_itself_is_not_trained_further(tmp_path: Path) -> None:
    train_static(QUICK, 8, tmp_path, progress=False)
    before = (tmp_path / "backbone.safetensors").read_bytes()
    train(QUICK, tmp_path, progress=False)
    assert (tmp_path / "backbone.safetensors").read_bytes() == before


def test_running_statistics_start_from_images_at_every_width() -> None:
    this = setup_of(replace(DFS_STAGES, norm="running"))
    network = this.network()
    open_all_widths(this, network)
    norms = [module for module in network.modules() if isinstance(module, PrecisionNorm)]
    assert not any(norm.by_batch for norm in norms)
    assert network.branches == "chosen"
    for name, value in network.state_dict().items():
        if "gate." not in name:
            assert value.isfinite().all(), name
    inside = [norm for unit in network.blocks for norm in unit.modules() if norm in norms]
    for norm in inside:
        assert not torch.equal(norm.mean[0], norm.mean[1])  # what 2 and 8 bits see differs


def test_batch_norm_in_stage_3_goes_by_the_batch_if_that_is_wanted() -> None:
    this = setup_of(DFS_STAGES)
    network = this.network()
    open_all_widths(this, network)
    norms = [module for module in network.modules() if isinstance(module, PrecisionNorm)]
    assert all(norm.by_batch for norm in norms)
    assert network.branches == "all"


def test_choices_of_the_supernet_are_drawn_from_what_units_offer() -> None:
    network = setup_of().network()
    network.offered[0, 1] = False
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([random_assignment(network, generator) for _ in range(600)])
    shares = torch.nn.functional.one_hot(drawn, 3).double().mean(0)
    assert shares[0, 1] == 0
    # A share p of n draws has a deviation of sqrt(p (1 - p) / n), here 0.02.
    wanted = torch.tensor([[1 / 2, 0, 1 / 2], [1 / 3, 1 / 3, 1 / 3]])
    assert (shares - wanted).abs().max() < 4 * 0.0205


def test_the_supernet_trains_norms_of_every_width_and_stage_3_starts_from_them(
    tmp_path: Path,
) -> None:
    this = setup_of(replace(QUICK, supernet_steps=6, norm="running"))
    network = train_supernet(this, tmp_path).network
    norms = [
        module
        for unit in network.blocks
        for module in unit.modules()
        if isinstance(module, PrecisionNorm)
    ]
    trained = [(norm.weight.detach().clone(), norm.mean.clone()) for norm in norms]
    assert all(not torch.equal(weight[0], weight[1]) for weight, _ in trained)
    open_all_widths(this, network)
    for norm, (weight, mean) in zip(norms, trained, strict=True):
        assert torch.equal(norm.weight, weight)
        assert torch.equal(norm.mean, mean)
        assert not norm.by_batch


def test_a_supernet_has_for_every_width_the_statistics_of_that_width_alone(tmp_path: Path) -> None:
    """To within the eighth of older ones that calibration leaves; those of the last draws are a
    third of a deviation off."""
    this = setup_of(replace(QUICK, supernet_steps=6, norm="running"))
    network = train_supernet(this, tmp_path).network
    norms = [part for part in network.modules() if isinstance(part, PrecisionNorm)]
    left = [(norm.mean.clone(), norm.variance.clone()) for norm in norms]
    for _ in range(3):  # ever nearer to those of calibration's images
        calibrate(this, network)
    for norm, (mean, variance) in zip(norms, left, strict=True):
        assert ((norm.mean - mean).abs() < 0.1 * norm.variance.sqrt()).all()
        assert ((norm.variance / variance).log().abs() < 0.2).all()


def test_baselines_have_as_many_steps_as_supernet_and_stage_3() -> None:
    config = replace(TINY, supernet_epochs=3, joint_epochs=4)
    assert config.length("static", 17) == (7 * 17, 17)
    assert DFS_STAGES.length("static", 17) == DFS_STAGES.length("joint", 17)


def test_divergence_is_reported_and_the_last_good_network_kept(tmp_path: Path) -> None:
    with pytest.raises(DfsHwError, match=r"no longer finite.*learning rate"):
        train(replace(QUICK, backbone_lr=1e9), tmp_path, progress=False)
    train_static(QUICK, 8, tmp_path, progress=False)
    kept = (tmp_path / "static-8.safetensors").read_bytes()
    with pytest.raises(DfsHwError, match=r"not finite|no longer finite"):
        train_static(replace(QUICK, supernet_lr=1e9), 8, tmp_path, progress=False, overwrite=True)
    assert (tmp_path / "static-8.safetensors").read_bytes() == kept


def test_unusable_settings_are_refused_before_training(tmp_path: Path) -> None:
    for change, complaint in (
        ({"budget": "0.01"}, "can be reached"),
        ({"budget": "p95"}, "is not a budget"),
        ({"network": "resnet9"}, "no network is called"),
        ({"choices": "8,8"}, "twice"),
        ({"metric": "power"}, "unknown metric"),
        ({"data": "mnist"}, "no data set"),
        ({"gate": "oracle"}, "no gate is called 'oracle'"),
        ({"quantizer": "ternary"}, "'ternary' is no quantiser"),
        ({"faults": ("inverted-ema",)}, "has no fault"),
        ({"accelerator": "abacus"}, "abacus"),
    ):
        with pytest.raises(InputError, match=complaint):
            train(replace(TINY, **change), tmp_path, progress=False)
    for device in ("abacus", "meta"):
        with pytest.raises(InputError, match=f"cannot train on the device '{device}'"):
            train(TINY, tmp_path, device=device, progress=False)
    assert not list(tmp_path.iterdir())


def test_a_network_of_ones_own_is_trained_and_stays_as_it_was(tmp_path: Path) -> None:
    network, before = mine(), mine()
    trained = train(QUICK, tmp_path, network, progress=False)
    assert equal_states(network, before)
    assert not equal_states(trained.network, before)
    assert trained.network.units == ("first", "second")
    times = {path.name: path.stat().st_mtime_ns for path in checkpoints(tmp_path)}
    again = train(QUICK, tmp_path, mine(), progress=False)
    assert {path.name: path.stat().st_mtime_ns for path in checkpoints(tmp_path)} == times
    assert equal_states(trained.network, again.network)
    filled = load_checkpoint(tmp_path / "network.safetensors", mine()).network
    assert equal_states(trained.network, filled)
    with torch.no_grad():
        network.model.head.weight.add_(1)
    with pytest.raises(InputError, match="network and images was"):
        train(QUICK, tmp_path, network, progress=False)
    train(QUICK, tmp_path, network, progress=False, overwrite=True)
    assert (tmp_path / "backbone.safetensors").stat().st_mtime_ns != times["backbone.safetensors"]


def test_a_trained_network_needs_no_backbone_stage(tmp_path: Path) -> None:
    config = replace(QUICK, backbone_steps=0, backbone_epochs=0, norm="running")
    trained = train_static(config, 8, tmp_path, mine(), progress=False)
    assert {path.name for path in checkpoints(tmp_path)} == {"static-8.safetensors"}
    assert len(trained.history) == 4  # of supernet and stage 3 together


def test_a_network_that_does_not_fit_the_images_is_refused(tmp_path: Path) -> None:
    colour = make_dynamic(nn.Sequential(nn.Conv2d(3, 1, 1), Mine()), "2,8", image=(3, 16, 16))
    with pytest.raises(InputError, match="3 channels, and those of digits have 1"):
        train(QUICK, tmp_path, colour, progress=False)
    fixed = nn.Sequential(Mine().first, Mine().second, nn.Flatten(), nn.Linear(4 * 64, 10))
    with pytest.raises(InputError, match="does not run on images of 16x16"):
        train(QUICK, tmp_path, make_dynamic(fixed, "2,8", image=(1, 8, 8)), progress=False)
    few = make_dynamic(Mine(), "2,8", image=(1, 16, 16))
    with pytest.raises(InputError, match="3 classes apart, and digits has 10"):
        train(QUICK, tmp_path, few, progress=False)


def test_the_papers_count_asks_no_machine(tmp_path: Path) -> None:
    # No multiplier of that machine is wide enough for what full precision is charged as.
    config = replace(QUICK, metric="paper", accelerator="tpu-int8", choices="skip,8,full")
    config = replace(config, budget="30%", joint_steps=1)
    trained = train(config, tmp_path, progress=False)
    assert trained.budget.fraction == 0.3
    cost = setup_of(config).cost
    assert cost.of_choices(torch.tensor([[0, 1], [2, 2]])).tolist() == [1 / 32, 1]
