"""Whether one network spends less than another whatever the constants are within their ranges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.pricing import Pricing
from accel_models.errors import DfsHwError
from dfs_hw.report.report import Survival

DRAWS = 200


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
    pricing = Pricing(machine)
    first, second = sorted((own, other), key=lambda work: work.energy_j(pricing))
    ranges = _ranges(machine)
    if not ranges:
        return None
    shares = np.random.default_rng(0).random((DRAWS, len(ranges)))
    ratios = []
    for draw in shares.tolist():
        changes = {
            path.replace(".", "__"): low + share * (high - low)
            for share, (path, (low, high)) in zip(draw, ranges.items(), strict=True)
        }
        priced = Pricing(machine.configured(**changes))
        ratios.append(first.energy_j(priced) / second.energy_j(priced))
    return Survival(
        of=first.name,
        than=second.name,
        draws=DRAWS,
        kept=sum(ratio < 1 for ratio in ratios),
        low=min(ratios),
        high=max(ratios),
        constants=tuple(ranges),
    )


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
