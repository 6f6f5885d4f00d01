"""What a comparison knows of a contender of one seed: figures, and what became of every input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accel_models.documents import CLOSED

MET = 0.02
"""Share of the budget by which a contender may miss it and still have met it."""

ROUNDING = 1e-9
"""Difference of accuracies below which there is none."""

AS_TRAINED, FROZEN, FROZEN_PAYING, SHUFFLED, AT_PRICE, WITHIN = (
    "as trained",
    "frozen",
    "frozen, gates paid",
    "shuffled",
    "at a price",
    "within a budget",
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
    gates, or with them paid for; ``shuffled``: decisions dealt to other inputs; ``at a price``;
    ``within a budget`` that thresholds or a price were set for after training."""
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
    """Share that it was to keep to: what the contender was trained for, or what thresholds or a
    price were set for afterwards."""
    validation_accuracy: float | None = None
    """Accuracy on the validation split; None where that was not looked at."""
    price: float | None = None
    """Price of cost, 0 to 1, for gates that take one; else None."""
    correlation: float | None = None
    """Spearman's rank correlation of energy with difficulty over inputs; None where all inputs cost
    the same."""
    vectors: int = 1
    """Different decision vectors that occur."""
    deciding: int = 0
    """Blocks with a choice, beside the most frequent, that more than 5 % of the inputs take."""
    fixed: str = ""
    """Choices of the blocks where all inputs have the same."""
    made_of: tuple[str, ...] = ()
    """Names of the contenders that it is made of, in the order they run."""
    threshold: float | None = None
    """Confidence below which the first of them passes an input on."""

    @property
    def met(self) -> bool:
        """Whether it kept to its target, within `MET` on either side."""
        return abs(self.share / self.target - 1) <= MET

    @property
    def over(self) -> bool:
        """Whether it spent more than its target, and `MET` on top."""
        return self.share / self.target > 1 + MET

    @property
    def way(self) -> str:
        """How it was run, told apart from the contender's other ways."""
        price = f" {self.price:g}" if self.variant == AT_PRICE else ""
        return f"{self.variant}{price}, {self.target:g} x budget"


@dataclass(frozen=True)
class Answers:
    """What a network said of the N inputs of a split."""

    correct: np.ndarray
    """Whether each is classified right, float64 [N]: 0 or 1; a share where an input was run
    several times."""
    confidence: np.ndarray
    """Softmax probability of each predicted class, float64 [N]."""


@dataclass(frozen=True)
class Run:
    """A record with the N test inputs that it is the mean of."""

    record: Record
    correct: np.ndarray
    """Whether each is classified right, as `Answers` has it, float64 [N]."""
    cost: np.ndarray
    """What each input cost in the study's metric, in its SI unit, float64 [N]."""
    source: np.ndarray
    """Number of the picture that each input was made of, int64 [N], the same for all seeds."""
    severity: np.ndarray | None = None
    """How badly each input was degraded, float64 [N]; None where the data does not say."""
    answers: Answers | None = None
    """What a static network said of them; None for others."""
    validation: Answers | None = None
    """What a static network said of the validation inputs; None for others."""
