"""A model that PyTorch exports as ONNX is the same workload read either way."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from accel_models.workloads.onnx_file import read_onnx
from dfs_hw import workload_of

pytest.importorskip("onnx")


class Block(nn.Module):
    """A residual block with a gate on channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Sigmoid())
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, groups=4)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.norm1(self.conv1(maps)))
        return torch.relu(self.conv2(inner * self.squeeze(inner)) + maps)


class Tokens(nn.Module):
    """Self-attention on places, and a pool over them."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        rows = self.norm(maps.flatten(2).transpose(1, 2))
        q, k, v = self.qkv(rows).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        chances = (q @ k.transpose(-2, -1) * 0.5).softmax(-1)
        mixed = (chances @ v).transpose(1, 2).flatten(2)
        return (rows + self.out(mixed)).mean(1)


def network() -> nn.Module:
    """Layers of many kinds, one after the other."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding="same"),
        nn.Hardswish(),
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        Block(),
        nn.ConvTranspose2d(8, 8, 3, stride=2, padding=1, output_padding=1),
        nn.GELU(),
        nn.Upsample(scale_factor=0.5),
        nn.GroupNorm(2, 8),
        Tokens(),
        nn.Linear(8, 10),
    ).eval()


@pytest.mark.parametrize("opset", [13, 17])
def test_an_exported_model_is_read_as_the_model(tmp_path: Path, opset: int) -> None:
    model, image, path = network(), torch.zeros(1, 3, 16, 16), tmp_path / "net.onnx"
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
