"""The least that a layer can take on a machine, however it is scheduled."""

from __future__ import annotations

from typing import NamedTuple

from accel_models.mapping.parts import BANDWIDTH, COMPUTE


class Roofline(NamedTuple):
    """The least a layer can take: the time of what computes it, or that of moving every tensor
    once."""

    compute: int
    """Cycles of the array on the whole layer at once, or of the vector unit with all lanes busy."""
    traffic: int
    """Cycles of DRAM to move every element once."""
    computes: str = COMPUTE
    """Which of `parts.RESOURCES` computes it."""

    @property
    def cycles(self) -> int:
        return max(self.compute, self.traffic)

    @property
    def bound(self) -> str:
        return self.computes if self.compute >= self.traffic else BANDWIDTH
