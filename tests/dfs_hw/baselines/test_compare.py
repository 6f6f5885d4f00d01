"""A comparison, run: charged as the machine says, one budget for all, written as it was found."""

import csv
import json
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
import torch
from comparing import AS_WORDS, CONFIG, STUDY, adaptive, costs, setup_of, simulated
from PIL import Image
from torch.nn.functional import cross_entropy

from accel_models import InputError
from accel_models.replay import replay
from accel_models.trace import GateTrace
from dfs_hw.baselines import compare
from dfs_hw.baselines.bench import losses
from dfs_hw.baselines.comparison import ready
from dfs_hw.baselines.findings import Findings
from dfs_hw.baselines.measurement import measure
from dfs_hw.baselines.per_input import read_columns
from dfs_hw.baselines.picture import draw_findings
from dfs_hw.baselines.records import (
    AS_TRAINED,
    AT_PRICE,
    FROZEN,
    FROZEN_PAYING,
    SHUFFLED,
    WITHIN,
)
from dfs_hw.baselines.setups import ContenderSetups
from dfs_hw.baselines.static_search import StaticSearch
from dfs_hw.baselines.study import CONTENDER_FAMILIES
from dfs_hw.cli import main
from dfs_hw.data import load_digits
from dfs_hw.recording import evaluate
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.stages.before_joint import train_supernet

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def findings(folder: Path) -> Findings:
    return compare(STUDY, folder, progress=False)


@pytest.fixture(scope="module")
def setups() -> dict[int, ContenderSetups]:
    return {seed: ContenderSetups() for seed in STUDY.seeds}


def test_every_contender_has_every_record_of_every_seed(findings: Findings) -> None:
    names = [one.name for one in findings.line_up.contenders]
    smaller = ["x0.5-static-2", "x0.5-static-8"]
    assert names == ["static-2", "static-8", "best-static", *smaller, "dfs", "knob", "cascade"]
    for one in findings.line_up.contenders:
        variants = [
            (record.seed, record.variant)
            for record in findings.records
            if record.contender == one.name and record.target == one.target
        ]
        each = [AS_TRAINED]
        if one.adaptive and one.trained:
            each += [FROZEN, FROZEN_PAYING]
        if one.adaptive:
            each += [SHUFFLED]
        if one.name == "knob":
            each += [AT_PRICE] * 3
        assert variants == [(seed, variant) for seed in (0, 1) for variant in each]


def test_the_knob_is_set_to_every_budget_that_a_price_is_within(
    findings: Findings, setups: dict[int, ContenderSetups], folder: Path
) -> None:
    for seed in STUDY.seeds:
        trained = ready(findings.contender("knob"), seed, findings.line_up, setups[seed], folder)
        looks = {}
        for price in STUDY.prices:
            seen = evaluate(trained.trained.network, trained.setup.splits.validation, price=price)
            spent = float(trained.setup.cost.of_choices(seen.choices).mean())
            amount = spent * trained.setup.cost.reference / findings.line_up.budget
            looks[price] = (seen.accuracy, -amount)
        for allowed in STUDY.grid:
            within = [look for look in looks.values() if -look[1] <= allowed * 1.02]
            found = [
                looks[record.price]
                for record in findings.records
                if (record.contender, record.seed) == ("knob", seed)
                and (record.variant, record.target) == (WITHIN, allowed)
                and record.price is not None
            ]
            assert found == ([max(within)] if within else [])


def test_what_is_left_of_every_input_comes_to_the_figures(findings: Findings, folder: Path) -> None:
    sources = {seed: load_digits(seed).test.source for seed in STUDY.seeds}
    for record in findings.records:
        if record.made_of:
            continue
        path = folder / f"seed{record.seed}/{record.contender}/test.json"
        digest = json.loads(path.read_text())["result"]["digests"]["inputs.parquet"]
        inputs = read_columns(path.with_name("inputs.parquet"), digest, path)
        assert inputs[f"correct: {record.way}"].mean() == pytest.approx(record.accuracy, rel=1e-12)
        costs = inputs[f"cost: {record.way}"]
        assert costs.mean() == pytest.approx(record.energy_j, rel=1e-12)
        digits = sources[record.seed]
        assert digits is not None
        assert inputs["source"].tolist() == digits.tolist()


def test_shuffled_decisions_cost_exactly_what_the_true_ones_do(findings: Findings) -> None:
    pairs = list(zip(adaptive(findings, AS_TRAINED), adaptive(findings, SHUFFLED), strict=True))
    assert len(pairs) == 4
    for true, shuffled in pairs:
        assert costs(shuffled) == costs(true)
        assert shuffled.vectors == true.vectors


def test_frozen_and_static_networks_cost_exactly_what_simulate_says(
    findings: Findings, setups: dict[int, ContenderSetups]
) -> None:
    bare = [record for record in findings.records if record.variant == FROZEN]
    bare += [
        record for record in findings.records if not findings.contender(record.contender).adaptive
    ]
    assert len(bare) == 14
    for record in bare:
        setup = setup_of(setups, findings, record)
        assert (record.energy_j, record.latency_s, record.bitops) == simulated(setup, record.fixed)


def test_gates_that_are_paid_make_the_only_difference_between_frozen_networks(
    findings: Findings,
) -> None:
    for bare, paying in zip(
        adaptive(findings, FROZEN), adaptive(findings, FROZEN_PAYING), strict=True
    ):
        assert (bare.fixed, bare.accuracy) == (paying.fixed, paying.accuracy)
        assert bare.energy_j < paying.energy_j
        assert bare.bitops < paying.bitops


def test_adaptive_figures_are_those_of_the_trace_replayed(
    findings: Findings, setups: dict[int, ContenderSetups], folder: Path
) -> None:
    for record in adaptive(findings, AS_TRAINED):
        trace = GateTrace.read(folder / f"seed{record.seed}" / record.contender / "test.parquet")
        outcome = replay(trace, setup_of(setups, findings, record).table)
        assert record.accuracy == trace.accuracy
        assert record.energy_j == pytest.approx(outcome.energy_j.mean(), rel=1e-12)
        assert record.latency_s == pytest.approx(outcome.latency_s.mean(), rel=1e-12)
        assert record.vectors == len({tuple(row) for row in trace.choices.tolist()})


def test_all_are_trained_for_the_same_joules(
    findings: Findings, setups: dict[int, ContenderSetups]
) -> None:
    budget = findings.line_up.budget
    for record in findings.records:
        setup = setup_of(setups, findings, record)
        if findings.contender(record.contender).family != "smaller":  # for no budget at all
            assert setup.budget.fraction * setup.cost.reference == pytest.approx(budget, rel=1e-5)
        assert record.share == pytest.approx(record.energy_j / budget, rel=1e-12)


def test_the_best_static_assignment_is_within_the_budget(findings: Findings, folder: Path) -> None:
    for record in findings.records:
        if record.contender == "best-static":
            assert record.share <= 1 + 1e-5
            left = json.loads(
                (folder / f"seed{record.seed}/best-static/assignment.json").read_text()
            )
            assert record.fixed.split() == left["result"]


def test_no_width_and_no_change_of_one_block_within_the_budget_beats_the_best_static_assignment(
    findings: Findings, setups: dict[int, ContenderSetups], folder: Path
) -> None:
    for seed in STUDY.seeds:
        config = replace(findings.contender("best-static").config, seed=seed)
        setup = setups[seed].of(config)
        network = train_supernet(setup, folder / f"seed{seed}" / "best-static").network.eval()
        search = StaticSearch(setup, network)
        found = search.run()
        (images, _) = next(setup.splits.validation.batches(1000))
        logits = network(images, torch.tensor(found)).logits
        loss = cross_entropy(logits.double(), setup.splits.validation.labels).item()
        assert search.loss(found) == pytest.approx(loss, rel=1e-6)
        assert search.cost(found) <= search.budget
        others = list(product(range(3), repeat=2))
        alike = [one for one in others if len(set(one)) == 1 and one[0] > 0]
        near = [one for one in others if sum(a != b for a, b in zip(one, found, strict=True)) == 1]
        for other in alike + near:
            if search.cost(other) <= search.budget:
                assert search.loss(other) >= search.loss(found)


def test_the_knob_without_a_price_of_its_own_stands_where_validation_put_it(
    findings: Findings,
) -> None:
    for record in adaptive(findings, AS_TRAINED):
        assert (record.price is not None) == (record.contender == "knob")


@pytest.mark.usefixtures("findings")
def test_relatives_share_a_backbone_and_go_on_from_it(folder: Path) -> None:
    for seed in (0, 1):
        first = (folder / f"seed{seed}/static-2/backbone.safetensors").read_bytes()
        for name in ("static-8", "best-static", "dfs"):
            assert (folder / f"seed{seed}/{name}/backbone.safetensors").read_bytes() == first


def test_tables_hold_the_means_and_deviations_of_the_records(
    findings: Findings, folder: Path
) -> None:
    with (folder / "compare.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(findings.records)
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for line in lines:
        price = line["price"] if line["variant"] == AT_PRICE else ""
        way = (line["contender"], line["variant"], line["target"], price)
        groups.setdefault(way, []).append(line)
    written = json.loads((folder / "compare.json").read_text())
    assert len(written["rows"]) == len(groups)
    for row, group in zip(written["rows"], groups.values(), strict=True):
        assert row["contender"] == group[0]["contender"]
        for name in ("accuracy", "energy_j", "share"):
            values = [float(line[name]) for line in group]
            assert row["figures"][name]["mean"] == pytest.approx(fmean(values), rel=1e-12)
            assert row["figures"][name]["deviation"] == pytest.approx(stdev(values), abs=1e-15)
    cells = next(row for row in findings.table() if row[0] == "DFS")
    own = [r for r in findings.records if (r.contender, r.variant) == ("dfs", AS_TRAINED)]
    assert cells[1].startswith(f"{100 * fmean(record.accuracy for record in own):.1f} ±")
    assert cells[2].startswith(f"{1e6 * fmean(record.energy_j for record in own):.2f} ±")


def test_differences_are_paired_by_seed(findings: Findings) -> None:
    trained = [one.contender for one in findings.verdicts if one.as_trained]
    assert trained == ["dfs", "knob", "cascade"]
    for verdict in findings.verdicts:
        accuracy = {
            (r.contender, r.variant, r.target, r.seed): r.accuracy
            for r in findings.records
            if r.variant != AT_PRICE
        }
        variant = AS_TRAINED if verdict.as_trained else WITHIN
        own = {s: accuracy[verdict.contender, variant, verdict.target, s] for s in (0, 1)}
        for than, points in (
            (SHUFFLED, verdict.against_shuffled.points),
            (verdict.against_static, verdict.against_static and verdict.against_static.points),
            (verdict.saving, verdict.saving and verdict.saving.points),
        ):
            if points is None:
                continue
            key = (
                (than.than, AS_TRAINED, 1.0)
                if not isinstance(than, str)
                else (verdict.contender, SHUFFLED, verdict.target)
            )
            for seed in (0, 1):
                apart = own[seed] - accuracy[(*key, seed)]
                assert points.by_seed[seed] == pytest.approx(apart, abs=1e-12)


def test_the_record_of_the_study_says_how_it_came_about(folder: Path, findings: Findings) -> None:
    written = json.loads((folder / "compare.json").read_text())
    assert {"versions", "commit", "platform", "created", "difficulty"} <= written.keys()
    assert written["study"]["seeds"] == [0, 1]
    again = TrainConfig.from_dict({**written["study"]["config"], "seed": 0})
    assert again == CONFIG
    for one in written["contenders"]:
        assert one["source"] == CONTENDER_FAMILIES[one["family"]]
    text = (folder / "compare.md").read_text()
    for remark in findings.remarks():
        assert remark in text
    held = [one.robustness for one in findings.verdicts if one.as_trained]
    assert all(one is not None and one.draws == 200 for one in held)
    assert written["drawn"]["draws"] == 200
    assert len(written["drawn"]["constants"]) > 5


def test_the_picture_shows_everyone_and_the_budget(findings: Findings, folder: Path) -> None:
    with Image.open(folder / "compare.png") as image:
        assert image.width > 1000
    axes = draw_findings(findings).axes[0]
    points = {
        (float(x), float(y))
        for container in axes.containers
        for x, y in zip(*container.lines[0].get_data(), strict=True)
    }
    for row in findings.rows:
        energy, accuracy = row.figures["energy_j"], row.figures["accuracy"]
        assert energy is not None
        assert accuracy is not None
        if row.variant in (AS_TRAINED, FROZEN, SHUFFLED) and row.target == 1:
            assert (energy.mean * 1e6, accuracy.mean * 100) in points
    budget = next(line for line in axes.lines if line.get_label() == "budget")
    assert budget.get_xdata()[0] == findings.line_up.budget * 1e6


def test_the_command_goes_on_and_repeats_nothing(
    findings: Findings,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained = [path for path in folder.glob("seed*/*/*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in trained}
    written = (folder / "compare.csv").read_text()
    prices = ",".join(f"{price:g}" for price in STUDY.prices)
    words = ["dfs-hw", *AS_WORDS, "--prices", prices, "--out", str(folder)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    said = capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in folder.glob("seed*/*/*")}
    assert after == before
    assert (folder / "compare.csv").read_text() == written
    for remark in findings.remarks():
        assert remark in said


def test_what_is_lost_is_made_again_and_only_that(
    findings: Findings, setups: dict[int, ContenderSetups], folder: Path, tmp_path: Path
) -> None:
    one = findings.contender("dfs")
    part = tmp_path / "seed0"
    for name in ("static-2", "dfs"):
        (part / name).mkdir(parents=True)
    for name in ("static-2/backbone.safetensors", "dfs/gates.safetensors"):
        (part / name).write_bytes((folder / "seed0" / name).read_bytes())
    again = ready(one, 0, findings.line_up, setups[0], tmp_path).trained
    first = ready(one, 0, findings.line_up, setups[0], folder).trained
    assert again.history == first.history
    for name in ("static-2/backbone.safetensors", "dfs/gates.safetensors"):
        assert (part / name).read_bytes() == (folder / "seed0" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("dfs/test.json", "{", "test.json is not valid JSON"),
        ("dfs/test.json", "[]", "test.json: it must be a table"),
        ("dfs/inputs.parquet", "short", "inputs.parquet is not the file that test.json was left"),
        ("best-static/assignment.json", '{"result": []}', "assignment.json: made_from is missing"),
        ("dfs/network.safetensors", "short", "network.safetensors is damaged"),
        ("static-2/static-2.safetensors", "short", "static-2.safetensors is damaged"),
    ],
)
def test_a_broken_file_is_named(
    findings: Findings,
    setups: dict[int, ContenderSetups],
    folder: Path,
    name: str,
    content: str,
    said: str,
) -> None:
    path = folder / "seed0" / name
    one = findings.contender(path.parent.name)
    whole = path.read_bytes()
    path.write_text(content)
    try:
        with pytest.raises(InputError, match=said):
            measured = ready(one, 0, findings.line_up, setups[0], folder)
            measure(measured, STUDY, findings.line_up.budget)
    finally:
        path.write_bytes(whole)


def test_difficulty_without_severity_is_the_loss_at_the_highest_precision(
    setups: dict[int, ContenderSetups],
) -> None:
    setup = setups[0].of(CONFIG)
    test = setup.splits.test.subset(torch.arange(7))
    network = setup.network()
    network.calibrate([test.normalized(test.pixels)])
    with torch.no_grad():
        logits = network.eval()(test.normalized(test.pixels), network.uniform(8)).logits
    wanted = -logits.double().log_softmax(1)[torch.arange(7), test.labels]
    np.testing.assert_allclose(losses(network, test), wanted.numpy(), rtol=1e-12)
