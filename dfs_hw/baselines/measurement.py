"""What a trained contender does with the test inputs, and what that costs on the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch.nn import functional

from accel_models.documents import CLOSED
from accel_models.metrics import additive
from accel_models.precision import highest
from accel_models.replay import Replay, replay
from accel_models.trace import GateTrace
from dfs_hw.baselines.kept import kept
from dfs_hw.baselines.preparation import Ready
from dfs_hw.baselines.study import Study
from dfs_hw.budgets.budget import statistic_of
from dfs_hw.data import Dataset
from dfs_hw.experiment import header_of, static_cost
from dfs_hw.networks import DynamicNetwork
from dfs_hw.networks.checkpoint import digest
from dfs_hw.recording import BATCH, evaluate, modal_assignment, shuffled
from dfs_hw.training.stages.before_joint import train_backbone

MET = 0.02
"""Share of the budget by which a contender may miss it and still have met it."""
MINORITY = 0.05
"""Share of the inputs that must take another choice than most, for a block to count as deciding."""

AS_TRAINED, FROZEN, FROZEN_PAYING, SHUFFLED, AT_PRICE = (
    "as trained",
    "frozen",
    "frozen, gates paid",
    "shuffled",
    "at a price",
)


@dataclass(frozen=True)
class Record:
    """One contender of one seed, run in one way on all test inputs; costs are means over inputs."""

    __pydantic_config__ = CLOSED
    contender: str
    """Name of the contender."""
    seed: int
    """Seed of its training."""
    variant: str
    """``as trained``; ``frozen`` at the most frequent choices of the validation inputs, without
    gates, or with them paid for; ``shuffled``: decisions dealt to other inputs; ``at a price``."""
    accuracy: float
    """Share classified right, 0 to 1; for shuffled decisions, the mean over several deals."""
    bitops: float
    """BitOps per input."""
    energy_j: float
    """Energy per input in J."""
    latency_s: float
    """Latency per input in s."""
    share: float
    """Cost over the study's budget, in its metric and statistic."""
    target: float
    """Share that the contender was trained for."""
    validation_accuracy: float | None = None
    """Accuracy that training left it with; None for what training did not look at."""
    price: float | None = None
    """Price of cost, 0 to 1, for gates that take one; else None."""
    correlation: float | None = None
    """Spearman's rank correlation of energy with difficulty over inputs; None where all inputs cost
    the same."""
    vectors: int = 1
    """Different decision vectors that occur."""
    deciding: int = 0
    """Blocks with a choice, beside the most frequent, that more than `MINORITY` of inputs take."""
    fixed: str = ""
    """Choices of the blocks where all inputs have the same."""

    @property
    def met(self) -> bool:
        """Whether it kept to its target, within `MET` on either side."""
        return abs(self.share / self.target - 1) <= MET

    @property
    def over(self) -> bool:
        """Whether it spent more than its target, and `MET` on top."""
        return self.share / self.target > 1 + MET


def measure(ready: Ready, study: Study) -> list[Record]:
    """Every way to run a contender; kept in ``test.json`` in its folder.

    An adaptive one leaves the trace of the test inputs beside it, ``test.parquet``.
    """
    made_from = {
        "network": digest(ready.trained.network),
        "start": ready.setup.fingerprint,
        "cost_table": ready.setup.table.key,
        "budget": ready.contender.config.budget,
        "seed": ready.seed,
        "shuffles": study.shuffles,
        "prices": study.prices if ready.setup.knob else (),
        "fields": [field.name for field in fields(Record)],
    }

    def look() -> list[dict[str, Any]]:
        records = _adaptive(ready, study) if ready.contender.adaptive else _static(ready)
        return [asdict(record) for record in records]

    return kept(ready.folder / "test.json", made_from, look, list[Record])


def difficulty(ready: Ready) -> np.ndarray:
    """How hard each test input is [N]: how badly it was degraded, where the data knows; else its
    loss in the network that stage 1 left, at the highest precision."""
    test = ready.setup.splits.test
    if test.severity is not None:
        return test.severity.cpu().numpy()
    return losses(train_backbone(ready.setup, ready.folder).network, test)


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


def _static(ready: Ready) -> Iterator[Record]:
    assignment = ready.trained.network.assign(ready.fixed)
    yield _simulated(
        ready,
        AS_TRAINED,
        assignment.tolist(),
        evaluate(ready.trained.network, ready.setup.splits.test, assignment).accuracy,
        validation_accuracy=ready.trained.outcome.accuracy,
    )


def _adaptive(ready: Ready, study: Study) -> Iterator[Record]:
    outcome = _replayed(ready, ready.trained.outcome.price)
    outcome.trace.write(ready.folder / "test.parquet")
    hardness = difficulty(ready)
    yield _priced(
        ready,
        AS_TRAINED,
        outcome,
        hardness,
        validation_accuracy=ready.trained.outcome.accuracy,
        price=ready.trained.outcome.price,
    )
    yield from _frozen(ready, outcome, hardness)
    yield _dealt(ready, outcome, hardness, study.shuffles)
    for price in study.prices if ready.setup.knob else ():
        yield _priced(ready, AT_PRICE, _replayed(ready, price), hardness, price=price)


def _frozen(ready: Ready, outcome: Replay, hardness: np.ndarray) -> Iterator[Record]:
    """Every block at its most frequent choice of the validation inputs, gates left out or not."""
    network, splits = ready.trained.network, ready.setup.splits
    decided = evaluate(network, splits.validation, price=ready.trained.outcome.price).choices
    modal = modal_assignment(decided)
    accuracy = evaluate(network, splits.test, modal).accuracy
    yield _simulated(ready, FROZEN, modal.tolist(), accuracy)
    alike = _rechosen(outcome, modal.expand(len(splits.test), -1))
    fixed = _written(ready, modal.tolist())
    yield _priced(ready, FROZEN_PAYING, alike, hardness, accuracy=accuracy, fixed=fixed)


def _dealt(ready: Ready, outcome: Replay, hardness: np.ndarray, times: int) -> Record:
    """The decisions dealt to other inputs several times. What they cost does not depend on how."""
    generator = torch.Generator().manual_seed(ready.seed)
    decided = torch.from_numpy(outcome.trace.choices.astype(np.int64))
    deals = [shuffled(decided, generator) for _ in range(times)]
    network, test = ready.trained.network, ready.setup.splits.test
    accuracy = fmean(evaluate(network, test, deal).accuracy for deal in deals)
    return _priced(ready, SHUFFLED, _rechosen(outcome, deals[0]), hardness, accuracy=accuracy)


def _replayed(ready: Ready, price: float | None) -> Replay:
    """The gates' decisions for the test inputs, run through the machine."""
    setup, test = ready.setup, ready.setup.splits.test
    seen = evaluate(ready.trained.network, test, price=price)
    trace = GateTrace(
        header_of(setup, "test"),
        np.arange(len(test), dtype=np.int64),
        test.labels.cpu().numpy().astype(np.int32),
        seen.predictions.numpy().astype(np.int32),
        seen.choices.numpy().astype(np.uint8),
    )
    return replay(trace, setup.table)


def _rechosen(outcome: Replay, choices: torch.Tensor) -> Replay:
    """A replay of the inputs at other choices, int64 [N, units]."""
    trace = replace(outcome.trace, choices=choices.numpy().astype(np.uint8))
    return replay(trace, outcome.table)


def _priced(
    ready: Ready, variant: str, outcome: Replay, hardness: np.ndarray, **more: Any
) -> Record:
    """A record of what each input cost; the accuracy is that of the trace if no other is given."""
    amounts = {metric.name: metric.of(outcome) for metric in additive()}
    # Exactly rounded, so that equal costs in another order are equal costs.
    means = {name: fmean(values.tolist()) for name, values in amounts.items()}
    metric, statistic = ready.setup.cost.metric, ready.setup.budget.statistic
    mean = statistic == "mean"
    spent = means[metric] if mean else statistic_of(amounts[metric], statistic)
    choices = outcome.trace.choices
    figures = {
        "accuracy": outcome.trace.accuracy,
        "correlation": correlation(outcome.energy_j, hardness),
        "vectors": len(np.unique(choices, axis=0)),
        "deciding": deciding_units(choices, len(outcome.table.choices)),
        **more,
    }
    return _record(ready, variant, means, spent, **figures)


def _simulated(
    ready: Ready, variant: str, choices: Sequence[int], accuracy: float, **more: Any
) -> Record:
    """A record of the network without gates, at choices that all inputs have."""
    table = ready.setup.table
    pairs = zip(table.units, choices, strict=True)
    cost = static_cost(table, {unit: table.choices[choice] for unit, choice in pairs})
    amounts = {metric.name: float(metric.of(cost)) for metric in additive()}
    spent = amounts[ready.setup.cost.metric]
    fixed = _written(ready, choices)
    return _record(ready, variant, amounts, spent, accuracy=accuracy, fixed=fixed, **more)


def _record(
    ready: Ready, variant: str, means: Mapping[str, float], spent: float, **more: Any
) -> Record:
    target = ready.contender.target
    return Record(
        contender=ready.contender.name,
        seed=ready.seed,
        variant=variant,
        bitops=means["bitops"],
        energy_j=means["energy"],
        latency_s=means["latency"],
        share=spent / (ready.setup.budget.fraction * ready.setup.cost.reference) * target,
        target=target,
        **more,
    )


def _written(ready: Ready, choices: Sequence[int]) -> str:
    return " ".join(str(ready.setup.table.choices[choice]) for choice in choices)
