"""What a data set is to the rest of the package: labelled 8-bit images in three disjoint parts.

Pixels stay 8-bit until a batch is made, as a camera would deliver them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dfs_hw.data.augmentation import NO_AUGMENTATION, Augmentation
from dfs_hw.data.pixels import MappedPixels


@dataclass(frozen=True)
class Dataset:
    """N labelled images."""

    name: str
    pixels: Tensor | MappedPixels
    """Images uint8 [N, C, H, W], as a report shows them."""
    labels: Tensor
    """Class of each image, int64 [N]."""
    mean: Tensor
    """Mean of each channel, float32 [C], of the training pixels scaled to 0..1."""
    std: Tensor
    """Standard deviation of each channel, float32 [C], of the training pixels scaled to 0..1."""
    augmentation: Augmentation = NO_AUGMENTATION
    """What training does to the images."""
    severity: Tensor | None = None
    """How badly each image was degraded, float32 [N]: 0 for clean, at most 1. None if unknown."""
    source: Tensor | None = None
    """Number of the picture that each image was made of, int64 [N], the same in all splits and for
    all seeds, so that images of one picture are known to belong together. None if it is not
    said."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_size(self) -> tuple[int, int]:
        return self.pixels.shape[-2], self.pixels.shape[-1]

    @property
    def channels(self) -> int:
        return self.pixels.shape[1]

    @property
    def device(self) -> torch.device:
        """Where batches come out."""
        return self.labels.device

    def normalized(self, pixels: Tensor) -> Tensor:
        """[N, C, H, W] in 0..255 -> float32 of mean 0 and deviation 1 per channel."""
        shape = (1, -1, 1, 1)
        return (pixels / 255 - self.mean.view(shape)) / self.std.view(shape)

    def subset(self, index: Tensor) -> Dataset:
        """The images at `index`, in that order; pixels in a file stay there."""
        pixels = self.pixels
        return replace(
            self,
            pixels=pixels.subset(index) if isinstance(pixels, MappedPixels) else pixels[index],
            labels=self.labels[index],
            severity=None if self.severity is None else self.severity[index],
            source=None if self.source is None else self.source[index],
        )

    def to(self, device: torch.device | str) -> Dataset:
        """Move the images to where a network on a device reads them.

        Pixels in memory move there as a whole. Pixels in a file stay in it, as they may be more
        than the device holds: their batches are read from the file and then moved. Everything else
        moves, so batches come out on the device either way.
        """
        return replace(
            self,
            pixels=self.pixels if isinstance(self.pixels, MappedPixels) else self.pixels.to(device),
            labels=self.labels.to(device),
            mean=self.mean.to(device),
            std=self.std.to(device),
            severity=None if self.severity is None else self.severity.to(device),
            source=None if self.source is None else self.source.to(device),
        )

    def gather(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels uint8 [n, C, H, W] and labels int64 [n] of some images, on the device.

        Args:
            index: int64 [n], on the CPU; a device is not waited for.
        """
        there = index.to(self.device, non_blocking=True)
        if isinstance(self.pixels, MappedPixels):
            return self.pixels[index].to(self.device, non_blocking=True), self.labels[there]
        return self.pixels[there], self.labels[there]

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images in order: normalised images and labels, the last batch as short as it is."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            pixels = self.pixels[part].to(self.device, non_blocking=True)
            yield self.normalized(pixels), self.labels[part]


@dataclass(frozen=True)
class Splits:
    """Disjoint parts of a data set: to learn from, to choose by, and to report on."""

    train: Dataset
    validation: Dataset
    test: Dataset
    classes: tuple[str, ...]
    """Names, in the order of the labels."""
