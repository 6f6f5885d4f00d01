"""A report of as many inputs as a large test set has: its page does not grow with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from exploring import trace_of
from run_files import run_record

from accel_models import cost_table, load_accelerator
from accel_models.documents import typed
from accel_models.reference_machine.events import tile_limit
from accel_models.replay import replay
from dfs_hw.data import Dataset
from dfs_hw.report.facts import Facts
from dfs_hw.report.page import write_page
from dfs_hw.report.run_file import RunFile

INPUTS = 100_000
MOST_BYTES = 6 * 2**20


def facts_of(inputs: int) -> Facts:
    """Random decisions about images of 8 x 8 pixels, degraded by random amounts."""
    trace = trace_of(inputs=inputs)
    header, machine = trace.header, load_accelerator("bitfusion")
    table = cost_table(header.workload, machine, header.choices, always=header.always)
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (inputs, 1, 8, 8), dtype=np.uint8))
    severity = torch.from_numpy(rng.random(inputs, dtype=np.float32))
    labels, one = torch.from_numpy(trace.labels.astype(np.int64)), torch.ones(1)
    images = Dataset("random", pixels, labels, one, one, severity=severity)
    record = run_record() | {"classes": ["zero", "one", "two", "three"]}
    return Facts(typed(RunFile, record, "run.json"), replay(trace, table), images)


def test_a_report_of_a_hundred_thousand_inputs_is_no_longer_than_one_of_a_hundred(
    tmp_path: Path,
) -> None:
    few, many = (write_page(facts_of(inputs), tmp_path / str(inputs)) for inputs in (100, INPUTS))
    assert many.stat().st_size < MOST_BYTES
    assert abs(len(many.read_text().splitlines()) - len(few.read_text().splitlines())) < 10
    assert f"{INPUTS:,}" in many.read_text() or str(INPUTS) in many.read_text()


def test_a_report_does_without_the_picture_of_inputs_that_are_too_large_to_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = facts_of(10)
    assert 'alt="The cheapest and the dearest' in write_page(facts, tmp_path / "a").read_text()
    monkeypatch.setattr(tile_limit, "MOST_TILES", 1)
    page = write_page(facts, tmp_path / "b").read_text()
    assert 'alt="The cheapest and the dearest' not in page
    assert "have more tiles than can be drawn" in page
    assert not (tmp_path / "b" / "plots" / "timelines.png").exists()
