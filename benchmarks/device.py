"""A GPU beside the CPU: the same results, and what a training step and inference take there.

First outputs, choices and gradients of one network are compared with the CPU's, in single
precision. Then a step with gates is timed beside a step of the same network at one width for all
(static quantisation-aware training, on top of which gates come), in float32 and in bfloat16, layer
by layer and compiled; and whether a step waits for the device is read from CUDA itself. Last,
images a second in evaluation, beside the plain network, and where images leave halfway.

    python benchmarks/device.py                        # CUDA, meant to take under 4 minutes
    python benchmarks/device.py --out device.md        # the same, and its table in Markdown
    python benchmarks/device.py --device cpu --depth 8 --batch 16 --repeats 1      # to try it
"""

from __future__ import annotations

import argparse
import copy
import platform
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from accel_models import cost_table, load_accelerator
from dfs_hw.budgets.hardware_cost import cost_of
from dfs_hw.networks import CifarResNet, DynamicNetwork, Outcome, build_network
from dfs_hw.networks.statistics import settle
from dfs_hw.networks.workload_of import workload_of

sys.path.insert(0, str(Path(__file__).parent))
from inference import departures

CLASSES, CHOICES, WIDTH = 10, "skip,2,4,8", 2
"""`WIDTH` is the place, among the choices, of the width that the static step runs at: 4 bits."""
STEPS = 10
"""Steps, or passes, that are timed together."""

Work = Callable[[], object]


def main() -> None:
    options = parsed()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device here: --device cpu tries the script, and compares nothing")
    torch.manual_seed(0)
    images = torch.randn(options.batch, 3, 32, 32)
    labels = torch.randint(CLASSES, (options.batch,))
    network = build_network(f"resnet{options.depth}", CHOICES, CLASSES)
    network.calibrate([images])
    rows = [("device", named(device)), ("PyTorch", torch.__version__)]
    rows += agreement(network, device, images, labels)
    images, labels = images.to(device), labels.to(device)
    rows += training(network.to(device), images, labels, options.repeats)
    rows += inference(options.depth, images, options.repeats)
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {said} |" for name, said in rows)])
    print(f"\nResNet-{options.depth}, batch {options.batch}, {CHOICES}\n\n{table}")
    if options.out:
        options.out.write_text(f"{table}\n", encoding="utf-8")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", help="to hold beside the CPU")
    parser.add_argument("--depth", type=int, default=20, help="of the ResNet, 6n+2")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5, help="the fastest of them counts")
    parser.add_argument("--out", type=Path, default=None, help="also write the table here")
    return parser.parse_args()


def named(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def agreement(
    network: DynamicNetwork, device: torch.device, images: Tensor, labels: Tensor
) -> list[tuple[str, str]]:
    """How far results on the device are from the CPU's, in float32.

    A last bit may round to another level, and then all that follows differs: what agrees is stated
    as shares and norms, not asserted to a bit.
    """
    here, there = copy.deepcopy(network).eval(), copy.deepcopy(network).eval().to(device)
    with torch.no_grad():
        ours, theirs = here(images), there(images.to(device))
    same = (ours.choices == theirs.choices.cpu()).double().mean()
    rows = [("choices as on the CPU", f"{float(same):.2%}")]
    for choice in (choice for choice in network.choices if not choice.is_skip):
        with torch.no_grad():
            wanted = here(images, here.uniform(choice)).logits
            found = there(images.to(device), there.uniform(choice)).logits.cpu()
        rows.append((f"outputs at {choice}, off by", f"{off(found, wanted):.1e} of their norm"))
    forced = ours.choices
    gradients = []
    for one, place in ((here, images.device), (there, device)):
        one.train().zero_grad()
        loss = functional.cross_entropy(
            one(images.to(place), forced.to(place)).logits, labels.to(place)
        )
        loss.backward()
        settle(one)
        grads = (part.grad for part in one.parameters() if part.grad is not None)
        gradients.append(torch.cat([grad.flatten().cpu() for grad in grads]))
    rows.append(("gradient, off by", f"{off(*reversed(gradients)):.1e} of its norm"))
    return rows


def off(found: Tensor, wanted: Tensor) -> float:
    """Norm of the difference, relative to that of what is wanted."""
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())


def training(
    network: DynamicNetwork, images: Tensor, labels: Tensor, repeats: int
) -> list[tuple[str, str]]:
    """Milliseconds of steps, beside those of static training, and whether they wait."""
    table = cost_table(workload_of(network), load_accelerator("bitfusion"), network.choices)
    cost = cost_of(table, "energy", network.offered)
    everywhere = network.uniform(network.choices[WIDTH])
    rows = []
    for halved in (False, True):
        kind = "bfloat16" if halved else "float32"

        def step(
            called: Callable[..., Outcome],
            assignment: Tensor | None = None,
            halved: bool = halved,
        ) -> Work:
            """One step of SGD; with an assignment no gate decides, and none learns."""
            optimizer = torch.optim.SGD(network.parameters(), 1e-4)

            def work() -> None:
                optimizer.zero_grad()
                cast = torch.autocast(images.device.type, torch.bfloat16)
                with cast if halved else nullcontext():
                    outcome = called(images, assignment)
                    loss = functional.cross_entropy(outcome.logits, labels)
                    if assignment is None:
                        loss = loss + cost(outcome.gates).mean()
                loss.backward()
                optimizer.step()

            return work

        network.train()
        base = seconds(step(network, everywhere), images.device, repeats)
        rows.append((f"static step, {kind}", f"{1e3 * base:.1f} ms"))
        for branches in ("chosen", "all"):
            network.branches = branches  # type: ignore[assignment]
            spent = seconds(step(network), images.device, repeats)
            said = f"{1e3 * spent:.1f} ms, {spent / base:.2f}x the static"
            rows.append((f"step with gates, {branches} branches, {kind}", said))
        rows.append((f"waits in it, {kind}", waits(step(network), images.device)))
        torch.compiler.reset()  # graphs of the other precision would count against a limit
        compiled = torch.compile(network)
        spent = seconds(step(compiled), images.device, repeats)
        fixed = seconds(step(compiled, everywhere), images.device, repeats)
        said = f"{1e3 * spent:.1f} ms, {spent / fixed:.2f}x the static compiled"
        rows.append((f"step with gates, all branches compiled, {kind}", said))
        network.branches = "chosen"
    return rows


def waits(work: Work, device: torch.device) -> str:
    """How often a step makes the CPU wait for the device, as CUDA's own check has it."""
    if device.type != "cuda":
        return "not known without CUDA"
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            work()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return str(sum("synchroniz" in str(one.message) for one in heard))


@torch.no_grad()
def inference(depth: int, images: Tensor, repeats: int) -> list[tuple[str, str]]:
    """Images a second of the plain network, of gates, and of exits at half of the work."""
    device = images.device
    plain = CifarResNet(depth, CLASSES).eval().to(device)
    gated = build_network(f"resnet{depth}", CHOICES, CLASSES)
    design = {"gate": "confidence"}
    exits = build_network(f"resnet{depth}", f"{CHOICES},exit", CLASSES, design=design)
    for network in (gated, exits):
        network.calibrate([images.cpu()])
    table = cost_table(workload_of(exits), load_accelerator("bitfusion"), exits.choices)
    leaving = departures(exits, cost_of(table, "bitops", exits.offered), len(images)).to(device)
    gated, exits = gated.eval().to(device), exits.eval().to(device)
    runs: dict[str, Work] = {
        "plain network": lambda: plain(images),
        "gates decide": lambda: gated(images),
        "exits, half of the work": lambda: exits(images, leaving),
    }
    rates = {name: len(images) / seconds(work, device, repeats) for name, work in runs.items()}
    base = rates["plain network"]
    return [(name, f"{rate:,.0f} images/s, {rate / base:.2f}x") for name, rate in rates.items()]


def seconds(work: Work, device: torch.device, repeats: int) -> float:
    """Wall time of one call: the least of several runs of `STEPS`, all that was asked of the device
    done."""

    def done() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    work()  # caches, compilation
    taken = []
    for _ in range(repeats):
        started = done()
        for _ in range(STEPS):
            work()
        taken.append((done() - started) / STEPS)
    return min(taken)


if __name__ == "__main__":
    main()
