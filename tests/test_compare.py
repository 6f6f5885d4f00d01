"""Comparisons: what is charged is what the machine says, everyone has the same budget, and the
sentences say what the figures do."""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from torch.nn.functional import cross_entropy

from accel_models import InputError, load_accelerator, simulate
from accel_models.precision import Precision, highest, parse_choices
from accel_models.replay import replay
from accel_models.trace import GateTrace
from dfs_hw.baselines.benches import Benches
from dfs_hw.baselines.compare import compare, ready
from dfs_hw.baselines.contenders import Contender, line_up
from dfs_hw.baselines.findings import Findings
from dfs_hw.baselines.kept import kept
from dfs_hw.baselines.measurement import (
    AS_TRAINED,
    AT_PRICE,
    FROZEN,
    FROZEN_PAYING,
    SHUFFLED,
    Record,
    correlation,
    deciding_units,
    losses,
    measure,
)
from dfs_hw.baselines.picture import draw
from dfs_hw.baselines.static_search import StaticSearch
from dfs_hw.baselines.study import FAMILIES, Study
from dfs_hw.baselines.tabulation import Spread, best_static, rises, rows_of, verdict_on
from dfs_hw.cli import main
from dfs_hw.cli.app import app
from dfs_hw.training.bench import Bench
from dfs_hw.training.config import TrainConfig
from dfs_hw.training.stages import train_supernet

CONFIG = TrainConfig(
    network="resnet8",
    widths=(4, 8, 8),
    choices="skip,2,8",
    budget="0.95",
    backbone_epochs=1,
    supernet_epochs=1,
    joint_epochs=1,
)
STUDY = Study(
    CONFIG,
    seeds=(0, 1),
    families=("static", "best-static", "dfs", "knob"),
    points=(),
    prices=(0.0, 0.5, 1.0),
    shuffles=2,
)
AS_WORDS = [
    *("compare", "--network", "resnet8", "--choices", "skip,2,8", "--budget", "0.95"),
    *("--set", "widths=4,8,8", "--set", "supernet_epochs=1", "--epochs", "1", "--seeds", "0,1"),
    *("--contenders", ",".join(STUDY.families), "--points", "", "--shuffles", "2", "--quiet"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def findings(folder: Path) -> Findings:
    return compare(STUDY, folder, progress=False)


@pytest.fixture(scope="module")
def benches() -> dict[int, Benches]:
    return {seed: Benches() for seed in STUDY.seeds}


def bench_of(benches: dict[int, Benches], findings: Findings, record: Record) -> Bench:
    config = findings.contender(record.contender).config
    return benches[record.seed].of(replace(config, seed=record.seed))


def adaptive(findings: Findings, variant: str) -> Iterator[Record]:
    """Records of networks that decide, run in one way, seed by seed."""
    found = (record for record in findings.records if record.variant == variant)
    return (one for one in found if findings.contender(one.contender).adaptive)


def costs(record: Record) -> tuple[float, ...]:
    return record.energy_j, record.latency_s, record.bitops, record.share


def simulated(bench: Bench, choices: str) -> tuple[float, float, float]:
    """Energy, latency and BitOps of the bare network at choices written as records have them."""
    precisions = [Precision.parse(word) for word in choices.split()]
    bare = bench.table.workload.without_gates()
    machine = load_accelerator(bench.config.accelerator)
    by_unit = dict(zip(bench.table.units, precisions, strict=True))
    run = simulate(bare, machine, by_unit, always=highest(parse_choices(bench.config.choices)))
    return run.energy_j, run.latency_s, float(run.bitops)


def test_every_contender_has_every_record_of_every_seed(findings: Findings) -> None:
    names = [one.name for one in findings.line_up.contenders]
    assert names == ["static-2", "static-8", "best-static", "dfs", "knob"]
    for one in findings.line_up.contenders:
        variants = [
            (record.seed, record.variant)
            for record in findings.records
            if record.contender == one.name
        ]
        each = [AS_TRAINED]
        if one.adaptive:
            each += [FROZEN, FROZEN_PAYING, SHUFFLED]
        if one.name == "knob":
            each += [AT_PRICE] * 3
        assert variants == [(seed, variant) for seed in (0, 1) for variant in each]


def test_shuffled_decisions_cost_exactly_what_the_true_ones_do(findings: Findings) -> None:
    pairs = list(zip(adaptive(findings, AS_TRAINED), adaptive(findings, SHUFFLED), strict=True))
    assert len(pairs) == 4
    for true, shuffled in pairs:
        assert costs(shuffled) == costs(true)
        assert shuffled.vectors == true.vectors


def test_frozen_and_static_networks_cost_exactly_what_simulate_says(
    findings: Findings, benches: dict[int, Benches]
) -> None:
    bare = [record for record in findings.records if record.variant == FROZEN]
    bare += [
        record for record in findings.records if not findings.contender(record.contender).adaptive
    ]
    assert len(bare) == 10
    for record in bare:
        bench = bench_of(benches, findings, record)
        assert (record.energy_j, record.latency_s, record.bitops) == simulated(bench, record.fixed)


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
    findings: Findings, benches: dict[int, Benches], folder: Path
) -> None:
    for record in adaptive(findings, AS_TRAINED):
        trace = GateTrace.read(folder / f"seed{record.seed}" / record.contender / "test.parquet")
        outcome = replay(trace, bench_of(benches, findings, record).table)
        assert record.accuracy == trace.accuracy
        assert record.energy_j == pytest.approx(outcome.energy_j.mean(), rel=1e-12)
        assert record.latency_s == pytest.approx(outcome.latency_s.mean(), rel=1e-12)
        assert record.vectors == len({tuple(row) for row in trace.choices.tolist()})


def test_all_are_trained_for_the_same_joules(
    findings: Findings, benches: dict[int, Benches]
) -> None:
    budget = findings.line_up.budget
    for record in findings.records:
        bench = bench_of(benches, findings, record)
        assert bench.budget.fraction * bench.cost.reference == pytest.approx(budget, rel=1e-5)
        assert record.share == pytest.approx(record.energy_j / budget, rel=1e-5)


def test_the_best_static_assignment_is_within_the_budget(findings: Findings, folder: Path) -> None:
    for record in findings.records:
        if record.contender == "best-static":
            assert record.share <= 1 + 1e-5
            left = json.loads(
                (folder / f"seed{record.seed}/best-static/assignment.json").read_text()
            )
            assert record.fixed.split() == left["result"]


def test_no_width_and_no_change_of_one_block_within_the_budget_beats_the_best_static_assignment(
    findings: Findings, benches: dict[int, Benches], folder: Path
) -> None:
    for seed in STUDY.seeds:
        config = replace(findings.contender("best-static").config, seed=seed)
        bench = benches[seed].of(config)
        network = train_supernet(bench, folder / f"seed{seed}" / "best-static").network.eval()
        search = StaticSearch(bench, network)
        found = search.run()
        (images, _) = next(bench.splits.validation.batches(1000))
        logits = network(images, torch.tensor(found)).logits
        loss = cross_entropy(logits.double(), bench.splits.validation.labels).item()
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
        groups.setdefault((line["contender"], line["variant"], price), []).append(line)
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
    assert [verdict.contender for verdict in findings.verdicts] == ["dfs", "knob"]
    for verdict in findings.verdicts:
        accuracy = {
            (r.contender, r.variant, r.seed): r.accuracy
            for r in findings.records
            if r.variant != AT_PRICE
        }
        assert verdict.against_shuffled.by_seed == {
            seed: accuracy[verdict.contender, AS_TRAINED, seed]
            - accuracy[verdict.contender, SHUFFLED, seed]
            for seed in (0, 1)
        }
        found = verdict.against_static
        assert found is not None
        assert findings.best_static is not None
        assert found.than == findings.best_static.name
        assert found.by_seed == {
            seed: accuracy[verdict.contender, AS_TRAINED, seed]
            - accuracy[found.than, AS_TRAINED, seed]
            for seed in (0, 1)
        }


def test_the_record_of_the_study_says_how_it_came_about(folder: Path, findings: Findings) -> None:
    written = json.loads((folder / "compare.json").read_text())
    assert {"versions", "commit", "platform", "created", "difficulty"} <= written.keys()
    assert written["study"]["seeds"] == [0, 1]
    again = TrainConfig.from_dict({**written["study"]["config"], "seed": 0})
    assert again == CONFIG
    for one in written["contenders"]:
        assert one["source"] == FAMILIES[one["family"]]
    text = (folder / "compare.md").read_text()
    for remark in findings.remarks():
        assert remark in text


def test_the_picture_shows_everyone_and_the_budget(findings: Findings, folder: Path) -> None:
    with Image.open(folder / "compare.png") as image:
        assert image.width > 1000
    axes = draw(findings).axes[0]
    points = {
        (float(x), float(y))
        for container in axes.containers
        for x, y in zip(*container.lines[0].get_data(), strict=True)
    }
    for row in findings.rows:
        energy, accuracy = row.figures["energy_j"], row.figures["accuracy"]
        assert energy is not None
        assert accuracy is not None
        if row.variant in (AS_TRAINED, FROZEN, SHUFFLED):
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
    findings: Findings, benches: dict[int, Benches], folder: Path, tmp_path: Path
) -> None:
    one = findings.contender("dfs")
    part = tmp_path / "seed0"
    for name in ("static-2", "dfs"):
        (part / name).mkdir(parents=True)
    for name in ("static-2/backbone.safetensors", "dfs/gates.safetensors"):
        (part / name).write_bytes((folder / "seed0" / name).read_bytes())
    again = ready(one, 0, findings.line_up, benches[0], tmp_path).trained
    first = ready(one, 0, findings.line_up, benches[0], folder).trained
    assert again.history == first.history
    for name in ("static-2/backbone.safetensors", "dfs/gates.safetensors"):
        assert (part / name).read_bytes() == (folder / "seed0" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("dfs/test.json", "{", "test.json is damaged"),
        ("dfs/test.json", "[]", "test.json is damaged"),
        ("best-static/assignment.json", '{"result": []}', "assignment.json is damaged"),
        ("dfs/network.safetensors", "short", "network.safetensors is damaged"),
        ("static-2/static-2.safetensors", "short", "static-2.safetensors is damaged"),
    ],
)
def test_a_broken_file_is_named(
    findings: Findings,
    benches: dict[int, Benches],
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
            measure(ready(one, 0, findings.line_up, benches[0], folder), STUDY)
    finally:
        path.write_bytes(whole)


def test_what_was_made_from_something_else_is_made_again(tmp_path: Path) -> None:
    path, made = tmp_path / "a.json", []

    def make() -> dict[str, Any]:
        made.append(1)
        return {"figures": (1.5, len(made))}

    assert kept(path, {"seed": (1, 2)}, make) == {"figures": [1.5, 1]}
    assert kept(path, {"seed": (1, 2)}, make) == {"figures": [1.5, 1]}
    assert kept(path, {"seed": (1, 3)}, make) == {"figures": [1.5, 2]}


def test_dfq_takes_what_the_machine_supports_and_says_so() -> None:
    study = replace(STUDY, families=("dfq",), seeds=(0,), dfq_choices="4/3,4,4/20")
    (dfq,) = line_up(study).contenders
    assert dfq.config.choices == "4/3,4"
    assert "(4/3,4)" in dfq.title
    with pytest.raises(InputError, match="bitfusion runs fewer than two of 4,20"):
        line_up(replace(study, dfq_choices="4,20"))


def test_who_cannot_reach_the_budget_is_trained_for_the_middle_of_what_it_can() -> None:
    study = replace(STUDY, families=("dfq",), seeds=(0,), dfq_choices="4/3,4")
    field = line_up(study)
    (dfq,) = field.contenders
    bench = Bench.of(dfq.config, progress=False)
    middle = (bench.cost.floor + bench.cost.ceiling) / 2
    assert bench.budget.fraction == pytest.approx(middle, rel=1e-5)
    spent = bench.budget.fraction * bench.cost.reference
    assert dfq.target == pytest.approx(spent / field.budget, rel=1e-5)
    assert f"for {dfq.target:.2f} x budget" in dfq.title


def test_who_differs_from_nobody_and_points_out_of_reach_are_left_out_by_name() -> None:
    config = replace(CONFIG, choices="skip,8")
    study = Study(config, (0,), ("dfs", "skipnet", "knob"), points=(0.1,))
    field = line_up(study)
    assert [one.name for one in field.contenders] == ["dfs", "knob"]
    assert field.left_out.keys() == {"skipnet", "dfs-x0.1"}
    assert "those of DFS" in field.left_out["skipnet"]
    assert "can be reached" in field.left_out["dfs-x0.1"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": ()}, "seeds of a comparison"),
        ({"seeds": (1, 1)}, "different whole numbers"),
        ({"families": ("haq",)}, "no contender is called 'haq'.*dfs"),
        ({"points": (0.0,)}, "above 0"),
        ({"prices": (1.5,)}, "between 0 and 1"),
        ({"shuffles": 0}, "at least 1"),
        ({"config": replace(CONFIG, metric="edp")}, "energy, latency, bitops .* not in edp"),
    ],
)
def test_what_cannot_be_compared_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(STUDY, **change)


def test_a_block_decides_if_one_more_choice_has_more_than_a_twentieth() -> None:
    choices = np.zeros((100, 4), dtype=np.uint8)
    choices[:5, 1] = 2  # just 5 %
    choices[:6, 2] = 2  # more
    choices[:5, 3], choices[5:10, 3] = 1, 2  # 10 % are off, but no choice has more than 5 %
    assert deciding_units(choices, 3) == 1
    assert deciding_units(choices[:, :1], 1) == 0


def test_correlation_is_of_ranks() -> None:
    energy = np.array([1.0, 2.0, 3.0, 4.0])
    assert correlation(energy, np.exp(energy)) == pytest.approx(1)
    assert correlation(energy, np.array([4.0, 3.0, 1.0, 2.0])) == pytest.approx(-0.8)
    assert correlation(np.ones(4), energy) is None


def test_difficulty_without_severity_is_the_loss_at_the_highest_precision(
    benches: dict[int, Benches],
) -> None:
    bench = benches[0].of(CONFIG)
    test = bench.splits.test.subset(torch.arange(7))
    network = bench.network()
    network.calibrate([test.normalized(test.pixels)])
    with torch.no_grad():
        logits = network.eval()(test.normalized(test.pixels), network.uniform(8)).logits
    wanted = -logits.double().log_softmax(1)[torch.arange(7), test.labels]
    np.testing.assert_allclose(losses(network, test), wanted.numpy(), rtol=1e-12)


def record(contender: str, seed: int, accuracy: float, **more: Any) -> Record:
    figures = {"bitops": 1.0, "energy_j": 1.0, "latency_s": 1.0, "share": 1.0, "target": 1.0}
    return Record(contender, seed, more.pop("variant", AS_TRAINED), accuracy, **figures | more)


def contender(name: str, family: str, **more: Any) -> Contender:
    return Contender(name, family, name.upper(), CONFIG, **more)


def test_a_spread_is_that_of_a_sample() -> None:
    spread = Spread.of([1.0, 2.0, 3.0])
    assert (spread.mean, spread.deviation) == (2.0, 1.0)
    assert spread.error == pytest.approx(3**-0.5)
    # Student's t for 2 degrees of freedom is 4.303 at 97.5 %: 2 is within 4.303 / sqrt(3) = 2.48.
    assert spread.side == 0
    assert Spread.of([2.0, 2.5, 3.0]).side == 1  # 4.303 / 2 / sqrt(3) = 1.24 < 2.5
    assert Spread.of([-2.0, -2.5, -3.0]).side == -1
    assert (Spread.of([5.0]).error, Spread.of([5.0]).side) == (None, 0)


def test_the_best_static_network_is_that_of_validation_within_the_budget() -> None:
    field = [contender(name, "static") for name in "abc"] + [contender("d", "dfs")]
    records = [
        record("a", 0, 0.9, validation_accuracy=0.7, share=0.5),
        record("b", 0, 0.5, validation_accuracy=0.8, share=1.0199),
        record("b", 1, 0.5, validation_accuracy=0.8, share=1.0),
        record("c", 0, 0.9, validation_accuracy=0.9, share=1.021),
        record("d", 0, 0.9, validation_accuracy=0.95, share=0.5),
    ]
    best = best_static(records, field)
    assert best is not None
    assert best.name == "b"
    cheap = best_static(records, field, target=0.6)
    assert cheap is not None
    assert cheap.name == "a"
    assert best_static(records, field, target=0.4) is None


def judged(own: list[float], fixed: list[float], dealt: list[float], **more: Any) -> str:
    """The sentence on a contender of so many seeds, given its and the others' accuracies."""
    field = [contender("s", "static"), contender("d", "dfs")]
    records = [
        one
        for seed, (a, b, c) in enumerate(zip(own, fixed, dealt, strict=True))
        for one in (
            record("d", seed, a, **more),
            record("s", seed, b, validation_accuracy=b),
            record("d", seed, c, variant=SHUFFLED, **more),
        )
    ]
    return verdict_on(field[1], records, field, "energy").sentence


def test_the_verdict_says_what_the_figures_say() -> None:
    better, worse = [0.90, 0.91, 0.92], [0.80, 0.81, 0.82]
    said = judged(better, worse, [0.85, 0.86, 0.87])
    assert said.startswith("D earned its keep: at 100% of the energy budget it is 10.00 ± 0.00")
    assert "more accurate than the best static network (S), and 5.00 ± 0.00 points more" in said
    assert "chance" not in said
    said = judged(worse, better, [0.75, 0.76, 0.77])
    assert said.startswith("D did NOT earn its keep")
    assert "10.00 ± 0.00 points less accurate than the best static network" in said
    assert judged(better, worse, better).startswith("D did NOT earn")  # inputs do not matter
    said = judged([0.9, 0.8, 0.85], [0.8, 0.85, 0.8], worse)
    assert said.startswith("Whether D earned its keep cannot be told")
    assert "The difference to the best static network and to shuffled decisions may be" in said
    assert "One seed says nothing" in judged([0.9], [0.8], [0.8])
    said = judged(better, worse, worse, share=1.1)
    assert said.startswith("Whether D earned its keep cannot be told: at 110% of the energy budget")
    assert "not at matched cost" in said


def test_a_verdict_needs_a_static_network_within_the_budget() -> None:
    field = [contender("s", "static"), contender("d", "dfs")]
    records = [record("d", 0, 0.9), record("s", 0, 0.8, share=1.1, validation_accuracy=0.8)]
    records.append(record("d", 0, 0.8, variant=SHUFFLED))
    verdict = verdict_on(field[1], records, field, "energy")
    assert (verdict.earned, verdict.against_static) == (None, None)
    assert "no static network of this comparison is within its budget" in verdict.sentence


def test_a_knob_that_spends_more_at_a_higher_price_is_found_out() -> None:
    curve = [(0.5, 2.0), (0.0, 3.0), (1.0, 2.5)]
    records = [
        record("k", 4, 0.9, variant=AT_PRICE, price=price, energy_j=energy)
        for price, energy in curve
    ]
    (rise,) = rises(records)
    assert (rise.seed, rise.price, rise.next_price) == (4, 0.5, 1.0)
    assert (rise.energy_j, rise.next_energy_j) == (2.0, 2.5)
    assert len(rows_of(records)) == 3
    assert not rises([record("k", 0, 0.9, price=0.3), *records[:2]])


def test_the_command_asks_for_what_a_study_does_by_default() -> None:
    (command,) = (c for c in app.registered_commands if c.callback.__name__ == "compare")  # type: ignore[union-attr]
    options = {
        p.name: p.default
        for p in typer.main.get_command_from_info(
            command, pretty_exceptions_short=False, rich_markup_mode=None
        ).params
    }
    usual = Study(CONFIG, (0, 1, 2))
    assert options["contenders"].split(",") == list(usual.families)
    assert options["dfq"] == usual.dfq_choices
    assert tuple(map(float, options["points"].split(","))) == usual.points
    assert tuple(map(float, options["prices"].split(","))) == usual.prices
    assert options["shuffles"] == usual.shuffles


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seeds", "0,x"), "--seeds takes numbers with commas between them, got '0,x'"),
        (("--contenders", "haq"), "no contender is called 'haq'"),
        (("--metric", "paper"), "not in paper"),
    ],
)
def test_the_command_refuses_with_a_sentence(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["dfs-hw", "compare", *words, "--out", str(tmp_path / "o")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
