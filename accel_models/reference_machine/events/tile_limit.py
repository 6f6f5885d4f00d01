"""How many tiles are played one by one."""

from __future__ import annotations

from accel_models.errors import InputError

MOST_TILES = 2**18
"""Tiles of a layer, and of a timeline whose events are kept, at most: the events of one take half a
kilobyte several times over, and a picture of as many half a minute."""


def check_tiles(tiles: int, what: str) -> None:
    """Refuse to play more tiles than memory is meant for.

    Raises:
        InputError: if there are too many.
    """
    if tiles > MOST_TILES:
        raise InputError(
            f"{what} has {tiles:,} tiles, of which a timeline plays {MOST_TILES:,} at most, one by "
            "one: simulate prices it without"
        )
