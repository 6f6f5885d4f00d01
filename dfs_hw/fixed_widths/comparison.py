"""Policies of widths side by side: accuracy, and price on a machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from accel_models import Accelerator, Simulation, simulate
from accel_models.precision import FULL
from accel_models.workloads.widths import WidthPolicy
from dfs_hw.fixed_widths.evaluation import LEARNING_RATE, accuracy_of, train_further
from dfs_hw.fixed_widths.network import CALIBRATION_BATCHES, FixedWidths, at_widths, gone_through

AS_IS = "as it is"


@dataclass(frozen=True)
class PricedAccuracy:
    """What a policy of widths keeps of a model's accuracy, and what it costs."""

    name: str
    accuracy: float
    """Share of labels predicted right, calibrated only."""
    trained: float | None
    """Accuracy after training further; None if it was not."""
    cost: Simulation
    """Price of one input."""
    network: FixedWidths
    """The model at these widths, as trained."""


def compare_policies(
    model: nn.Module,
    policies: Mapping[str, WidthPolicy],
    training: Iterable[Any],
    test: Iterable[Any],
    machine: Accelerator,
    *,
    quantizer: str = "normal",
    batches: int = CALIBRATION_BATCHES,
    epochs: int = 0,
    learning_rate: float = LEARNING_RATE,
    name: str = "",
) -> list[PricedAccuracy]:
    """Accuracy and price of a model as it is, in floating point charged as 16 bits, then of each
    policy.

    Args:
        model: stays as it is.
        policies: of `at_widths`, by a name for each.
        training: batches that ranges are taken from, and that is trained on.
        test: batches that accuracy is of.
        machine: that is priced on.
        quantizer: as of `at_widths`.
        batches: of calibration.
        epochs: to train each policy further by `train_further`; none by default.
        learning_rate: of that training.
        name: what to call the workload.

    Raises:
        InputError: as `at_widths`, `accuracy_of` and `train_further`;
            or if batches cannot be gone through.
        InfeasibleError: if a policy's widths cannot run on the machine.
    """
    training, test = _again(training), _again(test)
    found = []
    for called, policy in {AS_IS: {}, **policies}.items():
        network = at_widths(
            model, policy, training, quantizer=quantizer, batches=batches, name=name
        )
        cost = simulate(network.workload, machine, FULL)
        before, after = accuracy_of(network, test), None
        if epochs and policy:
            train_further(network, training, epochs=epochs, learning_rate=learning_rate)
            after = accuracy_of(network, test)
        found.append(PricedAccuracy(called, before, after, cost, network))
    return found


def _again(batches: Iterable[Any]) -> Iterable[Any]:
    """Batches that can be gone through several times."""
    once = gone_through(batches)
    return list(once) if once is batches else batches


__all__ = ["PricedAccuracy", "compare_policies"]
