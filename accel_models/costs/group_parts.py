"""Groups of inputs run in two parts, one after the other, where that is faster than at once."""

from __future__ import annotations

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.early_loads import STALL
from accel_models.costs.pricing import Pricing
from accel_models.costs.table_cache import Figures


def split_groups(figures: Figures, machine: Accelerator) -> None:
    """Run a group, in place, in two parts one after the other where that is faster than at once.
    The first weights of the second may load while the first still computes."""
    cycles, counts, head, tail, bits, parts, _ = figures
    prices = np.asarray(Pricing(machine).action_pj)
    for size in range(2, cycles.shape[2] + 1):
        at = size - 1
        for part in range(1, size // 2 + 1):
            first, second = part - 1, size - part - 1
            apart = cycles[..., first] + cycles[..., second]
            work = counts[..., first, :] + counts[..., second, :]
            if machine.fidelity.prefetch:
                spared = np.minimum(tail[..., first], head[..., second])
                apart -= spared
                work[..., STALL] -= spared
            less = work @ prices < counts[..., at, :] @ prices
            better = (apart < cycles[..., at]) | ((apart == cycles[..., at]) & less)
            cycles[better, at], counts[better, at] = apart[better], work[better]
            head[better, at], tail[better, at] = head[better, first], tail[better, second]
            bits[better, at], parts[better, at] = bits[better, first], part
