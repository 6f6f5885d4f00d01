"""What the compiled blocks gain over this project's own layers, in training and in inference.

The same work with the switch on and off, for the paper's recipe and for the default one: a training
step on the chosen branches with the exact gradient, as `benchmarks/training_step.py` has it, and
inference in which every image decides for itself, as `benchmarks/inference.py` has it. That both
give the same to rounding is for `tests/dfs_hw/networks/compiled_blocks` to show.

    python benchmarks/compiled_blocks.py
    python benchmarks/compiled_blocks.py --depth 14 --batch 64 --repeats 1
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial

import inference
import torch
import training_step
from stopwatch import fastest

from dfs_hw.networks import build_network
from dfs_hw.networks.compiled_blocks import SWITCH

Work = Callable[[], object]


def main() -> None:
    options = parsed()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    works = {
        f"{recipe}, {what}": work
        for recipe in ("paper", "default")
        for what, work in (
            ("training step", training(recipe, options.depth, options.batch)),
            ("inference", classification(recipe, options.depth, options.batch)),
        )
    }
    rivals = {
        (name, setting): partial(switched, setting, work)
        for name, work in works.items()
        for setting in ("off", "on")
    }
    times = fastest(rivals, options.repeats)
    print(
        f"ResNet-{options.depth}, batch {options.batch}, {options.threads} thread(s): seconds "
        "layer by layer and on compiled blocks, and how many times as fast"
    )
    print(f"  {'':24} {'by clock':>16} {'':>7} {'CPU':>16}")
    for name in works:
        off, on = times[name, "off"], times[name, "on"]
        print(
            f"  {name:24} {off.wall:8.2f}{on.wall:8.2f} {off.wall / on.wall:6.2f}x"
            f" {off.cpu:8.2f}{on.cpu:8.2f} {off.cpu / on.cpu:6.2f}x"
        )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--depth", type=int, default=38, help="of the ResNet, 6n+2")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3, help="the fastest of them counts")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def switched(setting: str, work: Work) -> None:
    before = os.environ.get(SWITCH)
    os.environ[SWITCH] = setting
    try:
        work()
    finally:
        del os.environ[SWITCH]
        if before is not None:
            os.environ[SWITCH] = before


def training(recipe: str, depth: int, batch: int) -> Work:
    images = training_step.random_images(batch)
    labels = torch.randint(training_step.CLASSES, (batch,))
    network = (
        training_step.paper_network(depth)
        if recipe == "paper"
        else build_network(f"resnet{depth}", training_step.MODERN, training_step.CLASSES)
    )
    prepared = training_step.prepared(network, images)
    return training_step.step(prepared, "chosen", images, labels)


@torch.no_grad()
def classification(recipe: str, depth: int, batch: int) -> Work:
    images = torch.randn(batch, 3, 32, 32)
    network = inference.prepared(recipe, depth, images)
    choices = inference.mixes(network, inference.bitops_of(network), batch)["each its own"]
    run = torch.no_grad()(inference.classify)
    return partial(run, network, images, choices, inference.chosen_branches)


if __name__ == "__main__":
    main()
