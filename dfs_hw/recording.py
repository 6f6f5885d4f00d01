"""What a trained network does: its accuracy, its decisions, and the trace that keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from accel_models.errors import DfsHwError
from accel_models.files import ending_in
from accel_models.trace import TraceHeader, TraceWriter
from dfs_hw.data import Dataset
from dfs_hw.networks import DynamicNetwork, Outcome
from dfs_hw.networks.finite import why_not_finite

BATCH = 256


@dataclass(frozen=True)
class Evaluation:
    """Predictions and decisions for every input of a data set, in its order."""

    accuracy: float
    predictions: Tensor
    """Predicted class of each input, int64 [N]."""
    choices: Tensor
    """Choice of each unit for each input, int64 [N, units], indices into the network's choices."""


def evaluate(
    network: DynamicNetwork,
    dataset: Dataset,
    assignment: Tensor | None = None,
    *,
    batch: int = BATCH,
    price: float | None = None,
) -> Evaluation:
    """Run a network on a data set, each input only through the branches it chose.

    Args:
        network: evaluated on the device it is on; left in the mode it was in.
        assignment: choices to force, [units] or [N, units]; see `DynamicNetwork.forward`.
        batch: inputs at a time; the results do not depend on it.
        price: of cost, 0 to 1, for a network with a knob.

    Raises:
        DfsHwError: if the outputs are not finite, as those of a width that never trained.
    """
    outcomes = list(_outcomes(network, dataset, assignment, batch, price))
    predictions = torch.cat([outcome.logits.argmax(1) for outcome in outcomes]).cpu()
    choices = torch.cat([outcome.choices for outcome in outcomes]).cpu()
    accuracy = float((predictions == dataset.labels.cpu()).double().mean())
    return Evaluation(accuracy, predictions, choices)


def record(
    network: DynamicNetwork,
    dataset: Dataset,
    path: Path | str,
    header: TraceHeader,
    *,
    batch: int = BATCH,
    price: float | None = None,
) -> Path:
    """Write the decisions of a network on a data set to a gate trace, batch by batch.

    The file appears under its name when it is complete.

    Args:
        header: says what network, machine and data the decisions belong to.
        price: of cost, 0 to 1, for a network with a knob.

    Raises:
        InputError: if the file cannot be written, or its name ends in something else.
    """
    ending_in(path, ".parquet", "gate traces")
    labels, start = dataset.labels.cpu(), 0
    with TraceWriter(Path(path), header) as writer:
        for outcome in _outcomes(network, dataset, None, batch, price):
            stop = start + len(outcome.logits)
            writer.add(
                np.arange(start, stop, dtype=np.int64),
                labels[start:stop].numpy(),
                outcome.logits.argmax(1).cpu().numpy(),
                outcome.choices.cpu().numpy().astype(np.uint8),
            )
            start = stop
    return Path(path)


def modal_assignment(choices: Tensor) -> Tensor:
    """The most frequent choice of each unit [units], of decisions [N, units]."""
    return choices.mode(0).values


def shuffled(choices: Tensor, generator: torch.Generator) -> Tensor:
    """Decisions [N, units] dealt to other inputs: what their cost buys without a look at the
    input."""
    return choices[torch.randperm(len(choices), generator=generator)]


@torch.no_grad()
def _outcomes(
    network: DynamicNetwork,
    dataset: Dataset,
    assignment: Tensor | None,
    batch: int,
    price: float | None,
) -> Iterator[Outcome]:
    was_training, start = network.training, 0
    dataset = dataset.to(network.shift.device)
    network.eval()
    try:
        for images, _ in dataset.batches(batch):
            stop = start + len(images)
            forced = assignment
            if assignment is not None and assignment.ndim == 2:
                forced = assignment[start:stop]
            prices = None if price is None else images.new_full((len(images),), price)
            outcome = network(images, forced, price=prices)
            if not outcome.logits.isfinite().all():
                raise DfsHwError(
                    f"{network.name} gives outputs that are not finite: {why_not_finite(network)}"
                )
            yield outcome
            start = stop
    finally:
        network.train(was_training)
