"""Explores in a process of its own, which tests kill: ``python explored.py FOLDER SAMPLER``, and
the address of a Dask scheduler if one is to be used."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from exploring import SPACE, trace_of
from places import HELPERS

from accel_models.exploration import Exploration, explore
from accel_models.exploration.storage import JOURNAL

TRIALS, BATCH = 30, 5


def run(folder: Path, sampler: str, **settings: Any) -> Exploration:
    """The search that tests compare."""
    wanted = {"trials": TRIALS, "batch": BATCH, "seed": 3, **settings}
    return explore(SPACE, [trace_of()], out=folder, sampler=sampler, **wanted)


def kill_often(folder: Path, sampler: str, *address: str) -> int:
    """Start the search three times and kill it as soon as something more is on disk; returns how
    much is there at last."""
    command = [sys.executable, "explored.py", str(folder), sampler, *address]
    finished = 0
    for kills in range(1, 4):
        process = subprocess.Popen(command, cwd=HELPERS)
        while process.poll() is None and _written(folder) < kills:
            time.sleep(0.002)
        process.kill()
        process.wait()
        before, finished = finished, _written(folder)
        assert finished >= before
    return finished


def _written(folder: Path) -> int:
    """Trials with an outcome in a journal, or chunks of a sweep."""
    journal = folder / JOURNAL
    told = journal.read_bytes().count(b'"outcome"') if journal.is_file() else 0
    return told + len(list(folder.glob("chunks/chunk-*.parquet")))


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], dask="".join(sys.argv[3:]))
