"""A report as data: read as it was written, by its schema, or refused by its version."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT
from reporting import EVIL, made_up

from accel_models import InputError
from accel_models.pages import Chart, write_figure
from accel_models.si import apart
from dfs_hw.report import FORMATS, read_report, report_of, report_schema, side_by_side, write_report
from dfs_hw.report.charts.everything import charts_of
from dfs_hw.report.report import EnergyReport

IDLE = {
    **{"name": "a", "kind": "static", "group": "b"},
    **{"accuracy": 0.5, "energy_j": 0, "latency_s": 1e-3, "bitops": 1},
}
"""A network that takes nothing, beside which others cannot be put."""
SCHEMA = ROOT / "docs" / "report.schema.json"


@pytest.fixture(scope="module")
def report() -> EnergyReport:
    return made_up()


@pytest.fixture(scope="module")
def written(report: EnergyReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(report, folder, [one for one in FORMATS if one not in ("pdf", "svg")])
    return folder


def test_a_report_is_read_as_it_was_written_and_as_its_published_schema_says(
    report: EnergyReport, written: Path
) -> None:
    assert read_report(written / "report.json") == report == report_of(written / "report.json")
    published = json.loads(SCHEMA.read_text())
    assert published == json.loads(json.dumps(report_schema()))
    data = json.loads((written / "report.json").read_text())
    jsonschema.validate(data, published)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**data, "subjects": [{}]}, published)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format must be a whole number from 1 to 1, got 2: make the report again"),
        ({"format": "1"}, "format must be a whole number from 1 to 1"),
        ({"more": 1}, "more is not a known field"),
        ({"subjects": [{}]}, "subjects.0.name is missing"),
        ({"comparison": {"competitors": [IDLE]}}, "0.energy_j must be greater than 0, got 0"),
    ],
)
def test_another_version_or_field_is_refused(
    change: dict[str, Any], said: str, written: Path, tmp_path: Path
) -> None:
    data = json.loads((written / "report.json").read_text())
    path = tmp_path / "report.json"
    path.write_text(json.dumps({**data, **change}))
    with pytest.raises(InputError, match=re.escape(said)):
        read_report(path)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("accuracy", 7, "accuracy must be less than or equal to 1, got 7"),
        ("accuracy", -0.1, "accuracy must be greater than or equal to 0"),
        ("cells", [{"energy_j": -1}], "energy_j must be greater than or equal to 0, got -1"),
    ],
)
def test_figures_that_nothing_can_have_are_refused(
    field: str, value: Any, said: str, written: Path, tmp_path: Path
) -> None:
    data = json.loads((written / "report.json").read_text())
    subject = data["subjects"][0]
    whole = [{**subject["cells"][0], **value[0]}] if isinstance(value, list) else value
    data["subjects"][0] = {**subject, field: whole}
    path = tmp_path / "report.json"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=re.escape(said)):
        read_report(path)


def test_cycles_that_a_page_tells_are_asked_for(report: EnergyReport) -> None:
    subject = report.subjects[0]
    assert subject.expectations
    with pytest.raises(InputError, match="waiting must have 'switching'"):
        replace(subject, waiting={"all": 2.0, "exposed": 1.0})
    with pytest.raises(InputError, match=r"waiting\.all must be greater than 0"):
        replace(subject, waiting=subject.waiting | {"all": 0.0})


class Texts(HTMLParser):
    """What a page says outside of scripts, and the tags that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.said, self.tags, self.inside = [], [], ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.said.append(data)


def test_names_stay_names_in_every_format(written: Path) -> None:
    page, parser = (written / "report.html").read_text(), Texts()
    parser.feed(page)
    assert EVIL in " ".join(parser.said)
    assert page.count("</script>") == 3
    assert "<b>bold" not in page
    assert r"\textless{}b\textgreater{}bold" in (written / "report.tex").read_text()
    assert "<b>bold" not in (written / "report.md").read_text().replace(r"\<", "")
    with (written / "tables" / "everybody.csv").open() as file:
        assert next(csv.DictReader(file))["name"] == EVIL


def test_tables_hold_what_the_report_says(report: EnergyReport, written: Path) -> None:
    with (written / "tables" / "breakdown.csv").open() as file:
        cells = list(csv.DictReader(file))
    total = sum(float(cell["energy_j"]) for cell in cells)
    assert total == report.subjects[0].energy.joules_per_inference
    events = json.loads((written / "report.perfetto.json").read_text())["traceEvents"]
    spans = [span for track in report.subjects[0].tracks for span in track.spans]
    assert sum(event["ph"] == "X" for event in events) == len(spans) > 0


def everybody(report: EnergyReport) -> Chart:
    """Accuracy against energy, with curves of more corners than there is room for names."""
    return next(chart for chart in charts_of(report) if chart.name == "accuracy-energy")


def test_a_chart_of_every_kind_is_drawn_for_papers_as_vectors(
    report: EnergyReport, tmp_path: Path
) -> None:
    kinds = {chart.kind: chart for chart in charts_of(report)}
    assert kinds.keys() == {"points", "lines", "bars", "columns", "heat", "spans", "table"}
    for kind in kinds.keys() - {"table"}:
        drawing = write_figure(kinds[kind], tmp_path / f"{kind}.svg").read_text()
        assert "<path" in drawing
        assert "<image" not in drawing
        assert EVIL.partition("<b>")[0] not in drawing
        assert ">None<" not in drawing
    named = write_figure(everybody(report), tmp_path / "everybody.svg").read_text()
    assert ">static<" in named
    assert write_figure(kinds["bars"], tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_reports_stand_side_by_side_and_are_told_apart(report: EnergyReport) -> None:
    both = side_by_side([report, report])
    assert [subject.name for subject in both.subjects] == [f"{EVIL} (1)", f"{EVIL} (2)"]
    names = [chart.name for chart in charts_of(both)]
    assert len(names) == len(set(names))
    assert {"1-breakdown", "2-breakdown", "subjects"} <= set(names)


def test_an_unknown_format_is_refused_before_anything_is_written(
    report: EnergyReport, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"as html, json, .*, got 'docx'"):
        write_report(report, tmp_path / "out", ["docx"])
    assert not (tmp_path / "out").exists()


@given(st.floats(1e-9, 1e3), st.floats(1e-9, 1e3))
def test_differences_agree_with_the_figures_beside_them(before: float, after: float) -> None:
    first, second, between, share = apart(before, after, "J")
    units = {text.split()[1] for text in (first, second, between)}
    a, b, gap = (float(text.split()[0]) for text in (first, second, between))
    assert len(units) == 1
    assert gap == pytest.approx(abs(a - b), abs=1e-9)
    said = float(share.replace("−", "-").replace(" %", ""))
    assert a == 0 or said == pytest.approx(100 * (b / a - 1), abs=0.051)
    assert max(a, b) == pytest.approx(
        max(before, after) * 10 ** round(-_power(units.pop())), rel=0.006
    )


def _power(unit: str) -> int:
    return {"kJ": 3, "J": 0, "mJ": -3, "µJ": -6, "nJ": -9}[unit]
