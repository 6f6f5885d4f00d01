"""How energy is spread over the inputs of a trace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from accel_models.replay import Replay, spread
from dfs_hw.report.subject import (
    ClassCost,
    HistogramBin,
    InputPoint,
    InputSpread,
    ShownInput,
)

MOST_BINS = 48
ALIKE = 1e-6
"""Share of an energy within which inputs cost the same, and stand in one bin."""
SAMPLE = 2000
"""Inputs that a report keeps one by one, at most."""
SHOWN = 8
"""Cheapest inputs, and dearest ones, that are shown."""


@dataclass(frozen=True)
class KnownInputs:
    """What is known of inputs beside their trace.

    Args:
        classes: names by label; empty where labels have none.
        confidence: probability of each predicted class [input].
        severity: how badly each was degraded [input].
        pictures: ``data:`` addresses of those that are shown, by row.
    """

    classes: tuple[str, ...] = ()
    confidence: np.ndarray | None = None
    severity: np.ndarray | None = None
    pictures: dict[int, str] | None = None

    def name(self, label: int) -> str:
        """Name of a class."""
        return self.classes[label] if self.classes else str(label)


def extremes(energy_j: np.ndarray, count: int = SHOWN) -> tuple[list[int], list[int]]:
    """Rows of the cheapest and of the dearest inputs, cheapest first and dearest first."""
    order = np.argsort(energy_j, kind="stable")
    return order[:count].tolist(), order[::-1][:count].tolist()


def input_spread(outcome: Replay, known: KnownInputs) -> InputSpread:
    """The spread of a replay's inputs."""
    energy = outcome.energy_j
    rows = np.unique(np.linspace(0, len(energy) - 1, min(SAMPLE, len(energy))).round().astype(int))
    cheap, dear = extremes(energy)
    return InputSpread(
        energy=spread(energy),
        latency=spread(outcome.latency_s),
        histogram=_histogram(outcome),
        quantiles=_quantiles(energy),
        classes=_classes(outcome, known),
        sample=tuple(_point(outcome, known, row) for row in rows.tolist()),
        cheapest=tuple(_shown(outcome, known, row) for row in cheap),
        dearest=tuple(_shown(outcome, known, row) for row in dear),
        vectors=len(np.unique(outcome.trace.choices, axis=0)),
        severity_correlation=_correlation(energy, known.severity),
        confidence_correlation=_correlation(energy, known.confidence),
    )


def _quantiles(energy: np.ndarray) -> tuple[tuple[float, float], ...]:
    ordered = np.sort(energy)
    at = np.unique(np.percentile(ordered, np.arange(101), method="lower"))
    shares = np.searchsorted(ordered, at, side="right") / len(ordered)
    return tuple(zip(at.tolist(), shares.tolist(), strict=True))


def _histogram(outcome: Replay) -> tuple[HistogramBin, ...]:
    energy, right = outcome.energy_j, _right(outcome)
    number = min(MOST_BINS, max(8, len(np.unique(energy))))
    low, high = energy.min(), energy.max()
    if high - low < ALIKE * high:
        number, low, high = 1, (1 - ALIKE) * low, (1 + ALIKE) * high
    edges = np.histogram_bin_edges(energy, bins=number, range=(low, high))
    counts = [np.histogram(energy[which], edges)[0].tolist() for which in (right, ~right)]
    ends = edges.tolist()
    return tuple(
        HistogramBin(*one) for one in zip(ends[:-1], ends[1:], *counts, strict=True) if any(one[2:])
    )


def _classes(outcome: Replay, known: KnownInputs) -> tuple[ClassCost, ...]:
    return tuple(
        ClassCost(
            known.name(label),
            of.inputs,
            of.correct / of.inputs,
            of.energy_j / of.inputs,
            of.latency_s / of.inputs,
        )
        for label, of in sorted(outcome.totals.classes.items())
    )


def _point(outcome: Replay, known: KnownInputs, row: int) -> InputPoint:
    trace = outcome.trace
    label, prediction = int(trace.labels[row]), int(trace.predictions[row])
    return InputPoint(
        number=int(trace.input_ids[row]),
        label=known.name(label),
        prediction=known.name(prediction),
        right=label == prediction,
        energy_j=float(outcome.energy_j[row]),
        latency_s=float(outcome.latency_s[row]),
        confidence=None if known.confidence is None else float(known.confidence[row]),
        severity=None if known.severity is None else float(known.severity[row]),
    )


def _shown(outcome: Replay, known: KnownInputs, row: int) -> ShownInput:
    chosen = [str(outcome.table.choices[index]) for index in outcome.trace.choices[row].tolist()]
    choices = " ".join("–" if choice == "skip" else choice for choice in chosen)
    return ShownInput(_point(outcome, known, row), choices, (known.pictures or {}).get(row, ""))


def _right(outcome: Replay) -> np.ndarray:
    right: np.ndarray = outcome.trace.labels == outcome.trace.predictions
    return right


def _correlation(energy: np.ndarray, other: np.ndarray | None) -> float | None:
    """Spearman's rank correlation, None where it is not defined."""
    from scipy.stats import spearmanr

    if other is None or np.ptp(energy) == 0 or np.ptp(other) == 0:
        return None
    return float(spearmanr(energy, other).statistic)
