"""The compiled convolutions and rounding of fused blocks, against PyTorch in double precision."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from dfs_hw.networks.compiled_blocks.parameters import taps_to_points
from dfs_hw.networks.compiled_blocks.threads import array, kernel, zero_images
from dfs_hw.quantize.minmax import round_between
from dfs_hw.quantize.rounding import Levels, quantize

SIZES = st.integers(1, 13)
CHANNELS = st.sampled_from([16, 32, 48])


class Case(NamedTuple):
    """A convolution of some images, and a gradient of its output."""

    x: Tensor
    """[N, C, H, W]."""
    weight: Tensor
    """[out, in, kernel, kernel]."""
    grad: Tensor
    stride: int

    def reference(self) -> tuple[Tensor, Tensor, Tensor]:
        """Output, and gradients of input and weight, in double precision."""
        x, weight = (t.double().requires_grad_() for t in (self.x, self.weight))
        out = functional.conv2d(x, weight, None, self.stride, self.weight.shape[-1] // 2)
        out.backward(self.grad.double())
        assert x.grad is not None
        assert weight.grad is not None
        return out.detach(), x.grad, weight.grad


def case_of(
    images: int,
    inputs: int,
    outputs: int,
    size: tuple[int, int],
    kernel_size: int = 3,
    stride: int = 1,
    seed: int = 0,
) -> Case:
    generator = torch.Generator().manual_seed(seed)
    out = [-(-length // stride) for length in size]
    return Case(
        torch.randn(images, inputs, *size, generator=generator),
        torch.randn(outputs, inputs, kernel_size, kernel_size, generator=generator),
        torch.randn(images, outputs, *out, generator=generator),
        stride,
    )


def tilings(case: Case) -> tuple[object, object]:
    """Of the input and of the output."""
    return tuple(  # type: ignore[return-value]
        kernel().tiling.ImageTiling.of(t.shape[2], t.shape[3], t.shape[1])
        for t in (case.x, case.grad)
    )


def padded_of(x: Tensor, tiling: object) -> np.ndarray:
    padded = zero_images(len(x), tiling.padded)  # type: ignore[attr-defined]
    height, width = x.shape[2:]
    padded[:, 1 : height + 1, 1 : width + 1] = x.permute(0, 2, 3, 1).numpy()
    return padded


def grid_of(x: Tensor, tiling: object) -> np.ndarray:
    grid = zero_images(len(x), tiling.grid)  # type: ignore[attr-defined]
    grid[:, : x.shape[2], : x.shape[3]] = x.permute(0, 2, 3, 1).numpy()
    return grid


def from_grid(grid: np.ndarray, like: Tensor, border: int = 0) -> Tensor:
    height, width = like.shape[2:]
    inside = grid[:, border : height + border, border : width + border]
    return torch.from_numpy(inside.copy()).permute(0, 3, 1, 2)


def assert_near(found: Tensor, wanted: Tensor, tolerance: float) -> None:
    assert (found.double() - wanted).abs().max() <= tolerance * wanted.abs().max()


@pytest.mark.slow
@given(
    images=st.integers(1, 5),
    channels=CHANNELS,
    height=SIZES,
    width=SIZES,
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40)
def test_winograds_filtering_is_the_convolution_and_its_transpose_the_gradients(
    images: int, channels: int, height: int, width: int, seed: int
) -> None:
    case = case_of(images, channels, channels, (height, width), seed=seed)
    code, (tiling, _) = kernel().winograd, tilings(case)
    block = code.POINTS * code.point_size(channels)
    room = code.WinogradScratch(
        *[array(torch.zeros(size)) for size in (block, block, block, 36 * 16)]
    )
    points = taps_to_points(case.weight.flatten(2).permute(2, 0, 1).flatten(1))
    points = points.view(-1, channels, channels)
    padded, grid = padded_of(case.x, tiling), grid_of(torch.zeros_like(case.grad), tiling)
    weights = array(points.transpose(1, 2).flatten())
    code.convolve_points(padded, weights, grid, images, tiling, room)

    x_grad, found = np.zeros_like(padded), array(torch.zeros(points.numel()))
    grads = padded, array(points.flatten()), grid_of(case.grad, tiling), x_grad, found
    code.convolve_points_back(*grads, images, tiling, room)
    taps = taps_to_points(torch.from_numpy(found).view(len(points), -1), back=True)
    weight_grad = taps.view(3, 3, channels, channels).permute(3, 2, 0, 1)

    wanted = case.reference()
    assert_near(from_grid(grid, case.grad), wanted[0], 2e-5)
    assert_near(from_grid(x_grad, case.x, border=1), wanted[1], 2e-5)
    assert_near(weight_grad, wanted[2], 2e-5)


@pytest.mark.slow
@given(
    inputs=CHANNELS,
    outputs=CHANNELS,
    height=SIZES,
    width=SIZES,
    size=st.sampled_from([1, 3]),
    stride=st.sampled_from([1, 2]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60)
def test_so_it_is_tap_by_tap(
    inputs: int, outputs: int, height: int, width: int, size: int, stride: int, seed: int
) -> None:
    case = case_of(2, inputs, outputs, (height, width), size, stride, seed)
    code, (x, out) = kernel().taps, tilings(case)
    how = code.Convolution(size, stride, x, out)
    padded, grid = padded_of(case.x, x), grid_of(torch.zeros_like(case.grad), out)
    taps = case.weight.flatten(2).permute(2, 0, 1)
    for image in range(2):
        weights = array(taps.transpose(1, 2).flatten())
        code.convolve_taps(padded[image], weights, grid[image], how)

    x_grad, found = np.zeros_like(padded), array(torch.zeros(taps.numel()))
    grad = grid_of(case.grad, out)
    for image in range(2):
        to = x_grad[image]
        code.convolve_taps_back(padded[image], array(taps.flatten()), grad[image], to, found, how)
    weight_grad = torch.from_numpy(found).view(size, size, inputs, outputs).permute(3, 2, 0, 1)

    wanted = case.reference()
    assert_near(from_grid(grid, case.grad), wanted[0], 2e-6)
    assert_near(from_grid(x_grad, case.x, border=1), wanted[1], 2e-6)
    assert_near(weight_grad, wanted[2], 2e-6)


def test_tap_by_tap_sums_of_integers_are_exact() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(0, 256, (1, 32, 9, 12), generator=generator).float()
    weight = torch.randint(-127, 128, (32, 32, 3, 3), generator=generator).float()
    case = Case(x, weight, torch.zeros(1, 32, 9, 12), 1)
    code, (tiling, _) = kernel().taps, tilings(case)
    grid = grid_of(case.grad, tiling)
    weights = array(weight.flatten(2).permute(2, 1, 0).flatten())
    how = code.Convolution(3, 1, tiling, tiling)
    code.convolve_taps(padded_of(x, tiling)[0], weights, grid[0], how)
    assert torch.equal(from_grid(grid, x).double(), case.reference()[0])


@given(
    bits=st.integers(1, 16),
    low=st.floats(-3, 0, width=32),
    span=st.floats(0.0078125, 5, width=32),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=60)
def test_rounding_is_to_the_bit_that_of_the_quantiser(
    bits: int, low: float, span: float, seed: int
) -> None:
    levels, generator = Levels.unsigned(bits), torch.Generator().manual_seed(seed)
    bottom, top = torch.tensor(low), torch.tensor(low) + torch.tensor(span)
    step = (top - bottom) / levels.high
    x = torch.randn(1, 16, 5, 6, generator=generator) * span + low
    x.view(-1)[:40] = bottom + step * (torch.arange(40) + 0.5)  # ties
    x.view(-1)[40:42] = torch.tensor([torch.inf, -torch.inf])
    assert torch.equal(
        rounded(x, bottom, step, levels, unit=step), round_between(x, bottom, top, levels)
    )
    ints = rounded(x, torch.zeros(()), step, levels, unit=torch.ones(()))
    assert torch.equal(ints, quantize(x, step, levels))


def rounded(x: Tensor, low: Tensor, step: Tensor, levels: Levels, unit: Tensor) -> Tensor:
    """As the kernels round."""
    tiling = kernel().tiling.ImageTiling.of(*x.shape[2:], x.shape[1])
    rounding = [low, step, 1 / step, levels.low, levels.high, unit]
    padded = zero_images(1, tiling.padded)
    row = array(torch.tensor([float(number) for number in rounding]))
    kernel().pixels.round_input(array(x[0].permute(1, 2, 0)), row, tiling, padded[0])
    border = padded[0].copy()
    border[1 : x.shape[2] + 1, 1 : x.shape[3] + 1] = 0
    assert not border.any()
    return from_grid(padded, x, border=1)


@pytest.mark.parametrize("images", [1, 3, 16, 17])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_image_is_in_one_job_of_its_precision(images: int, threads: int) -> None:
    from dfs_hw.networks.compiled_blocks.threads import in_jobs, shared_out

    precisions = torch.arange(images).mul(3).remainder(4).sort().values
    jobs = in_jobs(torch.arange(images), precisions, 3)
    found = []
    for part in shared_out(jobs, threads):
        for first, last, precision in zip(
            part.starts[:-1], part.starts[1:], part.precisions, strict=True
        ):
            assert 1 <= last - first <= 3
            found += [(int(image), int(precision)) for image in part.images[first:last]]
    assert found == list(enumerate(precisions.tolist()))
