"""The loop every stage of training shares: epochs of SGD, one of which is kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from accel_models.errors import DfsHwError
from dfs_hw.data import Dataset
from dfs_hw.networks import DFSResNet

MOMENTUM = 0.9


@dataclass(frozen=True)
class Epoch:
    """How an epoch went. Costs are relative to the highest precision everywhere."""

    stage: str
    number: int
    """From 1."""
    learning_rate: float
    """Of the first group of parameters, at the last step."""
    loss: float
    train_cost: float
    """Mean over the training inputs as the epoch saw them."""
    validation_accuracy: float
    validation_cost: float


@dataclass(frozen=True)
class Stage:
    """What one stage of training does differently from the others."""

    name: str
    epochs: int
    groups: list[dict[str, Any]]
    """Parameters to train, each group with its ``initial_lr``; a cosine takes it to zero."""
    step: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    """Images and labels to the loss and the mean relative cost."""
    validate: Callable[[], tuple[float, float]]
    """Validation accuracy and mean relative cost of the network as it stands."""
    choose: Callable[[Sequence[Epoch]], Epoch]
    """The epoch to keep, of those so far: either the last, or the same as before the last."""
    observe: Callable[[Epoch], None] = lambda epoch: None
    """Told of every epoch when it is over."""


def fit(
    stage: Stage,
    network: DFSResNet,
    data: Dataset,
    *,
    batch: int,
    generator: torch.Generator,
    keep: Callable[[Epoch, list[Epoch]], None],
    progress: bool,
) -> tuple[list[Epoch], Epoch]:
    """Run a stage and leave the network as the chosen epoch left it.

    Args:
        data: to train on, on the network's device.
        generator: order and augmentation of the batches.
        keep: called with the chosen epoch and the history whenever it is a new one, so that an
            interrupted run loses nothing of worth.
        progress: show a bar on stderr.

    Returns:
        All epochs, and the chosen one.

    Raises:
        DfsHwError: if the loss is no longer finite.
    """
    steps = max(1, len(data) // batch)
    optimizer = torch.optim.SGD(stage.groups, lr=0.0, momentum=MOMENTUM, nesterov=True)
    history: list[Epoch] = []
    chosen: Epoch | None = None
    state: dict[str, Tensor] = {}
    with tqdm(total=stage.epochs * steps, desc=stage.name, disable=not progress) as bar:
        for number in range(1, stage.epochs + 1):
            totals = torch.zeros(2, device=data.labels.device)
            for done, (images, labels) in enumerate(data.shuffled_batches(batch, generator)):
                lr = _cosine(optimizer, (number - 1 + done / steps) / stage.epochs)
                loss, cost = stage.step(images, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                totals += torch.stack([loss.detach(), cost.detach()])
                bar.update()
            mean_loss, mean_cost = (totals / steps).tolist()
            if not math.isfinite(mean_loss):
                raise DfsHwError(_divergence(stage.name, number, lr, chosen))
            epoch = Epoch(stage.name, number, lr, mean_loss, mean_cost, *stage.validate())
            history.append(epoch)
            stage.observe(epoch)
            bar.set_postfix_str(
                f"accuracy {epoch.validation_accuracy:.3f}, cost {epoch.validation_cost:.3f}"
            )
            if stage.choose(history) is epoch:
                chosen, state = epoch, copy.deepcopy(network.state_dict())
                keep(chosen, history)
    assert chosen is not None
    network.load_state_dict(state)
    return history, chosen


def latest_of_the_best(history: Sequence[Epoch], validation_inputs: int) -> Epoch:
    """The last epoch whose validation accuracy is within one standard error of the best.

    Smaller differences are chance, and chance favours early epochs, of which there are more than
    of those with the learning rate already low.

    Args:
        validation_inputs: size of the validation split.
    """
    best = max(epoch.validation_accuracy for epoch in history)
    error = math.sqrt(best * (1 - best) / validation_inputs)
    return [epoch for epoch in history if epoch.validation_accuracy >= best - error][-1]


def weight_groups(network: DFSResNet, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """All but the gates; only weights of convolutions and linear layers decay.

    Batch norm makes the scale of a convolution's output its own, so decay of its parameters and
    of biases only pulls towards zero.
    """
    parameters = [p for name, p in network.named_parameters() if not name.startswith("gate.")]
    return [
        {
            "params": [p for p in parameters if p.ndim > 1],
            "initial_lr": lr,
            "weight_decay": weight_decay,
        },
        {"params": [p for p in parameters if p.ndim == 1], "initial_lr": lr},
    ]


def gate_group(network: DFSResNet, lr: float) -> dict[str, Any]:
    """The gates, without decay: it would pull every decision towards a tie."""
    return {"params": list(network.gate.parameters()), "initial_lr": lr}


def _cosine(optimizer: torch.optim.Optimizer, progress: float) -> float:
    """Set the learning rates for a share of the stage done; returns that of the first group."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * (1 + math.cos(math.pi * progress)) / 2
    return float(optimizer.param_groups[0]["lr"])


def _divergence(stage: str, number: int, lr: float, chosen: Epoch | None) -> str:
    kept = "nothing was kept" if chosen is None else f"epoch {chosen.number} was kept"
    return (
        f"the loss of stage '{stage}' is no longer finite in epoch {number} "
        f"(learning rate {lr:.3g}): lower the learning rate; {kept}"
    )
