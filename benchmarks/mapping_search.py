"""How much faster the compiled mapping search is than its plain-Python transcription.

Both find the optimum of the same search space, on the 305 published rows. Times are total CPU time
of this one process, after compilation; the ratio is what counts, and is of this run alone.

    python benchmarks/mapping_search.py
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from accel_models import load_accelerator
from accel_models.mapping import search
from accel_models.validate import PUBLISHED, row_problem

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import bitfusion_reference as reference


def cpu_seconds(work: Callable[[Any], object], items: Iterable[Any]) -> float:
    started = time.process_time()
    for item in items:
        work(item)
    return time.process_time() - started


def main() -> None:
    rows = list(csv.DictReader(PUBLISHED.read_text(encoding="utf-8").splitlines()))
    machine = load_accelerator("bitfusion-published")
    problems = [row_problem(row["id"], row, machine)[:2] for row in rows]
    plain = [reference.from_row(row) for row in rows]

    compiling = cpu_seconds(lambda problem: search(*problem), problems[:1])
    compiled = min(cpu_seconds(lambda problem: search(*problem), problems) for _ in range(5))
    python = cpu_seconds(lambda problem: reference.search(*problem), plain)

    print(f"{len(rows)} layer searches, CPU seconds in this run:")
    print(f"  plain Python   {python:8.2f} s   {python / len(rows) * 1e3:8.3f} ms per layer")
    print(f"  compiled       {compiled:8.4f} s   {compiled / len(rows) * 1e3:8.3f} ms per layer")
    print(f"  ratio          {python / compiled:8.0f} x")
    print(f"  first search   {compiling:8.2f} s   (compiling, or loading what was compiled before)")


if __name__ == "__main__":
    main()
