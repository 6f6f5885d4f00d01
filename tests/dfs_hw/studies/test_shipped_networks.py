"""Networks that results are shipped with: they answer what was measured of them."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from dfs_hw.baselines.measurement import FIGURES, measured
from dfs_hw.cascade import Member
from dfs_hw.data import DATA_ENV, load_dataset

STUDY = Path(__file__).parents[3] / "results/cifar10"
SHIPPED = sorted(STUDY.glob("seed*/*static-?/static-*.safetensors"))
assert SHIPPED
INPUTS = 300


@pytest.mark.slow
@pytest.mark.skipif(DATA_ENV not in os.environ, reason="needs DFS_HW_DATA")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parts[-3]}-{path.parts[-2]}")
def test_shipped_networks_answer_as_measured(path: Path) -> None:
    (run,) = measured(path.parent / "bitfusion" / FIGURES, {}) or []
    assert run.answers is not None
    member = Member.load(path)
    # Of its own seed: pixels are scaled by the images that it was trained on.
    images = load_dataset(member.config.data, member.config.seed).test.subset(torch.arange(INPUTS))
    seen = member.evaluate(images)
    right = (seen.predictions == images.labels).double().numpy()
    # CPUs round sums otherwise, and here and there an input lies on the edge.
    assert np.mean(right == run.answers.correct[:INPUTS]) >= 0.98
    departure = np.abs(seen.confidence.double().numpy() - run.answers.confidence[:INPUTS])
    assert np.median(departure) < 0.01
