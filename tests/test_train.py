import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from accel_models.errors import DfsHwError, InputError
from dfs_hw.checkpoint import load_checkpoint, save_checkpoint
from dfs_hw.fit import Epoch, latest_of_the_best
from dfs_hw.networks import build_network
from dfs_hw.record import evaluate
from dfs_hw.train import Bench, TrainConfig, Trained, recipe, train, train_static

TINY = TrainConfig(
    network="resnet8",
    widths=(4, 8, 8),
    choices="skip,2,8",
    budget="0.9",
    backbone_epochs=2,
    gate_epochs=1,
    joint_epochs=2,
    batch=32,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Path]:
    folder = tmp_path_factory.mktemp("run")
    return train(TINY, folder, progress=False), folder


def equal_states(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) or (a.isnan() & b.isnan()).any() for a, b in pairs)


def test_equal_seeds_give_identical_networks(run: tuple[Trained, Path], tmp_path: Path) -> None:
    again = train(TINY, tmp_path, progress=False)
    assert equal_states(run[0].network, again.network)
    assert run[0].history == again.history


def test_going_on_from_saved_stages_changes_nothing(
    run: tuple[Trained, Path], tmp_path: Path
) -> None:
    trained, folder = run
    for name in ("backbone.safetensors", "gates.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    again = train(TINY, tmp_path, progress=False)
    assert equal_states(trained.network, again.network)


def test_a_finished_run_is_not_repeated(run: tuple[Trained, Path]) -> None:
    trained, folder = run
    written = (folder / "network.safetensors").stat().st_mtime_ns
    again = train(TINY, folder, progress=False)
    assert (folder / "network.safetensors").stat().st_mtime_ns == written
    assert (again.history, again.chosen) == (trained.history, trained.chosen)
    assert equal_states(trained.network, again.network)


def test_saved_stages_of_other_settings_are_not_used(
    run: tuple[Trained, Path], tmp_path: Path
) -> None:
    _, folder = run
    (tmp_path / "backbone.safetensors").write_bytes((folder / "backbone.safetensors").read_bytes())
    train_static(replace(TINY, seed=1, joint_epochs=1), 8, tmp_path, progress=False)
    before, after = (load_checkpoint(f / "backbone.safetensors") for f in (folder, tmp_path))
    assert not equal_states(before.network, after.network)


def test_gates_learn_to_ask_for_the_highest_precision_first(
    run: tuple[Trained, Path],
) -> None:
    facts = load_checkpoint(run[1] / "gates.safetensors").facts
    bench = Bench.of(TINY, progress=False)
    fresh = load_checkpoint(run[1] / "backbone.safetensors").network
    images, _ = next(bench.splits.train.batches(64))
    untaught = bench.cost(fresh.train().watch(images, fresh.uniform(8))).mean()
    assert facts["history"][-1]["train_cost"] > untaught
    assert facts["history"][-1]["train_cost"] > 0.95


def test_the_network_learned_something(run: tuple[Trained, Path]) -> None:
    bench = Bench.of(TINY, progress=False)
    assert evaluate(run[0].network, bench.splits.test).accuracy > 0.3  # chance is 0.1


def test_result_and_file_agree(run: tuple[Trained, Path]) -> None:
    trained, folder = run
    saved = load_checkpoint(folder / "network.safetensors")
    assert equal_states(trained.network, saved.network)
    assert saved.facts["stage"] == "joint"
    assert saved.facts["finished"]
    assert TrainConfig.from_dict(saved.facts["config"]) == TINY
    assert saved.facts["chosen"] == asdict(trained.chosen)
    bench = Bench.of(TINY, progress=False)
    accuracy, cost = bench.validate(saved.network)
    assert accuracy == trained.chosen.validation_accuracy
    assert cost == pytest.approx(trained.chosen.validation_cost)


def test_whether_the_budget_was_met_is_said_plainly(run: tuple[Trained, Path]) -> None:
    trained = run[0]
    within = abs(trained.chosen.validation_cost / 0.9 - 1) <= 0.025
    assert trained.meets_budget == within
    far = replace(trained, chosen=replace(trained.chosen, validation_cost=0.5))
    assert not far.meets_budget


def test_static_baseline_runs_at_one_width_or_one_for_each_unit(
    run: tuple[Trained, Path],
) -> None:
    config = replace(TINY, joint_epochs=1)
    uniform = train_static(config, 2, run[1], progress=False)
    mixed = train_static(config, ["skip", 8], run[1], progress=False)
    assert (run[1] / "static-2.safetensors").is_file()
    assert (run[1] / "static-skip-8.safetensors").is_file()
    bench = Bench.of(config, progress=False)
    for trained, choices in ((uniform, [1, 1]), (mixed, [0, 2])):
        wanted = bench.cost.of_choices(torch.tensor([choices])).item()
        assert trained.chosen.validation_cost == pytest.approx(wanted)


def test_divergence_is_reported_and_the_last_good_network_kept(tmp_path: Path) -> None:
    with pytest.raises(DfsHwError, match=r"no longer finite.*lower the learning rate"):
        train(replace(TINY, backbone_lr=1e30), tmp_path, progress=False)
    train_static(replace(TINY, joint_epochs=1), 8, tmp_path, progress=False)
    kept = (tmp_path / "static-8.safetensors").read_bytes()
    with pytest.raises(DfsHwError, match="stage 'static 8'"):
        train_static(replace(TINY, joint_lr=1e30), 8, tmp_path, progress=False)
    assert (tmp_path / "static-8.safetensors").read_bytes() == kept


def epochs(*accuracies: float) -> list[Epoch]:
    return [Epoch("joint", n, 0.1, 1.0, 0.6, a, 0.6) for n, a in enumerate(accuracies, start=1)]


def test_the_latest_epoch_within_a_standard_error_is_chosen() -> None:
    # At 0.9 of 100 inputs the standard error is 0.03.
    assert latest_of_the_best(epochs(0.5, 0.9, 0.88, 0.86), 100).number == 3
    assert latest_of_the_best(epochs(0.5, 0.9, 0.88, 0.86), 10_000).number == 2


def test_unusable_settings_are_refused_before_training(tmp_path: Path) -> None:
    for change, complaint in (
        ({"budget": "0.01"}, "can be reached"),
        ({"network": "resnet9"}, "no network is called"),
        ({"choices": "8,8"}, "twice"),
        ({"metric": "power"}, "no metric"),
        ({"data": "mnist"}, "no data set"),
    ):
        with pytest.raises(InputError, match=complaint):
            train(replace(TINY, **change), tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


def test_recipes_take_changes_and_refuse_unknown_ones() -> None:
    assert recipe("cifar10", seed=4).seed == 4
    assert recipe("digits") == TrainConfig()
    with pytest.raises(InputError, match=r"'sead'.*seed"):
        recipe("digits", sead=4)
    assert TrainConfig.from_dict(json.loads(json.dumps(asdict(TINY)))) == TINY


def test_checkpoints_come_back_as_they_were(tmp_path: Path) -> None:
    network = build_network("resnet8", "skip,4/8,8", 3, 2, widths=(4, 5, 6), seed=2)
    path = save_checkpoint(tmp_path / "deep" / "n.safetensors", network, {"note": "hello"})
    saved = load_checkpoint(path)
    assert equal_states(network, saved.network)
    assert saved.network.choices == network.choices
    assert saved.facts["note"] == "hello"
    assert "torch" in saved.facts["versions"]
    assert [file.name for file in path.parent.iterdir()] == ["n.safetensors"]


def test_damaged_and_foreign_files_are_told_apart(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    network = build_network("resnet8", "skip,8", 3, 1, widths=(4, 4, 4))
    whole = save_checkpoint(tmp_path / "whole.safetensors", network, {})
    short = tmp_path / "short.safetensors"
    short.write_bytes(whole.read_bytes()[:-100])
    text = tmp_path / "text.safetensors"
    text.write_text("not a network")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(2)}, foreign)
    about = {"shape": {**network.shape, "classes": 4}}
    other = tmp_path / "other.safetensors"
    save_file(dict(network.state_dict()), other, {"dfs-hw": json.dumps(about)})
    for path, complaint in (
        (tmp_path / "absent", "there is no checkpoint"),
        (short, "short.safetensors is damaged"),
        (text, "text.safetensors is damaged"),
        (foreign, "no dfs-hw checkpoint"),
        (other, "does not fit"),
    ):
        with pytest.raises(InputError, match=complaint):
            load_checkpoint(path)
