"""NE16, N-EUREKA and RBE: cycles of single jobs beside those of RTL and of released models.

N-EUREKA's 14 cycle counts are those of the continuous simulation of its RTL
(pulp-platform/neureka, branch gh-pages at ff7090e, joined with regr/basic.yml), of an array of
4 x 4 positions. Every second of them, from the second on, fixed three constants of the machine
``neureka`` by least squares of the relative error: cycles between two reads, cycles of a tile of
inputs, cycles of a job. The other seven were left out. All else in the formula was read in the RTL.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.arrays.neureka import Neureka
from accel_models.accelerators.toml_file import load_accelerator
from accel_models.costs.simulator import LayerSimulator
from accel_models.energy.published_tables import read_table
from accel_models.mapping.groups import least_compute_cycles
from accel_models.precision import Precision
from accel_models.workloads.workload import Layer, Workload

FITTED = ("cycles_per_read", "tile_cycles", "job_overhead")
"""Constants of the machine that come from cycle counts."""


@dataclass(frozen=True)
class JobCycles:
    """One job: cycles of the RTL or of a released formula, and of this model."""

    layer: Layer
    widths: Precision
    published: int
    model: int
    """Cycles of the layer in one tile, as a simulation counts them."""
    fitted: bool
    """Whether constants of the machine were fitted to this job among others."""

    @property
    def off(self) -> float:
        """Relative deviation of the model."""
        return self.model / self.published - 1


def neureka_jobs() -> list[tuple[Layer, Precision, int, bool]]:
    """Layer, widths, published cycles, and whether the machine was fitted to it, of each job of
    N-EUREKA."""
    jobs = []
    for number, row in enumerate(read_table("neureka_cycles.csv", "accel_models.validation")):
        side = int(row["kernel"])
        layer = Layer(
            name=f"job {number}",
            in_channels=int(row["in_channels"]),
            out_channels=int(row["out_channels"]),
            kernel=(side, side),
            in_size=(int(row["in_rows"]), int(row["in_columns"])),
            groups=int(row["in_channels"]) if row["depthwise"] == "1" else 1,
        )
        widths = Precision(int(row["weight_bits"]), 8)
        jobs.append((layer, widths, int(row["cycles"]), number % 2 == 1))
    return jobs


def compare_with_neureka(machine: str = "neureka-published") -> list[JobCycles]:
    """Cycles of N-EUREKA's RTL beside what a simulation counts for the same layers."""
    accelerator = load_accelerator(machine)
    return [
        JobCycles(layer, widths, cycles, array_cycles(accelerator, layer, widths), fitted)
        for layer, widths, cycles, fitted in neureka_jobs()
    ]


def array_cycles(machine: Accelerator, layer: Layer, widths: Precision) -> int:
    """Cycles that a simulation counts for a layer in one tile, memory aside: computing, and waiting
    between tiles."""
    simulator = LayerSimulator(machine, 1, machine.storage.stream_bits)
    problem = simulator.problem(Workload.chain("one job", [layer]), layer, widths)
    return least_compute_cycles(problem) + problem.fill


def refit() -> dict[str, float]:
    """Constants of `FITTED`, by least squares of the relative error over the jobs fitted to."""
    machine = load_accelerator("neureka-published")
    jobs = [job for job in neureka_jobs() if job[3]]
    published = np.array([cycles for *_, cycles, _ in jobs], dtype=float)

    def job_cycles(values: dict[str, float]) -> np.ndarray:
        changes = {f"array__{name}": value for name, value in values.items()}
        array = machine.configured(**changes).array
        assert isinstance(array, Neureka)
        return np.array([array.exact_cycles(layer, widths) for layer, widths, *_ in jobs])

    # Cycles are linear in the constants: differences give their factors exactly.
    base = {"cycles_per_read": 1.0, "tile_cycles": 0.0, "job_overhead": 0.0}
    fixed = job_cycles(base)
    factors = [job_cycles({**base, name: base[name] + 1}) - fixed for name in FITTED]
    left = (published - fixed) / published
    found = np.linalg.lstsq(np.array(factors).T / published[:, None], left, rcond=None)[0]
    return {name: base[name] + value for name, value in zip(FITTED, found.tolist(), strict=True)}


def weight_cycles(array: Neureka, bits: int) -> float:
    """Cycles in which an engine reads the weight bits of one 3x3 tile of inputs and outputs: what a
    job of twice the bits takes longer.

    RBE, which both engines descend from, multiplies 32 x 32 channels by one bit of activations in
    ``bits x 32`` cycles (pulp-platform/rbe, docs/architecture.md), four of these side by side.
    """
    layer = Layer("one tile", array.rows, array.columns, (3, 3), out_size=(array.block,) * 2)
    widths = Precision(bits, 8), Precision(2 * bits, 8)
    once, twice = (array.exact_cycles(layer, width) for width in widths)
    return twice - once
