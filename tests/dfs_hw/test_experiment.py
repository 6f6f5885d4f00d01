"""The whole chain on a small network: what it writes adds up, and the report states it."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from accel_models import InputError, cost_table, load_accelerator
from accel_models.precision import Precision
from accel_models.replay import replay
from accel_models.trace import GateTrace
from dfs_hw.cli.show.tables import misjudgement, si
from dfs_hw.experiment import (
    BudgetVerdict,
    Variant,
    best_static_width,
    record_checkpoint,
    run_experiment,
    static_cost,
)
from dfs_hw.report import write_report
from dfs_hw.report.facts import gather
from dfs_hw.training.config import TrainConfig

pytestmark = pytest.mark.slow

CONFIG = TrainConfig(
    network="resnet8",
    widths=(4, 8, 8),
    choices="skip,2,4/8,8",
    budget="0.8",
    backbone_epochs=1,
    supernet_epochs=1,
    joint_epochs=1,
    seed=3,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run_experiment(CONFIG, folder, progress=False)
    write_report(folder)
    return folder


def test_a_run_leaves_everything_a_reader_needs(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {"report.html", "run.json", "trace.parquet", "network.safetensors", "plots"} <= names
    assert not [name for name in names if "partial" in name]
    written = json.loads((run / "run.json").read_text())
    assert written["config"]["seed"] == 3
    assert {"versions", "commit", "platform", "created", "cost_table"} <= written.keys()


def test_adaptive_figures_are_those_of_the_trace_replayed(run: Path) -> None:
    trace = GateTrace.read(run / "trace.parquet")
    header = trace.header
    table = cost_table(
        header.workload, load_accelerator(header.accelerator), header.choices, always=header.always
    )
    outcome = replay(trace, table)
    adaptive = gather(run).adaptive
    assert adaptive.accuracy == trace.accuracy
    assert adaptive.energy_j == outcome.energy_j.mean()
    assert adaptive.latency_s == outcome.latency_s.mean()


def test_static_variants_pay_no_gate_and_run_at_their_width(run: Path) -> None:
    facts = gather(run)
    statics = {v.precision: v for v in facts.variants if v.kind == "static"}
    assert list(statics) == ["2", "4/8", "8"]
    for precision, variant in statics.items():
        cost = static_cost(facts.table, Precision.parse(precision))
        assert not any(layer.layer.role == "gate" for layer in cost.layers)
        assert variant.energy_j == cost.energy_j
    assert statics["2"].bitops < statics["4/8"].bitops < statics["8"].bitops
    assert facts.top.precision == "8"


def test_shuffled_decisions_cost_what_the_true_ones_do(run: Path) -> None:
    facts = gather(run)
    shuffled = next(v for v in facts.variants if v.kind == "shuffled")
    assert (shuffled.energy_j, shuffled.bitops) == (
        facts.adaptive.energy_j,
        facts.adaptive.bitops,
    )


def test_recording_a_checkpoint_again_gives_the_same_trace(run: Path, tmp_path: Path) -> None:
    again = record_checkpoint(run / "network.safetensors", tmp_path / "t.parquet", "test")
    first = GateTrace.read(run / "trace.parquet")
    assert again.header == first.header
    assert (again.choices == first.choices).all()
    assert (again.predictions == first.predictions).all()
    with pytest.raises(InputError, match="holds no gated network"):
        record_checkpoint(run / "backbone.safetensors", tmp_path / "t.parquet", "test")
    with pytest.raises(InputError, match="no split 'exam'"):
        record_checkpoint(run / "network.safetensors", tmp_path / "t.parquet", "exam")


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_page_needs_no_other_file_and_no_network(run: Path) -> None:
    page = (run / "report.html").read_text()
    parser = _Links()
    parser.feed(page)
    assert len(parser.links) >= 6 + 16
    assert all(link.startswith("data:image/png;base64,") for link in parser.links)
    assert "<script" not in page
    assert "@import" not in page
    for path in (run / "plots").iterdir():
        with Image.open(path) as image:
            assert image.width > 1000


def test_the_page_states_the_figures(run: Path) -> None:
    facts = gather(run)
    text = re.sub(r"<[^>]+>", " ", (run / "report.html").read_text())
    for variant in facts.variants:
        assert f"{variant.accuracy:.1%}" in text
        assert si(variant.energy_j, "J") in text
        assert si(variant.latency_s, "s") in text
    for name, value, source in facts.constants():
        assert name in text
        assert value in text
        assert source.status in text
    assert str(facts.verdict) in text


def test_breakdowns_add_up_to_the_mean(run: Path) -> None:
    facts = gather(run)
    total = facts.adaptive.energy_j
    assert facts.replay.layer_energy_pj.sum() * 1e-12 == pytest.approx(total, rel=1e-12)
    assert facts.replay.energy_pj.mean(axis=0).sum() * 1e-12 == pytest.approx(total, rel=1e-12)


def test_misjudgement_compares_like_with_like(run: Path) -> None:
    facts = gather(run)
    stated = [
        float(number) * (1 if word == "less" else -1)
        for number, word in re.findall(r"([\d.]+)% (less|more)", misjudgement(facts))
    ]
    true = (facts.bitops_saving, facts.energy_saving, facts.latency_saving)
    assert stated == pytest.approx([100 * saving for saving in true], abs=0.051)
    assert facts.energy_saving == 1 - facts.adaptive.energy_j / facts.top.energy_j


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("run.json", None, "a folder that `dfs-hw demo` wrote"),
        ("run.json", "{", "is not valid JSON"),
        ("run.json", "[]", "it must be a table"),
        ("run.json", '{"config": {}}', "versions is missing"),
        ("trace.parquet", None, "there is no trace"),
        ("trace.parquet", "PAR1", "truncated, damaged"),
    ],
)
def test_a_broken_run_is_named(
    run: Path, tmp_path: Path, name: str, content: str | None, said: str
) -> None:
    for file in ("run.json", "trace.parquet"):
        (tmp_path / file).write_bytes((run / file).read_bytes())
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_run_of_another_machine_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "trace.parquet").write_bytes((run / "trace.parquet").read_bytes())
    written = json.loads((run / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**written, "cost_table": "0" * 16}))
    with pytest.raises(InputError, match="made with another cost table"):
        write_report(tmp_path)


def test_a_trace_of_another_run_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes((run / "run.json").read_bytes())
    trace = GateTrace.read(run / "trace.parquet")
    choices = trace.choices.copy()
    choices[0] = 0
    replace(trace, choices=choices).write(tmp_path / "trace.parquet")
    with pytest.raises(InputError, match="are of different runs"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("reached", "said"),
    [
        (1.049, "was met: +4.9%"),
        (0.951, "was met: -4.9%"),
        (1.051, "NOT met"),
        (0.9, "not used up"),
    ],
)
def test_a_budget_missed_by_more_than_five_percent_is_called_missed(
    reached: float, said: str
) -> None:
    assert said in str(BudgetVerdict("energy", "45uJ", 1.0, reached))


@pytest.mark.parametrize(("accuracy", "met"), [(0.88, True), (0.879, False)])
def test_an_accuracy_asked_for_is_judged_in_place_of_the_budget(accuracy: float, met: bool) -> None:
    verdict = BudgetVerdict("energy", "0.5", 1.0, 0.3, floor=0.88, accuracy=accuracy)
    assert verdict.met == met
    assert f"88.0% was asked for, at the least energy: on the test inputs it is {accuracy:.1%}" in (
        str(verdict)
    )


def test_the_best_static_width_is_the_cheapest_of_those_not_worse_by_chance() -> None:
    def static(name: str, validation: float, energy: float) -> Variant:
        return Variant(name, "static", name, 0.5, validation, 0, energy, 0)

    variants = [static("2", 0.80, 1), static("4", 0.89, 2), static("8", 0.90, 3)]
    assert best_static_width(variants, validation_inputs=900).name == "4"  # standard error 1 point
    assert best_static_width(variants, validation_inputs=90_000).name == "8"  # 0.1 points


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 J"), (4.5e-5, "45.0 µJ"), (9.996e-7, "1.00 µJ"), (123.4, "123 J"), (2e-12, "2.00 pJ")],
)
def test_amounts_have_three_digits_and_a_prefix(value: float, text: str) -> None:
    assert si(value, "J") == text
