"""What a comparison found, and how it is written down."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from accel_models.files import whole_file
from dfs_hw.baselines.contenders import Contender, LineUp
from dfs_hw.baselines.measurement import (
    AS_TRAINED,
    AT_PRICE,
    FROZEN,
    FROZEN_PAYING,
    MET,
    SHUFFLED,
    Record,
)
from dfs_hw.baselines.study import CONTENDER_FAMILIES, Study
from dfs_hw.baselines.tabulation import (
    Rise,
    Row,
    Spread,
    Verdict,
    best_static_network,
    contender_rows,
    rises,
    verdict_on,
)
from dfs_hw.budgets.budget import unit_of
from dfs_hw.headroom import Headroom
from dfs_hw.provenance import write_json
from dfs_hw.training.config import plain

FORMAT = 1
HEADER = (
    "",
    "accuracy, %",
    "energy, µJ",
    "BitOps, M",
    "latency, µs",
    "of the budget, %",
    "budget kept",
    "ρ",
    "vectors",
    "deciding",
)
"""Columns of the table, for people."""
CURVE_HEADER = ("price", "accuracy, %", "energy, µJ", "vectors", "deciding")
_INDENTED = {
    FROZEN: "frozen choices",
    FROZEN_PAYING: "frozen choices, gates paid",
    SHUFFLED: "shuffled decisions",
}


@dataclass(frozen=True)
class Findings:
    """All records of a study, and what follows from them."""

    study: Study
    line_up: LineUp
    records: tuple[Record, ...]
    rows: tuple[Row, ...]
    best_static_network: Contender | None
    """Static network that adaptive ones are held against, where the study's budget is theirs."""
    verdicts: tuple[Verdict, ...]
    rises: tuple[Rise, ...]
    possible: Headroom | str
    """What any gate could win at the budget; or why that cannot be told."""

    @classmethod
    def of(
        cls,
        study: Study,
        line_up: LineUp,
        records: tuple[Record, ...],
        possible: Headroom | str,
    ) -> Findings:
        """Draw rows, verdicts and the knob's rises from all records of a study."""
        contenders, metric = line_up.contenders, study.config.metric
        adaptive = (contender for contender in contenders if contender.adaptive)
        return cls(
            study,
            line_up,
            records,
            tuple(contender_rows(records)),
            best_static_network(records, contenders),
            tuple(verdict_on(one, records, contenders, metric) for one in adaptive),
            tuple(rises(records)),
            possible,
        )

    def contender(self, name: str) -> Contender:
        """The contender of a name."""
        return next(one for one in self.line_up.contenders if one.name == name)

    def table(self) -> list[tuple[str, ...]]:
        """Rows of text under `HEADER`: every contender, and its ablations indented below it."""
        return [self._text(row) for row in self.rows if row.variant != AT_PRICE]

    def curve(self) -> list[Row]:
        """The knob turned from the lowest price to the highest."""
        found = [row for row in self.rows if row.variant == AT_PRICE]
        return sorted(found, key=lambda row: row.price or 0.0)

    def curve_table(self) -> list[tuple[str, ...]]:
        """The knob's curve as text: price, accuracy, energy, vectors, deciding units."""
        names = ("accuracy", "energy_j", "vectors", "deciding")
        return [(f"{row.price:g}", *(_figure(row, name) for name in names)) for row in self.curve()]

    def remarks(self) -> list[str]:
        """What has to be said beside the table."""
        said = [verdict.sentence for verdict in self.verdicts]
        said.append(
            f"How much any gate could earn is not told: {self.possible}."
            if isinstance(self.possible, str)
            else self.possible.sentence
        )
        if self.curve():
            said.append(self._of_rises())
        said += [f"Left out: {name}: {why}." for name, why in self.line_up.left_out.items()]
        return said

    def _text(self, row: Row) -> tuple[str, ...]:
        decides = self.contender(row.contender).adaptive
        return (
            self._name(row),
            *(_figure(row, name) for name in ("accuracy", "energy_j", "bitops", "latency_s")),
            _figure(row, "share"),
            f"{row.met if decides else row.n - row.over} of {row.n}",
            *(_figure(row, name) for name in ("correlation", "vectors", "deciding")),
        )

    def _name(self, row: Row) -> str:
        if row.variant != AS_TRAINED:
            return f"  {_INDENTED[row.variant]}"
        static = self.best_static_network
        best = static is not None and row.contender == static.name
        return self.contender(row.contender).title + (" *" if best else "")

    def _of_rises(self) -> str:
        if not self.rises:
            return "The knob is monotone: no higher price of cost spent more energy, in any seed."
        steps = sum(record.variant == AT_PRICE for record in self.records) - len(self.study.seeds)
        worst = max(self.rises, key=lambda rise: rise.next_energy_j / rise.energy_j)
        return (
            f"The knob is NOT monotone: {len(self.rises)} of {steps} steps to a higher price of "
            f"cost spent more energy, at worst {worst.next_energy_j / worst.energy_j - 1:.2%} more "
            f"(seed {worst.seed}, from price {worst.price:g} to {worst.next_price:g})."
        )


def write(findings: Findings, out: Path, provenance: Mapping[str, object]) -> Path:
    """Write ``compare.json``, ``compare.csv`` and ``compare.md``; returns the first."""
    _write_text(out / "compare.csv", as_csv(findings.records))
    _write_text(out / "compare.md", as_markdown(findings))
    return write_json(out / "compare.json", as_json(findings, provenance))


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
        "verdicts": [asdict(verdict) for verdict in findings.verdicts],
        "headroom": None if isinstance(findings.possible, str) else asdict(findings.possible),
        "knob_rises": [asdict(rise) for rise in findings.rises],
    }


def as_csv(records: tuple[Record, ...]) -> str:
    """One line a record, in SI units; empty where a record has no figure."""
    names = [field.name for field in fields(Record)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "met"])
    for record in records:
        cells = [getattr(record, name) for name in names]
        writer.writerow(["" if cell is None else cell for cell in cells] + [record.met])
    return text.getvalue()


def as_markdown(findings: Findings) -> str:
    """The table, the verdicts, and what the columns mean."""
    study, line_up = findings.study, findings.line_up
    config = study.config
    seeds = ", ".join(map(str, study.seeds))
    budget = f"{line_up.budget:.4g} {unit_of(config.metric)} of {config.metric} per input"
    lines = [
        f"# {config.network} on {config.data}, {config.accelerator}",
        "",
        f"Budget {config.budget}, which is {budget}; seeds {seeds}. Test split, means ± standard "
        "deviation over seeds.",
        "",
        *_markdown_table(HEADER, [_as_child(row) for row in findings.table()]),
        "",
        "\\* the static network that adaptive ones are held against: of those within the budget, "
        "the most accurate on the validation split. Budget kept: in how many seeds; by a static "
        "network if it spends at most 2 % more, by an adaptive one if it is within 2 % of what it "
        "was trained for. ρ: rank correlation of an input's energy with "
        f"difficulty, which is the {line_up.difficulty}. Vectors: different decision vectors. "
        "Deciding: blocks where more than 5 % of the inputs take one choice beside the commonest.",
        "",
        *(f"- {remark}" for remark in findings.remarks()),
    ]
    if findings.curve():
        lines += ["", "## The knob", "", *_markdown_table(CURVE_HEADER, findings.curve_table())]
    lines += ["", "## Contenders", ""]
    families = dict.fromkeys(one.family for one in line_up.contenders)
    lines += [f"- {family}: {CONTENDER_FAMILIES[family]}." for family in families]
    fixed = [row for row in findings.rows if row.contender == "best-static" and row.fixed]
    lines += [f"- best per block, over seeds: {'; '.join(row.fixed)}." for row in fixed]
    return "\n".join(lines) + "\n"


def _markdown_table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    rule = ["---", *("---:" for _ in header[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]


def _as_child(cells: tuple[str, ...]) -> tuple[str, ...]:
    """Markdown drops spaces at the start of a cell."""
    name = cells[0].replace("*", "\\*")
    return (f"– {name.strip()}" if name.startswith("  ") else name, *cells[1:])


_SCALES = {"accuracy": 100, "energy_j": 1e6, "bitops": 1e-6, "latency_s": 1e6, "share": 100}
_DIGITS = {"accuracy": 1, "energy_j": 2, "bitops": 1, "latency_s": 2, "share": 1, "correlation": 2}


def _figure(row: Row, name: str) -> str:
    """Mean ± standard deviation, or a dash where there is no figure."""
    spread: Spread | None = row.figures[name]
    if spread is None:
        return "–"
    scale, digits = _SCALES.get(name, 1), _DIGITS.get(name, 1)
    mean = f"{spread.mean * scale:.{digits}f}"
    return mean if spread.deviation is None else f"{mean} ± {spread.deviation * scale:.{digits}f}"


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
