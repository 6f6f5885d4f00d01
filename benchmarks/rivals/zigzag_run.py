"""Time ZigZag on a list of layers: total CPU and wall time of its search, after import.

    python benchmarks/rivals/zigzag_run.py --layers benchmarks/rivals/resnet20.csv --json out.json

The machine is Bit Fusion at 8 bits, or any that ZigZag ships, e.g. `--machine tpu_like`.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import zigzag
from layer_list import distinct, read_shapes
from stopwatch import timed
from zigzag.api import get_hardware_performance_zigzag
from zigzag.cost_model.cost_model import CostModelEvaluation
from zigzag_model import MACHINE, MAPPING, cycles, energy_pj, workload_entry

SHIPPED = Path(zigzag.__path__[0]) / "inputs"


def search(
    workload: list[dict[str, Any]], machine: Path, mapping: Path, objective: str, factors: int
) -> list[CostModelEvaluation]:
    """Let ZigZag try the loop orders of every layer, as its users would: through its API.

    Args:
        workload: layers in ZigZag's terms; it searches each of them, also where two are alike.
        objective: what the search minimises: `latency`, `energy` or `EDP`.
        factors: prime factors of the loops are merged until so many are left, and all their orders
            are tried (ZigZag's `lpf_limit`; its default is 6).
    """
    with tempfile.TemporaryDirectory() as folder:
        _, _, results = get_hardware_performance_zigzag(
            workload=workload,
            accelerator=str(machine),
            mapping=str(mapping),
            opt=objective,
            dump_folder=folder,
            lpf_limit=factors,
            loma_show_progress_bar=False,
        )
    return [result for result, _ in results[0][1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--distinct", action="store_true", help="leave out layers seen before")
    parser.add_argument("--machine", help="one that ZigZag ships; by default Bit Fusion at 8 bits")
    parser.add_argument("--objective", choices=("latency", "energy", "EDP"), default="latency")
    parser.add_argument("--factors", type=int, default=6, help="ZigZag's lpf_limit")
    parser.add_argument("--partial-sum-bits", type=int, default=32)
    options = parser.parse_args()

    machine, mapping = MACHINE, MAPPING
    if options.machine:
        machine = SHIPPED / "hardware" / f"{options.machine}.yaml"
        mapping = SHIPPED / "mapping" / f"{options.machine}.yaml"
    shapes = read_shapes(options.layers)
    shapes = distinct(shapes) if options.distinct else shapes
    workload = [
        workload_entry(number, shape, options.partial_sum_bits)
        for number, shape in enumerate(shapes)
    ]
    logging.disable(logging.WARNING)
    results, spent = timed(
        lambda: search(workload, machine, mapping, options.objective, options.factors)
    )
    layers = [
        {"name": shape.name, "cycles": cycles(result), "energy_pj": energy_pj(result)["total"]}
        for shape, result in zip(shapes, results, strict=True)
    ]
    report = {
        "tool": "zigzag-dse",
        "version": metadata.version("zigzag-dse"),
        "python": platform.python_version(),
        "computes": "search of loop orders; cycles, energy, DRAM and buffer accesses",
        "machine": machine.stem,
        "partial_sum_bits": options.partial_sum_bits,
        "objective": options.objective,
        "factors": options.factors,
        "layer_list": options.layers.name,
        "macs": sum(shape.macs for shape in shapes),
        "spent": spent,
        "total_cycles": sum(result.latency_total2 for result in results),
        "total_energy_pj": round(sum(result.energy_total for result in results), 1),
        "layers": layers,
    }
    options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(
        f"ZigZag {report['version']}, {machine.stem}: {len(shapes)} layers in "
        f"{spent['cpu_s']:.2f} s CPU, {spent['wall_s']:.2f} s wall; "
        f"{report['total_cycles']:.0f} cycles, {report['total_energy_pj'] / 1e6:.2f} uJ"
    )


if __name__ == "__main__":
    main()
