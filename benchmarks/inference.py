"""How many images a second a dynamic network classifies at half its BitOps, each by the branches
it chose.

Rivals are the same network with every branch run for every image and added up by a mask, as DFS
evaluates, and the plain network in floating point. The gates run in all cases, but what they decide
is replaced by choices drawn at random, whose BitOps are half of those at the highest precision:

- half skipped: some blocks are skipped, the others run at the highest precision, for all images;
- widths mixed: no block is skipped, some run at lower widths, for all images;
- each its own: any choice, drawn anew for every image;
- exits: images run at the highest precision and leave, each at an exit of its own; the gate is that
  by confidence.

    python benchmarks/inference.py
    python benchmarks/inference.py --depth 14 --batch 64 --repeats 2 --threads 1
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from stopwatch import fastest
from torch import Tensor
from torch.nn import functional

from accel_models import cost_table, load_accelerator
from dfs_hw.budgets.hardware_cost import RelativeCost, cost_of
from dfs_hw.networks import CifarResNet, DynamicNetwork, build_network
from dfs_hw.networks.branches import GatedUnit
from dfs_hw.networks.passes import Decisions
from dfs_hw.networks.workload_of import workload_of

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))
from dfs_pairing import adopt_statistics, paper_network, spread_choices

CLASSES, HALF = 10, 0.5
MODERN = "skip,2,4,8"
COMPARED = 24
"""Images on which rivals are compared."""

Run = Callable[[GatedUnit, Tensor, Tensor], Tensor]
"""From a unit, its input and the choices of its images [N] to its output."""


@torch.no_grad()
def main() -> None:
    options = parsed()
    torch.manual_seed(0)
    images = torch.randn(options.batch, 3, 32, 32)
    plain = CifarResNet(options.depth, CLASSES).eval()
    innermost = images.contiguous(memory_format=torch.channels_last)
    rivals: dict[str, Callable[[], object]] = {
        "plain network": lambda: plain(images),
        "plain network, channels last": lambda: plain(innermost),
    }
    shares: dict[str, float] = {}
    for style in ("paper", "modern"):
        network = prepared(style, options.depth, images)
        for name, choices in mixes(network, bitops_of(network), options.batch).items():
            shares[f"{style}, {name}"] = float(bitops_of(network).of_choices(choices).mean())
            compare(copy.deepcopy(network).double(), images[:COMPARED].double(), choices[:COMPARED])
            run = partial(classify, network, images, choices)
            rivals[f"{style}, {name}"] = partial(run, chosen_branches)
        rivals[f"{style}, all branches"] = partial(run, all_branches)
    network = prepared("exits", options.depth, images)
    leaving = departures(network, bitops_of(network), options.batch)
    shares["exits, half of the work"] = float(bitops_of(network).of_choices(leaving).mean())
    rivals["exits, half of the work"] = partial(network, images, leaving)
    for threads in options.threads:
        torch.set_num_threads(threads)
        show(options, threads, rivals, shares)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--depth", type=int, default=38, help="of the ResNet, 6n+2")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3, help="the fastest of them counts")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    return parser.parse_args()


def prepared(style: str, depth: int, images: Tensor) -> DynamicNetwork:
    """A network for evaluation, whose statistics have settled at all precisions."""
    if style == "paper":
        network = paper_network(depth)
    else:
        leaves = style == "exits"
        network = build_network(
            f"resnet{depth}",
            f"{MODERN},exit" if leaves else MODERN,
            CLASSES,
            design={"gate": "confidence" if leaves else "lstm"},
        )
    if network.exits:
        network.calibrate([images])
        return network.eval()
    spread_choices(network, images)
    with torch.enable_grad():
        adopt_statistics(network, images)
    return network.eval()


def bitops_of(network: DynamicNetwork) -> RelativeCost:
    """BitOps of every layer, gates included; full precision counts as 16 bits."""
    table = cost_table(workload_of(network), load_accelerator("bitfusion"), network.choices)
    return cost_of(table, "bitops", network.offered)


def mixes(network: DynamicNetwork, cost: RelativeCost, inputs: int) -> dict[str, Tensor]:
    """Choices [N, units] that cost half, by name."""
    top = int(network.uniform(max(network.choices, key=lambda c: c.bitops_per_mac))[0])
    others = [index for index in range(len(network.choices)) if index != top]
    skip = [index for index in others if network.choices[index].is_skip]
    widths = [index for index in others if index not in skip]
    return {
        "half skipped": halved(cost, inputs, top, skip, alike=True),
        "widths mixed": halved(cost, inputs, top, widths, alike=True),
        "each its own": halved(cost, inputs, top, others, alike=False),
    }


def departures(network: DynamicNetwork, cost: RelativeCost, inputs: int) -> Tensor:
    """Choices [N, units] of images that leave, each at a unit of its own: as often at one as at
    another, but for those that go furthest, which leave earlier until half is done."""
    units = len(network.units)
    top = network.uniform(max(network.choices, key=lambda c: c.bitops_per_mac))
    last = torch.arange(inputs) % (units + 1)

    def leaving() -> Tensor:
        gone = torch.arange(units) >= last[:, None]
        return torch.where(gone, network.leaving, top)

    while float(cost.of_choices(leaving()).mean()) > HALF:
        last[last.argmax()] -= 1
    return leaving()


def halved(
    cost: RelativeCost, inputs: int, top: int, cheaper: Sequence[int], *, alike: bool
) -> Tensor:
    """Start with the highest precision everywhere, and lower one unit after another at random."""
    rows, units = 1 if alike else inputs, len(cost.units)
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(rows, units, generator=generator).argsort(1)
    drawn = torch.tensor(cheaper)[torch.randint(len(cheaper), (rows, units), generator=generator)]
    cheapest = min(cheaper, key=lambda index: cost.choices[index].bitops_per_mac)
    choices = torch.full((rows, units), top)
    for lower in (drawn, torch.full_like(drawn, cheapest)):  # where the draw does not suffice
        for unit in order.split(1, 1):
            over = (cost.of_choices(choices) > HALF)[:, None]
            value = torch.where(over, lower.gather(1, unit), choices.gather(1, unit))
            choices.scatter_(1, unit, value)
    return choices.expand(inputs, -1).contiguous()


def classify(network: DynamicNetwork, images: Tensor, choices: Tensor, run: Run) -> Tensor:
    """Logits by forced choices [N, units]; the gates run, and are not listened to."""
    decisions = Decisions(network, None)

    def conduct(unit: GatedUnit, features: Tensor) -> Tensor:
        mine = choices[:, len(decisions.gates)]
        decisions.next(features).argmax(-1)
        return run(unit, features, mine)

    network.conductor.run = conduct
    logits: Tensor = network.model(images.contiguous(memory_format=torch.channels_last))
    network.conductor.run = None
    return logits


def compare(network: DynamicNetwork, images: Tensor, choices: Tensor) -> None:
    """Stop unless the rivals agree. In double precision: in single precision, a last bit can decide
    to which level a number is rounded."""
    chosen = classify(network, images, choices, chosen_branches)
    everything = classify(network, images, choices, all_branches)
    torch.testing.assert_close(chosen, everything, rtol=0, atol=1e-9)


def chosen_branches(unit: GatedUnit, features: Tensor, choices: Tensor) -> Tensor:
    return unit.run_chosen(features, choices)


def all_branches(unit: GatedUnit, features: Tensor, choices: Tensor) -> Tensor:
    mask = functional.one_hot(choices, len(unit.offered))
    return unit.run_all(features, mask.to(features.dtype))


def show(
    options: argparse.Namespace,
    threads: int,
    rivals: dict[str, Callable[[], object]],
    shares: dict[str, float],
) -> None:
    times = fastest(rivals, options.repeats)
    plain = times["plain network"]
    print(
        f"\nResNet-{options.depth}, batch {options.batch}, {threads} thread(s): images a second, "
        "and how many times as fast"
    )
    print(
        f"  {'':30} {'BitOps':>7} {'by clock':>9} {'by CPU':>9} {'plain':>7} {'all branches':>13}"
    )
    for name, seconds in times.items():
        everything = times.get(f"{name.split(',')[0]}, all branches", plain)
        share = f"{shares[name]:7.1%}" if name in shares else " " * 7
        by_all = f"{everything.cpu / seconds.cpu:12.2f}x" if name in shares else ""
        print(
            f"  {name:30} {share} {options.batch / seconds.wall:9.0f}"
            f" {options.batch / seconds.cpu:9.0f} {plain.cpu / seconds.cpu:6.2f}x {by_all}"
        )


if __name__ == "__main__":
    main()
