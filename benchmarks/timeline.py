"""How many tiles a second the event timeline plays, in CPU time of one core, after compilation.

python benchmarks/timeline.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from accel_models import cost_table, load_accelerator
from accel_models.mapping.search import search, steps
from accel_models.reference_machine.events.layer_runs import slots
from accel_models.reference_machine.events.timeline import Player
from accel_models.replay import Policy
from accel_models.validation.fluid_gap import fluid_gap
from accel_models.validation.published_rows import PUBLISHED, read_rows, row_problem
from dfs_hw.networks import build_network
from dfs_hw.networks.workload_of import workload_of

INPUTS = 1000
CHOICES = "skip,2,4,8"


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def published_tiles() -> tuple[int, float]:
    """Tiles of the 305 published layers at batch 16, and the time to walk and play them all."""
    base = load_accelerator("bitfusion-published")
    problems = [row_problem(name, row, base)[:2] for name, row in read_rows(PUBLISHED)]
    mapped = [(task, search(task, prices).mapping) for task, prices in problems]
    code, walked = slots(), []

    def play() -> None:
        for task, mapping in mapped:
            tiles = steps(task, mapping)
            code.play(task, tiles, 0, code.room_for_events(0))
            walked.append(len(tiles))

    seconds = cpu_seconds(play)
    return sum(walked), seconds


def main() -> None:
    fluid_gap()  # compiles
    tiles, seconds = published_tiles()
    print(f"published layers, every tile played:     {tiles / seconds:12,.0f} tiles/s")

    network = workload_of(build_network("resnet38", CHOICES, classes=10), (32, 32))
    table = cost_table(network, load_accelerator("bitfusion"), CHOICES)
    shape = (INPUTS, len(table.units))
    choices = np.random.default_rng(0).integers(0, 4, shape).astype(np.uint8)
    player, played = Player(table, Policy()), []
    first = cpu_seconds(lambda: played.append(player.play(choices[0])))
    rest = cpu_seconds(lambda: played.extend(player.play(each) for each in choices[1:]))
    tiles = sum(each.tiles for each in played)
    print(f"DFS-ResNet-38, its first input:          {first * 1e3:12.1f} ms")
    print(f"{INPUTS} different inputs, layers known:    {rest / INPUTS * 1e3:12.2f} ms each")
    print(f"  that is                                {tiles / (first + rest):12,.0f} tiles/s")
    drawn = cpu_seconds(lambda: player.play(choices[0], draw=True))
    print(f"one input, drawn:                        {drawn * 1e3:12.1f} ms")


if __name__ == "__main__":
    main()
