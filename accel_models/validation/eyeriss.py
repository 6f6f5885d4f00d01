"""The comparison of Bit Fusion with Eyeriss, recomputed (Sharma et al., ISCA 2018).

Bit Fusion's cycles and energies are this model's, at published fidelity, for the eight networks on
the chip of 16 x 32 elements with 192 bits of DRAM bandwidth a cycle. Eyeriss's are the figures that
were released with Bit Fusion: cycles at the same clock, and accesses in energies of a MAC.
The networks differ: Bit Fusion runs AlexNet and RESNET-18 twice as wide, and Eyeriss's totals hold
the pooling layers, which Bit Fusion's do not.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import geometric_mean

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.toml_file import load_accelerator
from accel_models.energy.published_tables import read_table
from accel_models.mapping.search import search
from accel_models.validation.published_rows import row_problem

GROUP = "published_bw192_M32"
"""Rows of the chip that is compared, among the published results."""
MAC_PJ = 16 * 0.2
"""Energy that Eyeriss counts in, of a 16-bit MAC at 45 nm: the released notebook's 0.2 pJ a bit."""
ACCESS_WEIGHTS = {"alu": 1.0, "dram": 0.15, "buffer": 1.0, "array": 1.0, "rf": 1.0}
"""What the notebook makes of Eyeriss's counts. Those of DRAM, made at 200 MACs a word, are scaled
down "due to technology"."""


@dataclass(frozen=True)
class NetworkComparison:
    """One network on both, for a batch of 16; energies in pJ."""

    network: str
    eyeriss_cycles: int
    cycles: int
    eyeriss_pj: float
    pj: float

    @property
    def speedup(self) -> float:
        return self.eyeriss_cycles / self.cycles

    @property
    def energy_ratio(self) -> float:
        """Times that Eyeriss takes Bit Fusion's energy."""
        return self.eyeriss_pj / self.pj


@dataclass(frozen=True)
class EyerissComparison:
    """All networks, in the order of Eyeriss's table, and geometric means over them."""

    networks: tuple[NetworkComparison, ...]

    @property
    def speedup(self) -> float:
        return geometric_mean(network.speedup for network in self.networks)

    @property
    def energy_ratio(self) -> float:
        return geometric_mean(network.energy_ratio for network in self.networks)


def compare_with_eyeriss(machine: str = "bitfusion-published") -> EyerissComparison:
    """Recompute the comparison; `machine` supplies what the rows of the table do not state.

    Raises:
        InfeasibleError: if that machine cannot run one of the layers.
    """
    base = load_accelerator(machine)
    ours: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in read_table("bitfusion_published.csv", "accel_models.validation"):
        if row["group"] == GROUP:
            ours[row["network"]].append(_cost(row, base))
    theirs: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for row in read_table("eyeriss_published.csv", "accel_models.validation"):
        theirs[row["network"]].append(row)
    return EyerissComparison(
        tuple(
            NetworkComparison(
                network=network,
                eyeriss_cycles=sum(int(row["cycles_batch16"]) for row in rows),
                cycles=sum(cycles for cycles, _ in ours[network]),
                eyeriss_pj=sum(_eyeriss_pj(row) for row in rows),
                pj=sum(pj for _, pj in ours[network]),
            )
            for network, rows in theirs.items()
        )
    )


def _cost(row: Mapping[str, str], base: Accelerator) -> tuple[int, float]:
    """Cycles and energy in pJ of one layer on Bit Fusion."""
    task, prices, _ = row_problem(row["id"], row, base)
    found = search(task, prices)
    counts = found.counts.tolist()
    return found.cycles, math.fsum(n * pj for n, pj in zip(counts, prices, strict=True))


def _eyeriss_pj(row: Mapping[str, str]) -> float:
    return MAC_PJ * sum(int(row[level]) * weight for level, weight in ACCESS_WEIGHTS.items())
