import resource
import signal
import threading
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import killed_training
import pytest
import staging
import torch
from killing import kill_when, killed_while_writing
from safetensors.torch import load_file, save_file
from torch import Tensor

from accel_models.errors import DfsHwError, InputError
from dfs_hw.training.loop.run_stage import Batch, Epoch, StepResult, Validation
from dfs_hw.training.loop.snapshot import (
    Snapshot,
    discard_snapshot,
    read_snapshot,
    snapshot_path,
    write_snapshot,
)

pytestmark = pytest.mark.usefixtures("one_thread")


class Outcome(NamedTuple):
    history: list[Epoch]
    chosen: Epoch
    left: dict[str, Tensor]
    """State of the network as the stage left it."""
    last: dict[str, Tensor]
    """The same after all steps; empty if none was taken."""


def train(folder: Path, at: Any = lambda batch: False, number: int = signal.SIGINT) -> Outcome:
    """Train afresh, or go on from the snapshot in `folder`; signals arrive in steps `at`."""
    network, last = staging.network(staging.RANDOM), {}
    stage = staging.stopping(staging.joint_stage(network), number, at)

    def observe(epoch: Epoch) -> None:
        stage.observe(epoch)
        last.update({name: value.clone() for name, value in network.state_dict().items()})

    history, chosen = staging.run(replace(stage, observe=observe), network, folder)
    return Outcome(history, chosen, network.state_dict(), last)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return train(tmp_path_factory.mktemp("whole"))


def assert_same(first: Outcome, second: Outcome) -> None:
    assert (first.history, first.chosen) == (second.history, second.chosen)
    assert_equal(first.left, second.left)
    if first.last:
        assert_equal(first.last, second.last)


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor.nan_to_num(-1), second[name].nan_to_num(-1)), name


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_stage_stopped_again_and_again_ends_the_same_to_the_bit(
    every: int, uninterrupted: Outcome, tmp_path: Path
) -> None:
    stops = 0
    while True:
        first = steps_done(tmp_path)
        try:
            outcome = train(tmp_path, lambda batch: batch.number == first + every - 1)  # noqa: B023
        except KeyboardInterrupt:
            stops += 1
            assert steps_done(tmp_path) == first + every
        else:
            break
    assert stops == 7 // every
    assert_same(outcome, uninterrupted)


def steps_done(folder: Path) -> int:
    """Steps done, by the snapshot."""
    found = read_snapshot(snapshot_path(folder / "joint.safetensors"))
    return 0 if found is None else found.facts["step"]


@pytest.mark.slow
def test_the_stage_under_test_has_everything_that_could_be_forgotten(
    uninterrupted: Outcome, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, lambda batch: batch.number == 4)
    path = snapshot_path(tmp_path / "joint.safetensors")
    found = read_snapshot(path)
    assert found is not None
    fresh = staging.joint_stage(staging.network(staging.RANDOM)).state()
    assert found.facts["controller"] != fresh
    assert found.parts["epoch"]["totals"].abs().min() > 0
    for part in ("network", "chosen", "momentum"):
        assert any(tensor.abs().sum() > 0 for tensor in found.parts[part].values())
    assert any(
        not torch.equal(tensor.nan_to_num(-1), found.parts["chosen"][name].nan_to_num(-1))
        for name, tensor in found.parts["network"].items()
    )
    # Nothing of it is idle: a run that goes on without one of them ends elsewhere.
    for change in (without_momentum, with_fresh_controller, with_weights_of_the_chosen):
        write_snapshot(path, change(found))
        assert not same_weights(train(tmp_path).left, uninterrupted.left), change


def same_weights(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[n].nan_to_num(-1), second[n].nan_to_num(-1)) for n in first)


def without_momentum(snapshot: Snapshot) -> Snapshot:
    zeros = {name: torch.zeros_like(x) for name, x in snapshot.parts["momentum"].items()}
    return replace(snapshot, parts={**snapshot.parts, "momentum": zeros})


def with_fresh_controller(snapshot: Snapshot) -> Snapshot:
    fresh = {**snapshot.facts["controller"], "log_price": 2.0}
    return replace(snapshot, facts={**snapshot.facts, "controller": fresh})


def with_weights_of_the_chosen(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, parts={**snapshot.parts, "network": snapshot.parts["chosen"]})


@pytest.mark.slow
def test_one_process_can_go_on_where_two_have_stopped(
    uninterrupted: Outcome, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, lambda batch: batch.number == 4)
    path = snapshot_path(tmp_path / "joint.safetensors")
    found = read_snapshot(path)
    assert found is not None
    (own,) = found.parts["epoch"]["totals"]
    of_two = {"totals": torch.stack([2 * own, 0 * own])}
    write_snapshot(path, replace(found, parts={**found.parts, "epoch": of_two}))
    assert_same(train(tmp_path), uninterrupted)


@pytest.mark.slow
def test_sigterm_ends_with_status_143_and_nothing_is_lost(
    uninterrupted: Outcome, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as ended:
        train(tmp_path, lambda batch: batch.number == 3, signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM
    assert steps_done(tmp_path) == 4
    assert_same(train(tmp_path), uninterrupted)


def test_signals_do_afterwards_what_they_did_before(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, lambda batch: batch.number == 3)
    train(tmp_path)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_handler_of_the_programs_own_is_called_once_the_snapshot_is_there(
    tmp_path: Path,
) -> None:
    found: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: found.append(steps_done(tmp_path)))
    try:
        with pytest.raises(SystemExit):
            train(tmp_path, lambda batch: batch.number == 3, signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert found == [4]


def test_an_ignored_signal_stays_ignored(uninterrupted: Outcome, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert_same(train(tmp_path, lambda batch: batch.number == 3), uninterrupted)
    finally:
        signal.signal(signal.SIGINT, before)


def test_who_insists_need_not_wait_for_the_step_to_end(tmp_path: Path) -> None:
    network = staging.network()

    def endless(batch: Batch) -> StepResult:
        while True:
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.05)

    stage = replace(staging.joint_stage(network), step=endless)
    with pytest.raises(KeyboardInterrupt):
        staging.run(stage, network, tmp_path)


def test_other_threads_train_without_noting_signals(uninterrupted: Outcome, tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(train(tmp_path)))
    thread.start()
    thread.join()
    assert_same(outcomes[0], uninterrupted)


def test_a_signal_during_the_last_save_is_obeyed_after_it(tmp_path: Path) -> None:
    network, saved = staging.network(), []

    def save(history: object, chosen: object) -> None:
        signal.raise_signal(signal.SIGINT)
        saved.append(True)

    with pytest.raises(KeyboardInterrupt):
        staging.run(staging.joint_stage(network), network, tmp_path, save=save)
    assert saved
    assert not list(tmp_path.iterdir())


def test_the_snapshot_goes_only_when_the_result_is_saved(
    uninterrupted: Outcome, tmp_path: Path
) -> None:
    network = staging.network(staging.RANDOM)
    seen: list[dict[str, Tensor]] = []

    def fail(history: list[Epoch], chosen: Epoch) -> None:
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        raise InputError("the disk is full")

    with pytest.raises(InputError, match="the disk is full"):
        staging.run(staging.joint_stage(network), network, tmp_path, save=fail)
    assert_equal(seen[0], uninterrupted.left)
    assert steps_done(tmp_path) == 7
    assert_same(train(tmp_path, lambda batch: pytest.fail("a step was repeated")), uninterrupted)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_snapshots_come_after_every_epoch_and_after_a_while(tmp_path: Path) -> None:
    for seconds, wanted in ((1e9, [0, 0, 0, 3, 3, 3, 6]), (0.0, [0, 1, 2, 3, 4, 5, 6])):
        network, kept = staging.network(), []
        stage = staging.joint_stage(network)

        def step(batch: Batch) -> StepResult:
            kept.append(steps_done(tmp_path))  # noqa: B023 - called in this round only
            return stage.step(batch)  # noqa: B023

        watched = replace(stage, step=step)
        staging.run(watched, network, tmp_path, snapshot_seconds=seconds)
        assert kept == wanted


def test_a_snapshot_of_other_settings_is_not_used_and_a_warning_names_them(
    tmp_path: Path,
) -> None:
    def train_with(settings: dict[str, Any], number: int) -> list[int]:
        network, numbers = staging.network(), []
        stage = staging.joint_stage(network)

        def step(batch: Batch) -> StepResult:
            numbers.append(batch.number)
            return stage.step(batch)

        stopped = staging.stopping(
            replace(stage, step=step), signal.SIGINT, lambda batch: batch.number == number
        )
        with pytest.raises(KeyboardInterrupt):
            staging.run(stopped, network, tmp_path, settings=settings)
        return numbers

    assert train_with({"lr": 0.1, "widths": (4, 8)}, 3) == [0, 1, 2, 3]
    assert train_with({"lr": 0.1, "widths": (4, 8)}, 4) == [4]
    with pytest.warns(UserWarning, match=r"other settings \(lr was 0.1, is 0.2\).*starts anew"):
        assert train_with({"lr": 0.2, "widths": (4, 8)}, 1) == [0, 1]


@pytest.mark.slow
def test_what_the_loop_itself_is_told_belongs_to_the_settings(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, lambda batch: batch.number == 3)
    network = staging.network(staging.RANDOM)
    longer = staging.joint_stage(network, steps=8)
    with pytest.warns(UserWarning, match=r"batch was 10, is 5, .*steps was 7, is 8"):
        staging.run(longer, network, tmp_path, stream=staging.stream(5))


@pytest.mark.slow
def test_damaged_and_foreign_snapshots_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, lambda batch: batch.number == 3)
    path = snapshot_path(tmp_path / "joint.safetensors")
    whole = path.read_bytes()
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign")
    foreign = (tmp_path / "foreign").read_bytes()
    changed = [bytearray(whole) for _ in range(2)]
    changed[0][-100] ^= 1
    changed[1][whole.index(b"learning_rate")] ^= 1
    for content in (whole[:-100], whole[:50], b"", b"nonsense", foreign, *changed):
        path.write_bytes(content)
        said = r"joint\.resume\.safetensors.* (is damaged|no dfs-hw snapshot).*delete it"
        with pytest.raises(InputError, match=said):
            train(tmp_path)
        assert path.read_bytes() == content


def test_a_snapshot_of_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, lambda batch: batch.number == 3)
    network = staging.network(staging.RANDOM, "skip,4,8,16")
    with pytest.raises(InputError, match="does not fit the stage 'joint'"):
        staging.run(staging.joint_stage(network), network, tmp_path)


def test_snapshots_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "stage.resume.safetensors"
    assert read_snapshot(path) is None
    last = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    parts = {"network": {"a/b": torch.tensor(0.1), "n": last}, "momentum": {"0": torch.ones(3)}}
    facts = {"step": 3, "third": 1 / 3, "chosen": None}
    write_snapshot(path, Snapshot(parts, facts))
    found = read_snapshot(path)
    assert found is not None
    assert found.facts == facts
    for part, tensors in parts.items():
        assert_equal(found.parts[part], tensors)
    killed_while_writing(path)
    discard_snapshot(path)
    discard_snapshot(path)
    assert not list(path.parent.iterdir())


def test_a_full_disk_ends_with_a_sentence_and_the_last_snapshot_stays(
    uninterrupted: Outcome, tmp_path: Path
) -> None:
    network = staging.network(staging.RANDOM)
    stage = staging.joint_stage(network)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def validate() -> Validation:
        if steps_done(tmp_path):  # files may be of 20 kB from the second epoch on
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, unlimited[1]))
        return stage.validate()

    try:
        with pytest.raises(
            DfsHwError, match=r"cannot write .*joint\.resume\.safetensors: File too"
        ):
            staging.run(replace(stage, validate=validate), network, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert [file.name for file in tmp_path.iterdir()] == ["joint.resume.safetensors"]
    assert steps_done(tmp_path) == 3
    assert_same(train(tmp_path), uninterrupted)


@pytest.mark.slow
def test_a_process_killed_at_any_time_loses_nothing(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    killed_training.train(whole)

    def there(moment: int) -> bool:
        """Read by another name: safetensors opens a file twice, and this one is being replaced."""
        snapshot = snapshot_path(killed / "joint.safetensors")
        if not snapshot.exists():
            return False
        seen = snapshot_path(tmp_path / "joint.safetensors")
        seen.unlink(missing_ok=True)
        seen.hardlink_to(snapshot)
        return steps_done(tmp_path) >= moment

    for moment in (5, 25):
        kill_when(partial(there, moment), killed_training.train_alone, killed)
        assert moment <= steps_done(killed) < killed_training.STEPS
    killed_training.train(killed)
    assert_equal(load_file(whole / "joint.safetensors"), load_file(killed / "joint.safetensors"))
    assert [file.name for file in killed.iterdir()] == ["joint.safetensors"]


def test_history_survives_json_to_the_bit(uninterrupted: Outcome, tmp_path: Path) -> None:
    history = [asdict(epoch) for epoch in uninterrupted.history]
    write_snapshot(tmp_path / "s", Snapshot({}, {"history": history}))
    found = read_snapshot(tmp_path / "s")
    assert found is not None
    assert [Epoch(**epoch) for epoch in found.facts["history"]] == uninterrupted.history
