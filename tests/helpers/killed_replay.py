"""Replays in a process of its own, which kills itself after so many row groups:
``python killed_replay.py TRACE OUT ROW_GROUPS``."""

import os
import signal
import sys

from accel_models import cost_table, load_accelerator
from accel_models.replay import Policy, replay_file
from accel_models.trace import TraceFile


def main(path: str, out: str, groups: int) -> None:
    with TraceFile(path) as file:
        header = file.header
    table = cost_table(header.workload, load_accelerator(header.accelerator), header.choices)

    def count(done: int, of: int) -> None:
        if done == groups:
            os.kill(os.getpid(), signal.SIGKILL)

    replay_file(path, table, Policy("modal", arrivals="poisson"), out=out, progress=count)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
