"""Explores in a process of its own, which tests kill: ``python explored.py FOLDER SAMPLER``."""

import sys
from pathlib import Path
from typing import Any

from exploring import SPACE, trace_of

from accel_models.exploration import Exploration, explore

TRIALS, BATCH = 30, 5


def run(folder: Path, sampler: str, **settings: Any) -> Exploration:
    """The search that tests compare."""
    wanted = {"trials": TRIALS, "batch": BATCH, "seed": 3, **settings}
    return explore(SPACE, [trace_of()], out=folder, sampler=sampler, **wanted)


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2])
