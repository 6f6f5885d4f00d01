"""Layers with windows, of whatever sizes PyTorch takes: maps and MACs are PyTorch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from dfs_hw import workload_of

small = st.integers(1, 3)
sides = st.integers(0, 1)
groups = st.sampled_from([1, 2, 4])
modes = st.sampled_from(["zeros", "reflect", "circular", "replicate"])


@st.composite
def layers(draw: st.DrawFn) -> nn.Module:
    kernel, stride = draw(st.integers(1, 4)), draw(small)
    kinds: dict[str, Any] = {
        "conv": lambda: nn.Conv2d(
            4,
            8,
            (kernel, draw(small)),
            stride,
            (draw(sides), draw(sides)),
            draw(small),
            draw(groups),
            padding_mode=draw(modes),
        ),
        "same": lambda: nn.Conv2d(4, 8, kernel, padding="same", dilation=draw(small)),
        "transposed": lambda: nn.ConvTranspose2d(
            4, 8, kernel, stride, draw(sides), draw(sides), draw(groups), dilation=draw(small)
        ),
        "largest": lambda: nn.MaxPool2d(
            kernel, stride, draw(sides), draw(small), ceil_mode=draw(st.booleans())
        ),
        "mean": lambda: nn.AvgPool2d(kernel, stride, draw(sides), ceil_mode=draw(st.booleans())),
        "adaptive": lambda: nn.AdaptiveAvgPool2d((draw(small), draw(st.integers(1, 9)))),
        "upsampled": lambda: nn.Upsample(scale_factor=draw(small) + 1, mode="bilinear"),
    }
    module: nn.Module = kinds[draw(st.sampled_from([*kinds]))]()
    return module


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(layers(), st.integers(4, 9), st.integers(4, 9), st.integers(1, 2))
def test_maps_and_macs_are_pytorchs(module: nn.Module, rows: int, columns: int, batch: int) -> None:
    example = torch.zeros(batch, 4, rows, columns)
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            made = module(example)
    except RuntimeError:
        return  # PyTorch does not take it either
    if made.shape == example.shape and isinstance(module, nn.AdaptiveAvgPool2d):
        return  # nothing to do
    read = workload_of(module, example)
    assert read.layers[-1].outputs == made.numel()
    assert read.macs == counter.get_total_flops() / 2
    assert not read.assumed


class Halved(nn.Module):
    """The shortcut without weights of He et al. (CVPR 2016, option A)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 3, 2, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        y = self.a(maps)
        return self.b(y) + functional.pad(y[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))


def test_zeros_put_around_channels_are_free() -> None:
    read = workload_of(Halved(), torch.empty(1, 3, 6, 6))
    assert [layer.name for layer in read.layers] == ["a", "b", "sum"]
    assert read.layers[-1].out_size == (3, 3)
