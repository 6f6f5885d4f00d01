"""What gates are told in stage 3 beside the gradient of the task: which choice was right, and that
they are to tell inputs apart.

Routing that is learned end to end ends below routing that was supervised on a few examples
(Muqeeth et al., "Models with Conditional Computation Learn Suboptimal Solutions", ICBINB at
NeurIPS 2022). A label for a choice can be had: try them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from accel_models.leaving import NEVER
from accel_models.precision import highest
from dfs_hw.budgets.hardware_cost import RelativeCost
from dfs_hw.budgets.meet_budget import shift_per_tau
from dfs_hw.gates.shaping import shaping
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.passes import Outcome
from dfs_hw.training.loop.stage import Batch
from dfs_hw.training.setup import TrainingSetup

Lesson = Callable[[Batch, Outcome, Tensor], Tensor]
"""Loss of a batch, given what the network made of it and the price of cost of each input [N]."""
LEAST_MEAN, MOST_MEAN = 0.1, 0.9
"""Range of the mean of the prior: nearer to 0 or 1, it would hardly ask for more than one choice.
"""


def lessons(setup: TrainingSetup, network: DynamicNetwork) -> list[Lesson]:
    """What the gates of a network are to be told, as the settings want it."""
    wanted = {supervision: setup.gates.supervised, conditionality: setup.gates.shaping}
    return [prepared(setup, network) for prepared, amount in wanted.items() if amount]


class Trial(NamedTuple):
    """What came of trying all choices of a unit on n inputs."""

    choices: list[int]
    """What the unit offers, by index."""
    losses: Tensor
    """Cross entropy by each of them [n, len(choices)]."""
    costs: Tensor
    """Relative cost by each of them [n, len(choices)], but for what all have in common."""

    def best(self, price: Tensor) -> Tensor:
        """The choice of least loss and cost together, by index [n]; of equals the cheapest.

        Args:
            price: loss at a relative cost of 1, [n].
        """
        total = self.losses + price[:, None] * self.costs
        ties = total <= total.amin(1, keepdim=True)
        place = self.costs.masked_fill(~ties, torch.inf).argmin(1)
        return torch.tensor(self.choices, device=place.device)[place]


def supervision(setup: TrainingSetup, network: DynamicNetwork) -> Lesson:
    """The lesson of the right choice, for one unit a step and a share of the batch.

    All that the unit offers is tried, while the other units choose as they did. Right is what has
    least loss and cost together, cost at its price of the moment: so what the gates are taught
    follows the budget.
    """
    share = setup.gates.supervised
    offers = [[k for k, had in enumerate(row) if had] for row in network.offered.tolist()]
    deciding = [unit for unit, offer in enumerate(offers) if len(offer) > 1]

    def lesson(batch: Batch, made: Outcome, price: Tensor) -> Tensor:
        assert made.gates is not None
        assert made.scores is not None
        some = spread(share, batch)
        if not len(some) or not deciding:
            return price.new_zeros(())
        generator = setup.generator("supervised", batch.number)
        unit = deciding[int(torch.randint(len(deciding), (1,), generator=generator))]
        decided = made.gates.detach().argmax(-1)[some]
        tried = try_all(
            network, setup.cost, batch.images[some], batch.labels[some], decided, unit, offers[unit]
        )
        right = tried.best(price[some])
        wrong = functional.cross_entropy(made.scores[some, unit], right, reduction="none")
        # Not its mean: over several processes, each has a part of the share.
        return (wrong * reaches(decided, unit, network.leaving)).sum() / (share * len(batch.images))

    return lesson


def try_all(
    network: DynamicNetwork,
    cost: RelativeCost,
    images: Tensor,
    labels: Tensor,
    decided: Tensor,
    unit: int,
    choices: list[int],
) -> Trial:
    """Try choices of a unit, all others as they were decided, as in evaluation.

    Args:
        decided: choices of all units, int64 [n, units], also of those behind an exit.
        unit: number of the unit.
        choices: to try, by index.
    """
    inputs, tries = len(images), len(choices)
    assignment = decided.repeat(tries, 1)
    assignment[:, unit] = torch.tensor(choices, device=decided.device).repeat_interleave(inputs)
    with evaluating(network):
        logits = network(images.repeat(tries, *(1,) * (images.ndim - 1)), assignment).logits
        losses = functional.cross_entropy(logits, labels.repeat(tries), reduction="none")
    return Trial(choices, losses.view(tries, inputs).T, marginal(cost, decided)[:, unit, choices])


def marginal(cost: RelativeCost, decided: Tensor) -> Tensor:
    """What each choice of each unit costs an input whose other units choose as decided, but for
    what all choices of the unit have in common: [n, units, K].

    A cost is linear in the choice of any one unit; a product of sums (edp) is taken at its slope.
    """
    gates = functional.one_hot(decided, len(cost.choices)).to(cost.unit_costs)
    with torch.enable_grad():
        gates.requires_grad_()
        (slopes,) = torch.autograd.grad(cost(gates).sum(), gates)
    return slopes


def reaches(decided: Tensor, unit: int, leaving: int) -> Tensor:
    """Whether inputs that decided so, int64 [n, units], come to a unit: [n]."""
    if leaving == NEVER:
        return decided.new_ones(len(decided), dtype=torch.bool)
    return (decided[:, :unit] != leaving).all(1)


def spread(share: float, batch: Batch) -> Tensor:
    """Inputs of this process that make up a share of the whole batch, by index, evenly spread."""
    rank, ranks = batch.share
    inputs = len(batch.images)
    counted = (torch.arange(ranks * inputs + 1, dtype=torch.float64) * share).floor()
    mine = counted.diff()[rank * inputs : (rank + 1) * inputs]
    return mine.nonzero()[:, 0].to(batch.images.device, non_blocking=True)


@contextmanager
def evaluating(network: DynamicNetwork) -> Iterator[None]:
    """Run a network as in evaluation, without gradient, amid a step of its training."""
    # Not its own `train`: what the step has noted so far is for its optimizer's step.
    nn.Module.train(network, False)
    try:
        with torch.no_grad():
            yield
    finally:
        nn.Module.train(network, True)


def conditionality(setup: TrainingSetup, network: DynamicNetwork) -> Lesson:
    """The lesson to tell inputs apart: a prior for what each unit is expected to cost.

    The expected cost of a unit, from 0 for its cheapest choice to 1 for its dearest, is one number
    that a Beta distribution can be of, however many choices there are; the probabilities of K
    choices, which add up to 1, cannot all have its mean. The mean is where the budget lies between
    the least and the most that the network can cost, so that the prior asks for no other cost than
    the budget. As in the paper, the weight falls to zero along the stage.
    """
    full = network.uniform(highest(network.choices))[None].to(setup.device)
    above = shift_per_tau(setup.cost, full)
    dearest = above.amax(1)
    matters = dearest > 0
    places = above[matters] / dearest[matters, None]
    least, most = setup.cost.floor, setup.cost.ceiling
    mean = (setup.budget.fraction - least) / (most - least) if most > least else MOST_MEAN
    mean = min(max(mean, LEAST_MEAN), MOST_MEAN)

    def lesson(batch: Batch, made: Outcome, price: Tensor) -> Tensor:
        assert made.scores is not None
        expected = (made.scores[:, matters].float().softmax(-1) * places).sum(-1)
        weight = setup.gates.shaping * (1 - batch.progress)
        return weight * shaping(expected.clamp(0, 1), mean)

    return lesson
