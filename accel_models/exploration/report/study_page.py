"""The page of an exploration: a front to point at, coordinates to brush, a table to sort."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from accel_models.exploration.finished_search import FinishedSearch
from accel_models.exploration.report.analysis import Analysis
from accel_models.exploration.results import TrialTable, rounded
from accel_models.exploration.space import Dimension
from accel_models.metrics import METRICS, explored
from accel_models.pages import Chart, ChartMark, Frame, render
from accel_models.pages.frame import SHARE

PACKAGE = "accel_models.exploration.report"
EMBEDDED = 4000
"""Trials of the front in the page, at most, and as many others."""
REASONS = 12


def write_study_page(
    path: Path, found: FinishedSearch, analysis: Analysis | None, record: Mapping[str, Any]
) -> Path:
    """Write the page; returns its path."""
    space, trials = found.space, found.trials
    shown = _shown(trials, found.settings.seed)
    chosen = None if trials.chosen is None else trials.facts(trials.chosen)
    return render(
        path,
        "study.html.jinja",
        package=PACKAGE,
        script="study.js" if _runs(trials) else "",
        charts=_charts(analysis, chosen) if analysis else (),
        name=space.name,
        trials=len(trials),
        runs=_runs(trials),
        embedded=len(shown),
        front=len(trials.front),
        front_embedded=int(np.isin(shown, trials.front).sum()),
        bases=[base.title for base in space.bases.values()],
        workloads=[_workload(found, number) for number in range(len(found.demands))],
        objectives=space.objectives,
        titles={name: METRICS[name].title for name in space.objectives},
        bounds=[str(bound) for bound in space.bounds],
        sampler=_sampler(found),
        cards=_cards(found, chosen),
        chosen=chosen,
        analysed=analysis is not None,
        stability=analysis.stability if analysis else None,
        reasons=_reasons(trials),
        about=json.dumps(_about(record), indent=1, ensure_ascii=False),
        data=(data := _data(found, shown, chosen)),
        axes=sum(field["axis"] for field in data["fields"]),
    )


def _charts(analysis: Analysis, chosen: Mapping[str, Any] | None) -> list[Chart]:
    """What each objective depends on; none where there is nothing to say."""
    charts = []
    for objective, found in analysis.importances.items():
        kinds = (
            ("variance", "Share of its variance", found.variance),
            ("best", "For being among the tenth with the least", found.best),
        )
        charts += [
            _shares(f"{kind}-{objective}", title, shares) for kind, title, shares in kinds if shares
        ]
    return charts + (_tornados(analysis, chosen) if chosen else [])


def _shares(name: str, title: str, shares: Mapping[str, float]) -> Chart:
    rows = sorted(shares.items(), key=lambda one: -one[1])
    columns = [("dimension", "dimension"), ("share", "share", SHARE)]
    return Chart(name, title, "bars", Frame.of(columns, rows), x="share", y="dimension")


def _tornados(analysis: Analysis, chosen: Mapping[str, Any]) -> list[Chart]:
    """What each dimension does to each objective around the chosen machine."""
    charts = []
    for name in dict.fromkeys(swing.objective for swing in analysis.tornado):
        metric = METRICS[name]
        rows = [
            (one.dimension, one.low, str(one.at_low), one.high, str(one.at_high))
            for one in analysis.tornado
            if one.objective == name and one.high > one.low
        ]
        columns = [
            ("dimension", "dimension"),
            *(("low", metric.title, metric.unit or SHARE), ("at_low", "least at")),
            *(("high", "most", metric.unit or SHARE), ("at_high", "most at")),
        ]
        mark = ChartMark("x", chosen["metrics"][metric.column], "chosen")
        title = "One at a time around the chosen machine"
        frame = Frame.of(columns, rows)
        if rows:
            charts.append(
                Chart(
                    f"tornado-{name}", title, "spans", frame, "low", "dimension", end="high",
                    marks=(mark,),
                )
            )  # fmt: skip
    return charts


def _data(found: FinishedSearch, shown: np.ndarray, chosen: Any) -> dict[str, Any]:
    """What the page's script draws from."""
    space, trials = found.space, found.trials
    table = trials.table.take(shown)
    fields, columns = [], [table["number"].to_pylist()]
    for dimension in space.dimensions:
        columns.append(table[dimension.name].to_pylist())
        fields.append(_field(dimension, len(columns) - 1))
    for metric in explored():
        name, values = metric.name, trials.metric(metric.name)
        if not np.isnan(values).all():
            columns.append([rounded(value) for value in values[shown].tolist()])
            fields.append(
                {
                    "name": name,
                    "short": name,
                    "title": metric.title,
                    "unit": metric.unit or SHARE,
                    "metric": True,
                    "known": True,
                    "axis": name in {*space.objectives, *(b.metric for b in space.bounds)},
                    "at": len(columns) - 1,
                }
            )
    columns += [table["infeasible"].is_null().to_pylist(), table["kept"].to_pylist()]
    columns.append(np.isin(shown, trials.front).tolist())
    places = {"number": 0, "runs": len(columns) - 3, "kept": len(columns) - 2}
    return {
        "fields": fields,
        "rows": list(zip(*columns, strict=True)),
        "at": {**places, "front": len(columns) - 1},
        "objectives": list(space.objectives),
        "chosen": chosen["trial"] if chosen else None,
    }


def _field(dimension: Dimension, at: int) -> dict[str, Any]:
    ends = {"values": list(dimension.values)} if dimension.values else {"log": dimension.log}
    short = dimension.name.rpartition(".")[2]
    about = {"name": dimension.name, "short": short, "title": dimension.name, "unit": ""}
    return {**about, **ends, "metric": False, "known": True, "axis": True, "at": at}


def _shown(trials: TrialTable, seed: int) -> np.ndarray:
    """Positions of what the page holds: as many on the front, and as many others, as it can take,
    the chosen machine and the best in each objective among them."""
    rng, front = np.random.default_rng(seed), trials.front
    least = front[trials.objectives[front].argmin(axis=0)] if len(front) else front
    named = np.unique([*least, *([] if trials.chosen is None else [trials.chosen])]).astype(int)
    others = np.setdiff1d(np.arange(len(trials)), front)
    sampled = [_sample(rng, np.setdiff1d(front, named)), _sample(rng, others)]
    return np.sort(np.concatenate([named, *sampled]))


def _sample(rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
    return rng.choice(rows, EMBEDDED, replace=False) if len(rows) > EMBEDDED else rows


def _cards(found: FinishedSearch, chosen: Mapping[str, Any] | None) -> list[dict[str, str]]:
    trials = found.trials
    cards = []
    for name in found.space.objectives if chosen else ():
        metric = METRICS[name]
        assert chosen is not None
        amount = amount_text(name, chosen["metrics"][metric.column])
        best = amount_text(
            name, float(trials.objectives[trials.kept][:, found.space.objectives.index(name)].min())
        )
        cards.append({"value": amount, "text": f"{metric.title}, chosen machine; least: {best}"})
    told = f"machines tried: {_runs(trials)} run, {int(trials.kept.sum())} keep to the constraints"
    cards.append({"value": f"{len(trials):,}", "text": told})
    cards.append({"value": str(len(trials.front)), "text": "machines that no other beats"})
    return cards


def amount_text(name: str, value: float) -> str:
    """A metric's value as people read it."""
    return METRICS[name].text(value)


def _workload(found: FinishedSearch, number: int) -> str:
    demand = found.demands[number]
    inputs = demand.runs[0].inputs
    what = f"{inputs:,} inputs" if demand.runs[0].recorded else "fixed precision"
    several = f", {len(demand.runs)} alternatives" if len(demand.runs) > 1 else ""
    weight = f", weight {demand.weight:g}" if len(found.demands) > 1 else ""
    return f"{demand.name} ({what}{several}{weight})"


def _sampler(found: FinishedSearch) -> str:
    settings = found.settings
    if settings.sampler == "sweep":
        return "Every machine of the space was tried."
    return f"Proposed by Optuna ({settings.sampler}, seed {settings.seed})."


def _runs(trials: TrialTable) -> int:
    """How many machines can run the workloads; the page's script draws what some cost."""
    return int(trials.table["infeasible"].null_count)


def _reasons(trials: TrialTable) -> list[tuple[str, int]]:
    """Why machines cannot run, most frequent first."""
    told = [reason for reason in trials.table["infeasible"].to_pylist() if reason]
    counted = Counter(told).most_common()
    rest = sum(count for _, count in counted[REASONS:])
    return counted[:REASONS] + ([("other reasons", rest)] if rest else [])


def _about(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: record[key] for key in ("settings", "workloads", "provenance")}


__all__ = ["amount_text", "write_study_page"]
