"""How fast machines are explored, in one run; wall seconds, as that is what a user waits for.

    python benchmarks/explore.py                            # 2 processes, about ten minutes
    python benchmarks/explore.py --machines 1000            # the same on fewer machines
    python benchmarks/explore.py --rivals /tmp/rivals/bin/python    # the environment of rivals/

Machines are default Bit Fusions of other arrays, buffers and bandwidths. Each runs ResNet-38 with
gates at skip, 2, 4 and 8 bits: every distinct layer is mapped anew at each width on each machine
(nothing is kept on disk), and 10,000 inputs, drawn at random, are run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many threads as workers, whatever their number

import numpy as np

from accel_models import cost_table
from accel_models.errors import DfsHwError
from accel_models.exploration import Exploration, explore, parse_space
from accel_models.exploration.adaptive import FinishedTrial, search_adaptively
from accel_models.exploration.evaluate import Evaluator, TrialOutcome
from accel_models.exploration.executors import Dask, Executor, Processes, Serial
from accel_models.exploration.results import tabled
from accel_models.exploration.storage import StudyStorage
from accel_models.exploration.sweep import CHUNK, enter
from accel_models.exploration.workloads import demands_of_traces
from accel_models.metrics import columns
from accel_models.precision import highest
from accel_models.trace import GateTrace, TraceHeader
from dfs_hw.networks import build_network
from dfs_hw.networks.workload_of import workload_of

SPACE = {
    "name": "ten-thousand",
    "base": "bitfusion",
    "objectives": ["energy", "p95", "area"],
    "fields": {
        "array": {"rows": [8, 16, 32], "columns": [8, 16, 32]},
        "buffers": {
            "weight_bytes": [131072, 163840, 196608, 229376, 262144, 327680],
            "input_bytes": [16384, 24576, 32768, 49152, 65536, 98304],
            "output_bytes": [8192, 16384, 32768, 65536],
        },
        "dram": {"gb_per_s": [6, 8, 12, 16, 24, 32, 48, 64]},
    },
}
"""10,368 machines, from half to five times the published bandwidth."""
INPUTS, WORKERS = 10_000, 2
GROUP, GROUPED_MACHINES = 16, 60
SCALED_MACHINES = 2048
SPREAD_MACHINES = 640
OVERHEAD_TRIALS, ENTERED = 200, 20_000


def resnet38_trace() -> GateTrace:
    """ResNet-38 for 32 x 32 images, its gates deciding at random."""
    network = build_network("resnet38", "skip,2,4,8", classes=10, in_channels=3)
    workload, choices = workload_of(network, (32, 32)), network.choices
    header = TraceHeader(
        "resnet38", "random", workload, choices, highest(choices), "bitfusion", 0, "0"
    )
    rng, numbers = np.random.default_rng(0), np.arange(INPUTS)
    taken = rng.integers(0, len(choices), (INPUTS, len(workload.units))).astype(np.uint8)
    return GateTrace(header, numbers, numbers, numbers, taken)


@contextmanager
def timed(label: str, count: int, unit: str = "machines") -> Iterator[None]:
    """Print how long a block took, and what that makes a second."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rate = count / wall
    print(f"{label:<58} {wall:8.2f} s {rate:10.1f} {unit}/s   ({cpu:.1f} CPU s here)", flush=True)


def chunks(machines: int) -> list[tuple[int, tuple[int, int]]]:
    starts = range(0, machines, CHUNK)
    return [(n, (start, min(start + CHUNK, machines))) for n, start in enumerate(starts)]


def through(executor: Executor, machines: int) -> int:
    """Machines that ran, of so many sent through an executor."""
    ran = 0
    for _, outcomes in executor.each(chunks(machines)):
        ran += sum(outcome.is_feasible for outcome in outcomes)
    return ran


def warm(executor: Executor, items: int) -> None:
    """Have every worker import and compile."""
    for _ in executor.each([(n, (n, n + 1)) for n in range(items)]):
        pass


def here(evaluator: Evaluator, machines: int) -> None:
    """The sweep in this process: chunks spread over the space, by CPU time."""
    size, number = evaluator.space.size or 1, max(1, machines // CHUNK)
    started = time.process_time()
    for start in np.linspace(0, size - CHUNK, number).astype(int).tolist():
        evaluator.run((start, start + CHUNK))
    spent = (time.process_time() - started) / (number * CHUNK)
    print(
        f"{f'sweep in this process, {number * CHUNK} machines':<58} {spent * 1e3:8.2f} CPU ms each"
    )


def sweeping(evaluator: Evaluator, machines: int) -> None:
    processes = Processes(evaluator.run, WORKERS)
    warm(processes, 4 * WORKERS)
    with timed(f"sweep, group size 1, {WORKERS} processes", machines):
        ran = through(processes, machines)
    processes.close()
    children = getrusage(RUSAGE_CHILDREN)
    print(
        f"    {ran} of {machines} run; the workers took {children.ru_utime:.0f} CPU s, start-up too"
    )


def grouped(evaluator: Evaluator, trace: GateTrace) -> None:
    """Tables for groups of up to 16 inputs that share a choice, machine by machine."""
    space, header = evaluator.space, trace.header
    numbers = np.linspace(0, (space.size or 1) - 1, GROUPED_MACHINES).astype(int).tolist()
    made = 0
    with timed(f"cost tables, group sizes 1 to {GROUP}, 1 process", GROUPED_MACHINES):
        for number in numbers:
            machine = space.machine(space.configuration(number))
            try:
                cost_table(
                    header.workload,
                    machine,
                    header.choices,
                    always=header.always,
                    max_group=GROUP,
                    cache=False,
                )
                made += 1
            except DfsHwError:
                continue
    print(f"    {made} of {GROUPED_MACHINES} run")


def scaling(evaluator: Evaluator, machines: int) -> None:
    from distributed import LocalCluster

    walls = []
    for workers in (1, 2):
        options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(processes=True, **options) as cluster:
            pool = Dask(evaluator.run, cluster.scheduler_address)
            warm(pool, 8 * workers)
            started = time.perf_counter()
            with timed(f"sweep, {workers} local Dask worker(s)", machines):
                through(pool, machines)
            walls.append(time.perf_counter() - started)
            pool.close()
    print(f"    two Dask workers are {walls[0] / walls[1]:.2f} x as fast as one")


def overheads(evaluator: Evaluator) -> None:
    """What asking and telling takes, evaluations left out."""
    space = evaluator.space
    nothing = TrialOutcome({column: 1.0 for column in columns()})
    for name in ("memory", "journal", "sqlite"):
        for sampler in ("nsga2", "tpe"):
            with tempfile.TemporaryDirectory() as folder:
                urls = {"memory": "memory", "journal": "", "sqlite": f"sqlite:///{folder}/s.db"}
                storage = StudyStorage(Path(folder), urls[name])
                study = storage.study("overhead", len(space.objectives), {})
                started = time.perf_counter()
                search_adaptively(
                    space,
                    study,
                    storage,
                    Serial(lambda items: [nothing for _ in items]),
                    sampler=sampler,
                    trials=OVERHEAD_TRIALS,
                    batch=16,
                    seed=0,
                    advance=lambda _: None,
                )
                spent = (time.perf_counter() - started) / OVERHEAD_TRIALS * 1e3
                storage.close(study)
            print(f"{f'ask and tell, {sampler}, {name}':<58} {spent:8.2f} ms a trial", flush=True)


def entering(evaluator: Evaluator) -> None:
    space = evaluator.space
    outcome = TrialOutcome({column: 1.0 for column in columns()})
    records = [
        FinishedTrial(n, space.configuration(n % (space.size or 1)), outcome)
        for n in range(ENTERED)
    ]
    table = tabled(space, records)
    for name in ("memory", "journal"):
        with tempfile.TemporaryDirectory() as folder:
            url = "memory" if name == "memory" else ""
            storage = StudyStorage(Path(folder), url, outline=True)
            study = storage.study("entering", len(space.objectives), {})
            with timed(f"add_trials in bulk, {name}", ENTERED, "trials"):
                enter(space, table, study, storage, lambda _: None)
            storage.close(study)


def whole_command(trace: GateTrace, machines: int) -> None:
    """All that `dfs-hw explore` does, study and page included."""
    fields = dict(SPACE["fields"])  # type: ignore[call-overload]
    fields["dram"] = {"gb_per_s": [6, 24]}  # 2592 of them
    if machines < 10_000:
        fields["buffers"] = {**fields["buffers"], "output_bytes": [16384]}
    with tempfile.TemporaryDirectory() as folder:
        tables = {**SPACE, "fields": fields}
        size = parse_space(tables)[0].size or 0
        with timed(f"explore, sweep, {WORKERS} processes, journal", size):
            found: Exploration = explore(
                tables, [trace], out=folder, sampler="sweep", workers=WORKERS
            )
        with timed("    what matters, and the page", size):
            found.write()


def rivals(python: str) -> None:
    """Machines a second on ResNet-20 at 8 bits: each simulates the same 20 layers anew."""
    import sys

    sys.path.insert(0, str(Path(__file__).parent / "rivals"))
    from race import LAYERS, rival

    tables = {
        **SPACE,
        "objectives": ["energy", "latency"],
        "workloads": [{"layers": str(LAYERS), "precision": 8}],
    }
    from accel_models.exploration.workloads import demands_of

    space, entries = parse_space(tables)
    own = Evaluator(space, demands_of(entries))
    own.run((0, 1))
    numbers = np.linspace(0, (space.size or 1) - 1, 400).astype(int).tolist()
    configurations = [space.configuration(number) for number in numbers]
    started = time.process_time()
    ran = sum(outcome.is_feasible for outcome in own(configurations))
    ours = ran / (time.process_time() - started)
    print(f"dfs-hw: mappings searched, cycles and energy  {ours:12.1f} machines per CPU second")
    told = {
        "ZigZag": ("zigzag_run.py", "loop orders searched over divisors, cycles and energy"),
        "SCALE-Sim": ("scalesim_run.py", "one fixed mapping, cycles without energy"),
    }
    for name, (script, what) in told.items():
        spent = rival(python, script, "--distinct")
        print(
            f"{name}: {what}; equal layers left out  {1 / spent:8.4f} machines per CPU second, "
            f"{ours * spent:,.0f} x fewer",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--only", default="", help="one part: sweeping, scaling, grouped, ...")
    parser.add_argument("--rivals", default="", help="a Python that has ZigZag and SCALE-Sim")
    given = parser.parse_args()
    trace = resnet38_trace()
    evaluator = Evaluator(parse_space(SPACE)[0], demands_of_traces([trace]))
    evaluator.run((0, 1))
    steps: dict[str, Callable[[], None]] = {
        "here": lambda: here(evaluator, min(SPREAD_MACHINES, given.machines)),
        "sweeping": lambda: sweeping(evaluator, given.machines),
        "scaling": lambda: scaling(evaluator, min(SCALED_MACHINES, given.machines)),
        "grouped": lambda: grouped(evaluator, trace),
        "overheads": lambda: overheads(evaluator),
        "entering": lambda: entering(evaluator),
        "whole": lambda: whole_command(trace, given.machines),
    }
    for name, step in steps.items():
        if given.only in ("", name):
            step()
    if given.rivals:
        rivals(given.rivals)


if __name__ == "__main__":
    main()
