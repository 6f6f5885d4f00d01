import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import staging
import torch

from accel_models.errors import InputError
from accel_models.precision import parse_choices
from dfs_hw.logs import LightningLog, TensorBoardLog
from dfs_hw.recording import evaluate
from dfs_hw.training.loop.run_stage import Validation
from dfs_hw.training.stages.validation import choice_shares

pytest.importorskip("tensorboard")

Curves = dict[str, list[tuple[int, float]]]


def read(folder: Path) -> Curves:
    """All curves in a folder of event files: pairs of step and value."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def test_a_stage_draws_its_curves(tmp_path: Path) -> None:
    network = staging.network()
    stage = staging.joint_stage(network)
    strengths, shares = [], []

    def validate() -> Validation:
        seen = evaluate(network, staging.images(30, seed=1))
        curves = choice_shares(seen.choices, network.units, network.choices)
        shares.append(curves)
        return Validation(seen.accuracy, 0.25, curves)

    def describe() -> dict[str, float]:
        strengths.append(stage.describe())
        return dict(strengths[-1])

    with TensorBoardLog(tmp_path / "log") as log:
        watched = replace(stage, validate=validate, describe=describe)
        history, _ = staging.run(watched, network, tmp_path, log=log)
    curves = read(tmp_path / "log")
    wanted: dict[str, list[float]] = {
        "joint/loss": [epoch.loss for epoch in history],
        "joint/train_cost": [epoch.train_cost for epoch in history],
        "joint/accuracy": [epoch.validation_accuracy for epoch in history],
        "joint/cost": [0.25] * 3,
        "joint/learning_rate": [epoch.learning_rate for epoch in history],
        "joint/controller/price": [state["price"] for state in strengths],
        "joint/controller/smoothed_cost": [state["smoothed_cost"] for state in strengths],
        **{f"joint/{name}": [share[name] for share in shares] for name in shares[0]},
    }
    assert set(curves) == set(wanted)
    assert set(shares[0]) == {f"block{b}/{choice}" for b in (2, 3) for choice in ("skip", "4", "8")}
    for name, values in wanted.items():
        assert [step for step, _ in curves[name]] == [3, 6, 7]
        assert [value for _, value in curves[name]] == pytest.approx(values), name


def test_a_stage_that_was_stopped_goes_on_with_its_curves(tmp_path: Path) -> None:
    import signal

    network = staging.network()
    stage = staging.joint_stage(network)
    stopped = staging.stopping(stage, signal.SIGINT, lambda batch: batch.number == 4)
    with pytest.raises(KeyboardInterrupt), TensorBoardLog(tmp_path / "log") as log:
        staging.run(stopped, network, tmp_path, log=log)
    network = staging.network()
    with TensorBoardLog(tmp_path / "log") as log:
        history, _ = staging.run(staging.joint_stage(network), network, tmp_path, log=log)
    points = read(tmp_path / "log")["joint/loss"]
    assert points == [
        (step, pytest.approx(e.loss)) for step, e in zip((3, 6, 7), history, strict=True)
    ]


def test_a_logger_of_lightning_takes_the_curves(tmp_path: Path) -> None:
    loggers = pytest.importorskip("lightning.pytorch.loggers")
    logger = loggers.CSVLogger(tmp_path, name="curves", version=0)
    network = staging.network()
    history, _ = staging.run(
        staging.joint_stage(network), network, tmp_path, log=LightningLog(logger)
    )
    with (tmp_path / "curves" / "version_0" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [3, 6, 7]
    assert [float(row["joint/loss"]) for row in rows] == pytest.approx([e.loss for e in history])


def test_shares_of_choices_count_inputs() -> None:
    choices = torch.tensor([[0, 2], [0, 1], [1, 1], [0, 1]])
    assert choice_shares(choices, ("first", "last"), parse_choices("skip,4/2,8")) == {
        "first/skip": 0.75,
        "first/4/2": 0.25,
        "first/8": 0.0,
        "last/skip": 0.0,
        "last/4/2": 0.75,
        "last/8": 0.25,
    }


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write to the folder"):
        TensorBoardLog(tmp_path / "file" / "log")


@pytest.mark.slow
def test_without_tensorboard_the_sentence_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['tensorboard'] = None\n"
        "from dfs_hw.logs import TensorBoardLog\n"
        "from accel_models.errors import InputError\n"
        f"try: TensorBoardLog({str(tmp_path)!r})\n"
        "except InputError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'dfs-hw[logs]'" in done.stdout
