"""Well-known networks on every machine at 8 bits, beside what none of them can beat.

    python benchmarks/networks.py [MACHINE ...] [--bits 8]

The lower bound is worked out by hand from the network alone: all multiplications at the array's
peak, or all weights once over the DRAM port, whichever takes longer. Occupancy is the share of the
array that multiplies what was asked for, over the cycles that it computes. Prints a table in
Markdown.
"""

from __future__ import annotations

import argparse

from accel_models import Accelerator, Layer, Workload, list_accelerators, load_accelerator, simulate
from accel_models.errors import InfeasibleError
from accel_models.mapping.problem_of import macs_per_cycle
from accel_models.workloads.layer_csv import listed_network

NETWORKS = ("mobilenet_v1", "mobilenet_v2", "resnet50", "vgg16", "vit_b_16")


def peak(machine: Accelerator, bits: str) -> float:
    """Multiply-accumulates of the fully used array in a second."""
    layer = Layer("peak", 4096, 4096, in_size=(64, 64))
    (cost,) = simulate(Workload("peak", (layer,)), machine, bits).layers
    return float(macs_per_cycle(cost.pieces[0].problem)) * machine.frequency_hz


def least_s(network: Workload, machine: Accelerator, bits: str) -> float:
    """Seconds that the machine cannot beat, whatever the mapping."""
    weights = sum(layer.weights for layer in network.layers) * int(bits)
    port = machine.dram_bits_per_cycle * machine.frequency_hz
    return max(network.macs / peak(machine, bits), weights / port)


def row(network: Workload, machine: Accelerator, bits: str) -> str:
    """Time, bound, their ratio, energy and occupancy."""
    try:
        run = simulate(network, machine, bits)
    except InfeasibleError as error:
        return f"| {network.name} | {machine.name} | {str(error).partition(': ')[2]} | | | | |"
    least = least_s(network, machine, bits)
    computing = sum(cost.compute_cycles for cost in run.layers)
    used = sum(cost.occupancy * cost.compute_cycles for cost in run.layers) / computing
    return (
        f"| {network.name} | {machine.name} | {run.latency_s * 1e3:.3g} ms | {least * 1e3:.3g} ms "
        f"| {run.latency_s / least:.2f} | {run.energy_j * 1e3:.3g} mJ | {used:.0%} |"
    )


def main() -> None:
    """Print the table."""
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("machines", nargs="*", default=list_accelerators())
    given.add_argument("--bits", default="8")
    asked = given.parse_args()
    print("| network | machine | time | lower bound | ratio | energy | occupancy |")
    print("|---|---|---|---|---|---|---|")
    for name in NETWORKS:
        for machine in asked.machines:
            print(row(listed_network(name), load_accelerator(machine), asked.bits), flush=True)


if __name__ == "__main__":
    main()
