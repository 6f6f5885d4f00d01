"""How much each unit alone hurts when it is skipped or narrowed."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from accel_models.errors import DfsHwError, InputError
from accel_models.precision import highest
from dfs_hw.data import Dataset
from dfs_hw.modes import kept_modes
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.finite import why_not_finite

BATCH = 256


@torch.no_grad()
def sensitivity(
    network: DynamicNetwork,
    dataset: Dataset,
    *,
    base: Tensor | None = None,
    batch: int = BATCH,
    progress: bool = False,
) -> np.ndarray:
    """What each choice of each unit adds to the loss while all other units stay as they are.

    Summed over units it estimates, to first order, what an assignment loses: it disregards that
    units make up for each other's errors, or add to them. The estimate is that of sensitivity-based
    mixed precision: HAWQ-V2 (Dong et al., NeurIPS 2020) sums over layers what it predicts by second
    derivatives; here each term is measured, as in the sensitivity analysis of AIMET (Qualcomm).
    Measure it on a split the choice may be made by, not on the test set.

    Args:
        network: in evaluation mode on the device it is on; left in the mode it was in.
        dataset: the labelled images.
        base: int64 [units], what the others stay at; by default the highest precision.
        batch: images at a time. The result depends on it by no more than rounding.
        progress: show a bar.

    Returns:
        float64 [units, choices], increase of the mean cross-entropy in nat: exactly 0 where the
        choice is that of `base`, NaN where it is not offered. It can be negative.

    Raises:
        InputError: if there are no images, or `base` is not one offered choice for each unit.
        DfsHwError: if outputs are not finite, as those of a width that never trained.
    """
    if len(dataset) == 0:
        raise InputError(f"the data set '{dataset.name}' has no images to measure on")
    base = network.uniform(highest(network.choices)) if base is None else base.cpu()
    _check(network, base)
    alone = [
        (unit, choice)
        for unit, choice in network.offered.nonzero().tolist()
        if choice != int(base[unit])
    ]
    assignments = base.repeat(1 + len(alone), 1)
    for row, (unit, choice) in enumerate(alone, start=1):
        assignments[row, unit] = choice
    losses = _mean_losses(network, dataset, assignments, batch, progress)
    increase = np.full(tuple(network.offered.shape), math.nan)
    increase[np.arange(len(base)), base.numpy()] = 0.0
    for (unit, choice), loss in zip(alone, losses[1:].tolist(), strict=True):
        increase[unit, choice] = loss - float(losses[0])
    return increase


def _mean_losses(
    network: DynamicNetwork, dataset: Dataset, assignments: Tensor, batch: int, progress: bool
) -> Tensor:
    """Mean cross-entropy of each of A assignments [A, units], float64 [A].

    Each batch is made once and run at every assignment: images from a file take long to decode.
    """
    device = next(network.parameters()).device
    dataset = dataset.to(device)
    sums = torch.zeros(len(assignments), dtype=torch.float64, device=device)
    total = len(assignments) * math.ceil(len(dataset) / batch)
    bar = tqdm(total=total, desc="sensitivity", disable=not progress)
    with bar, kept_modes(network):
        network.eval()
        for images, labels in dataset.batches(batch):
            for row, assignment in enumerate(assignments):
                logits = network(images, assignment).logits.double()
                loss = functional.cross_entropy(logits, labels, reduction="sum")
                sums[row] += torch.where(logits.isfinite().all(), loss, math.nan)
                bar.update()
            _check_finite(network, assignments, sums)
    return sums.cpu() / len(dataset)


def _check(network: DynamicNetwork, base: Tensor) -> None:
    units, choices = network.offered.shape
    fits = base.shape == (units,) and bool(((base >= 0) & (base < choices)).all())
    if not fits or not bool(network.offered.cpu()[torch.arange(units), base].all()):
        raise InputError(
            f"a base for {network.name} is one offered choice, by index, for each of its {units} "
            f"units, got {base.tolist()}"
        )


def _check_finite(network: DynamicNetwork, assignments: Tensor, sums: Tensor) -> None:
    broken = (~sums.isfinite()).nonzero().flatten().tolist()
    if not broken:
        return
    where = "in the base assignment"
    if broken[0] > 0:
        unit = int((assignments[broken[0]] != assignments[0]).nonzero())
        choice = network.choices[int(assignments[broken[0], unit])]
        where = f"with unit '{network.units[unit]}' at {choice}"
    raise DfsHwError(
        f"{network.name} gives outputs that are not finite {where}: {why_not_finite(network)}"
    )
