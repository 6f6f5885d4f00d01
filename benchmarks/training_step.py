"""How long a training step takes: the chosen-branch step against the plain code of DFS.

A step is a forward pass, the loss with its cost term, and the backward pass. The plain code
(`tests/helpers/dfs_reference.py`) runs every branch for every input and adds them up by a mask; so
does the network's own step with ``branches="all"``, which makes no host wait for its device. The
chosen-branch step runs the others without a graph, and gives the same gradients. "One tried" runs
at most one other an input on average, drawn by the gates' probabilities: the mean gradient is the
same, and how near one draw comes is printed. With forced choices no other runs, and gates learn
nothing. Random gates make all choices.

Before anything is timed, outputs and gradients are compared in double precision, on some of the
images, and then in single precision, which is what is timed and in which other code runs: there
rounding turns a last bit into a level now and then, so both are compared with the plain code in
double precision, and the step must come about as near to it as the plain code does. Norms and
ranges are the running ones but where the batch's are named, for only then does an input's output
depend on itself alone. The plain code leaves them as they are; the network's own steps gather
statistics too.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --depth 14 --batch 64 --repeats 1 --threads 1
    python benchmarks/training_step.py --profile
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from stopwatch import Seconds, fastest
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from dfs_hw.budgets.controllers import SignSwitch
from dfs_hw.budgets.hardware_cost import BlockCost
from dfs_hw.data import Augmentation, Dataset, TrainingStream
from dfs_hw.gates import Trials
from dfs_hw.networks import DynamicNetwork, build_network
from dfs_hw.networks.statistics import settle

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "helpers"))
import dfs_reference
from dfs_pairing import (
    adopt_statistics,
    gradients,
    paper_network,
    reference_of,
    spread_choices,
)

CLASSES, TARGET = 10, 0.3
MODERN = "skip,2,4,8"
COMPARED = 24
"""Images on which outputs and gradients are compared."""
TRIED, DRAWS = (1, 2, 4), 4
OUTPUTS, GRADIENTS = 1e-9, 1e-7
"""Largest differences allowed, relative to the largest value. Costs are single precision, and with
them the gates' gradients."""
NEAR = 3
"""How many times as far from double precision a step may be as the plain code."""

Work = Callable[[], object]
Net = TypeVar("Net", DynamicNetwork, dfs_reference.DFS)


def main() -> None:
    options = parsed()
    torch.manual_seed(0)
    images, labels = random_images(options.batch), torch.randint(CLASSES, (options.batch,))
    paper, modern = (
        prepared(paper_network(options.depth), images),
        prepared(build_network(f"resnet{options.depth}", MODERN, CLASSES), images),
    )
    plain = reference_of(paper)
    plain.normalize_by_batch(False)
    compare_with_plain(paper, plain, images[:COMPARED], labels[:COMPARED])
    compare_in_single(paper, plain, images[:COMPARED], labels[:COMPARED])
    compare_with_all(modern, images[:COMPARED], labels[:COMPARED])
    show_agreement(paper, images, labels)
    chosen = step(paper, "chosen", images, labels)
    if options.profile:
        return show_profile(chosen)
    rivals: dict[str, Work] = {
        "paper, plain code": plain_step(plain, images, labels),
        "paper, all branches": step(paper, "all", images, labels),
        "paper, chosen branches": chosen,
        "paper, one tried": step(paper, "chosen", images, labels, tries=1),
        "paper, forced choices": forced_step(paper, images, labels),
        "modern, all branches": step(modern, "all", images, labels),
        "modern, chosen branches": step(modern, "chosen", images, labels),
        "modern, one tried": step(modern, "chosen", images, labels, tries=1),
        "modern, forced choices": forced_step(modern, images, labels),
        "paper by batch, plain code": plain_step(by_batch(plain), images, labels),
        "paper by batch, all branches": step(by_batch(paper), "all", images, labels),
        "data loading": loading(options.batch),
    }
    show_memory(rivals)
    for threads in options.threads:
        torch.set_num_threads(threads)
        show(
            f"ResNet-{options.depth}, batch {options.batch}, {threads} thread(s)",
            fastest(rivals, options.repeats),
        )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--depth", type=int, default=38, help="of the ResNet, 6n+2")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3, help="the fastest of them counts")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--profile", action="store_true", help="where the chosen-branch step goes")
    return parser.parse_args()


def random_images(count: int) -> Tensor:
    """Noise whose contrast and colour differ from image to image, so that gates see differences."""
    contrast = 2 * torch.rand(count, 1, 1, 1)
    return torch.randn(count, 3, 32, 32) * contrast + torch.randn(count, 3, 1, 1)


def prepared(network: DynamicNetwork, images: Tensor) -> DynamicNetwork:
    """A network in training mode whose statistics have settled and whose choices are spread."""
    spread_choices(network, images)
    adopt_statistics(network, images)
    network.normalize_by_batch(False)
    return network


def by_batch(network: Net) -> Net:
    """A copy that normalises by the batch's statistics, as DFS does."""
    twin = copy.deepcopy(network).train()
    twin.normalize_by_batch(True)
    return twin


def loss_of(
    network: DynamicNetwork, images: Tensor, labels: Tensor, tries: float = 0
) -> tuple[Tensor, Tensor]:
    """The loss of DFS, and the logits."""
    cost = BlockCost(network.units, network.choices, network.offered)
    switch = SignSwitch.paper(TARGET, len(network.units), len(images))
    shape = len(images), len(network.units), len(network.choices)
    outcome = network(images, trials=Trials(tries, torch.rand(shape)) if tries else None)
    term = switch.term(cost(outcome.gates))
    return functional.cross_entropy(outcome.logits, labels) + term, outcome.logits


def step(
    network: DynamicNetwork, branches: str, images: Tensor, labels: Tensor, tries: float = 0
) -> Work:
    def work() -> None:
        network.branches = branches  # type: ignore[assignment]
        network.zero_grad()
        loss, _ = loss_of(network, images, labels, tries)
        loss.backward()
        settle(network)

    return work


def forced_step(network: DynamicNetwork, images: Tensor, labels: Tensor) -> Work:
    """The same choices without gates, which then learn nothing: as fast as a step could be."""
    with torch.no_grad():
        choices = network(images).choices

    def work() -> None:
        network.zero_grad()
        functional.cross_entropy(network(images, choices).logits, labels).backward()
        settle(network)

    return work


def plain_step(reference: dfs_reference.DFS, images: Tensor, labels: Tensor) -> Work:
    def work() -> None:
        reference.zero_grad()
        dfs_reference.loss(reference(images), labels, 100 * TARGET).backward()
        reference.end_step()

    return work


def loading(batch: int) -> Work:
    """Batches of random images, cropped and flipped as those of CIFAR-10."""
    pixels = torch.randint(256, (10_000, 3, 32, 32), dtype=torch.uint8)
    labels = torch.zeros(len(pixels), dtype=torch.int64)
    crop = Augmentation(max_shift=4, mirror=True)
    data = Dataset("noise", pixels, labels, torch.zeros(3), torch.ones(3), crop)
    stream, steps = TrainingStream(data, batch, "0"), iter(range(sys.maxsize))
    return lambda: stream.batch(next(steps))


def compare_with_plain(
    network: DynamicNetwork, plain: dfs_reference.DFS, images: Tensor, labels: Tensor
) -> None:
    """Stop unless the chosen-branch step and the plain code agree, in double precision."""
    network, plain = copy.deepcopy(network).double(), copy.deepcopy(plain).double()
    loss, logits = loss_of(network, images.double(), labels)
    loss.backward()
    theirs = plain(images.double())
    dfs_reference.loss(theirs, labels, 100 * TARGET).backward()
    pairs = [(ours, other) for _, ours, other in gradients(network, plain)]
    require_same("paper", len(images), logits, theirs.logits, pairs)


def compare_in_single(
    network: DynamicNetwork, plain: dfs_reference.DFS, images: Tensor, labels: Tensor
) -> None:
    """Stop unless the step in single precision comes about as near to the plain code in double
    precision as the plain code does."""
    network, single, double = (copy.deepcopy(each) for each in (network, plain, plain))
    loss, logits = loss_of(network, images, labels)
    loss.backward()
    theirs, exact = single(images), double.double()(images.double())
    for result in (theirs, exact):
        dfs_reference.loss(result, labels, 100 * TARGET).backward()
    ours = [grad for _, grad, _ in gradients(network, double)]
    plains = [grad for _, _, grad in gradients(network, single)]
    wanted = [grad for _, _, grad in gradients(network, double)]
    found = off([logits], [exact.logits]), off(ours, wanted)
    usual = off([theirs.logits], [exact.logits]), off(plains, wanted)
    print(
        f"paper: in single precision, outputs are {found[0]:.1e} off and gradients {found[1]:.1e}; "
        f"those of the plain code {usual[0]:.1e} and {usual[1]:.1e}"
    )
    assert all(mine <= NEAR * other for mine, other in zip(found, usual, strict=True))


def off(found: list[Tensor], wanted: list[Tensor]) -> float:
    """Norm of the difference, relative to that of what is wanted."""
    ours, theirs = (
        torch.cat([t.detach().double().flatten() for t in ts]) for ts in (found, wanted)
    )
    return float((ours - theirs).norm() / theirs.norm())


def compare_with_all(network: DynamicNetwork, images: Tensor, labels: Tensor) -> None:
    """Stop unless the chosen-branch step agrees with that of all branches, in double precision."""
    chosen, everything = copy.deepcopy(network).double(), copy.deepcopy(network).double()
    everything.branches = "all"
    logits = []
    for each in (chosen, everything):
        loss, outputs = loss_of(each, images.double(), labels)
        loss.backward()
        logits.append(outputs)
    both = zip(chosen.parameters(), everything.parameters(), strict=True)
    pairs = [(a.grad, b.grad) for a, b in both if a.grad is not None and b.grad is not None]
    require_same("modern", len(images), *logits, pairs)


def require_same(
    what: str, inputs: int, ours: Tensor, theirs: Tensor, grads: list[tuple[Tensor, Tensor]]
) -> None:
    outputs, worst = apart(ours, theirs), max(apart(*pair) for pair in grads)
    print(
        f"{what}: for {inputs} images in double precision, outputs differ by {outputs:.0e} and "
        f"gradients by {worst:.0e} of the largest value"
    )
    assert outputs <= OUTPUTS
    assert worst <= GRADIENTS


def apart(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    return float(
        (ours - theirs).detach().abs().max() / theirs.detach().abs().max().clamp_min(1e-12)
    )


def show_agreement(network: DynamicNetwork, images: Tensor, labels: Tensor) -> None:
    """How far the gates' gradient turns if branches are drawn, beside another choice of images."""

    def gradient(first: int, last: int, tries: float = 0) -> Tensor:
        network.zero_grad()
        some = slice(first, last)
        loss_of(network, images[some], labels[some], tries)[0].backward()
        grads = (p.grad for p in network.gate.parameters())
        return torch.cat([grad.flatten() for grad in grads if grad is not None])

    half = len(images) // 2
    exact = gradient(0, half)
    print(f"\nCosine of the gates' gradient for {half} images with the exact one:")
    for tries in TRIED:
        drawn = [gradient(0, half, tries) for _ in range(DRAWS)]
        each = sum(float(functional.cosine_similarity(one, exact, dim=0)) for one in drawn) / DRAWS
        mean = float(functional.cosine_similarity(torch.stack(drawn).mean(0), exact, dim=0))
        print(f"  {tries:g} tried: {each:.2f}, mean of {DRAWS} draws {mean:.2f}")
    others = float(functional.cosine_similarity(gradient(half, 2 * half), exact, dim=0))
    print(f"  exact, {half} other images: {others:.2f}")


def kept_bytes(work: Work) -> int:
    """Bytes of the tensors that a step keeps for its backward pass, each counted once."""
    kept: dict[int, tuple[int, Tensor]] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes(), tensor  # alive, so no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        work()
    return sum(size for size, _ in kept.values())


def show_memory(rivals: dict[str, Work]) -> None:
    print("\nKept for the backward pass:")
    for name, work in rivals.items():
        if name != "data loading":
            print(f"  {name:30} {kept_bytes(work) / 2**20:8.0f} MiB")


def show(title: str, times: dict[str, Seconds]) -> None:
    print(f"\n{title}: milliseconds, and how many times as fast as the first of its group")
    print(f"  {'':30} {'wall':>8} {'':7} {'CPU':>8}")
    first: dict[str, Seconds] = {}
    for name, seconds in times.items():
        base = first.setdefault(name.split(",")[0], seconds)
        print(
            f"  {name:30} {1e3 * seconds.wall:8.0f} {base.wall / seconds.wall:6.2f}x"
            f" {1e3 * seconds.cpu:8.0f} {base.cpu / seconds.cpu:6.2f}x"
        )
    share = times["data loading"].cpu / times["paper, chosen branches"].cpu
    print(f"  data loading is {share:.1%} of the chosen-branch step")


def show_profile(work: Work) -> None:
    """Operations of one step by their own CPU time, on one thread."""
    torch.set_num_threads(1)
    work()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        work()
    print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=30))


if __name__ == "__main__":
    main()
