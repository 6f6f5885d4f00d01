"""A report of as many inputs as a large test set has: its page does not grow with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exploring import trace_of
from reporting import made_up

from accel_models.reference_machine.events import tile_limit
from dfs_hw.report import write_report
from dfs_hw.report.measured.input_spread import KnownInputs

INPUTS = 100_000
MOST_BYTES = 6 * 2**20


def page_of(inputs: int, folder: Path) -> Path:
    """Random decisions about inputs of random confidence."""
    known = KnownInputs(confidence=np.random.default_rng(0).random(inputs))
    (page,) = write_report(made_up(trace_of(inputs=inputs), known), folder)
    return page


def test_a_report_of_a_hundred_thousand_inputs_fits_and_says_how_many_it_shows(
    tmp_path: Path,
) -> None:
    page = page_of(INPUTS, tmp_path)
    assert page.stat().st_size < MOST_BYTES
    assert f"{INPUTS:,} inputs" in page.read_text()
    assert "2,000 inputs, drawn evenly" in page.read_text()


def test_a_report_does_without_the_picture_of_inputs_that_are_too_large_to_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 'data-chart="timeline-2"' in page_of(10, tmp_path / "a").read_text()
    monkeypatch.setattr(tile_limit, "MOST_TILES", 1)
    page = page_of(10, tmp_path / "b").read_text()
    assert 'data-chart="timeline' not in page
    assert "more tiles than can be drawn" in page
