"""What a piece of work takes: CPU time of this process and its children, and wall time."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[Result, dict[str, float]]:
    """Do the work; also return `cpu_s`, `wall_s` and the machine's load before and after it."""
    load = os.getloadavg()[0]
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = work()
    spent = {
        "cpu_s": cpu_seconds() - cpu,
        "wall_s": time.perf_counter() - wall,
        "load_before": load,
        "load_after": os.getloadavg()[0],
    }
    return result, {name: round(value, 3) for name, value in spent.items()}


def cpu_seconds() -> float:
    """CPU time of all threads of this process, and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
