"""Pixels that stay in a file until a batch needs them, and the statistics of any pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

_CHUNK = 256
"""Images read at once for statistics."""


@dataclass(frozen=True)
class MappedPixels:
    """Images in a memory-mapped file, which may be larger than memory.

    It is indexed like a tensor uint8 [N, C, H, W], and what comes back is an ordinary tensor on
    the CPU: a copy of just the images asked for.
    """

    stored: np.ndarray = field(repr=False)
    """Images of the file, uint8 [M, C, H, W], mapped into memory."""
    rows: Tensor
    """Numbers of the images of the file that these are, int64 [N], on the CPU."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | slice | Tensor) -> Tensor:
        rows = self.rows[index.cpu() if isinstance(index, Tensor) else index]
        return torch.from_numpy(np.take(self.stored, rows.numpy(), axis=0))

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.rows), *self.stored.shape[1:]))

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def subset(self, index: Tensor) -> MappedPixels:
        """The images at `index`, still in the file."""
        return MappedPixels(self.stored, self.rows[index.cpu()])


def channel_statistics(
    pixels: Tensor | MappedPixels, sample: int | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, of pixels scaled to 0..1, read a few images at a time.

    Sums of 8-bit values and of their squares are exact, so neither order nor grouping matters.

    Args:
        pixels: uint8 [N, C, H, W].
        sample: evenly spaced images to look at, at most; all of them if None.

    Returns:
        Two of float32 [C]; the deviation is at least one grey level, as it is divided by.
    """
    every = 1 if sample is None else -(-len(pixels) // sample)
    count = 0
    total = square = torch.zeros(pixels.shape[1], dtype=torch.float64)
    for start in range(0, len(pixels), every * _CHUNK):
        chunk = pixels[start : start + every * _CHUNK : every].double()
        count += chunk.numel() // chunk.shape[1]
        total = total + chunk.sum((0, 2, 3))
        square = square + chunk.square().sum((0, 2, 3))
    mean = total / count
    deviation = (square / count - mean.square()).clamp_min(1).sqrt()
    return (mean / 255).float(), (deviation / 255).float()
