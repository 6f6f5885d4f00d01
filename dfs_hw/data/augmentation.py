"""Random changes to training images, made to whole batches: no Python runs per image.

What is random is drawn first, one row of numbers an image, and applied afterwards: a process that
holds a part of a batch draws for all of it and applies its own rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from accel_models.errors import InputError

ASPECT = 4 / 3
"""Factor by which a random crop may be wider than high, or higher than wide, at most, relative to
its image (Szegedy et al., Going deeper with convolutions, 2015, section 6)."""


@dataclass(frozen=True)
class Augmentation:
    """How training images are changed at random; the default leaves them as they are."""

    max_shift: int = 0
    """Pixels by which an image moves, at most, in each direction; black comes in."""
    mirror: bool = False
    """Whether half of the images are flipped left to right."""
    min_area: float = 1.0
    """Share of an image's area that a crop has at least; if below 1, the crop is enlarged to the
    image's size, in place of the shift."""

    def __post_init__(self) -> None:
        if self.max_shift < 0:
            raise InputError(f"max_shift must be 0 pixels or more, got {self.max_shift}")
        if not 0 < self.min_area <= 1:
            raise InputError(f"min_area must be above 0 and at most 1, got {self.min_area}")

    @property
    def crops(self) -> bool:
        return self.min_area < 1

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """What happens to each of `count` images, drawn on the CPU.

        Returns:
            Without crops int64 [count, 3]: position of the image in one padded by `max_shift`, in
            pixels from the top and from the left, and 1 to flip it. With crops float32 [count, 4]:
            the crop's centre across and down, in -1..1 over the image, and its width and height
            as shares of the image's; a negative width flips it.
        """
        flips = torch.rand(count, generator=generator) < 0.5 * self.mirror
        if self.crops:
            return _random_boxes(count, self.min_area, flips, generator)
        shifts = torch.randint(2 * self.max_shift + 1, (count, 2), generator=generator)
        return torch.cat([shifts, flips[:, None]], dim=1)

    def apply(self, pixels: Tensor, draws: Tensor) -> Tensor:
        """Change each image as drawn; waits for no device.

        Args:
            pixels: uint8 [N, C, H, W].
            draws: [N, 3 or 4] of `draw`, on the CPU or where the pixels are.

        Returns:
            [N, C, H, W]; uint8, or float32 in 0..255 if crops were enlarged.
        """
        if self == NO_AUGMENTATION:
            return pixels
        draws = draws.to(pixels.device, non_blocking=True)
        if self.crops:
            return _enlarged(pixels, draws)
        return _shifted(pixels, draws, self.max_shift)


NO_AUGMENTATION = Augmentation()


def _shifted(pixels: Tensor, draws: Tensor, max_shift: int) -> Tensor:
    """Gather each image from its padded self; one index serves all its channels."""
    count, channels, height, width = pixels.shape
    top, left, flip = draws[:, :, None].unbind(1)
    columns = torch.arange(width, device=pixels.device)
    rows = torch.arange(height, device=pixels.device) + top
    columns = torch.where(flip > 0, columns.flip(0), columns) + left
    index = rows[:, :, None] * (width + 2 * max_shift) + columns[:, None, :]
    padded = functional.pad(pixels, (max_shift,) * 4).flatten(2)
    index = index.view(count, 1, -1).expand(-1, channels, -1)
    return padded.gather(2, index).view_as(pixels)


def _random_boxes(count: int, min_area: float, flips: Tensor, generator: torch.Generator) -> Tensor:
    """Crops as `Augmentation.draw` returns them: area uniform, aspect log-uniform.

    The usual way draws aspects until a crop fits. Here only those that fit are drawn from.
    """
    area, turn, across, down = torch.rand((4, count), generator=generator)
    area = min_area + (1 - min_area) * area
    aspect = (1 / area).clamp_max(ASPECT) ** (2 * turn - 1)
    width, height = (area * aspect).sqrt(), (area / aspect).sqrt()
    signed = torch.where(flips, -width, width)
    return torch.stack(
        [(1 - width) * (2 * across - 1), (1 - height) * (2 * down - 1), signed, height], dim=1
    )


def _enlarged(pixels: Tensor, boxes: Tensor) -> Tensor:
    """Each box of its image, resized to the whole image's size by bilinear interpolation."""
    height, width = pixels.shape[-2:]
    x, y, box_width, box_height = boxes[:, :, None].unbind(1)
    across = x + box_width * _centres(width, pixels.device)
    down = y + box_height * _centres(height, pixels.device)
    grid = torch.stack(
        [across[:, None, :].expand(-1, height, -1), down[:, :, None].expand(-1, -1, width)], dim=3
    )
    return functional.grid_sample(
        pixels.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def _centres(pixels: int, device: torch.device) -> Tensor:
    """Where the centres of a row of pixels lie, in -1..1 over the row."""
    return (2 * torch.arange(pixels, device=device) + 1) / pixels - 1
