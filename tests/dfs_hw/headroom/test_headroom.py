"""Headroom from the command line: two small networks trained, asked and judged."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from PIL import Image
from trainings import QUICK

from accel_models import InputError
from dfs_hw.baselines import Study, compare
from dfs_hw.data.digits import load_digits
from dfs_hw.headroom import HeadroomStudy, headroom
from dfs_hw.headroom.judging import ANSWERS
from dfs_hw.networks.checkpoint import load_checkpoint
from dfs_hw.recording import evaluate

pytestmark = pytest.mark.slow

WORDS = [
    *("headroom", "resnet8", "--choices", "skip,2,8", "--budget", "0.9", "--seeds", "0,1"),
    *("--set", "widths=4,8,8", "--set", "backbone_steps=4", "--set", "supernet_steps=2"),
    *("--set", "batch=16", "--quiet"),
]
STUDY = HeadroomStudy(replace(QUICK, norm="running"), (0, 1))


def test_the_command_judges_one_network_by_the_other_and_goes_on(
    printed: Callable[..., str], refused: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = printed(*WORDS, "--out", out)
    found = json.loads((out / "headroom.json").read_text())
    assert found["sentence"] in said
    assert (len(found["assignments"]), found["inputs"], found["seeds"]) == (9, 2700, [0, 1])
    with (out / "headroom.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row, point in zip(rows, found["points"], strict=True):
        assert float(row["headroom_mean"]) == point["headroom"]["mean"]
        assert point["oracle"] - point["static"] == pytest.approx(point["shown"]["mean"])
        assert point["limit"] - point["static"] == pytest.approx(point["headroom"]["mean"])
    with Image.open(out / "headroom.png") as image:
        assert image.width > 1000
    kept = [*out.glob("seed*/*")]
    assert len(kept) == 6
    before = {path: path.stat().st_mtime_ns for path in kept}
    assert printed(*WORDS, "--out", out) == said
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    test = load_digits(0).test  # the first seed's, for both networks
    for place in (0, 4, 8):
        accuracy = []
        for seed in (0, 1):
            network = load_checkpoint(out / f"seed{seed}" / "supernet.safetensors").network
            assignment = network.assign(found["assignments"][place])
            accuracy.append(evaluate(network, test, assignment).accuracy)
        assert found["alone"][place] == pytest.approx(fmean(accuracy))
    (out / "seed1" / ANSWERS).write_text("short")
    sentence = refused(*WORDS, "--out", out)
    assert f"seed1/{ANSWERS} is damaged" in sentence
    assert "delete the file to have it made anew" in sentence
    assert "is of a run with other settings (budget was 0.9, is 0.95)" in refused(
        *WORDS, "--budget", "0.95", "--out", out
    )


def test_a_comparison_says_what_was_possible_and_its_networks_are_taken(tmp_path: Path) -> None:
    """Images in folders have one test split for all seeds."""
    draw = np.random.default_rng(0)
    for part, number in (("train", 12), ("val", 8)):
        for shade in ("bright", "dark"):
            folder = tmp_path / "images" / part / shade
            folder.mkdir(parents=True)
            for one in range(number):
                pixels = draw.integers(0, 120, (16, 16, 3)) + 120 * (shade == "bright")
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{one}.png")
    data = f"folder@16:{tmp_path / 'images'}"
    config = replace(STUDY.config, data=data, batch=8)
    findings = compare(
        Study(config, (0, 1), ("best-static",)), tmp_path / "compare", progress=False
    )
    beside = findings.possible
    assert not isinstance(beside, str)
    assert beside.sentence in (tmp_path / "compare" / "compare.md").read_text()
    study = HeadroomStudy(config, (0, 1))
    out = tmp_path / "out"
    found = headroom(study, out, trained=tmp_path / "compare", progress=False)
    assert not (out / "seed0" / "backbone.safetensors").exists()
    assert found.alone == beside.alone
    assert found.points == beside.points
    other = replace(study, config=replace(config, supernet_steps=3))
    with pytest.raises(InputError, match=r"does not fit: supernet_steps was 2, is 3"):
        headroom(other, tmp_path / "other", trained=tmp_path / "compare", progress=False)


def test_what_cannot_be_told_is_refused(tmp_path: Path) -> None:
    for changes, said in (
        ({"seeds": (1,)}, r"seeds of headroom must be two or more, all different, got \(1,\)"),
        ({"assignments": 1}, "assignments of headroom must be at least 2, got 1"),
        ({"config": replace(STUDY.config, metric="edp")}, "not in edp"),
    ):
        with pytest.raises(InputError, match=said):
            replace(STUDY, **changes)
    for changes, said in (
        ({"supernet_steps": 0, "supernet_epochs": 0}, "in supernet_epochs: got 0"),
        ({"budget": "0.9@p95"}, "headroom is for a mean over inputs"),
    ):
        config = replace(STUDY.config, **changes)
        with pytest.raises(InputError, match=said):
            headroom(replace(STUDY, config=config), tmp_path / "out", progress=False)
