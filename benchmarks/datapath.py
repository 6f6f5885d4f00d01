"""How long the datapath takes for CIFAR layers, and what real operands toggle in it.

Times are CPU seconds of this one process, on one core and after compilation, with random 8-bit
operands. Activities are those of a small network trained on digits, its blocks at 2, 4 and 8 bits,
summed over its layers; energies are of the array alone, beside the constant that models charge.

    python benchmarks/datapath.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from accel_models import Layer, Precision, Workload, load_accelerator
from accel_models.costs.pricing import Pricing
from accel_models.costs.simulator import LayerSimulator
from accel_models.reference_machine.datapath.datapath import compute
from accel_models.reference_machine.datapath.switching import array_energy
from dfs_hw.networks.workload_of import workload_of

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))
from quantized_layers import quickly_trained, seen_layers

MACHINES = ("bitfusion", "bitblade", "stripes", "loom-1b", "loom-2b", "loom-4b", "unpu")
HALF = {"kernel": (3, 3), "padding": (1, 1)}
CIFAR = Workload.chain(
    "cifar",
    [
        Layer("16 to 16 at 32 x 32", 16, 16, out_size=(32, 32), **HALF),
        Layer("64 to 64 at 8 x 8", 64, 64, out_size=(8, 8), **HALF),
    ],
)
BITS = Precision(8, 8)
IMAGES = 4


def seconds(name: str, layer: Layer, switching: bool, runs: int = 3) -> float:
    """The least of several runs."""
    machine = load_accelerator(name)
    cost = LayerSimulator(machine, 1, 8).cost(CIFAR, layer, BITS)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (1, layer.in_channels, *layer.in_size))
    w = rng.integers(-128, 128, (layer.out_channels, layer.in_channels, *layer.kernel))
    times = []
    for _ in range(runs + 1):  # the first compiles
        started = time.process_time()
        compute(layer, machine, BITS, cost.mapping, x, w, switching=switching)
        times.append(time.process_time() - started)
    return min(times[1:])


def main() -> None:
    print("CPU seconds of a 3x3 layer at 8 bits, without and with toggles counted")
    for name in MACHINES:
        timed = [seconds(name, layer, on) for layer in CIFAR.layers for on in (False, True)]
        print(f"  {name:10}", *(f"{one:7.3f}" for one in timed))

    with tempfile.TemporaryDirectory() as folder:
        network = quickly_trained(Path(folder))
    workload, seen = workload_of(network).without_gates(), seen_layers(network, IMAGES)
    print(f"\nArray energy of {workload.name} on digits, {IMAGES} images at a time, in nJ")
    print("  machine     inputs  weights  activity  constant  corrected")
    for name in MACHINES:
        machine = load_accelerator(name)
        costs, pricing = LayerSimulator(machine, IMAGES, 8), Pricing(machine)
        bits, pj = np.zeros((2, 2)), np.zeros(2)
        for one in seen:
            cost = costs.cost(workload, one.layer, one.widths)
            found = compute(
                *(one.layer, machine, cost.precision, cost.mapping, one.inputs, one.weights),
                signed_inputs=one.signed_inputs,
                switching=True,
            )
            assert found.switching is not None
            energy = array_energy(found.switching, cost, pricing)
            bits += [found.switching.inputs, found.switching.weights]
            pj += energy.constant_pj, energy.corrected_pj
        shares, both = bits[:, 1] / bits[:, 0], bits[:, 1].sum() / bits[:, 0].sum()
        print(
            f"  {name:10} {shares[0]:7.3f} {shares[1]:8.3f} {both:9.3f}"
            f" {pj[0] * 1e-3:9.1f} {pj[1] * 1e-3:10.1f}"
        )


if __name__ == "__main__":
    main()
