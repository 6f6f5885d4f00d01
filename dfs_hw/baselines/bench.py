"""A trained contender run in every way on the test inputs, and what that costs on the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch.nn import functional

from accel_models.metrics import METRICS, additive
from accel_models.precision import highest
from accel_models.replay import Replay, replay
from accel_models.trace import GateTrace
from dfs_hw.baselines.preparation import Ready
from dfs_hw.baselines.records import (
    AS_TRAINED,
    AT_PRICE,
    FROZEN,
    FROZEN_PAYING,
    MET,
    SHUFFLED,
    WITHIN,
    Answers,
    Record,
    Run,
)
from dfs_hw.baselines.study import Study
from dfs_hw.budgets.budget import statistic_of
from dfs_hw.data import Dataset
from dfs_hw.experiment import header_of, static_cost
from dfs_hw.gates import TableGate
from dfs_hw.networks import DynamicNetwork
from dfs_hw.recording import BATCH, Evaluation, evaluate, modal_assignment, shuffled
from dfs_hw.training.stages.before_joint import train_backbone
from dfs_hw.training.stages.exits import beliefs_of, exits_taken, right_at_exits

TRACE = "test.parquet"
"""File of what an adaptive contender decided for the test inputs, as training left it."""
MINORITY = 0.05
"""Share of the inputs that must take another choice than most, for a block to count as deciding."""


@dataclass(frozen=True)
class Bench:
    """A trained contender, and what is asked of it."""

    ready: Ready
    study: Study
    budget: float
    """Cost allowed for one input by the study, in the metric's SI unit."""

    def runs(self) -> Iterator[Run]:
        """Every way to run it. An adaptive one leaves the trace of the test inputs."""
        return self._adaptive() if self.ready.contender.adaptive else self._static()

    @property
    def test(self) -> Dataset:
        """The test split."""
        return self.ready.setup.splits.test

    def _static(self) -> Iterator[Run]:
        network, validation = self.ready.trained.network, self.ready.setup.splits.validation
        assignment = network.assign(self.ready.fixed)
        said = answers(evaluate(network, self.test, assignment), self.test)
        run = self._simulated(
            AS_TRAINED,
            assignment.tolist(),
            said.correct,
            validation_accuracy=self.ready.trained.outcome.accuracy,
        )
        before = answers(evaluate(network, validation, assignment), validation)
        yield replace(run, answers=said, validation=before)

    def _adaptive(self) -> Iterator[Run]:
        trained = self.ready.trained.outcome
        hardness = difficulty(self.ready)
        outcome = self._replayed(trained.price)
        outcome.trace.write(self.ready.folder / TRACE)
        yield self._priced(
            AS_TRAINED,
            outcome,
            hardness,
            validation_accuracy=trained.accuracy,
            price=trained.price,
        )
        yield from self._frozen(outcome, hardness)
        yield self._dealt(outcome, hardness)
        if self.ready.setup.knob:
            yield from self._turned(hardness)
        if isinstance(self.ready.trained.network.gate, TableGate):
            yield from self._set(self.ready.trained.network.gate, hardness)

    def _frozen(self, outcome: Replay, hardness: np.ndarray) -> Iterator[Run]:
        """Every block at its most frequent choice of the validation inputs, gates left out or
        not."""
        network, splits = self.ready.trained.network, self.ready.setup.splits
        price = self.ready.trained.outcome.price
        decided = evaluate(network, splits.validation, price=price).choices
        modal = modal_assignment(decided, network.leaving)
        right = answers(evaluate(network, self.test, modal), self.test).correct
        yield self._simulated(FROZEN, modal.tolist(), right)
        alike = _rechosen(outcome, modal.expand(len(self.test), -1))
        fixed = self._written(modal.tolist())
        yield self._priced(FROZEN_PAYING, alike, hardness, right, fixed=fixed)

    def _dealt(self, outcome: Replay, hardness: np.ndarray, **more: Any) -> Run:
        """The decisions dealt to other inputs several times. What they cost does not depend on
        how."""
        generator = torch.Generator().manual_seed(self.ready.seed)
        decided = torch.from_numpy(outcome.trace.choices.astype(np.int64))
        deals = [shuffled(decided, generator) for _ in range(self.study.shuffles)]
        right = [self._right(deal) for deal in deals]
        dealt = _rechosen(outcome, deals[0])
        return self._priced(SHUFFLED, dealt, hardness, np.mean(right, axis=0), **more)

    def _right(self, choices: torch.Tensor) -> np.ndarray:
        """Whether each test input is classified right at its choices [N, units], float64 [N]."""
        network = self.ready.trained.network
        if not self.ready.kept:
            return answers(evaluate(network, self.test, choices), self.test).correct
        rows, taken = np.arange(len(choices)), exits_taken(network, choices)
        return self._at_exits[rows, taken].astype(np.float64)

    @cached_property
    def _at_exits(self) -> np.ndarray:
        """What a network of one width is right about, as `right_at_exits` has it: however inputs
        are dealt, each leaves at one of its exits."""
        network = self.ready.trained.network
        return right_at_exits(*beliefs_of(network, self.test, network.assign(self.ready.kept)))

    def _turned(self, hardness: np.ndarray) -> Iterator[Run]:
        """The knob at every price; and within every budget of the grid, at the price of those
        within it that is most accurate on the validation inputs, with its decisions dealt."""
        outcomes = {price: self._replayed(price) for price in self.study.prices}
        for price, outcome in outcomes.items():
            yield self._priced(AT_PRICE, outcome, hardness, price=price)
        looks = {price: self._looked(price) for price in self.study.prices}
        for allowed in self.study.grid:
            within = {p: look for p, look in looks.items() if look[1] <= allowed * (1 + MET)}
            if within and allowed != self.ready.contender.target:
                price = max(within, key=lambda p: (within[p][0], -within[p][1]))
                settled: dict[str, Any] = {"price": price, "target": allowed}
                accuracy = within[price][0]
                yield self._priced(
                    WITHIN, outcomes[price], hardness, validation_accuracy=accuracy, **settled
                )
                yield self._dealt(outcomes[price], hardness, **settled)

    def _set(self, gate: TableGate, hardness: np.ndarray) -> Iterator[Run]:
        """A gate that keeps a table, set within every budget of the grid that is in its reach,
        with its decisions dealt."""
        before, reference = int(gate.point), self.ready.setup.cost.reference
        try:
            for allowed in self.study.grid:
                relative = allowed * self.budget / reference
                reached = float(gate.cost[0]) <= relative <= float(gate.cost[-1]) * (1 + MET)
                if not reached or allowed == self.ready.contender.target:
                    continue
                gate.point.fill_(gate.within(relative))
                outcome, expected = self._replayed(None), float(gate.accuracy[gate.point])
                yield self._priced(
                    WITHIN, outcome, hardness, validation_accuracy=expected, target=allowed
                )
                yield self._dealt(outcome, hardness, target=allowed)
        finally:
            gate.point.fill_(before)

    def _looked(self, price: float) -> tuple[float, float]:
        """Accuracy and cost, over the study's budget, of the validation inputs at a price."""
        setup = self.ready.setup
        seen = evaluate(self.ready.trained.network, setup.splits.validation, price=price)
        costs = setup.cost.of_choices(seen.choices.to(setup.device))
        spent = setup.budget.cost_of(costs) * setup.cost.reference
        return seen.accuracy, spent / self.budget

    def _replayed(self, price: float | None) -> Replay:
        """The gates' decisions for the test inputs, run through the machine."""
        seen = evaluate(self.ready.trained.network, self.test, price=price)
        trace = GateTrace(
            header_of(self.ready.setup, "test"),
            np.arange(len(self.test), dtype=np.int64),
            self.test.labels.cpu().numpy().astype(np.int32),
            seen.predictions.numpy().astype(np.int32),
            seen.choices.numpy().astype(np.uint8),
        )
        return replay(trace, self.ready.setup.table)

    def _priced(
        self,
        variant: str,
        outcome: Replay,
        hardness: np.ndarray,
        correct: np.ndarray | None = None,
        **more: Any,
    ) -> Run:
        """A run of what each input cost, and whether it is right, if not as the trace has it."""
        trace = outcome.trace
        if correct is None:
            correct = (trace.labels == trace.predictions).astype(np.float64)
        amounts = {metric.name: metric.of(outcome) for metric in additive()}
        # Exactly rounded, so that equal costs in another order are equal costs.
        means = {name: fmean(values.tolist()) for name, values in amounts.items()}
        costs = amounts[self.ready.setup.cost.metric]
        statistic = self.ready.setup.budget.statistic
        spent = means[self.ready.setup.cost.metric]
        figures = {
            "correlation": correlation(outcome.energy_j, hardness),
            "vectors": len(np.unique(trace.choices, axis=0)),
            "deciding": deciding_units(trace.choices, len(outcome.table.choices)),
            **more,
        }
        if statistic != "mean":
            spent = statistic_of(costs, statistic)
        return self._run(variant, means, spent, correct, costs, **figures)

    def _simulated(
        self, variant: str, choices: Sequence[int], correct: np.ndarray, **more: Any
    ) -> Run:
        """A run of the network without gates, at choices that all inputs have."""
        table = self.ready.setup.table
        pairs = zip(table.units, choices, strict=True)
        cost = static_cost(table, {unit: table.choices[choice] for unit, choice in pairs})
        amounts = {metric.name: float(metric.of(cost)) for metric in additive()}
        spent = float(METRICS[self.ready.setup.cost.metric].of(cost))
        fixed = self._written(choices)
        costs = np.full(len(self.test), spent)
        return self._run(variant, amounts, spent, correct, costs, fixed=fixed, **more)

    def _run(
        self,
        variant: str,
        means: Mapping[str, float],
        spent: float,
        correct: np.ndarray,
        costs: np.ndarray,
        **more: Any,
    ) -> Run:
        record = Record(
            contender=self.ready.contender.name,
            seed=self.ready.seed,
            variant=variant,
            accuracy=float(correct.mean()),
            bitops=means["bitops"],
            energy_j=means["energy"],
            latency_s=means["latency"],
            share=spent / self.budget,
            **{"target": self.ready.contender.target, **more},
        )
        severity, source = self.test.severity, self.test.source
        return Run(
            record,
            correct,
            costs.astype(np.float64),
            np.arange(len(self.test)) if source is None else source.cpu().numpy(),
            None if severity is None else severity.double().cpu().numpy(),
        )

    def _written(self, choices: Sequence[int]) -> str:
        return " ".join(str(self.ready.setup.table.choices[choice]) for choice in choices)


def answers(seen: Evaluation, split: Dataset) -> Answers:
    """What a network said of a split, held against the labels."""
    right = seen.predictions == split.labels.cpu()
    return Answers(right.double().numpy(), seen.confidence.double().numpy())


def difficulty(ready: Ready) -> np.ndarray:
    """How hard each test input is [N]: how badly it was degraded, where the data knows; else its
    loss in the network that stage 1 left, at the highest precision."""
    test = ready.setup.splits.test
    if test.severity is not None:
        return test.severity.cpu().numpy()
    return losses(train_backbone(ready.setup.trunk, ready.stages).network, test)


@torch.no_grad()
def losses(network: DynamicNetwork, dataset: Dataset) -> np.ndarray:
    """Cross-entropy of each input at the highest precision everywhere, float64 [N]."""
    network.eval()
    top = network.uniform(highest(network.choices))
    each = [
        functional.cross_entropy(network(images, top).logits.double(), labels, reduction="none")
        for images, labels in dataset.to(network.shift.device).batches(BATCH)
    ]
    return torch.cat(each).cpu().numpy()


def correlation(energy: np.ndarray, hardness: np.ndarray) -> float | None:
    """Spearman's rank correlation; None where either is the same for all inputs."""
    if np.ptp(energy) == 0 or np.ptp(hardness) == 0:
        return None
    return float(spearmanr(energy, hardness).statistic)


def deciding_units(choices: np.ndarray, number: int) -> int:
    """Units in which more than `MINORITY` of the inputs take one choice beside the most frequent.

    Args:
        choices: int [N, units].
        number: of choices there are.
    """
    counts = np.array([np.bincount(unit, minlength=max(number, 2)) for unit in choices.T])
    second = np.sort(counts, axis=1)[:, -2]
    return int((second > MINORITY * len(choices)).sum())


def _rechosen(outcome: Replay, choices: torch.Tensor) -> Replay:
    """A replay of the inputs at other choices, int64 [N, units]."""
    trace = replace(outcome.trace, choices=choices.numpy().astype(np.uint8))
    return replay(trace, outcome.table)
