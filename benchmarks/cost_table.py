"""How long a cost table takes, in CPU seconds of one core, after compilation and without the disk.

python benchmarks/cost_table.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import product

import numpy as np

from accel_models import Layer, Precision, Workload, cost_table, load_accelerator, simulate
from accel_models.costs.simulator import layer_simulator
from accel_models.workloads.layer_csv import listed_network
from dfs_hw.networks import build_network
from dfs_hw.networks.workload_of import workload_of

ASSIGNMENTS = 10_000
MACHINE = load_accelerator("bitfusion")
PAIRS = [Precision(w, a) for w, a in product(range(1, 9), repeat=2)]


def resnet50() -> Workload:
    """ResNet-50 for 224 x 224 images (He et al. 2016), 4.09 GMAC."""
    stem = {"kernel": (7, 7), "stride": (2, 2), "padding": (3, 3), "in_size": (224, 224)}
    layers = [Layer("stem", 3, 64, reads_image=True, **stem)]
    inputs = 64
    for stage, (width, blocks, side) in enumerate(
        ((64, 3, 56), (128, 4, 28), (256, 6, 14), (512, 3, 7))
    ):
        for block in range(blocks):
            name, step = f"stage{stage}.block{block}", 2 if block == 0 and stage > 0 else 1
            wide, out = (side * step, side * step), (side, side)
            down = {"stride": (step, step), "in_size": wide}
            layers += [
                Layer(f"{name}.reduce", inputs, width, out_size=wide),
                Layer(f"{name}.conv", width, width, (3, 3), padding=(1, 1), **down),
                Layer(f"{name}.expand", width, 4 * width, out_size=out),
            ]
            if block == 0:
                layers.append(Layer(f"{name}.shortcut", inputs, 4 * width, **down))
            inputs = 4 * width
    return Workload.chain("resnet50", [*layers, Layer("classifier", 2048, 1000)])


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    network = build_network("resnet38", "skip,2,4,8", classes=10, in_channels=3)
    resnet38, deep = workload_of(network, (32, 32)), resnet50()
    simulate(resnet38, MACHINE, 8)

    def all_pairs_at_batch(batch: int) -> None:
        simulator = layer_simulator(resnet38, MACHINE, PAIRS, batch)
        for layer, precision in product(resnet38.layers, PAIRS):
            simulator.cost(resnet38, layer, precision)

    table = cpu_seconds(lambda: cost_table(resnet38, MACHINE, PAIRS, always=8, cache=False))
    batch16 = cpu_seconds(lambda: all_pairs_at_batch(16))
    print(f"DFS-ResNet-38, 64 pairs of widths, one input:   {table:.2f} s")
    print(f"DFS-ResNet-38, 64 pairs of widths, batch 16:    {batch16:.2f} s")
    wide = cpu_seconds(lambda: cost_table(deep, MACHINE, "1,2,4,8,16", cache=False))
    print(f"ResNet-50 at 224 x 224, 5 choices:              {wide:.2f} s")
    layers = cost_table(listed_network("resnet50"), MACHINE, "2,4,6,8", cache=False)
    shape = (ASSIGNMENTS, len(layers.decided))
    assignments = np.random.default_rng(0).integers(0, len(layers.choices), shape)
    first = cpu_seconds(lambda: layers.query(assignments))
    again = cpu_seconds(lambda: layers.query(assignments))
    print(
        f"ResNet-50, widths of 54 layers asked for:       {again / ASSIGNMENTS * 1e6:.1f} us each"
    )
    print(f"  the first {ASSIGNMENTS} of them:                    {first:.1f} s")


if __name__ == "__main__":
    main()
