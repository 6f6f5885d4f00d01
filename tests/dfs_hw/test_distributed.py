import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import parallel_training
import pytest
import torch
from forks import side_by_side
from safetensors.torch import load_file
from torch import Tensor

from accel_models.errors import InputError
from dfs_hw.distributed import (
    all_averaged,
    all_summed,
    average_gradients,
    gathered,
    highest_over_ranks,
    join,
    on_first,
    summed_over_ranks,
    world,
)
from dfs_hw.networks import DynamicNetwork
from dfs_hw.training.loop.run_stage import Stage

pytestmark = pytest.mark.slow

ROUNDING = 1e-5
"""Sums over a batch are rounded otherwise when two processes make them: by 1e-7 of themselves, and
four steps pass that on. Half of the batch alone ends more than a hundred times further off."""


@pytest.fixture(scope="module")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """What each of two processes came to; they also check what only several can tell."""
    folder = tmp_path_factory.mktemp("parallel")
    side_by_side(parallel_training.train_in_parallel, folder)
    return [load_file(folder / f"{rank}.safetensors") for rank in range(2)]


@pytest.fixture(scope="module")
def before() -> dict[str, Tensor]:
    return parallel_training.start()


@pytest.mark.parametrize("make", parallel_training.STAGES)
def test_two_processes_train_as_one_does_with_the_whole_batch(
    make: Callable[[DynamicNetwork], Stage],
    parallel: list[dict[str, Tensor]],
    before: dict[str, Tensor],
    tmp_path: Path,
) -> None:
    alone, history = parallel_training.train(make, before, tmp_path)
    for name, value in alone.items():
        error = parallel[0][f"{make.__name__}/{name}"] - value
        assert error.nan_to_num(0).abs().max() < ROUNDING, name
    curve = parallel_training.curve(history)
    assert torch.allclose(parallel[0][f"{make.__name__}/curve"], curve, atol=ROUNDING)
    moved = max(float((alone[n] - x).nan_to_num(0).abs().max()) for n, x in before.items())
    assert moved > 1000 * ROUNDING


def test_half_a_batch_would_train_otherwise(before: dict[str, Tensor], tmp_path: Path) -> None:
    """So that the comparison above means something."""
    whole, half = (
        parallel_training.train(parallel_training.joint, before, tmp_path / name, batch=batch)[0]
        for name, batch in (("whole", 12), ("half", 6))
    )
    errors = [(whole[name] - half[name]).nan_to_num(0).abs().max() for name in whole]
    assert max(errors) > 100 * ROUNDING


def test_processes_hold_the_same_network_to_the_bit(parallel: list[dict[str, Tensor]]) -> None:
    first, second = parallel
    assert first.keys() == second.keys()
    assert all(torch.equal(x.nan_to_num(-1), second[n].nan_to_num(-1)) for n, x in first.items())


def test_a_signal_to_one_process_stops_all_after_the_same_step(
    parallel: list[dict[str, Tensor]],
) -> None:
    resumed = {name: x for name, x in parallel[0].items() if name.startswith("resumed/")}
    assert resumed
    for name, value in resumed.items():
        whole = parallel[0][name.replace("resumed", "joint", 1)]
        assert torch.equal(value.nan_to_num(-1), whole.nan_to_num(-1)), name


def test_one_process_has_nobody_to_ask() -> None:
    assert world() == (0, 1)
    x = torch.ones(2)
    assert all_summed(x) is x
    assert all_averaged(x).tolist() == [1, 1]
    assert gathered(x).tolist() == [[1, 1]]
    assert highest_over_ranks([3, -1]) == [3, -1]
    assert on_first(lambda: "done") == "done"
    assert summed_over_ranks(torch.ones(1, 2, 3, 3)) is None
    with join("cpu") as device:
        assert (device, world()) == ("cpu", (0, 1))


def test_averages_decide_but_pass_no_gradient_on() -> None:
    assert not all_averaged(torch.ones(1, requires_grad=True)).requires_grad


def test_missing_gradients_count_as_zero() -> None:
    reached, missed = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))
    reached.sum().backward()
    average_gradients([reached, missed])
    assert reached.grad is not None
    assert missed.grad is not None
    assert (reached.grad.tolist(), missed.grad.tolist()) == ([1, 1], [0, 0, 0])


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1001")
    monkeypatch.setenv("LOCAL_RANK", "1000")
    with (
        pytest.raises(InputError, match=r"1001 processes or more .* start one for each"),
        join("cuda"),
    ):
        pass


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dfs_hw", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout
