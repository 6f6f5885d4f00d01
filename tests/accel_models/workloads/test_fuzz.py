"""Damaged files: whatever is wrong with one, a documented error comes out, or what it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("onnx")
from fuzz import fault

CASES, SEED = 480, 0
"""More are tried on demand: ``python tests/helpers/fuzz.py 100000 1``."""


@pytest.mark.parametrize("part", range(4))
def test_nothing_but_documented_errors_comes_out(part: int, tmp_path: Path) -> None:
    for number in range(part, CASES, 4):
        error = fault(number, SEED, tmp_path)
        assert error is None, f"case {number} of seed {SEED}: {error!r}"
