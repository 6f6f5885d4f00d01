"""Accuracy of a model on data of its user's, and training it further."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from accel_models.errors import InputError
from dfs_hw.fixed_widths.network import gone_through, run_on
from dfs_hw.modes import kept_modes

Loss = Callable[[Tensor, Tensor], Tensor]
LEARNING_RATE = 1e-4
PASSED_OVER = -100
"""Label of a place that has none, as of padding (`torch.nn.CrossEntropyLoss`)."""


@torch.no_grad()
def accuracy_of(model: nn.Module, batches: Iterable[Any]) -> float:
    """Share of the labels that a model predicts, in evaluation mode; its modules are left in the
    modes they were in.

    Args:
        model: gives logits [N, classes], or [N, classes, ...] with a label for each place, or an
            object with such `logits`.
        batches: pairs of inputs and labels int64 [N, ...], as a loader gives them. Labels of -100,
            which PyTorch's losses pass over, are not counted.

    Raises:
        InputError: if there is no label, the model does not run on one, or logits and labels do not
            go together.
    """
    right, total = 0, 0
    with kept_modes(model):
        model.eval()
        for batch in gone_through(batches):
            logits, labels = _logits(model, batch)
            right += int((logits.argmax(1) == labels).sum())
            total += int((labels != PASSED_OVER).sum())
    if not total:
        raise InputError(
            f"there is no batch to evaluate on, or no label but {PASSED_OVER}: give at least one"
        )
    return right / total


def train_further(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    epochs: int = 1,
    learning_rate: float = LEARNING_RATE,
    loss: Loss = functional.cross_entropy,
) -> None:
    """Train a model for a while, rounded as it is, by AdamW; any loop of one's own does as well.

    Args:
        model: a `FixedWidths`, or any other.
        batches: pairs of inputs and labels, gone through once an epoch.
        epochs: how often.
        learning_rate: of all parameters, falling to zero on a half cosine.
        loss: of logits and labels.

    Raises:
        InputError: if there is no batch, logits and labels do not go together, or the loss is not
            finite.
    """
    if epochs < 1:
        raise InputError(f"a model is trained for at least 1 epoch, not {epochs}")
    if not 0 < learning_rate < math.inf:
        raise InputError(f"a learning rate is a number above 0, not {learning_rate}")
    listed, count = _counted(batches)
    steps = epochs * count
    if not steps:
        raise InputError("there is no batch to train on: give at least one")
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with kept_modes(model):
        model.train()
        for _ in range(epochs):
            for batch in listed:
                logits, labels = _logits(model, batch)
                error = _error(loss, logits, labels)
                if not error.isfinite():
                    raise InputError(
                        f"the loss is {error.item()}: train at a lower rate than {learning_rate:g}"
                    )
                optimizer.zero_grad()
                error.backward()
                optimizer.step()
                schedule.step()


def _counted(batches: Iterable[Any]) -> tuple[Iterable[Any], int]:
    """Batches to be gone through once an epoch, and how many there are: all are held at once where
    that is not known before, as of a stream."""
    try:
        return batches, len(batches)  # type: ignore[arg-type]
    except TypeError:
        held = list(gone_through(batches))
        return held, len(held)


def _error(loss: Loss, logits: Tensor, labels: Tensor) -> Tensor:
    try:
        return loss(logits, labels)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        classes, largest = logits.shape[1], labels.max().item()
        raise InputError(
            f"the loss of {classes} classes and labels up to {largest} cannot be computed: {error}"
        ) from error


def _logits(model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
    """Logits of a batch and its labels.

    Raises:
        InputError: if the model does not run on it, or they do not go together.
    """
    out, labels = run_on(model, batch), batch[1]
    logits = out if isinstance(out, Tensor) else getattr(out, "logits", None)
    if not isinstance(logits, Tensor) or not isinstance(labels, Tensor):
        what = type(labels if isinstance(logits, Tensor) else out).__name__
        raise InputError(
            f"accuracy needs logits of a model, a tensor or an object that has them, and a tensor "
            f"of labels: got {what}"
        )
    if logits.ndim < 2 or logits.shape[:1] + logits.shape[2:] != labels.shape:
        raise InputError(
            f"logits of shape {list(logits.shape)} and labels of shape {list(labels.shape)} do not "
            "go together: classes are the second dimension of logits, and labels have the others"
        )
    return logits, labels


__all__ = ["accuracy_of", "train_further"]
