"""Prices of a machine, all constants that are known within ranges drawn from them together."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.pricing import Pricing
from accel_models.errors import DfsHwError, InfeasibleError

DRAWS = 200
"""Times that all constants are drawn."""
MOST_TRIES = 10
"""Times that they are drawn until they go together, on average."""


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

    Constants that do not go together at a draw, as a clock that is too fast for its supply, are
    drawn again, all of them.

    Returns:
        None where no price is uncertain, or hardly any draw goes together.
    """
    known = {
        path: (source.low, source.high)
        for path, source in machine.provenance.items()
        if source.low is not None and source.high is not None and source.low < source.high
    }
    ranges = {path: ends for path, ends in known.items() if _is_price(machine, path, ends)}
    generator, pricings = np.random.default_rng(0), list[Pricing]()
    for _ in range(MOST_TRIES * draws if ranges else 0):
        shares = dict(zip(ranges, generator.random(len(ranges)).tolist(), strict=True))
        drawn = {path: low + shares[path] * (high - low) for path, (low, high) in ranges.items()}
        with contextlib.suppress(InfeasibleError):
            pricings.append(_priced(machine, drawn))
        if len(pricings) == draws:
            left = tuple(path for path in known if path not in ranges)
            return DrawnPrices(tuple(ranges), left, Pricing(machine), tuple(pricings))
    return None


def _is_price(machine: Accelerator, path: str, ends: tuple[float, float]) -> bool:
    """Whether a constant changes a price from one end of its range to the other, and nothing that
    a schedule goes by."""
    if isinstance(machine.field(path), int):
        return False  # cycles and the like
    try:
        low, high = (_priced(machine, {path: end}) for end in ends)
    except DfsHwError:
        return False
    if _pace(low.machine) != _pace(high.machine):
        return False
    return (low.weighed_pj, low.static_pj_per_cycle) != (high.weighed_pj, high.static_pj_per_cycle)


def _pace(machine: Accelerator) -> tuple[float, float]:
    """Clock and memory's pace, which schedules go by."""
    return machine.frequency_hz, machine.dram_bits_per_cycle


def _priced(machine: Accelerator, changes: Mapping[str, float]) -> Pricing:
    """Prices with some constants changed, by path."""
    fields = {path.replace(".", "__"): value for path, value in changes.items()}
    return Pricing(machine.configured(**fields))


__all__ = ["DRAWS", "DrawnPrices", "drawn_prices"]
