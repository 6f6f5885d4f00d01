"""Damaged files: whatever is wrong with one, a documented error comes out, or a workload."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from accel_models.errors import InputError
from accel_models.workloads.onnx_file import read_onnx

onnx = pytest.importorskip("onnx")
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
FILES = ("light_squeezenet", "light_bvlc_alexnet", "light_shufflenet")


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """A file cut short, with bits turned over, or without some of its nodes."""
    how = rng.choice(("cut", "flip", "drop"))
    if how == "cut":
        return whole[: rng.randrange(len(whole))]
    if how == "flip":
        turned = bytearray(whole)
        for _ in range(rng.choice((1, 20))):
            turned[rng.randrange(len(turned))] ^= 1 << rng.randrange(8)
        return bytes(turned)
    model = onnx.load_from_string(whole)
    for _ in range(rng.randrange(1, 4)):
        del model.graph.node[rng.randrange(len(model.graph.node))]
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("name", FILES)
def test_nothing_but_documented_errors_comes_out(name: str, tmp_path: Path) -> None:
    rng, path = random.Random(name), tmp_path / "damaged.onnx"
    whole = (LIGHT / f"{name}.onnx").read_bytes()
    for _ in range(100):
        path.write_bytes(damaged(whole, rng))
        with contextlib.suppress(InputError):
            read_onnx(path)
