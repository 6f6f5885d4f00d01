"""What networks on machines are judged by: one entry each, asked by all that counts or names them.

An entry says what a metric is called, its unit and column, and how it follows from what a machine
did. Where it can be asked for is a consequence: what adds up over layers can be a budget, be
assigned exactly and has percentiles; what is known of single inputs can be compared on replays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np

from accel_models.errors import InputError
from accel_models.si import si


class Done(Protocol):
    """What a machine did: arrays of one shape [...], or numbers. Replays, simulations and
    `costs.pricing.Work` are such."""

    @property
    def counts(self) -> Any:
        """int64 [..., action], as in `mapping.problem.ACTIONS`."""

    @property
    def cycles(self) -> Any: ...
    @property
    def energy_j(self) -> Any: ...
    @property
    def latency_s(self) -> Any: ...
    @property
    def bitops(self) -> Any: ...


@dataclass(frozen=True)
class Sum:
    """Adds up over layers.

    Args:
        of: gives the amounts of what was done, of its shape.
        step: the amount that all of a machine, an `Accelerator`, are multiples of; None where
            there is no such.
        waits: whether cycles in which the array waits count in it.
    """

    of: Callable[[Done], Any]
    step: Callable[[Any], float] | None = None
    waits: bool = True


@dataclass(frozen=True)
class Product:
    """Two sums multiplied for each input; where a mean is to be steered, their means multiplied."""

    factors: tuple[str, str]


@dataclass(frozen=True)
class Percentile:
    """What a share of the inputs, `rank` in a hundred, does not exceed of a sum."""

    of: str
    rank: int


@dataclass(frozen=True)
class Quotient:
    """The mean of one metric over the mean of another."""

    over: str
    under: str


@dataclass(frozen=True)
class OfMachine:
    """Known of the machine, before anything runs.

    Args:
        of: gives the amount by the machine's `Pricing`; None where nobody knows it.
        unknown: says so of a ``{machine}``.
    """

    of: Callable[[Any], float | None]
    unknown: str


@dataclass(frozen=True)
class OfInputs:
    """Known of what was recorded, whatever machine it runs on.

    Args:
        of: gives the amount by an `exploration.workloads.NetworkRun`; None where nobody knows it.
        unknown: says so of a ``{workload}``.
    """

    of: Callable[[Any], float | None]
    unknown: str


@dataclass(frozen=True)
class Metric:
    """Something to be judged by; less is better.

    Args:
        name: as it is asked for.
        label: heads a column that people read.
        title: what it is, in full.
        unit: SI, or ``BitOps``; "" for a share.
        column: of files and tables.
        follows: how it comes from what was done.
        explored: whether searches among machines can be for it.
        workloads: what counts where a machine runs several: the weighted mean, or the worst.
    """

    name: str
    label: str
    title: str
    unit: str
    column: str
    follows: Sum | Product | Percentile | Quotient | OfMachine | OfInputs
    explored: bool = True
    workloads: Literal["mean", "worst"] = "mean"

    @property
    def summands(self) -> tuple[str, ...]:
        """Names of the sums over layers that a mean of this metric is the product of.

        Raises:
            InputError: if it is no such product.
        """
        if isinstance(self.follows, Sum):
            return (self.name,)
        if isinstance(self.follows, Product):
            return self.follows.factors
        raise InputError(f"{self.name} is no sum over layers, and no product of such")

    @property
    def has_percentiles(self) -> bool:
        """Whether budgets can be set for a percentile of it, and not for its mean alone."""
        return isinstance(self.follows, Sum)

    def of(self, done: Done) -> np.ndarray:
        """Amounts of what was done, of its shape; whole numbers where they are.

        Raises:
            InputError: if the metric is not known input by input.
        """
        if isinstance(self.follows, Sum):
            return np.asarray(self.follows.of(done))
        one, other = (METRICS[name].of(done) for name in self.summands)
        product: np.ndarray = one * other
        return product

    def over(self, done: Done) -> float:
        """One figure for N inputs that ran: a percentile, or the mean of their amounts."""
        if isinstance(self.follows, Percentile):
            return float(np.percentile(METRICS[self.follows.of].of(done), self.follows.rank))
        amounts = self.of(done)
        return float(amounts.sum() / len(amounts))

    def text(self, value: float) -> str:
        """An amount as people read it."""
        if not self.unit:
            return f"{value:.1%}"
        return si(value, self.unit) if self.unit in _PREFIXED else f"{value:.4g} {self.unit}"


_PREFIXED = ("J", "s", "J s", "W", "BitOps")


def _area(pricing: Any) -> float | None:
    parts = pricing.area_mm2
    return sum(parts.values()) if parts["array"] > 0 else None


@dataclass(frozen=True)
class Efficiency:
    """What a run draws, and what it does for it. More is better, but for the power.

    Args:
        mean_power_w: W over the time of the run, leakage and DRAM in it.
        tops_per_w: 10^12 operations a second for each W, two to a multiplication and addition of
            the network, whatever the widths it ran at: figures at different widths do not compare
            as work done.
        inputs_per_j: inputs for each J.
    """

    mean_power_w: float
    tops_per_w: float
    inputs_per_j: float


def efficiency(energy_j: float, latency_s: float, macs: float, inputs: int) -> Efficiency:
    """Efficiency of a run.

    Args:
        energy_j: of all inputs.
        latency_s: from the first input to the last result.
        macs: multiplications of all inputs, as the network has them: none twice for passes, none
            for padding.
        inputs: how many ran.
    """
    return Efficiency(energy_j / latency_s, 2e-12 * macs / energy_j, inputs / energy_j)


_METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "energy", "energy", "mean energy of an input", "J", "energy_j",
            Sum(lambda done: done.energy_j),
        ),
        Metric(
            "latency", "latency", "mean latency of an input", "s", "latency_s",
            Sum(lambda done: done.latency_s, step=lambda machine: 1 / machine.frequency_hz),
        ),
        Metric(
            "p95", "p95", "95th percentile of latency", "s", "p95_s",
            Percentile("latency", 95), workloads="worst",
        ),
        Metric(
            "edp", "EDP", "mean of energy x latency", "J s", "edp_js",
            Product(("energy", "latency")),
        ),
        Metric(
            "bitops", "BitOps", "mean BitOps of an input", "BitOps", "bitops",
            Sum(lambda done: done.bitops, step=lambda machine: 1.0, waits=False),
            explored=False,  # no machine has fewer
        ),
        Metric(
            "area", "area", "array and buffers", "mm²", "area_mm2",
            OfMachine(_area, "nobody knows the area of {machine}'s array"),
        ),
        Metric(
            "power", "power", "mean energy / mean latency", "W", "power_w",
            Quotient("energy", "latency"), workloads="worst",
        ),
        Metric(
            "error", "error", "share of inputs classified wrongly", "", "error",
            OfInputs(
                lambda run: run.error, "workload '{workload}' does not say how accurate it is"
            ),
        ),
    )
}  # fmt: skip
METRICS: Mapping[str, Metric] = MappingProxyType(_METRICS)
"""All there are, by name; new ones come in through `register`."""


def register(metric: Metric) -> None:
    """Add a metric, for everything that is imported or asked from now on.

    Raises:
        InputError: if its name or its column is taken.
    """
    for other in _METRICS.values():
        if metric.name == other.name or metric.column == other.column:
            raise InputError(f"there is a metric '{other.name}' with column {other.column} already")
    _METRICS[metric.name] = metric


@contextmanager
def registered(metric: Metric) -> Iterator[None]:
    """Add a metric for as long as a block runs; errors are those of `register`."""
    register(metric)
    try:
        yield
    finally:
        del _METRICS[metric.name]


def additive() -> tuple[Metric, ...]:
    """Metrics that add up over layers: budgets and exact assignments can be in them."""
    return tuple(metric for metric in METRICS.values() if isinstance(metric.follows, Sum))


def budgeted() -> tuple[Metric, ...]:
    """Metrics whose mean can be steered while a network is trained."""
    steered = (Sum, Product)
    return tuple(metric for metric in METRICS.values() if isinstance(metric.follows, steered))


def explored() -> tuple[Metric, ...]:
    """Metrics that machines are searched for: objectives, constraints and columns of trials."""
    return tuple(metric for metric in METRICS.values() if metric.explored)


def replayed() -> tuple[Metric, ...]:
    """Metrics among `explored` that inputs have to run for."""
    ran = (Sum, Product, Percentile)
    return tuple(metric for metric in explored() if isinstance(metric.follows, ran))


def columns() -> tuple[str, ...]:
    """Columns of `explored` metrics."""
    return tuple(metric.column for metric in explored())


def names(metrics: Iterable[Metric], *others: str) -> str:
    """Names as a sentence lists them: ``energy, latency or edp``."""
    *most, last = [*(metric.name for metric in metrics), *others]
    return f"{', '.join(most)} or {last}" if most else last


def named(
    name: str, among: Iterable[Metric], *others: str, where: str = "", what: str = "metric"
) -> Metric:
    """The metric of that name among some.

    Args:
        others: names that could have been said too.
        where: what the message begins with.
        what: the metric is asked for as.

    Raises:
        InputError: if none of them is called so.
    """
    metrics = tuple(among)
    for metric in metrics:
        if metric.name == name:
            return metric
    raise InputError(f"{where}unknown {what} '{name}': use {names(metrics, *others)}")
