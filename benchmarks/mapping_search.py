"""How much faster the compiled mapping search is than plain Python, on the same search space.

Two transcriptions serve as rivals: of the published model, and of the default one, both in `tests/`
as the brute force that the search is tested against. Times are total CPU time of this one process,
after compilation; the ratios are what counts, and are of this run alone.

The default model has too many mappings of a whole ResNet layer at batch 16 for plain Python to try
them all. There, its time is that of a random sample of tilings, each with all its loop orders,
times the number of tilings over that of the sample; it is marked so. Smaller layers run in full.

    python benchmarks/mapping_search.py
"""

from __future__ import annotations

import csv
import random
import sys
import time
from collections.abc import Callable, Iterable
from itertools import permutations, product
from pathlib import Path
from typing import Any

from accel_models import Layer, Precision, Workload, load_accelerator
from accel_models.accelerators.arrays.array import LANE_RULES
from accel_models.costs.pricing import Pricing
from accel_models.costs.simulator import LayerSimulator
from accel_models.mapping.problem import ACTIONS, EDP, Problem
from accel_models.mapping.search import search
from accel_models.validation.published_rows import PRICED_ACTIONS, PUBLISHED, row_problem

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))
import bitfusion_reference as published_reference
import default_reference
from networks import cifar_resnet38

SAMPLED_TILINGS = 150
SMALL = {"kernel": (3, 3), "padding": (1, 1)}
SMALL_LAYERS = (
    Layer("3x3, 16 to 16 on 8 x 8", 16, 16, out_size=(8, 8), **SMALL),
    Layer("3x3, 16 to 32 on 4 x 4, stride 2", 16, 32, in_size=(8, 8), stride=(2, 2), **SMALL),
    Layer("1x1, 32 to 64 on 7 x 7", 32, 64, out_size=(7, 7)),
    Layer("3x3, 64 to 64 on 4 x 4", 64, 64, out_size=(4, 4), **SMALL),
    Layer("linear, 512 to 1000", 512, 1000),
)


def cpu_seconds(work: Callable[[Any], object], items: Iterable[Any]) -> float:
    started = time.process_time()
    for item in items:
        work(item)
    return time.process_time() - started


def best_of(work: Callable[[Any], object], items: list[Any], runs: int = 5) -> float:
    return min(cpu_seconds(work, items) for _ in range(runs))


def line(what: str, layers: int, python: float, compiled: float, note: str = "") -> None:
    print(
        f"{what:<58} {python / layers * 1e3:>12,.1f} ms {compiled / layers * 1e3:>8.3f} ms "
        f"{python / compiled:>10,.0f} x  {note}"
    )


def distinct(workload: Workload) -> list[Layer]:
    return list({layer.geometry: layer for layer in workload.layers}.values())


def published_rows() -> None:
    rows = list(csv.DictReader(PUBLISHED.read_text(encoding="utf-8").splitlines()))
    machine = load_accelerator("bitfusion-published")
    tasks = [row_problem(row["id"], row, machine)[:2] for row in rows]
    plain = [published_reference.from_row(row) for row in rows]
    compiled = best_of(lambda task: search(*task), tasks)
    python = cpu_seconds(lambda task: published_reference.search(*task), plain)
    line(f"published: the {len(rows)} released rows", len(rows), python, compiled)


def published_resnet() -> None:
    machine = load_accelerator("bitfusion-published")
    workload, pricing = cifar_resnet38(), Pricing(machine)
    layers = [(layer, Precision(b, b)) for layer in distinct(workload) for b in (8, 4, 2)]
    simulator = LayerSimulator(machine, 16, 32)
    tasks = [simulator.problem(workload, layer, width) for layer, width in layers]
    plain = [
        _published_twin(layer, task, pricing)
        for (layer, _), task in zip(layers, tasks, strict=True)
    ]
    compiled = best_of(lambda task: search(task, pricing.action_pj), tasks)
    python = cpu_seconds(lambda task: published_reference.search(*task), plain)
    what = "published: ResNet-38's distinct layers, batch 16, 8/4/2 bit"
    line(what, len(layers), python, compiled)


def default_small() -> None:
    workload = Workload("small", SMALL_LAYERS)
    tasks, twins, compiled = _default_tasks(workload, SMALL_LAYERS, batch=1)
    python = cpu_seconds(lambda twin: default_reference.best(*twin, "edp"), twins)
    line("default: five small layers, batch 1, in full", len(tasks), python, compiled)


def default_resnet() -> None:
    workload = cifar_resnet38()
    layers = distinct(workload)
    tasks, twins, compiled = _default_tasks(workload, layers, batch=16)
    python = sum(_sampled_seconds(twin) for twin in twins)
    what = "default: ResNet-38's distinct layers, batch 16, 8 bit"
    line(what, len(tasks), python, compiled, "(plain Python sampled)")


def _default_tasks(
    workload: Workload, layers: Iterable[Layer], batch: int
) -> tuple[list[Problem], list[Any], float]:
    """Problems at 8 bits, their plain-Python twins, and the seconds the compiled search takes."""
    machine = load_accelerator("bitfusion")
    pricing, simulator = Pricing(machine), LayerSimulator(machine, batch, 8)
    tasks = [simulator.problem(workload, layer, Precision(8, 8)) for layer in layers]
    static = pricing.static_pj_per_cycle

    def run(task: Problem) -> object:
        return search(task, pricing.action_pj, EDP, cycle_pj=static)

    return tasks, [_default_twin(task, pricing) for task in tasks], best_of(run, tasks)


def _sampled_seconds(twin: Any) -> float:
    layer, widths, machine = twin
    sizes = [sorted({-(-d // n) for n in range(1, d + 1)}) for d in layer.dimensions]
    tilings = list(product(*sizes))
    chosen = random.Random(0).sample(tilings, min(SAMPLED_TILINGS, len(tilings)))

    def all_orders(tile: Any) -> None:
        for rule in machine.lane_rules:
            facts = default_reference.tile_facts(layer, widths, machine, tile, rule)
            if facts is not None:
                active = [loop for loop, count in facts.counts.items() if count > 1]
                for order in permutations(active):
                    for _ in default_reference.prices(facts, order):
                        pass

    return cpu_seconds(all_orders, chosen) * len(tilings) / len(chosen)


def _default_twin(p: Problem, pricing: Pricing) -> Any:
    reference = default_reference
    layer = reference.ReferenceLayer(*p[: Problem._fields.index("weight_bits")])
    widths = reference.ReferenceWidths(
        **{name: getattr(p, name) for name in reference.ReferenceWidths.__dataclass_fields__}
    )
    rules = tuple(rule for bit, rule in enumerate(LANE_RULES) if p.lane_rules >> bit & 1)
    machine = reference.ReferenceMachine(
        rows=p.array_rows,
        lanes=p.passes[0][0],
        columns=p.array_columns,
        lane_rules=rules,
        dram_latency_cycles=p.dram_latency,
        action_pj=pricing.action_pj,
        static_pj_per_cycle=pricing.static_pj_per_cycle,
        **{
            name: getattr(p, name)
            for name in reference.ReferenceMachine.__dataclass_fields__
            if name in Problem._fields and name != "lane_rules"
        },
    )
    return layer, widths, machine


def _published_twin(layer: Layer, p: Problem, pricing: Pricing) -> Any:
    reference = published_reference
    machine = pricing.machine
    prices = dict(zip(ACTIONS, pricing.action_pj, strict=True))
    stated = [prices[action] for action in PRICED_ACTIONS][:-1]
    return (
        reference.ReferenceLayer(
            layer.kernel[0],
            layer.out_size[0],
            layer.stride[0],
            layer.in_channels,
            layer.out_channels,
            p.batch,
            p.activation_bits,
            p.weight_bits,
            layer.reads_image,
        ),
        reference.ReferenceMachine(
            p.array_rows,
            p.array_columns,
            machine.array.model_dump()["max_bits"],
            machine.array.model_dump()["min_bits"],
            int(p.dram_bits_per_cycle),
            machine.buffers.weight_bytes,
            machine.buffers.input_bytes,
            machine.buffers.output_bytes,
            *stated,
        ),
    )


def main() -> None:
    row = next(csv.DictReader(PUBLISHED.read_text(encoding="utf-8").splitlines()))
    machine = load_accelerator("bitfusion-published")
    first = cpu_seconds(lambda task: search(*task), [row_problem(row["id"], row, machine)[:2]])
    print(f"first search: {first:.2f} s CPU (compiling, or loading what was compiled before)\n")
    print(f"{'a layer, in this run':<58} {'plain Python':>15} {'compiled':>11} {'ratio':>12}")
    published_rows()
    published_resnet()
    default_small()
    default_resnet()


if __name__ == "__main__":
    main()
