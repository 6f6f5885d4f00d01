"""Whether one network spends less than another whatever the constants are within their ranges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.drawn_prices import drawn_prices
from accel_models.costs.pricing import Pricing
from dfs_hw.report.report import Survival


@dataclass(frozen=True)
class CountedWork:
    """Mean actions [action] and cycles of an input."""

    name: str
    counts: np.ndarray
    cycles: float

    def energy_j(self, pricing: Pricing) -> float:
        """Energy in J at some prices."""
        return float(pricing.energy_pj(self.counts, np.array(self.cycles)).sum()) * 1e-12


def survival(own: CountedWork, other: CountedWork, machine: Accelerator) -> Survival | None:
    """How often the cheaper of two stays the cheaper, all uncertain prices drawn together.

    Both run on one machine, so each draw is of both. Schedules stay as they are.

    Returns:
        None where no price is uncertain.
    """
    drawn, nominal = drawn_prices(machine), Pricing(machine)
    if drawn is None:
        return None
    first, second = sorted((own, other), key=lambda work: work.energy_j(nominal))
    amounts = (drawn.energy_j(work.counts, work.cycles) for work in (first, second))
    ratios = next(amounts) / next(amounts)
    return Survival(
        of=first.name,
        than=second.name,
        draws=len(ratios),
        kept=int((ratios < 1).sum()),
        low=float(ratios.min()),
        high=float(ratios.max()),
        constants=drawn.constants,
    )
