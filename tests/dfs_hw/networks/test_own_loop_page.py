"""The page on training loops of one's own, run as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from places import ROOT

from accel_models.trace import GateTrace

PAGE = ROOT / "docs" / "own_loop.md"
LINES = 30
"""What the page promises of the loop."""

pytestmark = pytest.mark.slow


def example(heading: str) -> str:
    """Code under a heading of the page."""
    _, _, rest = PAGE.read_text().partition(f"## {heading}\n")
    found = re.search(r"```python\n(.*?)```", rest, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def ran() -> dict[str, Any]:
    """Names that the first two examples leave."""
    names: dict[str, Any] = {}
    torch.manual_seed(0)
    for heading in ("A model and images", "The loop"):
        exec(compile(example(heading), heading, "exec"), names)
    return names


def test_the_loop_learns_within_the_budget(ran: dict[str, Any]) -> None:
    assert example("The loop").count("\n") < LINES
    assert float(ran["right"].float().mean()) > 0.85
    assert float(ran["spent"].mean()) < 1.05 * ran["budget"].fraction


def test_the_lightning_module_learns_within_the_budget(ran: dict[str, Any]) -> None:
    pytest.importorskip("lightning")
    names = dict(ran)
    torch.manual_seed(0)
    exec(compile(example("As a Lightning module"), "lightning", "exec"), names)
    metrics = names["trainer"].callback_metrics
    assert float(metrics["accuracy"]) > 0.8
    assert float(metrics["cost"]) < 1.1 * ran["budget"].fraction


def test_its_trace_is_replayed(
    ran: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(example("What it would save"), "trace", "exec"), dict(ran))
    trace = GateTrace.read("own.parquet")
    assert len(trace) == len(ran["digits"].test)
    assert trace.accuracy > 0.8
    loaded = GateTrace.read("loader.parquet")
    assert loaded.labels.tolist() == trace.labels.tolist()
    assert (loaded.choices == trace.choices).mean() > 0.99  # sums in batches of another size differ
