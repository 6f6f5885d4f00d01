"""How long it takes to replay a trace, beside one sum over the same array; CPU time of one core.

python benchmarks/replay.py
"""

from __future__ import annotations

import gc
import re
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from stopwatch import fastest

from accel_models import CostTable, Layer, Workload, cost_table, load_accelerator
from accel_models.replay import Policy, replay, replay_file
from accel_models.replay.plan import Plan
from accel_models.trace import INPUTS_IN_GROUP, GateTrace, TraceHeader

INPUTS, BLOCKS, BATCH, REPEATS = 1_000_000, 54, 16, 5
CHOICE_SETS = ("skip,2,4,8", "skip,2,2/4,4,4/8,8/4,8")
SUM, PREPARED = "one sum over the choices", "building the fused tables, in all of the following"
NONE = np.zeros((0, BLOCKS), dtype=np.uint8)
POLICIES = {
    "input by input": Policy(),
    "the same, likeliest weights fetched": Policy("modal"),
    "the same, planes fetched": Policy("planes"),
    f"batches of {BATCH}, grouped": Policy(batching="grouped", batch=BATCH),
}


def resnet110() -> Workload:
    """ResNet-110 for CIFAR (He et al. 2016): 54 blocks, all gated."""
    layers = [Layer("stem", 3, 16, (3, 3), (32, 32), padding=(1, 1), reads_image=True)]
    channels = 16
    for width, side in ((16, 32), (32, 16), (64, 8)):
        conv = {"kernel": (3, 3), "out_size": (side, side), "padding": (1, 1)}
        for _ in range(BLOCKS // 3):
            unit, step = f"block{len(layers)}", 2 if width > channels else 1
            layers.append(Layer(f"{unit}.gate", channels, 10, role="gate", unit=unit))
            if step == 2:
                side_path = {"in_size": (2 * side,) * 2, "stride": (2, 2), "role": "shortcut"}
                layers.append(Layer(f"{unit}.side", channels, width, unit=unit, **side_path))
            body = {"role": "body", "unit": unit, **conv}
            down = {"in_size": (side * step,) * 2, "stride": (step, step)}
            layers.append(Layer(f"{unit}.conv1", channels, width, **down, **body))
            layers.append(Layer(f"{unit}.conv2", width, width, **body))
            channels = width
    return Workload.chain("resnet110", [*layers, Layer("classifier", 64, 10)])


def random_trace(table: CostTable) -> GateTrace:
    header = TraceHeader(
        "resnet110",
        "random",
        table.workload,
        table.choices,
        table.always,
        table.accelerator.name,
        0,
        "",
    )
    random, numbers = np.random.default_rng(0), np.arange(INPUTS)
    choices = random.integers(0, len(table.choices), (INPUTS, BLOCKS), dtype=np.uint8)
    labels = (numbers % 10).astype(np.int32)
    return GateTrace(header, numbers, labels, labels, choices)


def in_memory(table: CostTable, trace: GateTrace) -> None:
    def costs(policy: Policy) -> None:
        outcome = replay(trace, table, policy)
        assert outcome.energy_j.sum() > 0 and outcome.latency_s.sum() > 0

    rivals = {SUM: lambda: trace.choices.sum(), PREPARED: lambda: Plan(table, Policy()).alone(NONE)}
    for name, policy in POLICIES.items():
        rivals[name] = lambda policy=policy: costs(policy)
    times = fastest(rivals, REPEATS)
    base = times[SUM].cpu
    print(f"choices {', '.join(map(str, table.choices))}")
    for name, taken in times.items():
        print(f"  {name}: {taken.cpu * 1e3:.1f} ms, {taken.cpu / base:.1f}x the sum")


def on_disk(table: CostTable, trace: GateTrace, folder: Path) -> None:
    path = folder / "trace.parquet"
    trace.write(path)
    rivals = {
        "decoding": lambda: GateTrace.read(path),
        "totals and percentiles": lambda: replay_file(path, table),
        "a row an input written": lambda: replay_file(path, table, out=folder / "rows.parquet"),
    }
    for name, seconds in fastest(rivals, 1).items():
        print(f"  from disk, {name}: {seconds.cpu:.2f} s")
    one = trace[:INPUTS_IN_GROUP]
    one[:1000].write(folder / "short.parquet")
    columns = (one.choices, one.input_ids, one.labels, one.predictions)
    chunk = sum(column.nbytes for column in columns)
    for rows in (None, folder / "rows.parquet"):
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            more = process.submit(growth, table, path, folder / "short.parquet", rows).result()
        what = "totals and percentiles" if rows is None else "a row an input written"
        print(
            f"  memory, {what}: {more / 1e6:.1f} MB more than for a short trace, "
            f"{more / chunk:.2f} of a row group of {chunk / 1e6:.1f} MB"
        )


def growth(table: CostTable, path: Path, short: Path, out: Path | None) -> int:
    """Bytes that a long trace takes at most, beyond what a short one leaves in memory."""
    replay_file(short, table, out=out)
    gc.collect()
    used = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    replay_file(path, table, out=out)
    return memory("VmHWM") - used


def memory(name: str) -> int:
    """Resident memory of this process, now or at its peak, in bytes."""
    (kib,) = re.findall(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kib) * 1024


def main() -> None:
    machine = load_accelerator("bitfusion")
    print(f"{INPUTS:,} inputs x {BLOCKS} units on {machine.name}")
    for number, choices in enumerate(CHOICE_SETS):
        table = cost_table(resnet110(), machine, choices, max_group=BATCH)
        trace = random_trace(table)
        in_memory(table, trace)
        if number == 0:
            with tempfile.TemporaryDirectory() as folder:
                on_disk(table, trace, Path(folder))


if __name__ == "__main__":
    main()
