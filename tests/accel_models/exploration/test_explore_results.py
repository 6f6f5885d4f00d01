"""What an exploration leaves behind, and what it says matters."""

from __future__ import annotations

import html
import itertools
import json
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from browsing import PHONE, browser, opened, sideways, widths_drawn
from exploring import SPACE, branching, trace_of
from networks import gated_pair

from accel_models import InfeasibleError, InputError, cost_table, load_accelerator
from accel_models.costs.pricing import Pricing
from accel_models.exploration import Exploration, cross_table, explore, parse_space
from accel_models.exploration.adaptive import FinishedTrial
from accel_models.exploration.evaluate import TrialOutcome
from accel_models.exploration.report import write_cross_table
from accel_models.exploration.report.analysis import Analysis, analyse
from accel_models.exploration.report.sensitivity import _pairs_kept, stability
from accel_models.exploration.results import TrialTable, tabled
from accel_models.metrics import columns
from accel_models.precision import parse_choices
from accel_models.replay import replay
from accel_models.trace import GateTrace, TraceHeader

pytestmark = pytest.mark.slow

FIELDS = {**SPACE["fields"], "frequency_hz": [400e6, 500e6]}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Exploration:
    tables = {**SPACE, "fields": FIELDS, "constraints": {"area": 1.4}}
    return explore(tables, [trace_of()], out=tmp_path_factory.mktemp("out"), sampler="sweep")


@pytest.fixture(scope="module")
def analysis(found: Exploration) -> Analysis:
    return analyse(found)


@pytest.fixture(scope="module")
def record(found: Exploration) -> dict:
    return found.write({"commit": "0123abc"})


def test_the_chosen_machine_is_a_file_that_costs_what_was_said(
    found: Exploration, record: dict
) -> None:
    machine = load_accelerator(found.folder / "chosen.toml")
    assert machine.key_fields == found.machine().key_fields
    trace = trace_of()
    table = cost_table(trace.header.workload, machine, trace.header.choices)
    outcome, chosen = replay(trace, table), record["chosen"]["metrics"]
    assert chosen["p95_s"] == float(np.percentile(outcome.latency_s, 95))
    assert chosen["energy_j"] == pytest.approx(float(outcome.energy_j.mean()), rel=1e-12)
    assert chosen["area_mm2"] == sum(Pricing(machine).area_mm2.values()) <= 1.4


def test_the_chosen_machine_is_on_the_front_and_nearest_to_its_best(found: Exploration) -> None:
    trials = found.trials
    values = trials.objectives[trials.front]
    far = (np.log(values / values.min(axis=0)) ** 2).sum(axis=1)
    assert trials.chosen == trials.front[far.argmin()]


@pytest.mark.parametrize("unit", [1.0, 1e-12, 1e9])
@pytest.mark.parametrize(
    ("amounts", "chosen"),
    [
        # 0 is ahead of 1 by less than 80 is behind 10, but by more than 11 is behind 10.
        ([(0, 80), (1, 10), (2, 9), (40, 8)], 1),
        ([(0, 11), (1, 10), (2, 9)], 0),
        ([(0, 0)], 0),
    ],
)
def test_an_objective_that_is_0_is_far_ahead_of_others_but_not_endlessly(
    amounts: list[tuple[float, float]], chosen: int, unit: float
) -> None:
    tables = {**SPACE, "objectives": ["energy", "p95"]}
    space, _ = parse_space(tables)
    rows = []
    for number, (energy, time) in enumerate(amounts):
        metrics = {**dict.fromkeys(columns()), "energy_j": energy * unit, "p95_s": float(time)}
        rows.append(FinishedTrial(number, space.configuration(number), TrialOutcome(metrics)))
    trials = TrialTable(space, tabled(space, rows))
    assert sorted(trials.front) == list(range(len(amounts)))
    assert trials.chosen == chosen


def test_the_record_and_the_table_say_the_same(found: Exploration, record: dict) -> None:
    on_disk = json.loads((found.folder / "study.json").read_text())
    assert on_disk == json.loads(json.dumps(record))
    table = pq.read_table(found.folder / "trials.parquet")
    assert table.num_rows == record["trials"]["all"] == found.space.size == 72
    numbers = table["number"].filter(table["pareto"]).to_pylist()
    assert sorted(numbers) == sorted(member["trial"] for member in record["front"])
    assert record["trials"]["within_constraints"] == sum(table["kept"].to_pylist())
    provenance = on_disk["provenance"]
    assert provenance["commit"] == "0123abc"
    assert {"optuna", "numba", "python"} <= provenance["versions"].keys()
    assert on_disk["workloads"][0]["runs"][0]["workload"] == gated_pair().key


def test_the_page_needs_nothing_else_and_holds_every_machine(
    found: Exploration, record: dict
) -> None:
    page = (found.folder / "study.html").read_text()
    assert not re.search(
        r"""(src|href)\s*=|@import|url\((?!#)|https?://(?!www\.w3\.org/2000/svg)""", page
    )
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL).group(1))
    assert len(data["rows"]) == 72
    assert data["chosen"] == record["chosen"]["trial"]
    fields = {field["name"]: field["at"] for field in data["fields"]}
    front = [row for row in data["rows"] if row[data["at"]["front"]]]
    assert len(front) == record["trials"]["front"]
    least = min(row[fields["energy"]] for row in front)
    kept = found.trials.metric("energy")[found.trials.kept]
    assert least == pytest.approx(kept.min(), rel=1e-5)
    for reason in {row["infeasible"] for row in found.trials.table.to_pylist()} - {None}:
        assert reason in page.replace("&#39;", "'")


@pytest.mark.slow
def test_the_page_in_a_browser_filters_sorts_and_fits_a_phone(
    found: Exploration, record: dict
) -> None:
    path = found.folder / "study.html"
    with browser() as chromium:
        with opened(chromium, path) as view:
            dots = view.locator("#scatter circle.dot")
            before = dots.count()
            view.check("#only-front")
            assert dots.count() == record["trials"]["front"] < before
            view.click("#table th button >> text=energy")
            first, last = view.locator("#table tbody tr").all()[:: dots.count() - 1]
            assert first.get_attribute("data-number") != last.get_attribute("data-number")
            assert min(widths_drawn(view)) > 200
        with opened(chromium, path, PHONE) as view:
            assert sideways(view) <= 0


def test_the_page_of_a_long_front_holds_the_ends_of_it_and_the_chosen_machine(
    found: Exploration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accel_models.exploration.report.study_page.EMBEDDED", 0)
    own = replace(found, folder=tmp_path)
    record = own.write(analysed=False)
    page = (tmp_path / "study.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL).group(1))
    rows = {row[data["at"]["number"]]: row for row in data["rows"]}
    front = [number for number, row in rows.items() if row[data["at"]["front"]]]
    best = {
        min(record["front"], key=lambda member: member["metrics"][column])["trial"]
        for column in ("energy_j", "p95_s", "area_mm2")
    }
    assert {*best, record["chosen"]["trial"]} == set(front) == set(rows)
    assert len(front) < record["trials"]["front"]
    assert "a sample of the front and one of the rest" in page
    at = {field["name"]: field["at"] for field in data["fields"]}
    for number, row in rows.items():
        energy = found.trials.metric("energy")[number]
        assert row[at["energy"]] == pytest.approx(energy, rel=1e-5)
        assert row[at["array.rows"]] == found.trials.configuration(number)["array.rows"]


def test_text_from_outside_stays_text(tmp_path: Path) -> None:
    tables = {**SPACE, "name": "</script><b>bold</b>", "fields": {"array": {"rows": [4, 8]}}}
    own = explore(tables, [trace_of()], out=tmp_path, sampler="sweep")
    own.write(analysed=False)
    assert "<b>bold" not in (tmp_path / "study.html").read_text()
    assert load_accelerator(tmp_path / "chosen.toml").name.startswith("</script>")


def test_nothing_within_the_constraints_is_said_and_leaves_no_machine(tmp_path: Path) -> None:
    tables = {**SPACE, "constraints": {"area": 0.01}}
    none = explore(tables, [trace_of()], out=tmp_path, sampler="sweep")
    record = none.write()
    assert (record["chosen"], record["front"]) == (None, [])
    assert not (tmp_path / "chosen.toml").exists()
    assert "No machine keeps to the constraints" in (tmp_path / "study.html").read_text()
    with pytest.raises(InfeasibleError, match="no machine of 'small' keeps to the constraints"):
        none.machine()


def test_where_nothing_runs_the_page_says_so_and_why_and_draws_nothing(tmp_path: Path) -> None:
    options = {"all": {"small": {"widths": [1]}, "least": {"widths": [1, 2]}}}
    tables = {**SPACE, "fields": {"array": {"rows": [4, 8]}}, "options": options}
    none = explore(tables, [trace_of()], out=tmp_path, sampler="sweep")
    record = none.write()
    assert (record["trials"]["all"], record["trials"]["within_constraints"]) == (4, 0)
    page = html.unescape((tmp_path / "study.html").read_text())
    assert "None of the machines can run the workloads" in page
    assert "0 run, 0 keep to the constraints" in page
    reasons = Counter(none.trials.table["infeasible"].to_pylist())
    told = re.findall(r"<tr><td[^>]*>([^<]+)</td><td>(\d+)</td></tr>", page)
    assert {reason: int(count) for reason, count in told} == reasons
    assert sum(reasons.values()) == 4
    assert "<script" not in page
    assert "The front" not in page


def test_importance_is_where_the_variance_is(analysis: Analysis) -> None:
    """The area depends on array and buffers alone."""
    area = analysis.importances["area"].variance
    assert sum(area.values()) == pytest.approx(1)
    assert area["dram.gb_per_s"] + area["frequency_hz"] < 0.02
    assert area["array.rows"] > 0.2
    assert analysis.importances["p95"].variance["array.rows"] > 0.1


def test_a_tornado_turns_one_dimension_at_a_time(found: Exploration, analysis: Analysis) -> None:
    chosen = found.trials.configuration(found.trials.chosen)
    swings = {(swing.dimension, swing.objective): swing for swing in analysis.tornado}
    assert len(swings) == len(found.space.dimensions) * 3
    for swing in analysis.tornado:
        for value, amount in ((swing.at_low, swing.low), (swing.at_high, swing.high)):
            (outcome,) = found.evaluator([{**chosen, swing.dimension: value}])
            column = {"energy": "energy_j", "p95": "p95_s", "area": "area_mm2"}[swing.objective]
            assert outcome.metrics[column] == amount
    area = swings["dram.gb_per_s", "area"]
    assert area.low == area.high


def test_a_ranking_is_stable_where_nothing_is_uncertain_and_less_so_where_much_is(
    tmp_path: Path,
) -> None:
    """Machines that move different shares of their energy over DRAM change places with its price,
    machines of one mapping do not."""
    fields = {
        "array": {"rows": [8, 16], "columns": [8, 16]},
        "storage": {"weights": ["full", "planes"]},
    }
    tables = {**SPACE, "fields": fields, "objectives": ["energy"]}
    own = explore(tables, [trace_of()], out=tmp_path / "a", sampler="sweep")
    stable = stability(own, draws=40)
    assert stable is not None
    assert "dram.pj_per_bit" in stable.constants
    assert "dram.latency_ns" in stable.not_drawn
    assert 50 < stable.pairs_kept["energy"] < 100
    fixed = {path: [own.machine().field(path)] for path in stable.constants}
    sure = explore(
        {**tables, "fields": {**fields, **fixed}}, [trace_of()], out=tmp_path / "b", sampler="sweep"
    )
    assert stability(sure, draws=5) is None


def test_pairs_are_counted_over_machines_and_draws() -> None:
    nominal = np.array([1.0, 2.0, 3.0])
    drawn = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 3.0], [3.0, 2.0, 1.0]])
    assert _pairs_kept(nominal, drawn) == pytest.approx(100 * (3 + 2 + 0) / 9)


MACHINES = ("bismo-published", "bitfusion-published", "stripes")
CHOICES = parse_choices("skip,1,2,4,8")
LOSSES = np.array([[0.72, 0.43, 0.14, 0.05, 0.0], [0.45, 0.4, 0.36, 0.24, 0.0]])
"""Of each choice in either unit."""


def own_policy(machine: str) -> GateTrace:
    """Of all 25 policies that treat every input alike and lose no more than so much, by a made-up
    loss that does not know the machine, the one of least energy: one input."""
    workload = branching().without_gates()
    table = cost_table(workload, load_accelerator(machine), CHOICES)
    header = TraceHeader("branching", "none", workload, CHOICES, table.always, machine, 0, "0")
    pairs = np.array(list(itertools.product(range(5), repeat=2)), dtype=np.uint8)
    pairs = pairs[LOSSES[0, pairs[:, 0]] + LOSSES[1, pairs[:, 1]] <= 0.75]
    numbers = np.arange(len(pairs))
    energy = replay(GateTrace(header, numbers, numbers, numbers, pairs), table).energy_j
    one = np.zeros(1, dtype=np.int64)
    return GateTrace(header, one, one, one, pairs[[energy.argmin()]])


def test_the_best_policy_for_each_machine_loses_nowhere_at_home() -> None:
    """Each is the optimum on its machine of one set of policies, so no other costs less there."""
    crossed = cross_table({f"for {machine}": own_policy(machine) for machine in MACHINES})
    assert crossed.machines == crossed.trained_for == MACHINES
    loss = crossed.loss("energy")
    assert np.diag(loss).tolist() == [0.0] * 3
    assert (loss >= -1e-9).all()
    assert loss.max() > 1


def test_a_cross_table_is_what_replays_say(tmp_path: Path) -> None:
    traces = {name: trace_of(seed=seed, accelerator=name) for seed, name in enumerate(MACHINES)}
    crossed = cross_table(traces, {name: name for name in (*MACHINES, "bitblade")})
    for row, trace in enumerate(traces.values()):
        for column, machine in enumerate(crossed.machines):
            header = trace.header
            table = cost_table(header.workload, load_accelerator(machine), header.choices)
            outcome = replay(trace, table)
            energy = crossed.costs["energy"][row, column]
            assert energy == pytest.approx(outcome.energy_j.mean(), rel=1e-12)
    loss = crossed.loss("latency")
    for place in range(3):
        assert loss[place, place] == 0
    assert loss[:, 3].min() == 0  # nobody's own: beside the least
    write_cross_table(crossed, tmp_path, {"commit": "0"})
    record = json.loads((tmp_path / "cross.json").read_text())
    assert record["loss_percent"]["latency"] == loss.tolist()
    assert "bitblade" in (tmp_path / "cross.html").read_text()


def test_a_machine_that_cannot_run_a_policy_has_no_loss() -> None:
    narrow = load_accelerator("bitfusion").configured(widths=[2, 4])
    crossed = cross_table({"a": trace_of()}, {"bitfusion": "bitfusion", "narrow": narrow})
    assert math.isnan(crossed.loss("energy")[0, 1])
    assert "wider than the 4 bits" in crossed.infeasible["a", "narrow"]


def test_a_machine_that_cannot_run_its_own_policy_compares_the_others() -> None:
    """One that skips everything or runs at 2 bits does, one with 16 bits does not."""
    narrow = load_accelerator("bitfusion").configured(widths=[2, 4, 8])
    bare = trace_of(accelerator="")
    workload, header = bare.header.workload, bare.header
    wide = replace(header, accelerator="narrow", choices=parse_choices("skip,2,4/8,16"))
    own = replace(bare, header=wide)
    skips = [replace(bare, choices=0 * bare.choices + choice) for choice in (0, 1)]
    traces = {"own": own, "none": skips[0], "two bits": skips[1]}
    crossed = cross_table(traces, {"narrow": narrow})
    assert "16" in crossed.infeasible["own", "narrow"]
    assert crossed.without_own == ("narrow",)
    energy = [
        replay(
            trace, cost_table(workload, narrow, header.choices, always=header.always)
        ).energy_j.mean()
        for trace in skips
    ]
    wanted = [math.nan, 0.0, 100 * (energy[1] / energy[0] - 1)]
    np.testing.assert_allclose(crossed.loss("energy")[:, 0], wanted, rtol=1e-9, atol=1e-9)


def test_policies_that_cannot_be_compared_are_refused() -> None:
    pair = trace_of(accelerator="loom-1b")
    with pytest.raises(InputError, match="of another network"):
        cross_table({"a": pair, "b": trace_of(branching())})
    with pytest.raises(InputError, match="a and b were both trained for loom-1b"):
        cross_table({"a": pair, "b": pair})
    with pytest.raises(InputError, match="name no machine"):
        cross_table({"a": trace_of(accelerator="")})
    with pytest.raises(InputError, match="'a' was trained for 'mine', which cannot be loaded"):
        cross_table({"a": trace_of(accelerator="mine")})
    with pytest.raises(InputError, match="unknown metric 'joules'"):
        cross_table({"a": pair}).loss("joules")
