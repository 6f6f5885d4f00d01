"""Our default Bit Fusion at 8 bits beside ZigZag's view of it, on ten layers: traffic and cycles.

ZigZag was given the same array, buffers and port (`zigzag_check.py`), and both the same objective.
DRAM latency and bursts, leakage and idle units, which it does not charge, are switched off here.
Needs no environment but this project's own: ZigZag's figures are read from
`zigzag_ten_layers.json`.

    python benchmarks/rivals/compare.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from accel_models import load_accelerator, simulate
from accel_models.explain.departures import departure_steps
from accel_models.mapping.problem import ACTIONS
from accel_models.workloads.layer_csv import read_layers

HERE = Path(__file__).parent
READ, WRITE = ACTIONS.index("dram_read_bits"), ACTIONS.index("dram_write_bits")


def theirs(layer: dict[str, Any], objective: str) -> tuple[int, int, int, int]:
    """DRAM bits read and written, compute cycles and cycles, by the machine of equal capacity."""
    run = layer.get("half", layer.get("double"))[objective]
    moved = run["dram_bits"].values()
    read, write = (round(sum(one[way] for one in moved)) for way in ("read", "write"))
    cycles = run["cycles"]
    return read, write, round(cycles["compute"]), round(cycles["latency"])


def table(objective: str) -> None:
    # The machine that ZigZag was given: the published array and buffers, at 45 nm.
    steps = departure_steps(load_accelerator("bitfusion"))
    given = next(step.machine for step in steps if step.title.startswith("groups run as groups"))
    machine = given.configured(
        dram__gb_per_s=12.0,
        energy__vector_pj=3.2,
        dram__latency_ns=0,
        dram__burst_bytes=0,
        fidelity__prefetch=False,
        fidelity__static_power=False,
        energy__idle_share=0.0,
        mapping__objective=objective,
    )
    ours = simulate(read_layers(HERE / "ten_layers.csv"), machine, 8)
    zigzag = json.loads((HERE / "zigzag_ten_layers.json").read_text(encoding="utf-8"))["layers"]
    columns = ("DRAM read", "DRAM write", "compute", "cycles")
    print(f"{'least ' + objective:<24}" + "".join(f"{name:>22}" for name in columns))
    for cost in ours.layers:
        counts = cost.counts.tolist()
        own = (counts[READ], counts[WRITE], cost.compute_cycles, cost.cycles)
        pairs = zip(own, theirs(zigzag[cost.layer.name], objective), strict=True)
        cells = [f"{mine:>13,} {(mine - other) / other:>+8.1%}" for mine, other in pairs]
        print(f"{cost.layer.name:<24}" + "".join(cells))
    print()


def main() -> None:
    print("ours, and by how much it differs from ZigZag's\n")
    for objective in ("energy", "edp"):
        table(objective)


if __name__ == "__main__":
    main()
