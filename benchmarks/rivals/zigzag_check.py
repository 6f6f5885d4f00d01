"""What ZigZag makes of ten layers on Bit Fusion at 8 bits: an independent check of our figures.

    python benchmarks/rivals/zigzag_check.py --json benchmarks/rivals/zigzag_ten_layers.json

For every layer and reading of "half of a buffer is usable", the best mappings that ZigZag finds
for latency, energy and their product. `--orders file.json` costs given loop orders instead of
searching: {"layer": ["OX 7", "OY 7", "FX 3", ...]}, innermost first.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from layer_list import Shape, read_shapes
from stopwatch import timed
from zigzag.cost_model.cost_model import CostModelEvaluation
from zigzag.mapping.temporal_mapping import TemporalMappingType
from zigzag.stages.evaluation.cost_model_evaluation import CostModelStage
from zigzag.stages.main import MainStage
from zigzag.stages.mapping.spatial_mapping_generation import SpatialMappingGeneratorStage
from zigzag.stages.mapping.temporal_mapping_generator_stage import TemporalMappingGeneratorStage
from zigzag.stages.parser.accelerator_parser import AcceleratorParserStage
from zigzag.stages.parser.workload_parser import WorkloadParserStage
from zigzag.stages.stage import Stage
from zigzag.stages.workload_iterator import WorkloadStage
from zigzag_model import FOLDER, MACHINE, MAPPING, report, workload_entry

FREE_FACTORS = 8
"""Prime factors of the loops other than the kernel's are merged until so many are left."""

Order = list[tuple[str, int]]
OBJECTIVES: dict[str, Callable[[CostModelEvaluation], tuple[float, float]]] = {
    "latency": lambda found: (found.latency_total2, found.energy_total),
    "energy": lambda found: (found.energy_total, found.latency_total2),
    "edp": lambda found: (found.latency_total2 * found.energy_total, found.energy_total),
}


class CheapestStage(Stage):
    """Keeps a layer's best mapping for each objective, in one pass, and counts the mappings."""

    def run(self) -> Iterator[tuple[CostModelEvaluation, tuple[str, int]]]:
        best: dict[str, CostModelEvaluation] = {}
        tried = 0
        for found, _ in self.list_of_callables[0](self.list_of_callables[1:], **self.kwargs).run():
            tried += 1
            for objective, cost in OBJECTIVES.items():
                if objective not in best or cost(found) < cost(best[objective]):
                    best[objective] = found
        for objective, found in best.items():
            yield found, (objective, tried)


def machines() -> dict[str, dict[str, Any]]:
    """The two ways to tell ZigZag that a block may take half of a buffer.

    `double`: whole buffers, declared double. A tensor that fits the whole buffer may stay there.
    `half`: buffers of half the size. ZigZag then fetches ahead only blocks of half that half.
    """
    double = yaml.safe_load(MACHINE.read_text(encoding="utf-8"))
    half = yaml.safe_load(MACHINE.read_text(encoding="utf-8"))
    for name, memory in half["memories"].items():
        if name != "dram":
            memory["size"] //= 2
            memory["force_double_buffering"] = False
    return {"double": double, "half": half}


def mappings_of(shape: Shape, order: Order | None) -> list[dict[str, Any]]:
    """The fixed spatial mapping with a loop order, or with only the kernel's loops innermost.

    Bit Fusion never tiles the kernel; that leaves ZigZag's search finer tiles of all else.
    """
    (entry,) = yaml.safe_load(MAPPING.read_text(encoding="utf-8"))
    kernel = [("FX", shape.kernel[1]), ("FY", shape.kernel[0])]
    loops = order or [loop for loop in kernel if loop[1] > 1]
    return [{**entry, "temporal_ordering": [list(loop) for loop in loops]}]


def best_mappings(
    shape: Shape, machine: dict[str, Any], order: Order | None = None
) -> dict[str, Any]:
    """The best mapping for each objective, or the cost of the given order; by objective."""
    kernel_loops = sum(side > 1 for side in shape.kernel)
    with tempfile.TemporaryDirectory() as name:
        accelerator, mapping = Path(name) / "machine.yaml", Path(name) / "mapping.yaml"
        accelerator.write_text(yaml.safe_dump(machine, sort_keys=False), encoding="utf-8")
        mapping.write_text(yaml.safe_dump(mappings_of(shape, order)), encoding="utf-8")
        found = MainStage(
            [
                WorkloadParserStage,
                AcceleratorParserStage,
                WorkloadStage,
                CheapestStage,
                SpatialMappingGeneratorStage,
                TemporalMappingGeneratorStage,
                CostModelStage,
            ],
            workload=[workload_entry(0, shape)],
            accelerator=str(accelerator),
            mapping=str(mapping),
            loma_lpf_limit=FREE_FACTORS + kernel_loops,
            access_same_data_considered_as_no_access=True,
            temporal_mapping_type=TemporalMappingType.UNEVEN,
        ).run()
    best = {objective: report(result) for result, (_, (objective, _)) in found}
    if order:
        return {"given_order": best["latency"]}
    _, (_, (_, tried)) = found[0]
    return {"mappings_tried": tried, **best}


def check(shapes: list[Shape], orders: dict[str, Order]) -> dict[str, Any]:
    """Results by layer and machine; with orders, of the layers that have one."""
    return {
        shape.name: {
            name: best_mappings(shape, machine, orders.get(shape.name))
            for name, machine in machines().items()
        }
        for shape in shapes
        if not orders or shape.name in orders
    }


def read_orders(path: Path) -> dict[str, Order]:
    orders = json.loads(path.read_text(encoding="utf-8"))
    pairs = {layer: [loop.split() for loop in loops] for layer, loops in orders.items()}
    return {layer: [(dim, int(size)) for dim, size in loops] for layer, loops in pairs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", type=Path, default=FOLDER / "ten_layers.csv")
    parser.add_argument("--orders", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()

    shapes = read_shapes(options.layers)
    orders = read_orders(options.orders) if options.orders else {}
    logging.disable(logging.WARNING)
    results, spent = timed(lambda: check(shapes, orders))
    found = {
        "tool": "zigzag-dse",
        "version": metadata.version("zigzag-dse"),
        "python": platform.python_version(),
        "layer_list": options.layers.name,
        "free_factors": FREE_FACTORS,
        "spent": spent,
        "layers": results,
    }
    options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{len(results)} layers in {spent['cpu_s']:.0f} s CPU: {options.json}")


if __name__ == "__main__":
    main()
