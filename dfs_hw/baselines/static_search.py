"""The best choice of each block within a budget, the same for all inputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from accel_models.assignment.assignment import best_assignment
from accel_models.errors import InfeasibleError
from accel_models.metrics import METRICS
from dfs_hw.baselines.unit_sensitivity import sensitivity
from dfs_hw.experiment import static_cost
from dfs_hw.networks import DynamicNetwork
from dfs_hw.recording import BATCH
from dfs_hw.training.setup import TrainingSetup

ROUNDS = 10
"""Times that an assignment is changed for a better one, at most."""

Choices = tuple[int, ...]
"""Index of the choice of each block."""


class StaticSearch:
    """Assignments of one network, judged by its loss on the validation split.

    The integer program of HAWQ-V3 (Yao et al., ICML 2021) adds up what each block loses by itself.
    Where many blocks change at once that is far off: a network that has learned to do without any
    one block cannot do without all. So what the program proposes is measured as a whole, in the
    network that has trained all choices, as one-shot search does (Guo et al., ECCV 2020), and the
    program is asked again from the best assignment so far.

    Args:
        setup: gives budget, machine and validation split.
        network: in evaluation mode, every precision of which has seen data.
    """

    def __init__(self, setup: TrainingSetup, network: DynamicNetwork) -> None:
        self.network, self.table, self.progress = network, setup.table, setup.progress
        self.metric = setup.cost.metric
        self.budget = setup.budget.fraction * setup.cost.reference
        self.data = setup.splits.validation
        self._known: dict[Choices, float] = {}

    def run(self) -> Choices:
        """The assignment of least validation loss that was found within the budget.

        It is at least as good there as every uniform width within the budget, and no change of one
        block within the budget makes it better, unless `ROUNDS` ran out.

        Raises:
            InputError: if nothing is within the budget.
        """
        highest = self.network.uniform(self.table.always)
        found = min([*self._uniform(), self._program(highest)[0]], key=self.loss)
        for _ in tqdm(range(ROUNDS), desc="static search", disable=not self.progress):
            proposed, alone = self._program(torch.tensor(found))
            better = min([proposed, *self._best_change(found, alone)], key=self.loss)
            if self.loss(better) >= self.loss(found):
                break
            found = better
        return found

    @torch.no_grad()
    def loss(self, choices: Choices) -> float:
        """Mean cross-entropy of the validation inputs."""
        if choices not in self._known:
            total, assignment = 0.0, torch.tensor(choices)
            for images, labels in self.data.batches(BATCH):
                logits = self.network(images, assignment).logits.double()
                total += float(functional.cross_entropy(logits, labels, reduction="sum"))
            self._known[choices] = total / len(self.data)
        return self._known[choices]

    def cost(self, choices: Choices) -> float:
        """What the network without gates costs, in SI units of the metric."""
        pairs = zip(self.table.units, choices, strict=True)
        run = static_cost(self.table, {unit: self.table.choices[choice] for unit, choice in pairs})
        return float(METRICS[self.metric].of(run))

    def _within(self, choices: Choices) -> bool:
        try:
            return self.cost(choices) <= self.budget
        except InfeasibleError:
            return False

    def _uniform(self) -> Iterator[Choices]:
        """Every width everywhere, if it is within the budget."""
        for choice in self.table.choices:
            if choice.runs:
                everywhere = tuple(self.network.uniform(choice).tolist())
                if self._within(everywhere):
                    yield everywhere

    def _program(self, base: Tensor) -> tuple[Choices, np.ndarray]:
        """What the integer program makes of an assignment [units], and what each change of one
        block adds to the loss, [units, choices]."""
        alone = sensitivity(self.network, self.data, base=base)
        offered = self.network.offered.cpu().numpy()
        losses = np.where(offered, alone, 0.0)
        best = best_assignment(self.table, losses, self.budget, self.metric, offered=offered)
        return best.choices, alone

    def _best_change(self, base: Choices, alone: np.ndarray) -> Iterator[Choices]:
        """The one block's change within the budget that lowers the loss most, if one does."""
        for place in np.argsort(alone, axis=None):  # what is not offered is NaN, and comes last
            unit, choice = np.unravel_index(place, alone.shape)
            if not alone[unit, choice] < 0:
                return
            changed = (*base[:unit], int(choice), *base[unit + 1 :])
            if self._within(changed):
                yield changed
                return
