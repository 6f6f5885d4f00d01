"""What a study has come to so far: a comparison for each machine, and a page over all of them."""

from __future__ import annotations

import os
from dataclasses import replace
from html import escape
from pathlib import Path

from accel_models.errors import InputError
from accel_models.files import read_bytes, whole_file
from accel_models.metrics import METRICS
from accel_models.replay import Policy
from dfs_hw.baselines.bench import TRACE
from dfs_hw.baselines.cascades import cascade_runs
from dfs_hw.baselines.drawn_costs import Traces, drawn_costs
from dfs_hw.baselines.findings import VERDICT_HEADER, Findings
from dfs_hw.baselines.picture import write_findings_picture
from dfs_hw.baselines.writing import BOTH_WAYS, markdown_table, write
from dfs_hw.headroom.picture import SCALES
from dfs_hw.provenance import provenance
from dfs_hw.studies.cells import FINISHED, OLDER, TO_DO, Cell, cells_of
from dfs_hw.studies.definition import StudyDefinition, machine_name
from dfs_hw.studies.priced import PricedStudy, priced_studies
from dfs_hw.studies.together import Done, Together, comparisons, measured_cells

PAGE, PICTURE = "README.md", "compare.png"
WIDER = "more-networks"
"""Folder, in that of a machine, for the comparison of most networks."""
NO_HEADROOM = "`dfs-hw headroom` trains for it, and a study's page trains nothing"


def study_page(definition: StudyDefinition, progress: bool = False) -> Path:
    """Write what the finished cells come to; nothing is trained.

    Leaves ``README.md`` in the study's folder and, in a folder for every machine, what a comparison
    leaves (`dfs_hw.baselines.compare`).

    Args:
        progress: show bars on stderr while machines are priced.

    Returns:
        Where the page is.

    Raises:
        InputError: if another page has its place, one that begins otherwise than with the study's
            title.
    """
    title, path = f"# {escape(' '.join(definition.title.split()))}", definition.folder / PAGE
    _check_own(path, title)
    places = priced_studies(definition, progress)
    cells = cells_of(definition, places[0].field)
    chapters = [_chapter(definition, place, cells) for place in places]
    own = (
        f"Rows that name no network are of {places[0].study.config.network}, the study's own; the "
        "budgets of a machine are multiples of one, which stands below its table."
    )
    lines = [title, "", f"{own} {BOTH_WAYS}", ""]
    lines += [line for part in chapters for line in part]
    older = [
        f"on {machine_name(place.machine)}: {', '.join(names)}"
        for place in places
        if (names := _of_other_costs(definition, place, cells))
    ]
    if older:
        said = "Measured by costs that are others now, or of which that cannot be told"
        lines += ["## Older costs", "", f"{said}: {'; '.join(older)}.", ""]
    states = {one.name: one.state(definition, places) for one in cells}
    left = [
        name + state.removeprefix(TO_DO)
        for name, state in states.items()
        if state not in (FINISHED, OLDER)
    ]
    if left:
        lines += ["## Not finished", "", ", ".join(left) + "."]
    with whole_file(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _check_own(path: Path, title: str) -> None:
    """Refuse to write over a page that is not of the study with this title."""
    if not os.path.lexists(path):
        return
    first = read_bytes(path).decode(errors="replace").partition("\n")[0].rstrip()
    if first != title:
        raise InputError(
            f"{path} begins with {first!r}, and the study's page with {title!r}: move it away, as "
            "it is not of this study, or give the study that title"
        )


def _of_other_costs(
    definition: StudyDefinition, place: PricedStudy, cells: list[Cell]
) -> list[str]:
    """Cells with figures of another version of the machine or of the cost models, of which the
    costs of now are others, or cannot be told."""
    older = {
        one: runs
        for one in cells
        if one.measured(definition, place) is None
        and (runs := one.measured(definition, place, costs=False)) is not None
    }
    runs = [run for each in older.values() for run in each]
    traces = _traces_of(definition, place, cells)
    drawn = drawn_costs(runs, place.field, place.tables, traces) if runs else None
    same = frozenset() if drawn is None else drawn.reproduced
    return [one.name for one in older if (one.contender.name, one.seed) not in same]


def _traces_of(definition: StudyDefinition, place: PricedStudy, cells: list[Cell]) -> Traces:
    """Where the traces of cells on a machine lie, by contender and seed."""
    folders = {(one.contender.name, one.seed): one.folder(definition) for one in cells}
    return lambda name, seed: folders[name, seed] / machine_name(place.machine) / TRACE


def _chapter(definition: StudyDefinition, place: PricedStudy, cells: list[Cell]) -> list[str]:
    """What the page says of a machine; writes the comparisons on it."""
    name = machine_name(place.machine)
    done = measured_cells(definition, place, cells)
    traces = _traces_of(definition, place, cells)
    lines = [f"## {name}", ""]
    tried = (findings_of(together, done, place, traces) for together in comparisons(done))
    found = [findings for findings in tried if findings is not None]
    for file in (definition.folder / name / WIDER).glob("compare.*") if len(found) < 2 else ():
        file.unlink()  # of an earlier page, when fewer seeds had more networks
    for number, findings in enumerate(found):
        seeds = ", ".join(map(str, findings.study.seeds))
        plural = "s" if len(findings.study.seeds) > 1 else ""
        folder = name
        if number:
            folder = f"{name}/{WIDER}"
            lines += [f"### More networks, of seed{plural} {seeds} alone", ""]
        write_findings_picture(findings, definition.folder / folder / PICTURE)
        said = {**provenance(), "policy": Policy().to_dict()}
        write(findings, definition.folder / folder, said)
        lines += _section(findings, seeds, folder, f"Accuracy against cost on {name}")
    return lines if found else [*lines, "Nothing can be compared yet.", ""]


def _section(findings: Findings, seeds: str, folder: str, caption: str) -> list[str]:
    """What the page says of a comparison that lies in a folder."""
    metric = METRICS[findings.study.config.metric]
    scale, unit = SCALES[metric.unit]
    budget = f"{findings.line_up.budget * scale:.1f} {unit} of {metric.name} an input"
    return [
        findings.lead(),
        "",
        f"![{caption}]({folder}/{PICTURE})",
        "",
        *markdown_table(VERDICT_HEADER, findings.verdict_table()),
        "",
        f"Seeds {seeds}. The budget is {budget}. {findings.stairs()}{findings.draws()} [Everything "
        f"measured]({folder}/compare.md).",
        "",
    ]


def findings_of(
    together: Together,
    done: Done,
    place: PricedStudy,
    traces: Traces,
) -> Findings | None:
    """The comparison on a machine of cells that are finished in the same seeds; None if there are
    no two networks to compare.

    Args:
        done: what was measured, by contender and seed.
        traces: where decisions lie.
    """
    study, field = place.study, place.field
    taking_part = [one for one in field.contenders if one.name in together.names or not one.trained]
    if sum(one.trained for one in taking_part) < 2:
        return None
    if sum(not one.adaptive for one in taking_part) < 2:
        taking_part = [one for one in taking_part if one.trained]
    why = f"not finished of all seeds ({', '.join(map(str, together.seeds))})"
    away = {one.name: why for one in field.contenders if one not in taking_part}
    line = replace(field, contenders=tuple(taking_part), left_out=field.left_out | away)
    study = replace(study, seeds=together.seeds)
    runs = [
        run
        for seed in together.seeds
        for one in taking_part
        if one.trained
        for run in done[one.name, seed]
    ]
    runs += cascade_runs(runs, study, line)
    drawn = drawn_costs(runs, line, place.tables, traces)
    return Findings.of(study, line, tuple(runs), NO_HEADROOM, drawn)


__all__ = ["study_page"]
