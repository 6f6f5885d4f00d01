"""Where operators run, and the page that says how they are priced."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from accel_models import list_accelerators, load_accelerator
from accel_models.explain import placements
from accel_models.workloads.operators import OPERATORS, VECTOR_OPERATORS

PAGE = (Path(__file__).parents[3] / "docs" / "operators.md").read_text()


@pytest.mark.parametrize("name", list_accelerators())
def test_machines_run_every_operator_unless_their_model_has_no_vector_unit(name: str) -> None:
    machine = load_accelerator(name)
    placed = {one.operator: one for one in placements(machine)}
    assert set(VECTOR_OPERATORS) < set(placed)
    for kind, one in placed.items():
        on_array = kind not in VECTOR_OPERATORS and not kind.startswith("other activations")
        if machine.fidelity.vector_unit:
            assert one.where == ("array" if on_array else "vector unit")
        elif not on_array:
            assert (one.where, "no vector unit" in one.why_not) == ("", True)


def test_the_page_names_every_operator() -> None:
    table = PAGE.partition("|---|---|---|")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([a-z0-9_]+)`", table))
    assert {*OPERATORS} <= named
