"""Precision-scalable arrays left out one by one, and what the model then says of them.

Beside the model stands a plain ridge regression on the taxonomy itself: for each unrolling, clock,
figure and precision a constant and one indicator for every value of BG, L4, L3 and L2, fitted to
relative errors as the model is, the same array left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from accel_models.energy.psma import CLOCKS_NS, PsmaDesign, PsmaFigures, psma_table
from accel_models.precision import Precision

FIELDS = ("bg", "l4", "l3", "l2")
PENALTY = 1.0
"""Weight of the ridge's squared coefficients, in units of the median figure."""


@dataclass(frozen=True)
class PsmaLeftOut:
    """One published figure and what is predicted from all other arrays: pJ a MAC, or µm² a unit."""

    design: str
    unrolling: str
    clock_ns: float
    precision: Precision | None
    """Precision of an energy; None for the area."""
    published: float
    predicted: float
    ridge: float

    @property
    def figure(self) -> str:
        return "area" if self.precision is None else "energy"


@dataclass(frozen=True)
class PsmaErrors:
    """How far predictions of arrays left out are off, of one unrolling and figure at one clock."""

    unrolling: str
    clock_ns: float
    figure: str
    designs: int
    median_percent: float
    p90_percent: float
    rank: float
    """Median over precisions of Spearman's correlation of predicted and published figures."""
    lowest_rank: float
    """Correlation at the precision where it is lowest."""
    ridge_median_percent: float
    ridge_rank: float
    ridge_lowest_rank: float


@dataclass(frozen=True)
class PsmaComparison:
    """All figures with their predictions, and the errors of each unrolling, clock and figure."""

    rows: tuple[PsmaLeftOut, ...]
    errors: tuple[PsmaErrors, ...]


def compare_with_psma() -> PsmaComparison:
    """Leave out each of the 56 published arrays at both clocks, predict it from the others."""
    rows = [row for clock_ns in CLOCKS_NS for row in _left_out(clock_ns)]
    groups = groupby(sorted(rows, key=_group), key=_group)
    return PsmaComparison(tuple(rows), tuple(_errors(list(group)) for _, group in groups))


def _left_out(clock_ns: float) -> Iterator[PsmaLeftOut]:
    published = psma_table(clock_ns)
    ridge = _ridge_predictions(clock_ns)
    for (name, unrolling), figures in published.items():
        predicted = _series(PsmaDesign.parse(name).figures(clock_ns, without=name))
        for precision, figure in _series(figures).items():
            both = predicted[precision], ridge[name, precision]
            yield PsmaLeftOut(name, unrolling, clock_ns, precision, figure, *both)


def _series(figures: PsmaFigures) -> dict[Precision | None, float]:
    """Energies by precision, and the area under None."""
    energies = figures.pj_per_mac.items()
    series: dict[Precision | None, float] = {precision: pj for precision, pj in energies}
    return series | {None: figures.um2_per_mac}


def _ridge_predictions(clock_ns: float) -> dict[tuple[str, Precision | None], float]:
    """Predictions of the ridge, by array and precision, None for areas."""
    alike: dict[tuple[str, Precision | None], list[tuple[str, float]]] = {}
    for (name, unrolling), figures in psma_table(clock_ns).items():
        for precision, figure in _series(figures).items():
            alike.setdefault((unrolling, precision), []).append((name, figure))
    found: dict[tuple[str, Precision | None], float] = {}
    for (_, precision), arrays in alike.items():
        designs = [PsmaDesign.parse(name) for name, _ in arrays]
        predicted = _ridge(_indicators(designs), np.array([figure for _, figure in arrays]))
        for (name, _), figure in zip(arrays, predicted.tolist(), strict=True):
            found[name, precision] = figure
    return found


def _indicators(designs: Sequence[PsmaDesign]) -> NDArray[np.float64]:
    """A constant and one column for every value of each field, [designs, columns]."""
    columns = [
        [float(getattr(design, field) == value) for design in designs]
        for field in FIELDS
        for value in sorted({getattr(design, field) for design in designs})
    ]
    return np.array([[1.0] * len(designs), *columns]).T


def _ridge(indicators: NDArray[np.float64], figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """Figure of each row predicted from all other rows; the constant is not penalised."""
    typical = np.median(figures)
    penalty = PENALTY * np.eye(indicators.shape[1])
    penalty[0, 0] = 0.0
    predicted = np.empty(len(figures))
    for at in range(len(figures)):
        kept = np.arange(len(figures)) != at
        relative = indicators[kept] * (typical / figures[kept])[:, None]
        found = np.linalg.solve(relative.T @ relative + penalty, relative.sum(axis=0))
        predicted[at] = typical * indicators[at] @ found
    return predicted


def _group(row: PsmaLeftOut) -> tuple[str, float, str]:
    return row.unrolling, row.clock_ns, row.figure


def _errors(rows: Sequence[PsmaLeftOut]) -> PsmaErrors:
    published = np.array([row.published for row in rows])
    percent, ridge_percent = (
        100 * np.abs(np.array(values) / published - 1)
        for values in ([row.predicted for row in rows], [row.ridge for row in rows])
    )
    ranks, ridge_ranks = [], []
    for precision in {row.precision for row in rows}:
        alike = [row for row in rows if row.precision == precision]
        figures = [row.published for row in alike]
        ranks.append(_rank_correlation([row.predicted for row in alike], figures))
        ridge_ranks.append(_rank_correlation([row.ridge for row in alike], figures))
    return PsmaErrors(
        *_group(rows[0]),
        designs=len({row.design for row in rows}),
        median_percent=float(np.median(percent)),
        p90_percent=float(np.percentile(percent, 90)),
        rank=float(np.median(ranks)),
        lowest_rank=min(ranks),
        ridge_median_percent=float(np.median(ridge_percent)),
        ridge_rank=float(np.median(ridge_ranks)),
        ridge_lowest_rank=min(ridge_ranks),
    )


def _rank_correlation(predicted: Sequence[float], published: Sequence[float]) -> float:
    """Spearman's correlation; no two figures are equal."""
    first, second = (np.argsort(np.argsort(values)) for values in (predicted, published))
    return float(np.corrcoef(first, second)[0, 1])
