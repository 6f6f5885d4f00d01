"""A comparison's record is taken at its word only field by field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comparison_files import comparison_record

from accel_models import InputError
from accel_models.documents import digest_of
from dfs_hw.report import EnergyReport
from dfs_hw.report.sources.comparison_file import read_comparison
from dfs_hw.report.sources.of_comparison import report_of_comparison

Record = dict[str, Any]


def test_no_figure_of_a_comparison_can_change(tmp_path: Path) -> None:
    path, record = tmp_path / "compare.json", comparison_record()
    sealed = {**record, "digest": digest_of(record)}
    path.write_text(json.dumps(sealed, indent=2))
    assert report_of_comparison(tmp_path).verdict.points is not None
    sealed["records"][2]["energy_j"] *= 1 + 1e-15
    path.write_text(json.dumps(sealed))
    with pytest.raises(InputError, match="is damaged: what it says does not match its digest"):
        read_comparison(path)
    del sealed["digest"]
    path.write_text(json.dumps(sealed))
    with pytest.warns(UserWarning, match="is of before comparisons were sealed, and has no digest"):
        read_comparison(path)


def test_everybody_stands_at_the_budget_it_was_trained_for_in_whatever_order(
    tmp_path: Path,
) -> None:
    record = comparison_record()
    static, trained = record["rows"]
    cheap = trained["figures"] | {"energy_j": {"mean": 1e-6, "deviation": 0.0, "n": 2}}
    within, shuffled = (
        {**trained, "variant": variant, "target": 0.5, "figures": cheap}
        for variant in ("within a budget", "shuffled")
    )
    rows = [within, shuffled, trained, {**trained, "variant": "shuffled"}]
    record["rows"] = [static, *rows]
    (tmp_path / "compare.json").write_text(json.dumps({**record, "digest": digest_of(record)}))
    comparison = report_of_comparison(tmp_path).comparison
    assert comparison is not None
    found = {(one.name, one.energy_j) for one in comparison.competitors}
    own = trained["figures"]["energy_j"]["mean"]
    led = ("DFS, set to 0.5 x budget", 1e-6)  # who leads stands at its other budgets, too
    assert found == {("8 bit everywhere", own), ("DFS", own), ("DFS, shuffled", own), led}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one.update(verdicts=5), "verdicts must be a valid array, got 5"),
        (lambda one: one.update(verdicts=["ab"]), "verdicts.0 must be a table, got 'ab'"),
        (lambda one: one.update(study={}), "study.seeds is missing"),
        (lambda one: one["study"].update(seeds=[]), "study.seeds must name a seed"),
        (lambda one: one["study"]["config"].update(path="x"), "study.config: .*path"),
        (lambda one: one.update(budget={}), "budget.text is missing"),
        (lambda one: one["records"][0].update(contender="x"), "records.0.contender must be the"),
        (lambda one: one["rows"][1].update(contender="x"), "rows.1.contender must be the name"),
        (lambda one: one["rows"][0]["figures"].pop("share"), "rows.0.figures must have share"),
        (lambda one: one.update(best_static="x"), "best_static must be the name of a contender"),
        (lambda one: one["verdicts"][0]["saving"].update(than="x"), "verdicts.0.saving.than must"),
        (lambda one: one["verdicts"][0].update(against_static=None), "earned must not be true"),
        (lambda one: one["contenders"][0].update(title=""), "contenders.0.title must not be empty"),
        (lambda one: one["contenders"].append(one["contenders"][0]), "must differ in their names"),
    ],
)
def test_what_no_comparison_says_is_refused_by_field(
    tmp_path: Path, change: Callable[[Record], object], said: str
) -> None:
    path, record = tmp_path / "compare.json", comparison_record()
    change(record)
    path.write_text(json.dumps({**record, "digest": digest_of(record)}))
    with pytest.raises(InputError, match=f"compare.json: .*{said}"):
        read_comparison(path)


def test_what_earned_its_keep_is_led_with_at_whichever_budget(tmp_path: Path) -> None:
    record = comparison_record()
    (verdict,), rows = record["verdicts"], record["rows"]
    larger = {"mean": 0.05, "low": 0.04, "high": 0.06, "by_seed": {"0": 0.05, "1": 0.05}}
    rivals = [
        {"than": "static-8", "draws": 150, "points": larger, "earned": True},
        {"than": "static-8", "draws": 30, "points": {**larger, "mean": -0.001}, "earned": False},
    ]
    held = {"draws": 200, "rivals": rivals, "cheaper": 198, "spared": [-0.02, 0.25]}
    drawn = {"draws": 200, "constants": ["dram.pj_per_bit"], "not_drawn": ["dram.latency_ns"]}
    elsewhere = {
        **verdict,
        **{"target": 0.5, "as_trained": False, "robustness": held},
        "against_static": {"than": "static-8", "points": larger},
    }
    own = next(row for row in rows if row["contender"] == "dfs")
    energy = {"mean": 1e-5, "deviation": 0.0, "n": 2}
    half = {**own, "variant": "within a budget", "target": 0.5}
    seen = {"mean": 0.95, "deviation": 0.0, "n": 2}
    half["figures"] = {**own["figures"], "energy_j": energy, "validation_accuracy": seen}
    own["figures"] = {**own["figures"], "validation_accuracy": {**seen, "mean": 0.9}}
    dealt = {**half, "variant": "shuffled"}
    record = {**record, "verdicts": [verdict, elsewhere], "rows": [*rows, half, dealt]}
    record["drawn"] = drawn

    def report() -> EnergyReport:
        sealed = {**record, "digest": digest_of(record)}
        (tmp_path / "compare.json").write_text(json.dumps(sealed))
        return report_of_comparison(tmp_path)

    comparison = report()
    assert comparison.verdict.points is not None
    assert comparison.verdict.points.low == 0.04
    said = comparison.verdict.survives
    assert "in 150 the best static network within its budget is 8 bit everywhere (+5.00" in said
    assert "in 20 no static network costs as little" in said
    assert "no mere prices here: dram.latency_ns." in said
    survival = comparison.verdict.survival
    assert survival is not None
    assert (survival.kept, survival.low, survival.high) == (198, 0.75, 1.02)
    assert comparison.comparison is not None
    competitors = comparison.comparison.competitors
    (leads,) = [one for one in competitors if one.leads]
    assert leads.name == "DFS, set to 0.5 x budget"
    assert leads.name + ", shuffled" in {one.name for one in competitors}
    assert [one.after for one in comparison.comparison.saved if one.title == "energy"] == [1e-5]
    for one in record["verdicts"]:
        one["earned"] = None
    unsure = report()
    assert unsure.verdict.points is not None
    assert unsure.verdict.points.low == 0.01  # as it was trained
