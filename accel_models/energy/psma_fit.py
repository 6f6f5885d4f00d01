"""Coefficients of precision-scalable arrays: what a register bit, an adder bit, a join costs.

A figure of an array is a sum over what it is built of (`accel_models.energy.psma_counts`), each
count times a coefficient that is never negative, times what timing adds where additions in a row
leave a clock of that length no slack: ``1 + strength * (depth - free)**2`` beyond ``free``
additions. Coefficients are fitted to syntheses at one clock, those of both unrollings together, by
non-negative least squares on relative errors; strength and free depth are the best pair of a grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from accel_models.energy.psma_counts import (
    HEADROOM,
    L2_UNITS,
    PsmaLevels,
    bricks,
    join_stages,
)
from accel_models.precision import Precision

STRENGTHS = (0.0, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07)
"""Growths tried, of every part for an addition beyond the free ones, squared."""
FREE_DEPTHS = (8, 9)
"""Additions in a row tried as what a clock leaves room for."""

Counts = Mapping[str, float]
"""How much there is of each part, by its name."""


@dataclass(frozen=True)
class PsmaFit:
    """A figure's coefficients, each in the figure's unit for one of the part, and its timing."""

    coefficients: Mapping[str, float]
    strength: float
    """Growth of all parts for an addition beyond `free_depth`, squared."""
    free_depth: int
    """Additions in a row that cost nothing more."""

    def predict(self, levels: PsmaLevels, counts: Counts) -> float:
        """The figure of an array, in the unit that the coefficients were fitted in."""
        built = sum(self.coefficients[part] * number for part, number in counts.items())
        return built * _pressed(levels, self.strength, self.free_depth)


def area_counts(levels: PsmaLevels) -> Counts:
    """Parts that take area: L2 units by how they join bit groups, and register bits.

    The adders above a join are counted nowhere: with them, the fit gives them no area.
    """
    return {
        **_joins(levels, 1.0),
        "input register bit": levels.input_bits,
        "accumulator bit": levels.output_bits,
    }


def energy_counts(levels: PsmaLevels, precision: Precision) -> Counts:
    """Parts that take energy in a cycle at some precision.

    Registers are clocked all the time, and all inputs toggle at every precision (the benchmark's
    breakdown has the same power for input registers at each); accumulators of bit-serial units wait
    for a whole product, which comes out of a register. Where a join of fully unrolled bit groups
    shares inputs, the words beside the first pass adders of their own, which toggle the more, the
    longer the way is on which their bits arrived apart.
    """
    serial = levels.bg == "BS"
    cycles = bricks(precision) if serial else 1
    words = levels.words(precision)
    counts = _joins(levels, 1.0 if serial else levels.active(precision))
    counts["input register bit"] = levels.input_bits
    counts["output register bit"] = levels.output_bits / cycles
    width = levels.width(precision) + (0 if serial else HEADROOM)
    accumulated = levels.outputs(precision) * width / cycles
    glitching = 0.0 if serial else accumulated / words
    counts["accumulator bit of a first word"] = glitching
    counts["accumulator bit of a further word or behind a register"] = accumulated - glitching
    shares = levels.unrolling == "FU" and levels.join == "00"
    first = {level: 0.0 for level in ("l3", "l4")}
    further = 0.0
    for level in () if serial else levels.trees:
        bits = levels.adder_bits(level, precision)
        first[level] = bits / words if shares else bits
        further += bits - first[level]
    counts["adder bit in l3"] = first["l3"]
    counts["adder bit in l4"] = first["l4"]
    counts["adder bit of a further word"] = further
    counts["adder bit of a further word, by stage"] = further * join_stages(precision)
    return counts


def fit(rows: Sequence[tuple[PsmaLevels, Counts, float]]) -> PsmaFit:
    """Coefficients with the least squares of relative errors, from arrays, counts and figures."""
    parts = list(rows[0][1])
    counted = np.array([[counts[part] for part in parts] for _, counts, _ in rows])
    figures = np.array([figure for _, _, figure in rows])
    largest = np.maximum(counted.max(axis=0), 1e-12)

    from scipy.optimize import nnls  # half a second, which a command's help need not wait for

    def tried(strength: float, free: int) -> tuple[float, NDArray[np.float64]]:
        pressed = np.array([_pressed(levels, strength, free) for levels, _, _ in rows])
        found, left = nnls(counted / largest * (pressed / figures)[:, None], np.ones(len(rows)))
        return float(left), found / largest

    pairs = list(product(STRENGTHS, FREE_DEPTHS))
    results = [tried(*pair) for pair in pairs]
    best = min(range(len(pairs)), key=lambda at: results[at][0])
    coefficients = dict(zip(parts, results[best][1].tolist(), strict=True))
    return PsmaFit(coefficients, *pairs[best])


def _joins(levels: PsmaLevels, number: float) -> dict[str, float]:
    """Units with their multipliers and the adders and shifters that join their bit groups, by the
    level of the joining and what it shares: that decides how many words they select between."""
    known = [f"L2 {sharing}" for sharing in ("00", "10", "11")]
    known += [f"L3 {sharing}" for sharing in ("10", "11")] + ["BS 11", "SWU"]
    kind = "SWU" if levels.unrolling == "SWU" else f"{levels.bg} {levels.l2}"
    return {f"unit {name}": L2_UNITS * number * (name == kind) for name in known}


def _pressed(levels: PsmaLevels, strength: float, free: int) -> float:
    return 1 + strength * max(0, levels.depth - free) ** 2
