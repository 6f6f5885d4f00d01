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


def cell(network: Workload, machine: Accelerator, bits: str) -> str:
    """Time, lower bound, occupancy and energy; a dash if the machine cannot run the network."""
    try:
        run = simulate(network, machine, bits)
    except InfeasibleError:
        return "–"
    computing = sum(cost.compute_cycles for cost in run.layers)
    used = sum(cost.occupancy * cost.compute_cycles for cost in run.layers) / computing
    least = least_s(network, machine, bits) * 1e3
    return f"{run.latency_s * 1e3:.3g} / {least:.3g} ms, {used:.0%}, {run.energy_j * 1e3:.3g} mJ"


def main() -> None:
    """Print the table, a row for each machine."""
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("machines", nargs="*", default=list_accelerators())
    given.add_argument("--bits", default="8")
    asked = given.parse_args()
    networks = [listed_network(name) for name in NETWORKS]
    print("| machine | " + " | ".join(NETWORKS) + " |")
    print("|---" * (1 + len(NETWORKS)) + "|")
    for name in asked.machines:
        machine = load_accelerator(name)
        cells = [cell(network, machine, asked.bits) for network in networks]
        print(f"| `{name}` | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
