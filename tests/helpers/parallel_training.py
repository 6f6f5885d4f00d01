"""Every kind of stage, in one process or several."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import staging
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from accel_models.errors import DfsHwError, InputError
from dfs_hw.distributed import (
    all_averaged,
    alone,
    average_gradients,
    gathered,
    highest_over_ranks,
    join,
    on_first,
    world,
)
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.statistics import settle
from dfs_hw.training.loop.run_stage import Batch, Epoch, Stage, StepResult

State = dict[str, Tensor]
BATCH = 12


def backbone(network: DynamicNetwork) -> Stage:
    """The highest precision everywhere, normalised by the batch of all processes."""
    network.normalize_by_batch(True)
    top = network.uniform(8)

    def step(batch: Batch) -> StepResult:
        loss = functional.cross_entropy(network(batch.images, top).logits, batch.labels)
        return StepResult(loss, torch.ones(()))

    return short("backbone", network, step, staging.groups(network))


def gates(network: DynamicNetwork) -> Stage:
    """Gates alone, which watch what is forced upon the blocks."""
    top = network.uniform(8)

    def step(batch: Batch) -> StepResult:
        cost = staging.relative_cost(network.watch(batch.images, top)).mean()
        return StepResult(-cost, cost)

    return short("gates", network, step, staging.groups(network.gate))


def joint(network: DynamicNetwork) -> Stage:
    """Each input through the branch it chose only; which ones run differs between processes."""
    network.normalize_by_batch(False)
    return staging.joint_stage(network, steps=4, epoch_steps=2)


def joint_by_batch(network: DynamicNetwork) -> Stage:
    """Each input through all branches, normalised by the batch of all processes."""
    network.normalize_by_batch(True)
    return staging.joint_stage(network, steps=4, epoch_steps=2)


STAGES = (backbone, gates, joint, joint_by_batch)


def short(
    name: str,
    network: DynamicNetwork,
    step: Callable[[Batch], StepResult],
    groups: list[dict[str, object]],
) -> Stage:
    """Four steps, of which all weights are left."""
    usual = staging.joint_stage(network)
    return Stage(name, 4, 2, groups, step, usual.validate, staging.last)


def start() -> State:
    """State of a network of which every precision and the gates have seen images.

    Where nothing was seen yet, ranges are those of the tensor at hand, of which each process has
    another part: to be called before processes join.
    """
    network = staging.network()
    network.inherit()
    images = [staging.stream(BATCH).batch(number)[0] for number in range(2)]
    network.calibrate(images)
    network.watch(images[0], network.uniform(8))
    settle(network)
    return network.state_dict()


def train(
    make: Callable[[DynamicNetwork], Stage],
    state: State,
    folder: Path,
    *,
    stop: bool = False,
    batch: int = BATCH,
) -> tuple[State, list[Epoch]]:
    """State and history of one stage, from a network in the given state.

    Args:
        stop: have a signal arrive in the third step, in the last process alone.
    """
    network = staging.network()
    network.load_state_dict(state)
    stage = replace(make(network), choose=staging.last)
    if stop and world()[0] == world()[1] - 1:
        stage = staging.stopping(stage, signal.SIGINT, lambda batch: batch.number == 2)
    stream = staging.stream(batch, f"0/{make.__name__}")
    history, _ = staging.run(stage, network, folder, stream=stream)
    return network.state_dict(), history


def stop_and_go_on(make: Callable[[DynamicNetwork], Stage], state: State, folder: Path) -> State:
    """What a stage comes to that was stopped on the way."""
    with pytest.raises(KeyboardInterrupt):
        train(make, state, folder, stop=True)
    own = folder / str(world()[0])
    own.mkdir()
    if world()[0] == 0:
        shutil.copytree(folder, own, ignore=shutil.ignore_patterns("0", "1"), dirs_exist_ok=True)
    with pytest.raises(InputError, match="must be shared"):
        train(make, state, own)
    resumed, history = train(make, state, folder)
    return resumed | {"curve": curve(history)}


def checks() -> None:
    """What only several processes can tell; raises if anything is wrong."""
    rank, ranks = world()
    assert gathered(torch.tensor([float(rank)])).tolist() == [[float(r)] for r in range(ranks)]
    assert all_averaged(torch.tensor(rank + 1.0)).item() == (ranks + 1) / 2
    assert highest_over_ranks([rank, -rank]) == [ranks - 1, 0]
    assert on_first(lambda: rank) == (0 if rank == 0 else None)
    with pytest.raises(
        DfsHwError, match="a reason" if rank == 0 else "the first process has failed"
    ):
        on_first(fail)
    with alone():
        assert world() == (0, 1)
        assert all_averaged(torch.tensor(float(rank))).item() == rank
    point = torch.nn.Parameter(torch.zeros(2))
    if rank == 0:
        point.grad = torch.tensor([2.0, 4.0])
    average_gradients([point])
    assert point.grad is not None
    assert point.grad.tolist() == [2 / ranks, 4 / ranks]


def fail() -> None:
    raise InputError("a reason")


def train_in_parallel(folder: Path) -> None:
    """Leaves what each stage came to, in a file for each process."""
    before = start()
    with join("cpu") as device:
        assert device == "cpu"
        checks()
        found: dict[str, Tensor] = {}
        for make in STAGES:
            state, history = train(make, before, folder)
            found |= {f"{make.__name__}/{name}": value for name, value in state.items()}
            found[f"{make.__name__}/curve"] = curve(history)
        resumed = stop_and_go_on(joint, before, folder)
        found |= {f"resumed/{name}": value for name, value in resumed.items()}
        save_file(found, folder / f"{world()[0]}.safetensors")


def curve(history: list[Epoch]) -> Tensor:
    """Losses and costs of all epochs."""
    return torch.tensor(
        [[e.loss, e.train_cost, e.validation_accuracy, e.validation_cost] for e in history]
    )
