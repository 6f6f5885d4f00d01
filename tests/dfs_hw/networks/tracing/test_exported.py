"""A model that PyTorch exports as ONNX is the same workload read either way."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from exported_models import layers_of_many_kinds

from accel_models.workloads.onnx_file import read_onnx
from dfs_hw import workload_of

pytest.importorskip("onnx")


@pytest.mark.parametrize("opset", [13, 17])
def test_an_exported_model_is_read_as_the_model(tmp_path: Path, opset: int) -> None:
    model, image, path = layers_of_many_kinds(), torch.zeros(1, 3, 16, 16), tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (image,), str(path), dynamo=False, opset_version=opset)
    read, known = read_onnx(path), workload_of(model, image, name="net")
    assert not read.assumed
    assert read.macs == known.macs
    assert {layer.name: layer for layer in read.layers} == {
        layer.name: layer for layer in known.layers
    }
    assert set(read.edges) == set(known.edges)
