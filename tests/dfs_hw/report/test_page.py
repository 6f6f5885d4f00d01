"""The page of a report, opened in a browser: charts there, filters, sorts, keys, no errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import PHONE, browser, opened, sideways, widths_drawn
from exploring import trace_of
from reporting import EVIL, made_up

from dfs_hw.report import EnergyReport, write_report
from dfs_hw.report.charts.everything import charts_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report() -> EnergyReport:
    return made_up()


@pytest.fixture(scope="module")
def page(report: EnergyReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (page,) = write_report(report, tmp_path_factory.mktemp("page"))
    return page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


def bars(view: Any, name: str) -> int:
    """Bars of a chart."""
    return int(view.locator(f"[data-chart={name}] .drawing .bar").count())


def test_all_charts_are_drawn_filtered_sorted_zoomed_and_walked_through(
    chromium: Any, report: EnergyReport, page: Path
) -> None:
    with opened(chromium, page) as view:
        drawn = [chart for chart in charts_of(report) if chart.kind != "table"]
        widths = widths_drawn(view)
        assert len(widths) == len(drawn)
        assert min(widths) > 200
        names = view.locator("[data-chart=accuracy-energy] .drawing text").all_text_contents()
        assert {"static", EVIL} <= set(names)

        before = bars(view, "breakdown")
        select = view.locator("[data-chart=breakdown] .controls select").nth(3)
        select.select_option("dram")
        assert 0 < bars(view, "breakdown") < before
        select.select_option("")
        view.locator("[data-chart=breakdown] .key").first.click()
        assert bars(view, "breakdown") < before

        heads = view.locator("[data-chart=everybody] th button")
        column = view.locator("[data-chart=everybody] tbody tr td:nth-child(3)")
        heads.nth(2).click()
        assert column.all_inner_texts() == ["65.00 %", "70.00 %"]
        heads.nth(2).press("Enter")
        assert column.all_inner_texts() == ["70.00 %", "65.00 %"]

        box = view.locator("[data-chart=classes] .drawing")
        box.focus()
        box.press("ArrowRight")
        assert "test accuracy" in view.inner_text("#tip") or "accuracy" in view.inner_text("#tip")
        box.scroll_into_view_if_needed()
        area = box.bounding_box()
        view.mouse.move(area["x"] + 120, area["y"] + 40)
        view.mouse.down()
        view.mouse.move(area["x"] + 400, area["y"] + 200, steps=3)
        view.mouse.up()
        assert view.locator("[data-chart=classes] button:has-text('zoom out')").is_visible()


def test_the_page_fits_a_phone_and_paper(chromium: Any, page: Path, tmp_path: Path) -> None:
    with opened(chromium, page, PHONE) as view:
        assert sideways(view) <= 0
        assert max(widths_drawn(view)) <= PHONE
        view.emulate_media(media="print", color_scheme="dark")
        ink = view.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ink == "rgb(255, 255, 255)"
        view.pdf(path=tmp_path / "page.pdf")
        assert (tmp_path / "page.pdf").stat().st_size > 10_000


def test_a_network_that_treats_all_inputs_alike_is_drawn(chromium: Any, tmp_path: Path) -> None:
    trace = trace_of(inputs=7)
    report = made_up(replace(trace, choices=np.full_like(trace.choices, 1)))
    (subject,) = report.subjects
    assert subject.inputs is not None
    (only,) = subject.inputs.histogram
    energy = subject.energy.joules_per_inference
    assert only.low == pytest.approx(energy, rel=1e-5)
    assert only.low < energy < only.high
    (page,) = write_report(report, tmp_path)
    with opened(chromium, page) as view:
        assert bars(view, "histogram") == 1
        assert min(widths_drawn(view)) > 200
