"""What any gate could have won in a comparison, beside what was reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dfs_hw.baselines.contenders import LineUp
from dfs_hw.baselines.setups import ContenderSetups
from dfs_hw.baselines.study import Study
from dfs_hw.headroom.judging import ANSWERS, Judge
from dfs_hw.headroom.oracle import Headroom, headroom_of
from dfs_hw.training.stages.before_joint import train_supernet

TRAINED = ("best-static", "dfs", "exits", "error")
"""Contenders that leave a network of the study's choices with all widths trained."""


def possible(
    study: Study, field: LineUp, setups: ContenderSetups, out: Path, progress: bool = False
) -> Headroom | str:
    """Headroom at the study's budget, by networks that contenders have left; or why it cannot be
    told. Nothing is trained.

    What the networks answer is kept in ``answers.safetensors`` beside each.
    """
    if study.config.budget.partition("@")[1]:
        return "the budget is not for a mean over inputs"
    if len(study.seeds) < 2:
        return "it takes two seeds or more"
    judges = list(_judges(study, field, setups, out))
    if not judges:
        return "no contender has trained all widths"
    if len({judge.inputs for judge in judges}) > 1:
        return "each seed has test inputs of its own (dfs-hw headroom trains networks for the same)"
    return headroom_of(judges, field.budget, progress=progress)


def _judges(study: Study, field: LineUp, setups: ContenderSetups, out: Path) -> Iterator[Judge]:
    contender = next((one for one in field.contenders if one.name in TRAINED), None)
    if contender is None:
        return
    for seed in study.seeds:
        setup = setups.of(replace(contender.config, seed=seed)).trunk
        if setup.has_supernet:
            folder = out / f"seed{seed}" / contender.name
            network = train_supernet(setup, folder).network
            yield Judge(setup, network, folder / ANSWERS)
