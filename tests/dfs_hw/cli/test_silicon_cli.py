"""Chips and claims of papers from the command line."""

import json
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

Command = Callable[..., CompletedProcess[str]]


@pytest.mark.slow
def test_validate_silicon_sets_every_figure_beside_the_model(dfs_hw: Command) -> None:
    done = dfs_hw("validate", "silicon")
    assert done.returncode == 0, done.stderr
    for name in ("Eyeriss", "UNPU", "Colonnade", "TPU", "N-EUREKA", "NE16", "RBE"):
        assert name in done.stdout
    facts = json.loads(dfs_hw("validate", "silicon", "--json").stdout)
    frames = facts["figures"][0]
    assert (frames["chip"], frames["unit"], frames["published"]) == ("Eyeriss", "frames/s", 35.0)
    assert {claim["title"] for claim in facts["claims"]} >= {"Stripes over DaDianNao"}
