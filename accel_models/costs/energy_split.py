"""Energy of a run by what draws it, dynamic and static apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accel_models.costs.pricing import COMPONENTS
from accel_models.si import si


@dataclass(frozen=True)
class EnergySplit:
    """Energy in J by what draws it; the parts add up to all of it.

    Args:
        logic_j: array, vector unit, and the share for control and clock tree.
        sram_j: accesses to the buffers.
        dram_j: accesses to DRAM, interface included.
        background_j: what DRAM and its interface draw whether or not anything moves.
        leakage_j: of array and buffers.
    """

    logic_j: float
    sram_j: float
    dram_j: float
    background_j: float
    leakage_j: float

    @property
    def dynamic_j(self) -> float:
        """What is spent because something happens."""
        return self.logic_j + self.sram_j + self.dram_j

    @property
    def static_j(self) -> float:
        """What is spent because time passes."""
        return self.background_j + self.leakage_j

    @property
    def total_j(self) -> float:
        return self.dynamic_j + self.static_j

    def text(self) -> str:
        """Dynamic and static energy in words."""
        static = f"{si(self.leakage_j, 'J')} leakage"
        if self.background_j:
            static += f", {si(self.background_j, 'J')} DRAM background"
        return f"{si(self.dynamic_j, 'J')} dynamic, {si(self.static_j, 'J')} static ({static})"

    def shares(self) -> dict[str, float]:
        """Shares of all energy: of logic, SRAM, DRAM with its background, and leakage."""
        parts = {
            "logic": self.logic_j,
            "SRAM": self.sram_j,
            "DRAM": self.dram_j + self.background_j,
            "leakage": self.leakage_j,
        }
        return {name: joules / self.total_j for name, joules in parts.items()}


def energy_split(energy_pj: np.ndarray) -> EnergySplit:
    """The split of energies in pJ, float64 [component] as in `pricing.COMPONENTS`."""
    joules = dict(zip(COMPONENTS, (energy_pj * 1e-12).tolist(), strict=True))
    return EnergySplit(
        logic_j=joules["array"] + joules["vector unit"] + joules["other"],
        sram_j=sum(part for name, part in joules.items() if name.endswith("buffer")),
        dram_j=joules["dram"],
        background_j=joules["dram background"],
        leakage_j=joules["leakage"],
    )
