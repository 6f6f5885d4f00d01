"""Compiled: where pixels lie.

Images have their channels innermost. A *padded* image has a border of one pixel and is rounded up
to whole tiles, so (4 r + 2) x (4 c + 2); a *grid* has no border, 4 r x 4 c.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

OPTIONS = {"fastmath": {"contract"}, "error_model": "numpy", "nogil": True, "cache": True}
F = np.float32

EDGE, REACH = 4, 6
"""Pixels along an output tile, and along the input tile that it depends on."""
BLOCK = 16
"""Tiles that are transformed before they are multiplied: they stay in the cache between."""


class Tiling(NamedTuple):
    """Images of one shape, cut into tiles."""

    height: int
    width: int
    channels: int
    down: int
    """Tiles in a column."""
    across: int

    @classmethod
    def of(cls, height: int, width: int, channels: int) -> Tiling:
        return cls(height, width, channels, -(-height // EDGE), -(-width // EDGE))

    @property
    def images(self) -> int:
        """How many images fill a block, at least one."""
        return max(1, BLOCK // (self.down * self.across))


@njit(**OPTIONS)
def padded_row(tiling: Tiling) -> int:
    """From one row of a padded image to the next."""
    return (EDGE * tiling.across + 2) * tiling.channels


@njit(**OPTIONS)
def grid_row(tiling: Tiling) -> int:
    """From one row of a grid to the next."""
    return EDGE * tiling.across * tiling.channels


@njit(**OPTIONS)
def padded_size(tiling: Tiling) -> int:
    """Of a padded image."""
    return (EDGE * tiling.down + 2) * padded_row(tiling)


@njit(**OPTIONS)
def grid_size(tiling: Tiling) -> int:
    """Of a grid."""
    return EDGE * tiling.down * grid_row(tiling)


@njit(**OPTIONS)
def padded_place(tile: int, tiling: Tiling) -> int:
    """Where input tile number `tile` of padded images, one after the other, begins."""
    image, place = divmod(tile, tiling.down * tiling.across)
    row, column = divmod(place, tiling.across)
    corner = EDGE * row * padded_row(tiling) + EDGE * column * tiling.channels
    return image * padded_size(tiling) + corner


@njit(**OPTIONS)
def grid_place(tile: int, tiling: Tiling) -> int:
    """Where output tile number `tile` of grids, one after the other, begins."""
    image, place = divmod(tile, tiling.down * tiling.across)
    row, column = divmod(place, tiling.across)
    return image * grid_size(tiling) + EDGE * (row * grid_row(tiling) + column * tiling.channels)


@njit(**OPTIONS)
def size_of(tiling: Tiling) -> int:
    """Of an image as it is."""
    return tiling.height * tiling.width * tiling.channels


@njit(**OPTIONS)
def image_line(image: int, row: int, tiling: Tiling) -> int:
    """Where a row begins in images as they are, one after the other."""
    return (image * tiling.height + row) * tiling.width * tiling.channels


@njit(**OPTIONS)
def grid_line(number: int, row: int, tiling: Tiling) -> int:
    """Where a row begins in grids."""
    return number * grid_size(tiling) + row * grid_row(tiling)


@njit(**OPTIONS)
def padded_line(number: int, row: int, tiling: Tiling) -> int:
    """Where a row, without its border, begins in padded images."""
    return number * padded_size(tiling) + (row + 1) * padded_row(tiling) + tiling.channels
