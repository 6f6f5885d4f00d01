"""Compiled: how images lie in memory.

Channels are innermost. A *padded* image has a border of one pixel and is rounded up to whole tiles,
so it has 4 r + 2 rows of 4 c + 2 pixels; a *grid* has no border, 4 r rows of 4 c pixels.
"""

from __future__ import annotations

from typing import NamedTuple

from dfs_hw.networks.compiled_blocks.kernels.lanes import jit

EDGE, REACH = 4, 6
"""Pixels along an output tile, and along the input tile that it depends on."""
BLOCK = 16
"""Tiles that are transformed before they are multiplied: they stay in the cache between."""


class ImageTiling(NamedTuple):
    """Images of one shape, cut into tiles."""

    height: int
    width: int
    channels: int
    down: int
    """Tiles in a column."""
    across: int

    @classmethod
    def of(cls, height: int, width: int, channels: int) -> ImageTiling:
        """Tiling of images of a size."""
        return cls(height, width, channels, -(-height // EDGE), -(-width // EDGE))

    @property
    def images(self) -> int:
        """How many images fill a block, at least one."""
        return max(1, BLOCK // (self.down * self.across))

    @property
    def padded(self) -> tuple[int, int, int]:
        """Shape of a padded image."""
        return EDGE * self.down + 2, EDGE * self.across + 2, self.channels

    @property
    def grid(self) -> tuple[int, int, int]:
        """Shape of a grid."""
        return EDGE * self.down, EDGE * self.across, self.channels


@jit
def image_row(tiling: ImageTiling) -> int:
    """Distance from one row of an image to the next."""
    return tiling.width * tiling.channels


@jit
def padded_row(tiling: ImageTiling) -> int:
    """Distance from one row of a padded image to the next."""
    return (EDGE * tiling.across + 2) * tiling.channels


@jit
def grid_row(tiling: ImageTiling) -> int:
    """Distance from one row of a grid to the next."""
    return EDGE * tiling.across * tiling.channels


@jit
def inside(row: int, tiling: ImageTiling) -> int:
    """Where row number `row` of an image begins in its padded image."""
    return (row + 1) * padded_row(tiling) + tiling.channels
