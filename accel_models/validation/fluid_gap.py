"""How far the published time of a layer is from a schedule that could be run.

The published Bit Fusion simulator takes the larger of what the array computes and of what memory
moves, as if both could be spread over each other at will. That bounds the time from below. Here the
mappings that it chose are played tile by tile, with one step of look-ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accel_models.accelerators.toml_file import load_accelerator
from accel_models.errors import InfeasibleError
from accel_models.mapping.search import search, steps
from accel_models.reference_machine.events.layer_runs import slots
from accel_models.validation.published_rows import PUBLISHED, read_rows, row_problem

NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class FluidGap:
    """Cycles of R layers, int64 [R]: as published, and as their tiles take them."""

    rows: tuple[str, ...]
    published: np.ndarray
    played: np.ndarray
    tiles: int
    """Tiles of all layers together."""

    @property
    def longer(self) -> np.ndarray:
        """Share of the published time by which a schedule takes longer, float64 [R]."""
        return self.played / self.published - 1

    def to_dict(self) -> dict[str, float]:
        """The distribution of `longer`."""
        longer = self.longer
        return {
            "rows": len(longer),
            "mean": float(longer.mean()),
            **{f"p{p}": float(np.percentile(longer, p)) for p in (50, 90, 99)},
            "max": float(longer.max()),
            "within_0.1_percent": float((longer < NEGLIGIBLE).mean()),
        }


def fluid_gap(path: str | Path = PUBLISHED, machine: str = "bitfusion-published") -> FluidGap:
    """Play the mappings of a table of published results; what cannot run is left out.

    Filling and draining the array's pipeline, which the published tool leaves out, is left out here
    too.

    Raises:
        InputError: if the file is missing or malformed.
    """
    base = load_accelerator(machine)
    names, published, played, tiles = [], [], [], 0
    for name, row in read_rows(path):
        try:
            task, prices, _ = row_problem(name, row, base)
            found = search(task, prices)
        except InfeasibleError:
            continue
        walked, code = steps(task, found.mapping), slots()
        names.append(name)
        published.append(found.cycles)
        played.append(code.play(task._replace(fill=0), walked, 0, code.room_for_events(0))[0])
        tiles += len(walked)
    return FluidGap(tuple(names), np.array(published), np.array(played), tiles)
