import contextlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import staging
import torch
from torch import Tensor, nn
from torch.nn import functional
from waiting import NoWaiting

from accel_models.errors import DfsHwError, InputError
from dfs_hw.data import TrainingStream
from dfs_hw.training.loop import run_stage
from dfs_hw.training.loop.run_stage import (
    MOMENTUM,
    Batch,
    Epoch,
    Stage,
    StepResult,
    Validation,
    rate,
    take_step,
)


class Point(nn.Module):
    """The smallest network: two numbers, of which a step trains one or both."""

    def __init__(self, x: float = 1.0, y: float = 1.0) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor(x))
        self.y = nn.Parameter(torch.tensor(y))
        self.register_buffer("shift", torch.zeros(1))


def stage_of(point: nn.Module, **changes: Any) -> Stage:
    """Slides down loss = x: the gradient is 1 for x, and y has none."""
    usual: dict[str, Any] = {
        "name": "slide",
        "steps": 7,
        "epoch_steps": 3,
        "groups": [{"params": list(point.parameters()), "initial_lr": 0.1}],
        "step": lambda batch: StepResult(point.x, point.x.detach()),
        "validate": lambda: Validation(0.5, 0.5),
        "choose": staging.last,
        "schedule": "constant",
        "nesterov": False,
    }
    return Stage(**{**usual, **changes})


def test_learning_rates_fall_as_in_the_paper() -> None:
    drops = [step for step in range(1, 64_000) if rate_at(step) != rate_at(step - 1)]
    assert drops == [32_000, 48_000]
    assert [rate_at(step) for step in (0, 40_000, 63_999)] == [1.0, 0.1, 0.01]


def rate_at(step: int) -> float:
    return rate("step", step / 64_000)


def test_a_cosine_goes_from_all_to_nothing_over_a_half_at_half_time() -> None:
    assert [rate("cosine", p) for p in (0, 1 / 3, 0.5, 1)] == pytest.approx([1, 0.75, 0.5, 0])
    assert rate("constant", 0.9) == 1
    with pytest.raises(InputError, match=r"'linear'.*cosine, step, constant"):
        rate("linear", 0.5)  # type: ignore[arg-type]


def test_each_group_of_parameters_falls_from_its_own_rate(tmp_path: Path) -> None:
    point = Point()
    groups = [
        {"params": [point.x], "initial_lr": 0.5},
        {"params": [point.y], "initial_lr": 0.2},
    ]

    def step(batch: Batch) -> StepResult:
        return StepResult(point.x + point.y, point.x.detach())

    stage = stage_of(point, groups=groups, step=step, steps=1, epoch_steps=1, schedule="cosine")
    history, _ = staging.run(stage, point, tmp_path)
    assert history[0].learning_rate == 0.5
    assert (point.x.item(), point.y.item()) == pytest.approx((0.5, 0.8))


def test_steps_follow_sgd_with_momentum_and_decay(tmp_path: Path) -> None:
    for nesterov in (False, True):
        point, decay, lr = Point(), 0.01, 0.1
        groups = [{"params": [point.x], "initial_lr": lr, "weight_decay": decay}]
        stage = stage_of(point, groups=groups, nesterov=nesterov)
        staging.run(stage, point, tmp_path)
        x, velocity = 1.0, 0.0
        for _ in range(7):
            gradient = 1 + decay * x
            velocity = MOMENTUM * velocity + gradient
            x -= lr * (gradient + MOMENTUM * velocity if nesterov else velocity)
        assert point.x.item() == pytest.approx(x, rel=1e-6)


def test_parameters_that_no_input_reached_decay_all_the_same(tmp_path: Path) -> None:
    point = Point()
    groups = [{"params": [point.x, point.y], "initial_lr": 0.1, "weight_decay": 0.5}]
    staging.run(stage_of(point, groups=groups, steps=1, epoch_steps=1), point, tmp_path)
    assert point.y.item() == pytest.approx(1 - 0.1 * 0.5)


def test_epochs_average_their_own_steps_and_the_last_may_be_short(tmp_path: Path) -> None:
    point = Point()

    def step(batch: Batch) -> StepResult:
        return StepResult(0 * point.x + batch.number, torch.tensor(batch.number / 10))

    history, _ = staging.run(stage_of(point, step=step), point, tmp_path)
    assert [epoch.loss for epoch in history] == [1, 4, 6]
    assert [epoch.train_cost for epoch in history] == pytest.approx([0.1, 0.4, 0.6])
    assert [epoch.progress for epoch in history] == [3 / 7, 6 / 7, 1]
    assert [epoch.number for epoch in history] == [1, 2, 3]


def test_steps_are_told_where_in_the_stage_they_are(tmp_path: Path) -> None:
    point, seen = Point(), []

    def step(batch: Batch) -> StepResult:
        seen.append((batch.number, batch.progress, len(batch.images)))
        return StepResult(point.x, point.x.detach())

    staging.run(stage_of(point, step=step), point, tmp_path)
    assert seen == [(n, n / 7, 10) for n in range(7)]


def test_every_step_sees_the_batch_of_its_number(tmp_path: Path) -> None:
    point, seen = Point(), []

    def step(batch: Batch) -> StepResult:
        seen.append(batch.labels)
        return StepResult(point.x + 0 * batch.images.sum(), point.x.detach())

    staging.run(stage_of(point, step=step), point, tmp_path)
    wanted = [staging.stream().batch(number)[1] for number in range(7)]
    assert all(torch.equal(a, b) for a, b in zip(seen, wanted, strict=True))


def test_the_chosen_epochs_weights_are_left(tmp_path: Path) -> None:
    point = Point()
    accuracies = iter([0.2, 0.9, 0.5])
    after = {}

    def validate() -> Validation:
        accuracy = next(accuracies)
        after[accuracy] = point.x.item()
        return Validation(accuracy, 0.5)

    stage = stage_of(point, validate=validate, choose=staging.most_accurate)
    history, chosen = staging.run(stage, point, tmp_path)
    assert chosen is history[1]
    assert point.x.item() == after[0.9] != after[0.5]


def test_an_epoch_whose_weights_are_gone_cannot_be_chosen(tmp_path: Path) -> None:
    def fickle(history: Sequence[Epoch]) -> Epoch:
        return history[0] if len(history) > 2 else history[-1]

    point = Point()
    stage = stage_of(point, choose=fickle)
    with pytest.raises(ValueError, match=r"epoch 1 of 3, whose weights are gone"):
        staging.run(stage, point, tmp_path)


def test_the_controller_hears_of_every_epoch_once(tmp_path: Path) -> None:
    heard: list[Epoch] = []
    point = Point()
    history, _ = staging.run(stage_of(point, observe=heard.append), point, tmp_path)
    assert heard == history


def test_stages_without_a_step_are_refused() -> None:
    for name in ("steps", "epoch_steps"):
        with pytest.raises(InputError, match=f"{name} of the stage 'slide' must be at least 1"):
            stage_of(Point(), **{name: 0})


@pytest.mark.parametrize("seconds", [1e9, 0.0])
def test_a_loss_that_is_not_finite_ends_with_a_sentence(tmp_path: Path, seconds: float) -> None:
    point = Point()

    def step(batch: Batch) -> StepResult:
        return StepResult(point.x / (0.0 if batch.number == 4 else 1.0), point.x.detach())

    stage = stage_of(point, step=step)
    with pytest.raises(
        DfsHwError, match=r"'slide' is no longer finite.*lower the learn.*keeps step"
    ):
        staging.run(stage, point, tmp_path, snapshot_seconds=seconds)


def test_nothing_is_kept_of_a_stage_that_diverges_at_once(tmp_path: Path) -> None:
    point = Point(x=math.inf)
    with pytest.raises(DfsHwError, match="nothing was kept"):
        staging.run(stage_of(point), point, tmp_path)
    assert not list(tmp_path.iterdir())


def batches(parts: int) -> list[Batch]:
    size = 12 // parts
    return [
        Batch(torch.zeros(size, 1, 2, 2), torch.zeros(size), 3, 0.5, "0/joint", (rank, parts))
        for rank in range(parts)
    ]


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator)


@pytest.mark.parametrize("parts", [2, 3])
def test_draws_do_not_depend_on_how_many_processes_share_a_batch(parts: int) -> None:
    whole = batches(1)[0].draw("price", uniform, 4, 2)
    assert whole.shape == (12, 4, 2)
    shared = [batch.draw("price", uniform, 4, 2) for batch in batches(parts)]
    assert torch.equal(torch.cat(shared), whole)


def test_draws_differ_by_purpose_step_and_run() -> None:
    batch = batches(1)[0]
    others = [
        batch.draw("gates", uniform),
        replace(batch, number=4).draw("price", uniform),
        replace(batch, seed_words="1/joint").draw("price", uniform),
    ]
    assert torch.equal(batch.draw("price", uniform), batch.draw("price", uniform))
    assert not any(torch.equal(batch.draw("price", uniform), other) for other in others)


def test_what_draws_without_a_generator_repeats_and_leaves_the_callers_alone(
    tmp_path: Path,
) -> None:
    drawn: list[list[float]] = []
    for seed in (1, 2):
        point, seen = Point(), []

        def step(batch: Batch) -> StepResult:
            seen.append(torch.rand(()).item())  # noqa: B023 - called in this round only
            return StepResult(point.x, point.x.detach())  # noqa: B023

        torch.manual_seed(seed)
        wanted = torch.rand(2)[1]
        torch.manual_seed(seed)
        torch.rand(1)
        staging.run(stage_of(point, step=step), point, tmp_path)
        assert torch.rand(1).item() == wanted
        drawn.append(seen)
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 7


def test_steps_of_a_network_that_runs_all_branches_wait_for_no_device() -> None:
    network = staging.network()
    network.normalize_by_batch(True)
    stage, stream = staging.joint_stage(network), staging.stream()
    optimizer = torch.optim.SGD(stage.groups, lr=0.1, momentum=0.9)
    network.calibrate([stream.batch(0)[0]])  # whether it has been is asked once
    with NoWaiting():
        for number in range(2):
            batch = Batch(*stream.batch(number), number, 0.1, "0/joint")
            take_step(stage, optimizer, batch, False)


def test_waiting_would_be_noticed() -> None:
    for wait in (lambda x: x.sum().item(), lambda x: x[x > 0], lambda x: x.nonzero()):
        with pytest.raises(AssertionError, match="waits for the device"), NoWaiting():
            wait(torch.ones(2))


@pytest.mark.parametrize("computed", [True, False])
def test_mixed_precision_is_for_steps_alone_where_the_device_computes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computed: bool
) -> None:
    monkeypatch.setattr(run_stage, "computes_bfloat16", lambda device: computed)
    point = Point()
    layer = nn.Linear(4, 4)
    seen = []

    def product() -> torch.dtype:
        return layer(torch.ones(1, 4)).dtype

    def step(batch: Batch) -> StepResult:
        seen.append(product())
        return StepResult(point.x, point.x.detach())

    def validate() -> Validation:
        seen.append(product())
        return Validation(0.5, 0.5)

    stage = stage_of(point, step=step, validate=validate, steps=1, epoch_steps=1)
    with (
        contextlib.nullcontext()
        if computed
        else pytest.warns(UserWarning, match="this CPU has no bfloat16 arithmetic")
    ):
        staging.run(stage, point, tmp_path, amp=True)
    assert seen == [torch.bfloat16 if computed else torch.float32, torch.float32]


@pytest.mark.slow
def test_mixed_precision_trains_about_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_stage, "computes_bfloat16", lambda device: True)
    chosen = {}
    for amp in (False, True):
        network = staging.network()
        stage = staging.joint_stage(network, steps=40, epoch_steps=40)
        _, chosen[amp] = staging.run(stage, network, tmp_path, amp=amp)
        assert all(p.dtype == torch.float32 for p in network.parameters())
        # The two classes differ in brightness alone; guessing scores 0.5.
        assert chosen[amp].validation_accuracy > 0.9
    assert chosen[True].loss != chosen[False].loss


def test_quantised_operands_stay_whole_numbers_in_mixed_precision() -> None:
    network = staging.network(choices="2,8,16")
    layer = network.blocks[0].block.conv1
    seen: list[Tensor] = []
    layer.activations.register_forward_hook(lambda module, inputs, out: seen.append(out[0]))
    layer.weights.register_forward_hook(lambda module, inputs, out: seen.append(out[0]))
    pictures, _ = staging.stream().batch(0)
    with torch.autocast("cpu", torch.bfloat16):
        for choice in (2, 8, 16):
            functional.cross_entropy(
                network(pictures, network.uniform(choice)).logits, torch.zeros(10, dtype=torch.long)
            ).backward()
    assert len(seen) == 6
    for values in seen:
        assert values.dtype == torch.float32
        assert torch.equal(values, values.round())
    assert seen[-2].max() > 256  # beyond what bfloat16 could tell apart


def test_streams_that_cannot_be_shared_evenly_are_refused() -> None:
    stream = TrainingStream(staging.images(), 9, "0/joint")
    with pytest.raises(InputError, match="multiple of 2"):
        stream.batch(0, (0, 2))
