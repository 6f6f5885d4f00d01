"""The whole chain on a small network: what it writes adds up, and the report states it."""

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from accel_models import InputError, cost_table, load_accelerator
from accel_models.documents import digest_of
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
from dfs_hw.report import EnergyReport, report_of, write_report
from dfs_hw.report.measured.input_spread import SAMPLE
from dfs_hw.report.sources.of_run import adaptive, difference, statics
from dfs_hw.report.sources.run_file import RunFile, read_run
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
    write_report(report_of(folder), folder)
    return folder


@pytest.fixture(scope="module")
def report(run: Path) -> EnergyReport:
    return report_of(run)


def gathered(run: Path) -> RunFile:
    return read_run(run / "run.json")


def test_a_run_leaves_everything_a_reader_needs(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {"report.html", "run.json", "trace.parquet", "network.safetensors"} <= names
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
    said = adaptive(gathered(run))
    assert said.accuracy == trace.accuracy
    assert said.energy_j == outcome.energy_j.mean()
    assert said.latency_s == outcome.latency_s.mean()


def test_static_variants_pay_no_gate_and_run_at_their_width(run: Path) -> None:
    trace = GateTrace.read(run / "trace.parquet")
    table = cost_table(trace.header.workload, load_accelerator("bitfusion"), trace.header.choices)
    found = {one.precision: one for one in statics(gathered(run))}
    assert list(found) == ["2", "4/8", "8"]
    for precision, variant in found.items():
        cost = static_cost(table, Precision.parse(precision))
        assert not any(layer.layer.role == "gate" for layer in cost.layers)
        assert variant.energy_j == cost.energy_j
    assert found["2"].bitops < found["4/8"].bitops < found["8"].bitops


def test_shuffled_decisions_cost_what_the_true_ones_do(run: Path) -> None:
    dealt = next(v for v in gathered(run).variants if v.kind == "shuffled")
    own = adaptive(gathered(run))
    assert (dealt.energy_j, dealt.bitops) == (own.energy_j, own.bitops)


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
    images = [link for link in parser.links if link.startswith("data:image/png;base64,")]
    assert len(images) == 16
    assert all(link.startswith("#") for link in parser.links if link not in images)
    assert "@import" not in page


def test_the_page_leads_with_the_verdict_and_states_the_figures(
    run: Path, report: EnergyReport
) -> None:
    (subject,) = report.subjects
    text = html.unescape(re.sub(r"<[^>]+>", " ", (run / "report.html").read_text()))
    said = report.verdict.sentence
    assert report.verdict.against in said
    assert text.index(said) < text.index("Saved beside")
    for one in report.comparison.competitors:
        assert one.name in text
    (drawn,) = re.findall(r'id="charts">(.*?)</script>', (run / "report.html").read_text())
    rows = json.loads(drawn)["constants"]["frame"]["rows"]
    stated = [[one.name, one.status, one.source] for one in subject.machine.constants]
    assert [[row[0], *row[5:]] for row in rows] == stated
    assert str(gathered(run).budget) in text


def test_breakdowns_add_up_to_the_mean(run: Path, report: EnergyReport) -> None:
    (subject,) = report.subjects
    energy = adaptive(gathered(run)).energy_j
    assert sum(cell.energy_j for cell in subject.cells) == energy
    assert subject.energy.joules_per_inference == energy
    shares = [one.right + one.wrong for one in subject.inputs.histogram]
    inputs = sum(one.inputs for one in subject.inputs.classes)
    assert sum(shares) == inputs == subject.energy.samples


def test_misjudgement_compares_like_with_like(report: EnergyReport) -> None:
    saved = report.comparison.saved
    stated = [
        float(number) * (1 if word == "less" else -1)
        for number, word in re.findall(r"([\d.]+)% (less|more)", misjudgement(saved))
    ]
    share = {one.title: 1 - one.after / one.before for one in saved}
    true = (share["BitOps"], share["energy"], share["latency"])
    assert stated == pytest.approx([100 * saving for saving in true], abs=0.051)


def test_a_network_says_how_sure_it_was_of_what_its_trace_has(report: EnergyReport) -> None:
    sample = report.subjects[0].inputs.sample
    assert len(sample) == min(SAMPLE, report.subjects[0].energy.samples)
    assert all(0.1 <= one.confidence <= 1 for one in sample)


def test_the_interval_of_a_difference_is_newcombe_s() -> None:
    """The first example of his Table II, 56 of 70 against 48 of 80: 0.0524 to 0.3339."""
    found = difference(56 / 70, 48 / 80, 70, 80)
    assert found.mean == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
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
        report_of(tmp_path)


def test_a_run_of_another_machine_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "trace.parquet").write_bytes((run / "trace.parquet").read_bytes())
    written = json.loads((run / "run.json").read_text())
    written = {**written, "cost_table": "0" * 16}
    del written["digest"]
    (tmp_path / "run.json").write_text(json.dumps({**written, "digest": digest_of(written)}))
    with pytest.raises(InputError, match="made with another cost table"):
        report_of(tmp_path)


def test_a_trace_of_another_run_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes((run / "run.json").read_bytes())
    trace = GateTrace.read(run / "trace.parquet")
    choices = trace.choices.copy()
    choices[0] = 0
    replace(trace, choices=choices).write(tmp_path / "trace.parquet")
    with pytest.raises(InputError, match="are of different runs"):
        report_of(tmp_path)


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
