"""Strided 1 x 1 convolutions of few channels, whose gradients oneDNN computes out of bounds.

What runs out of bounds may end the process or never return: children try it.
"""

import subprocess
import sys

import pytest

LAYERS = """
import itertools, sys, torch
from torch import nn
from accel_models.precision import parse_choices
from dfs_hw.quantize import QuantizedConv2d

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
strides, sides = (2, (2, 1), (1, 2), 3), ((1, 56), (2, 96), (1, 160), (1, 224), (16, 32))
few, numeric = (1, 2, 4, 5, 8, 9, 12, 15, 16, 17), (torch.float32, torch.bfloat16)
for channels, stride, dtype in itertools.product(few, strides, numeric):
    for images, side in sides:
        plain = nn.Conv2d(channels, 8, 1, stride, bias=False, dtype=dtype)
        layer = QuantizedConv2d(plain, parse_choices("full"))
        x = torch.randn(images, channels, side, side, dtype=dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        y = layer(x)
        y.backward(torch.ones_like(y))
        steps = (stride, stride) if isinstance(stride, int) else stride
        read = x[:, :, :: steps[0], :: steps[1]].double()
        wanted = read.sum((0, 2, 3)).expand(8, channels)
        found = layer.weight.grad.double().flatten(1)
        near = 1e-3 if dtype == torch.float32 else 0.02
        room = near * float(read.abs().sum((0, 2, 3)).max())
        assert (found - wanted).abs().max() <= room, (channels, stride, dtype, side)
print("all right")
"""

NETWORKS = """
import torch
from dfs_hw import build_network

torch.set_num_threads(1)
for side, widths in (
    (224, (4, 4, 8)), (64, (8, 8, 16)), (160, (8, 8, 16)), (224, (6, 6, 6)), (224, (12, 12, 12)),
    (96, (8, 16, 32)),
):
    network = build_network("resnet8", "skip,4,8", classes=2, widths=widths)
    network(torch.randn(1, 3, side, side), network.uniform(8)).logits.sum().backward()
    gradients = [x.grad for x in network.parameters() if x.grad is not None]
    assert gradients and all(x.isfinite().all() for x in gradients), (side, widths)
print("all right")
"""


def said_by_child(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return done.stdout.strip() or f"{done.returncode}: {done.stderr}"


@pytest.mark.parametrize("threads", ["1", "2"])
def test_gradients_are_those_of_the_pixels_that_are_read(threads: str) -> None:
    assert said_by_child(LAYERS, threads) == "all right"


def test_narrow_networks_on_large_images_learn() -> None:
    assert said_by_child(NETWORKS) == "all right"
