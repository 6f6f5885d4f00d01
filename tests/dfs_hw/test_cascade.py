"""Two trained networks recorded as one, beside the two by themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from trainings import QUICK

from accel_models.errors import InputError
from accel_models.precision import EXIT
from accel_models.trace import GateTrace
from dfs_hw.cascade import Member, record_cascade
from dfs_hw.data import load_dataset
from dfs_hw.training.run import train_static

Pair = tuple[Path, Path]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Checkpoints of a network at 2 bits, and of a wider one at 8."""
    torch.set_num_threads(1)
    paths = []
    for name, widths, bits in (("small", (4, 4, 8), 2), ("large", (8, 8, 16), 8)):
        folder = tmp_path_factory.mktemp(name)
        train_static(replace(QUICK, widths=widths, backbone_steps=20), bits, folder, progress=False)
        paths.append(folder / f"static-{bits}.safetensors")
    return paths[0], paths[1]


def test_inputs_that_the_first_is_not_sure_of_are_the_seconds(pair: Pair, tmp_path: Path) -> None:
    data = load_dataset("digits", QUICK.seed)
    first, then = (Member.load(path).evaluate(data.test) for path in pair)
    sure = float(first.confidence.median())
    trace = record_cascade(*pair, tmp_path / "c.parquet", sure=sure)
    stays = (first.confidence < sure).numpy()
    assert 0 < stays.sum() < len(stays)
    expected = np.where(stays, then.predictions, first.predictions)
    np.testing.assert_array_equal(trace.predictions, expected)
    led = len([unit for unit in trace.header.workload.units if unit.startswith("first.")])
    assert (trace.choices[:, :led] == trace.header.choices.index(EXIT)).sum() == 0
    gone = (trace.choices[:, led:] == trace.header.choices.index(EXIT)).all(1)
    np.testing.assert_array_equal(gone, ~stays)
    again = GateTrace.read(tmp_path / "c.parquet")
    np.testing.assert_array_equal(again.choices, trace.choices)
    assert {str(trace.header.choices[index]) for index in np.unique(trace.choices)} == {
        *("2", "8", "exit")
    }


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_that_goes_on_is_that_of_the_validation_inputs(
    pair: Pair, tmp_path: Path, share: float
) -> None:
    trace = record_cascade(*pair, tmp_path / "c.parquet", "validation", share=share)
    went = (trace.choices[:, -1] != trace.header.choices.index(EXIT)).mean()
    assert abs(went - share) <= 0.51 / len(trace)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "say from which probability"),
        ({"sure": 0.5, "share": 0.5}, "say from which probability"),
        ({"share": 1.5}, "share is between 0 and 1, not 1.5"),
        ({"sure": float("nan")}, "sure is between 0 and 1, not nan"),
        ({"sure": 0.5, "split": "all"}, "no split 'all'"),
        ({"sure": 0.5, "out": "c.csv"}, "c.csv"),
    ],
)
def test_what_makes_no_cascade_is_refused(
    pair: Pair, tmp_path: Path, given: dict[str, object], message: str
) -> None:
    out = tmp_path / str(given.pop("out", "c.parquet"))
    with pytest.raises(InputError, match=message):
        record_cascade(*pair, out, **given)  # type: ignore[arg-type]
    assert not out.exists()


def test_networks_of_other_inputs_make_none(pair: Pair, tmp_path: Path) -> None:
    other = replace(QUICK, seed=1, widths=(4, 4, 8))
    train_static(other, 8, tmp_path / "other", progress=False)
    with pytest.raises(InputError, match=r"with seed 0 and .* with 1: a cascade is of networks"):
        record_cascade(
            pair[0], tmp_path / "other/static-8.safetensors", tmp_path / "c.parquet", share=0.5
        )
    with pytest.raises(InputError, match="holds the network of stage 'backbone'"):
        record_cascade(
            pair[0].with_name("backbone.safetensors"), pair[1], tmp_path / "c.parquet", share=0.5
        )
