"""Prices of a machine, all constants that are known within ranges drawn from them together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.pricing import Pricing
from accel_models.errors import DfsHwError

DRAWS = 200
"""Times that all constants are drawn."""


@dataclass(frozen=True)
class DrawnPrices:
    """A machine at many draws of its constants; schedules stay as they are."""

    constants: tuple[str, ...]
    """Paths of the constants that are drawn, such as ``dram.pj_per_bit``."""
    not_drawn: tuple[str, ...]
    """Paths of constants that are known within a range and stay at their nominal value: they change
    schedules, or no price, or the machine cannot run at an end of their range."""
    nominal: Pricing
    """Prices as the machine's file has them."""
    pricings: tuple[Pricing, ...]
    """Prices at every draw."""

    def energy_j(self, counts: np.ndarray, cycles: float) -> np.ndarray:
        """Energy of some work in J: at nominal prices, then at every draw, float64 [1 + draws].

        Args:
            counts: [action] as in `mapping.ACTIONS`; may be means over inputs.
            cycles: time over which leakage and background are charged.
        """
        time = np.array(cycles)
        everything = (self.nominal, *self.pricings)
        each = [float(pricing.energy_pj(counts, time).sum()) for pricing in everything]
        return np.array(each) * 1e-12


def drawn_prices(machine: Accelerator, draws: int = DRAWS) -> DrawnPrices | None:
    """Uniform draws of all constants with a range that are prices; the same for each call.

    Returns:
        None where no price is uncertain.
    """
    known = {
        path: (source.low, source.high)
        for path, source in machine.provenance.items()
        if source.low is not None and source.high is not None and source.low < source.high
    }
    ranges = {path: ends for path, ends in known.items() if _is_price(machine, path, ends)}
    if not ranges:
        return None
    shares = np.random.default_rng(0).random((draws, len(ranges)))
    pricings = []
    for draw in shares.tolist():
        changes = {
            path.replace(".", "__"): low + share * (high - low)
            for share, (path, (low, high)) in zip(draw, ranges.items(), strict=True)
        }
        pricings.append(Pricing(machine.configured(**changes)))
    not_drawn = tuple(path for path in known if path not in ranges)
    return DrawnPrices(tuple(ranges), not_drawn, Pricing(machine), tuple(pricings))


def _is_price(machine: Accelerator, path: str, ends: tuple[float, float]) -> bool:
    """Whether a constant changes a price from one end of its range to the other."""
    if isinstance(machine.field(path), int):
        return False  # cycles and the like: they change schedules, not prices
    try:
        low, high = (Pricing(machine.configured(**{path.replace(".", "__"): end})) for end in ends)
    except DfsHwError:
        return False
    return (low.weighed_pj, low.static_pj_per_cycle) != (high.weighed_pj, high.static_pj_per_cycle)


__all__ = ["DRAWS", "DrawnPrices", "drawn_prices"]
