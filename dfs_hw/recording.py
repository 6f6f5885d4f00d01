"""What a trained network does: its accuracy, its decisions, and the trace that keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from accel_models.errors import DfsHwError, InputError
from accel_models.files import ending_in
from accel_models.leaving import NEVER
from accel_models.trace import TraceHeader, TraceWriter
from dfs_hw.data import Dataset
from dfs_hw.fixed_widths.network import inputs_of
from dfs_hw.modes import kept_modes
from dfs_hw.networks import DynamicNetwork, Outcome
from dfs_hw.networks.finite import why_not_finite
from dfs_hw.networks.passes import gone_for_good

BATCH = 256
Labelled = Dataset | Iterable[Any]
"""Images with labels; or, of one's own, pairs of inputs, as the network is called with, and labels
int64 [N], batch by batch as a loader gives them."""


@dataclass(frozen=True)
class Evaluation:
    """Predictions and decisions for every input, in the order of the data."""

    accuracy: float
    predictions: Tensor
    """Predicted class of each input, int64 [N]."""
    choices: Tensor
    """Choice of each unit for each input, int64 [N, units], indices into the network's choices."""
    confidence: Tensor
    """Probability of the predicted class by the softmax of the logits, float32 [N]."""


def evaluate(
    network: DynamicNetwork,
    data: Labelled,
    assignment: Tensor | None = None,
    *,
    batch: int = BATCH,
    price: float | None = None,
) -> Evaluation:
    """Run a network on data, each input only through the branches it chose.

    Args:
        network: evaluated on the device it is on; left in the mode it was in.
        data: a `Dataset`, or one's own batches of inputs and labels, such as a `DataLoader`.
        assignment: choices to force, [units] or [N, units]; see `DynamicNetwork.forward`.
        batch: inputs of a `Dataset` at a time; the results do not depend on it.
        price: of cost, 0 to 1, for a network with a knob.

    Raises:
        DfsHwError: if the outputs are not finite, as those of a width that never trained.
        InputError: if the data is neither, or has no batch.
    """
    seen = [
        (
            outcome.logits.argmax(1).cpu(),
            outcome.choices.cpu(),
            outcome.logits.float().softmax(1).amax(1).cpu(),
            labels.cpu(),
        )
        for outcome, labels in _outcomes(network, data, assignment, batch, price)
    ]
    predictions, choices, confidence, labels = map(torch.cat, zip(*seen, strict=True))
    accuracy = float((predictions == labels).double().mean())
    return Evaluation(accuracy, predictions, choices, confidence)


def record(
    network: DynamicNetwork,
    data: Labelled,
    path: Path | str,
    header: TraceHeader,
    *,
    batch: int = BATCH,
    price: float | None = None,
) -> Path:
    """Write the decisions of a network on data to a gate trace, batch by batch.

    The file appears under its name when it is complete.

    Args:
        data: a `Dataset`, or one's own batches of inputs and labels, such as a `DataLoader`.
        header: says what network, machine and data the decisions belong to.
        batch: inputs of a `Dataset` at a time.
        price: of cost, 0 to 1, for a network with a knob.

    Raises:
        DfsHwError: if the outputs are not finite, as those of a width that never trained.
        InputError: if the file cannot be written, its name ends in something else, or the data is
            neither or has no batch.
    """
    ending_in(path, ".parquet", "gate traces")
    start = 0
    with TraceWriter(Path(path), header) as writer:
        for outcome, labels in _outcomes(network, data, None, batch, price):
            stop = start + len(outcome.logits)
            writer.add(
                np.arange(start, stop, dtype=np.int64),
                labels.cpu().numpy(),
                outcome.logits.argmax(1).cpu().numpy(),
                outcome.choices.cpu().numpy().astype(np.uint8),
            )
            start = stop
    return Path(path)


def modal_assignment(choices: Tensor, leaving: int = NEVER) -> Tensor:
    """The most frequent choice of each unit [units], of decisions [N, units]: of the inputs that
    came to it, where some leave; behind a unit at which most leave, all is to leave.

    Args:
        leaving: index of the choice to leave, if there is one.
    """
    here, found = torch.ones(len(choices), dtype=torch.bool), []
    for chosen in choices.unbind(1):
        came = chosen[here.to(chosen.device)]
        found.append(came.mode().values if len(came) else chosen.new_tensor(leaving))
        here &= chosen.cpu() != leaving
    return gone_for_good(torch.stack(found)[None], leaving)[0]


def shuffled(choices: Tensor, generator: torch.Generator) -> Tensor:
    """Decisions [N, units] dealt to other inputs: what their cost buys without a look at the
    input."""
    return choices[torch.randperm(len(choices), generator=generator)]


@torch.no_grad()
def _outcomes(
    network: DynamicNetwork,
    data: Labelled,
    assignment: Tensor | None,
    batch: int,
    price: float | None,
) -> Iterator[tuple[Outcome, Tensor]]:
    """What the network makes of each batch, with the batch's labels."""
    start = 0
    with kept_modes(network):
        network.eval()
        for inputs, labels in _batches(data, batch, network.shift.device):
            stop = start + len(inputs)
            forced = assignment
            if assignment is not None and assignment.ndim == 2:
                forced = assignment[start:stop]
            prices = None if price is None else network.shift.new_full((len(inputs),), price)
            outcome = network(inputs, forced, price=prices)
            if not outcome.logits.isfinite().all():
                raise DfsHwError(
                    f"{network.name} gives outputs that are not finite: {why_not_finite(network)}"
                )
            yield outcome, labels
            start = stop
    if not start:
        raise InputError("there is no batch to evaluate on: give at least one")


def _batches(data: Labelled, size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs and labels [N] of each batch, on a device."""
    if isinstance(data, Dataset):
        yield from data.to(device).batches(size)
        return
    try:
        batches = iter(data)
    except TypeError as error:
        raise InputError(
            "data is a Dataset, or batches of inputs and labels, such as a DataLoader gives, "
            f"not {type(data).__name__}"
        ) from error
    for batch in batches:
        inputs, labels = inputs_of(batch), batch[1]
        for what, one in (("inputs", inputs), ("labels", labels)):
            if not isinstance(one, Tensor):
                raise InputError(
                    f"{what} of a batch are one tensor, as a DataLoader gives them, "
                    f"not {type(one).__name__}"
                )
        if labels.ndim != 1 or labels.shape != inputs.shape[:1] or labels.is_floating_point():
            raise InputError(
                f"labels of a batch are a whole number for each input, not {labels.dtype} "
                f"{list(labels.shape)} for inputs {list(inputs.shape)}"
            )
        yield inputs.to(device), labels.to(device)
