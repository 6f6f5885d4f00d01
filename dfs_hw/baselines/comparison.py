"""Adaptive networks and what they have to beat, trained alike and measured at matched cost."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from accel_models.owned_folder import owned_folder
from accel_models.replay import Policy
from dfs_hw.baselines.bench import TRACE
from dfs_hw.baselines.cascades import cascade_runs
from dfs_hw.baselines.contenders import Contender, LineUp, line_up
from dfs_hw.baselines.drawn_costs import drawn_costs
from dfs_hw.baselines.findings import Findings
from dfs_hw.baselines.measurement import measure
from dfs_hw.baselines.picture import write_findings_picture
from dfs_hw.baselines.possible import possible
from dfs_hw.baselines.preparation import Ready, prepare
from dfs_hw.baselines.records import Run
from dfs_hw.baselines.setups import ContenderSetups, same_trunk
from dfs_hw.baselines.study import Study
from dfs_hw.baselines.writing import write
from dfs_hw.provenance import provenance
from dfs_hw.training.config import DEFAULTS
from dfs_hw.training.folder import RESULTS

GROWING = ("seeds", "families", "points", "smaller", "grid")
"""Settings of a study to which a later call may add."""


def compare(
    study: Study,
    out: Path | str,
    *,
    device: str = "cpu",
    progress: bool = True,
    overwrite: bool = False,
) -> Findings:
    """Train all contenders for all seeds, then measure them once on the test split.

    Leaves ``compare.json``, ``compare.csv``, ``compare.md`` and ``compare.png`` in `out`, and what
    was trained in ``out/seed<k>/<contender>``. What an earlier call has finished is not repeated,
    also after Ctrl-C; one call at a time has the folder. All choices, of epochs, shifts, prices,
    assignments and of the best static network, are made by the validation split.

    Args:
        device: to train on.
        progress: show bars on stderr.
        overwrite: take a folder that a call with other settings left; what it trained that fits is
            not repeated.

    Raises:
        InputError: if the study cannot be carried out, another call works in the folder, or one of
            another study did, or left a file that is damaged.
        DfsHwError: if a loss stops being finite.
    """
    field = line_up(study, ContenderSetups(progress=progress))
    for name, why in field.left_out.items() if progress else ():
        tqdm.write(f"Left out: {name}: {why}.", file=sys.stderr)
    settings = study.to_dict() | {"cost allowed": field.budget}
    with owned_folder(
        out, settings, RESULTS, growing=GROWING, defaults=DEFAULTS, overwrite=overwrite
    ) as folder:
        return _carried_out(study, field, ContenderSetups(device, progress), folder, progress)


def _carried_out(
    study: Study, field: LineUp, setups: ContenderSetups, out: Path, progress: bool
) -> Findings:
    trained = [one for one in field.contenders if one.trained]
    parts = [(one, seed) for seed in study.seeds for one in trained]
    for one, seed in tqdm(parts, desc="trained", disable=not progress):
        ready(one, seed, field, setups, out)
    runs: list[Run] = []
    for one, seed in tqdm(parts, desc="measured", disable=not progress):
        runs += measure(ready(one, seed, field, setups, out), study, field.budget)
    runs += cascade_runs(runs, study, field)
    beside = possible(study, field, setups, out, progress)
    tables = {one.name: setups.of(one.config).table for one in trained}

    def trace_of(name: str, seed: int) -> Path:
        return out / f"seed{seed}" / name / TRACE

    drawn = drawn_costs(runs, field, tables, trace_of)
    findings = Findings.of(study, field, tuple(runs), beside, drawn)
    write_findings_picture(findings, out / "compare.png")
    write(findings, out, {**provenance(), "policy": Policy().to_dict()})
    return findings


def ready(
    contender: Contender, seed: int, field: LineUp, setups: ContenderSetups, out: Path
) -> Ready:
    """A contender trained from a seed, if need be."""

    def folder(one: Contender) -> Path:
        return out / f"seed{seed}" / one.name

    relatives = [
        folder(one)
        for one in field.contenders
        if one is not contender and one.trained and same_trunk(one.config, contender.config)
    ]
    setup = setups.of(replace(contender.config, seed=seed))
    return prepare(contender, setup, folder(contender), relatives)
