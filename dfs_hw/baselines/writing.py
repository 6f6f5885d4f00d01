"""What a comparison found, as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from accel_models.documents import sealed
from accel_models.files import whole_file
from dfs_hw.baselines.findings import CURVE_HEADER, HEADER, VERDICT_HEADER, Findings
from dfs_hw.baselines.judgement.robustness import DrawnCosts
from dfs_hw.baselines.judgement.sentences import sentence
from dfs_hw.baselines.records import MET, Record
from dfs_hw.baselines.study import CONTENDER_FAMILIES
from dfs_hw.budgets.budget import unit_of
from dfs_hw.provenance import write_json
from dfs_hw.training.config import plain

FORMAT = 2
"""Version of ``compare.json``; 1 had no verdicts at other budgets and no intervals over inputs."""

BOTH_WAYS = (
    "Accuracy at equal cost: over the static network that is most accurate on the validation "
    "split, of those that cost no more. Cost at equal accuracy: of the cheapest static network "
    "that is as accurate on the validation split (within 0.3 points). In brackets 95 % intervals, "
    "over inputs and trainings."
)
"""What the columns of the table of verdicts are."""


def write(findings: Findings, out: Path, provenance: Mapping[str, object]) -> Path:
    """Write ``compare.json``, ``compare.csv`` and ``compare.md``; returns the first."""
    _write_text(out / "compare.csv", as_csv(findings.records))
    _write_text(out / "compare.md", as_markdown(findings))
    return write_json(out / "compare.json", sealed(as_json(findings, provenance)))


def as_json(findings: Findings, provenance: Mapping[str, object]) -> dict[str, Any]:
    """Everything, for programs. Amounts are in SI units, shares and accuracies from 0 to 1."""
    study, line_up = findings.study, findings.line_up
    return {
        "format": FORMAT,
        "study": {
            **{f.name: getattr(study, f.name) for f in fields(study) if f.name != "config"},
            "config": {k: v for k, v in plain(study.config).items() if k != "seed"},
        },
        **provenance,
        "budget": {
            "text": study.config.budget,
            "metric": study.config.metric,
            "amount": line_up.budget,
            "unit": unit_of(study.config.metric),
            "tolerance": MET,
        },
        "difficulty": findings.line_up.difficulty,
        "contenders": [
            {
                "name": one.name,
                "title": one.title,
                "family": one.family,
                "source": CONTENDER_FAMILIES[one.family],
                "network": one.config.network,
                "widths": list(one.config.widths),
                "choices": one.config.choices,
                "budget": one.config.budget,
                "target": one.target,
            }
            for one in line_up.contenders
        ],
        "left_out": line_up.left_out,
        "records": [
            {**asdict(record), "met": record.met, "over": record.over}
            for record in findings.records
        ],
        "rows": [asdict(row) for row in findings.rows],
        "best_static": static.name if (static := findings.best_static_network) else None,
        "stairs": [one.contender.name for one in findings.frontier.stairs()],
        "verdicts": [
            {**asdict(verdict), "sentence": sentence(verdict, findings.titles)}
            for verdict in findings.verdicts
        ],
        "headroom": None if isinstance(findings.possible, str) else asdict(findings.possible),
        "drawn": _drawn(findings.drawn),
        "knob_rises": [asdict(rise) for rise in findings.rises],
    }


def _drawn(found: DrawnCosts | None) -> dict[str, Any] | None:
    """Which constants were drawn for the verdicts' robustness, and how often."""
    if found is None:
        return None
    return {
        "draws": found.draws,
        "constants": list(found.constants),
        "not_drawn": list(found.not_drawn),
    }


def as_csv(records: tuple[Record, ...]) -> str:
    """One line a record, in SI units; empty where a record has no figure."""
    names = [field.name for field in fields(Record)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "met"])
    for record in records:
        cells = [getattr(record, name) for name in names]
        writer.writerow([*map(_cell, cells), record.met])
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, tuple):
        return " > ".join(value)
    return "" if value is None else value


def as_markdown(findings: Findings) -> str:
    """The table, the verdicts, and what the columns mean."""
    study, line_up = findings.study, findings.line_up
    config = study.config
    seeds = ", ".join(map(str, study.seeds))
    budget = f"{line_up.budget:.4g} {unit_of(config.metric)} of {config.metric} per input"
    lines = [
        f"# {config.network} on {config.data}, {config.accelerator}",
        "",
        findings.lead(),
        "",
        f"Budget {config.budget}, which is {budget}; seeds {seeds}. Test split.",
        "",
        "## Against static networks, both ways round",
        "",
        *markdown_table(VERDICT_HEADER, findings.verdict_table()),
        "",
        f"{BOTH_WAYS} {findings.stairs()}{findings.draws()}",
        "",
        *(f"- {remark}" for remark in findings.remarks()),
        "",
        "## Everybody",
        "",
        "Means ± standard deviation over seeds.",
        "",
        *markdown_table(HEADER, [_as_child(row) for row in findings.table()]),
        "",
        "\\* the static network that adaptive ones are held against: of those within the budget, "
        "the most accurate on the validation split. Budget kept: in how many seeds; by a static "
        "network if it spends at most 2 % more, by an adaptive one if it is within 2 % of what it "
        "was trained for. ρ: rank correlation of an input's energy with "
        f"difficulty, which is the {line_up.difficulty}. Vectors: different decision vectors. "
        "Deciding: blocks where more than 5 % of the inputs take one choice beside the commonest.",
    ]
    if findings.curve():
        lines += ["", "## The knob", "", *markdown_table(CURVE_HEADER, findings.curve_table())]
    lines += ["", "## Contenders", ""]
    families = dict.fromkeys(one.family for one in line_up.contenders)
    lines += [f"- {family}: {CONTENDER_FAMILIES[family]}." for family in families]
    fixed = [row for row in findings.rows if row.contender == "best-static" and row.fixed]
    lines += [f"- best per block, over seeds: {'; '.join(row.fixed)}." for row in fixed]
    lines += [f"- {said}." for said in findings.cascades()]
    return "\n".join(lines) + "\n"


def markdown_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of a table of text, which may have bars and ends of lines in it."""
    rule = ["---", *("---:" for _ in header[1:])]
    plain = [[" ".join(cell.split()).replace("|", r"\|") for cell in row] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *plain)]


def _as_child(cells: tuple[str, ...]) -> tuple[str, ...]:
    """Markdown drops spaces at the start of a cell."""
    name = cells[0].replace("*", "\\*")
    return (f"– {name.strip()}" if name.startswith("  ") else name, *cells[1:])


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
