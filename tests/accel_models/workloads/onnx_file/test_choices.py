"""Choices between elements that are known before the network runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
from onnx_files import floats, node, write_onnx

from accel_models.workloads.onnx_file import read_onnx


@pytest.mark.parametrize(
    ("mask", "operators"),
    [
        (np.zeros((1, 1, 1, 4), bool), ["conv"]),
        (np.ones((1, 1, 1, 4), bool), ["conv"]),
        (np.array([True, False, True, True]), ["conv", "sum"]),
    ],
)
def test_a_mask_that_hides_nothing_is_free(
    mask: np.ndarray, operators: list[str], tmp_path: Path
) -> None:
    taken, left = ("low", "c") if not mask.all() else ("c", "low")
    nodes = [node("Conv", "x w", "c"), node("Where", f"mask {taken} {left}", "y")]
    weights = {"w": floats(4, 3, 1, 1), "mask": mask, "low": np.float32(-1)}
    path = write_onnx(tmp_path / "n.onnx", nodes, {"x": (1, 3, 4, 4)}, ["y"], weights)
    assert [layer.operator for layer in read_onnx(path).layers] == operators
