"""Prices of a machine, all constants that are known within ranges drawn from them together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.pricing import Pricing
from accel_models.errors import DfsHwError

DRAWS = 200


@dataclass(frozen=True)
class DrawnPrices:
    """A machine at many draws of its constants; schedules stay as they are."""

    constants: tuple[str, ...]
    """Paths of the constants that are drawn, such as ``dram.pj_per_bit``."""
    pricings: tuple[Pricing, ...]

    def energy_j(self, counts: np.ndarray, cycles: float) -> np.ndarray:
        """Energy of some work in J at every draw, float64 [draws].

        Args:
            counts: [action] as in `mapping.ACTIONS`; may be means over inputs.
            cycles: time over which leakage and background are charged.
        """
        time = np.array(cycles)
        each = [float(pricing.energy_pj(counts, time).sum()) for pricing in self.pricings]
        return np.array(each) * 1e-12


def drawn_prices(machine: Accelerator, draws: int = DRAWS) -> DrawnPrices | None:
    """Uniform draws of all constants with a range that are prices; the same for each call.

    Constants that change a schedule, such as a latency in cycles, are left as they are, and those
    that the machine cannot run with at either end.

    Returns:
        None where no price is uncertain.
    """
    ranges = _ranges(machine)
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
    return DrawnPrices(tuple(ranges), tuple(pricings))


def _ranges(machine: Accelerator) -> dict[str, tuple[float, float]]:
    """Ranges by path of constants that are prices, of those that the machine can run with."""
    found = {}
    for path, source in machine.provenance.items():
        if source.low is None or source.high is None or source.low >= source.high:
            continue
        if isinstance(machine.field(path), int):
            continue  # cycles and the like: they change schedules, not prices
        ends = (source.low, source.high)
        try:
            prices = [_prices(machine.configured(**{path.replace(".", "__"): end})) for end in ends]
        except DfsHwError:
            continue
        if prices[0] != prices[1]:
            found[path] = ends
    return found


def _prices(machine: Accelerator) -> tuple[tuple[float, ...], float]:
    pricing = Pricing(machine)
    return pricing.weighed_pj, pricing.static_pj_per_cycle


__all__ = ["DRAWS", "DrawnPrices", "drawn_prices"]
