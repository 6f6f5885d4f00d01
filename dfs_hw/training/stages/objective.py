"""What the network is trained for beside the labels: its backbone's predictions, and the budget."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from accel_models.precision import highest
from dfs_hw.budgets.controllers import Controller, SignSwitch, controller
from dfs_hw.distributed import all_averaged
from dfs_hw.gates import uniform
from dfs_hw.networks import DynamicNetwork
from dfs_hw.training.loop.stage import Batch
from dfs_hw.training.setup import TrainingSetup

TaskLoss = Callable[[Tensor, Batch], Tensor]


def task_loss(distill: float, backbone: DynamicNetwork) -> TaskLoss:
    """Loss of logits [N, classes] for a batch: cross entropy, and the divergence from a teacher.

    The teacher is the network as stage 1 left it, at the highest precision (knowledge distillation
    at temperature 1, Hinton et al. 2015; for widths that share weights, Any-Precision, Yu et al.
    2021). Both are means over the batch.

    Args:
        distill: weight of the divergence; 0 leaves it out.
        backbone: the teacher; it is copied.
    """
    if not distill:
        return lambda logits, batch: functional.cross_entropy(logits, batch.labels)
    teacher = copy.deepcopy(backbone).eval().requires_grad_(False)
    top = teacher.uniform(highest(teacher.choices))

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        with torch.no_grad():
            taught = teacher(batch.images, top).logits.log_softmax(1)
        divergence = functional.kl_div(
            logits.log_softmax(1), taught, log_target=True, reduction="batchmean"
        )
        return functional.cross_entropy(logits, batch.labels) + distill * divergence

    return loss


def controller_of(setup: TrainingSetup) -> Controller:
    """A new controller of the wanted kind, set to the budget."""
    gates, target = setup.gates, setup.budget.fraction
    if gates.controller == "paper":
        return SignSwitch.paper(target, len(setup.start.units), setup.batch, gates.beta)
    return controller(gates.controller, target, gates.beta)


def level(costs: Tensor, statistic: str) -> Tensor:
    """The budget's statistic of a batch's costs [N], averaged over processes; no gradient.

    A controller that goes by it holds the mean of all inputs, or a percentile of them, to the
    target.
    """
    costs = costs.detach()
    own = costs.mean() if statistic == "mean" else costs.quantile(int(statistic[1:]) / 100)
    return all_averaged(own)


def prices(batch: Batch) -> Tensor:
    """A price of cost for each input [N], uniform from 0 to 1."""
    return batch.draw("prices", uniform)


def weigh(costs: Tensor, price: Tensor, top_price: float) -> Tensor:
    """Mean of the costs [N], each at the price of its input [N]; a price of 1 is `top_price`."""
    return top_price * (price * costs).mean()
