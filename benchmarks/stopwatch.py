"""Times of rivals that take turns, so that whatever else a machine does falls on all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Seconds(NamedTuple):
    """The least of several runs."""

    wall: float
    cpu: float
    """Of all threads of this process; other processes do not count, so it is the steadier figure
    on a shared machine."""


def fastest(rivals: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Seconds]:
    """Run all rivals once, then `repeats` times in turn."""
    times: dict[str, list[Seconds]] = {name: [] for name in rivals}
    for turn in range(repeats + 1):
        for name, work in rivals.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            taken = Seconds(time.perf_counter() - wall, time.process_time() - cpu)
            if turn:  # the first is for caches and lazy set-up
                times[name].append(taken)
    return {
        name: Seconds(min(each.wall for each in taken), min(each.cpu for each in taken))
        for name, taken in times.items()
    }
