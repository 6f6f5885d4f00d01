"""How soon a command answers, and how two of them get along on the same cores.

    python benchmarks/startup.py [--repeats 5]

Each line is a median of ratios, numerator and denominator measured one right after the other, by
the clock and in CPU time (user and system, of all threads and processes), which others on the
machine change less. Threads that spin show in both. Compiled code is warm.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

IMPORT = (sys.executable, "-c", "import torch")
COMMAND = (sys.executable, "-m", "dfs_hw")
SIMULATE = (*COMMAND, "simulate", "resnet38")
TRAIN = (
    *(*COMMAND, "train", "--network", "resnet8", "--choices", "skip,4,8", "--budget", "0.9"),
    *("--quiet", "--set", "backbone_steps=10", "--set", "supernet_steps=10"),
    *("--set", "gate_steps=5", "--set", "joint_steps=10"),
)
BATCH = 8

RESNET50 = f"""
import time
import torch
from transformers import ResNetConfig, ResNetForImageClassification
from dfs_hw import make_dynamic, workload_of

model = ResNetForImageClassification(ResNetConfig()).eval()
images = torch.randn({BATCH}, 3, 224, 224)

def forward():
    with torch.no_grad():
        model(images)

def build():
    workload_of(make_dynamic(model, choices="skip,4,8"))

for work in (forward, build):
    work()  # what is loaded at first use
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    print(time.perf_counter() - clock, time.process_time() - cpu)
"""


class Seconds(NamedTuple):
    """How long something took."""

    clock: float
    cpu: float

    def over(self, other: Seconds) -> Seconds:
        """Ratios."""
        return Seconds(self.clock / other.clock, self.cpu / other.cpu)


def seconds(*commands: Sequence[str]) -> Seconds:
    """Time until commands that start together have all ended."""
    clock, cpu = time.perf_counter(), os.times()
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    if any([process.wait() for process in running]):
        raise SystemExit("a command failed")
    ended = os.times()
    return Seconds(time.perf_counter() - clock, sum(ended[2:4]) - sum(cpu[2:4]))


def build_over_forward() -> Seconds:
    """Building a dynamic ResNet-50 against its model's forward pass."""
    command = [sys.executable, "-c", RESNET50]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    forward, build = (Seconds(*map(float, line.split())) for line in done.stdout.splitlines())
    return build.over(forward)


def trainings(folder: Path, count: int) -> list[Sequence[str]]:
    """So many fresh trainings, each in a folder of its own."""
    return [(*TRAIN, "--out", tempfile.mkdtemp(dir=folder)) for _ in range(count)]


def say(what: str, ratios: Sequence[Seconds]) -> None:
    by_clock, in_cpu = zip(*ratios, strict=True)
    print(
        f"{what:62s}{statistics.median(by_clock):6.2f}x by the clock"
        f"{statistics.median(in_cpu):6.2f}x in CPU time",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = range(parser.parse_args().repeats)
    # As the command line has it, for the parts that are run without it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory() as folder:
        seconds(SIMULATE)
        seconds(*trainings(Path(folder), 1))
        bare = [seconds(IMPORT) for _ in repeats]
        print(f"import torch: {statistics.median(one.cpu for one in bare):.2f} s of CPU time")
        for name, command in (
            ("dfs-hw simulate resnet38 : import torch", SIMULATE),
            ("dfs-hw --help : import torch", (*COMMAND, "--help")),
        ):
            say(name, [seconds(command).over(seconds(IMPORT)) for _ in repeats])
        say(f"dynamic ResNet-50 : forward pass of {BATCH}", [build_over_forward() for _ in repeats])
        pairs = [seconds(SIMULATE, SIMULATE).over(seconds(SIMULATE)) for _ in repeats]
        say("two dfs-hw simulate side by side : one", pairs)
        pairs = [
            seconds(*trainings(Path(folder), 2)).over(seconds(*trainings(Path(folder), 1)))
            for _ in repeats
        ]
        say("two short trainings side by side : one", pairs)


if __name__ == "__main__":
    main()
