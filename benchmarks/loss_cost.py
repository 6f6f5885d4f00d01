"""What hardware-aware training costs: the price of a batch's gates, as a share of a training step.

python benchmarks/loss_cost.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.nn import functional

from accel_models import cost_table, load_accelerator
from dfs_hw.budgets.controllers import SignSwitch
from dfs_hw.budgets.hardware_cost import HardwareCost
from dfs_hw.networks import build_network
from dfs_hw.networks.workload_of import workload_of

BATCH, CLASSES = 128, 10


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def measure(metric: str) -> tuple[float, float]:
    """Seconds of a whole training step, and of its cost term alone, forward and backward."""
    torch.manual_seed(0)
    network = build_network("resnet20", "skip,2,4,8", CLASSES)
    workload = workload_of(network, (32, 32))
    table = cost_table(workload, load_accelerator("bitfusion"), network.choices)
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.randint(CLASSES, (BATCH,))
    cost, switch = HardwareCost(table, metric), SignSwitch(0.6, 0.3)

    def step() -> None:
        outcome = network(images)
        loss = functional.cross_entropy(outcome.logits, labels) + switch.term(cost(outcome.gates))
        loss.backward()

    gates = network(images).gates.detach().requires_grad_()
    return best_seconds(step, 3), best_seconds(lambda: switch.term(cost(gates)).backward(), 50)


def main() -> None:
    for metric in ("energy", "edp"):
        step, term = measure(metric)
        print(
            f"{metric}: a step of resnet20 at batch {BATCH} takes {step * 1e3:.0f} ms, "
            f"its cost term {term * 1e3:.2f} ms: {term / step:.3%}"
        )


if __name__ == "__main__":
    main()
