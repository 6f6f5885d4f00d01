"""ZigZag, SCALE-Sim and this project on ResNet-20 for CIFAR (20 layers, int8, batch 1), in one run.

Total CPU time of each tool after its imports, and after compilation here. What each computes:
ZigZag searches loop orders over divisors of the layer's sizes and gives cycles and energy;
SCALE-Sim gives cycles of one fixed mapping; this project searches all tile sizes, loop orders, lane
rules and blocks, and gives cycles and energy. Both rivals work through equal layers again, this
project does not; `distinct` leaves them out for the rivals.

    python benchmarks/rivals/race.py /tmp/rivals/bin/python     # the environment of README.md
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from stopwatch import cpu_seconds

from accel_models import load_accelerator, simulate
from accel_models.workloads.layer_csv import read_layers

HERE = Path(__file__).parent
LAYERS = HERE / "resnet20.csv"
RUNS = 20


def rival(python: str, script: str, *options: str) -> float:
    """CPU seconds that a rival reports."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [python, str(HERE / script), "--layers", str(LAYERS), "--json", str(report)]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
        return float(json.loads(report.read_text(encoding="utf-8"))["spent"]["cpu_s"])


def ours() -> float:
    """CPU seconds of a simulation from scratch, machine file and all but compilation."""
    workload = read_layers(LAYERS)
    simulate(workload, load_accelerator("bitfusion"), 8)
    started = cpu_seconds()
    for _ in range(RUNS):
        simulate(workload, load_accelerator("bitfusion"), 8)
    return (cpu_seconds() - started) / RUNS


def main() -> None:
    python = sys.argv[1] if len(sys.argv) > 1 else sys.executable
    own = ours()
    print(f"dfs-hw               {own * 1e3:10.2f} ms")
    for name, script in (("ZigZag", "zigzag_run.py"), ("SCALE-Sim", "scalesim_run.py")):
        for label, options in (("", ()), (", distinct", ("--distinct",))):
            spent = rival(python, script, *options)
            print(f"{name + label:<20} {spent * 1e3:10.0f} ms {spent / own:>8,.0f} x")


if __name__ == "__main__":
    main()
