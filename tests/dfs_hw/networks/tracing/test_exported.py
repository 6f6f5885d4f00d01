"""A model that PyTorch exports as ONNX is the same workload read either way."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from exported_models import Block, layers_of_many_kinds
from torch import nn

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


@pytest.mark.parametrize("of_today", [False, True], ids=["older", "of today"])
def test_layers_that_took_in_a_norm_keep_their_names(tmp_path: Path, of_today: bool) -> None:
    if of_today:
        pytest.importorskip("onnxscript")
    model = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), Block()),
        *(nn.ConvTranspose2d(8, 8, 3, bias=False), nn.BatchNorm2d(8)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.Linear(8, 16, bias=False), nn.BatchNorm1d(16), nn.Linear(16, 4)),
    ).eval()
    image, path = torch.zeros(1, 3, 16, 16), tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (image,), str(path), dynamo=of_today, verbose=False)
    read, known = read_onnx(path), workload_of(model, image, name="net")
    named = ["0", "2.conv1", "2.squeeze.1", "2.conv2", "3", "7", "9"]
    for workload in (read, known):
        assert [one.name for one in workload.layers if one.on_array] == named
    assert read.macs == known.macs


@pytest.mark.parametrize(
    ("layer", "sizes"),
    [
        (nn.LSTM(8, 16, 2), (3, 2, 8)),
        (nn.LSTM(8, 16, bidirectional=True, batch_first=True), (2, 3, 8)),
        (nn.GRU(8, 16), (3, 1, 8)),
        (nn.RNN(8, 16), (3, 1, 8)),
        (nn.LocalResponseNorm(5), (1, 16, 8, 8)),
        (nn.LocalResponseNorm(4, beta=0.5), (1, 16, 8, 8)),
    ],
    ids=lambda one: type(one).__name__,
)
def test_layers_that_are_one_operator_there_come_to_the_same_work(
    layer: nn.Module, sizes: tuple[int, ...], tmp_path: Path
) -> None:
    """But for what PyTorch's own code computes of a state that is zero at the start."""
    example, path = torch.zeros(sizes), tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(layer.eval(), (example,), str(path), dynamo=False, opset_version=17)
    read, known = read_onnx(path), workload_of(layer, example, name="net")
    assert not read.assumed
    assert not known.assumed
    assert read.macs == known.macs
    ours, theirs = (sum(one.vector_operations for one in w.layers) for w in (read, known))
    if isinstance(layer, nn.LocalResponseNorm):
        assert [one.operator for one in read.layers] == [one.operator for one in known.layers]
        assert ours == theirs
    else:
        assert 0.8 * theirs < ours <= theirs
