"""Whether one network spends less than another when constants are drawn from their ranges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.drawn_prices import drawn_prices
from dfs_hw.report.report import Survival


@dataclass(frozen=True)
class CountedWork:
    """Mean actions [action] and cycles of an input."""

    name: str
    counts: np.ndarray
    cycles: float


def survival(own: CountedWork, other: CountedWork, machine: Accelerator) -> Survival | None:
    """How often the cheaper of two stays the cheaper, all uncertain prices drawn together.

    Both run on one machine, so each draw is of both. Schedules stay as they are.

    Returns:
        None where no price is uncertain.
    """
    drawn = drawn_prices(machine)
    if drawn is None:
        return None
    both = [(drawn.energy_j(one.counts, one.cycles), one.name) for one in (own, other)]
    (first, of), (second, than) = sorted(both, key=lambda one: one[0][0])
    ratios = (first / second)[1:]
    return Survival(
        of=of,
        than=than,
        draws=len(ratios),
        kept=int((ratios < 1).sum()),
        low=float(ratios.min()),
        high=float(ratios.max()),
        constants=drawn.constants,
    )
