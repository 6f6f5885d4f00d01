"""Precision-scalable MAC arrays at 28 nm: published syntheses, and a model of any of their kind.

``data/psma28.csv``: power and area of 56 arrays from one synthesis flow at 28 nm, at 1 and 5 ns
(Ibrahim, Mei and Verhelst, arXiv 2108.04773; KULeuven-MICAS/PSMA-benchmark at 94913e3,
results/breakdown, Solderpad Hardware License 2.1), registers included. An array has 256 units that
multiply 8 by 8 bits. The model's parts are counted in `accel_models.energy.psma_counts` and priced
in `accel_models.energy.psma_fit`; how far it is off at arrays left out says
`accel_models.validation.compare_with_psma`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import log, sqrt

from accel_models.energy.psma_counts import L2_UNITS, PRECISIONS, PsmaLevels
from accel_models.energy.psma_fit import PsmaFit, area_counts, energy_counts, fit
from accel_models.energy.published_tables import read_table
from accel_models.errors import InputError, listed
from accel_models.precision import Precision
from accel_models.source import Source

SHARINGS = ("00", "10", "11")
CLOCKS_NS = (1.0, 5.0)
"""Clock periods that the arrays were synthesised for."""
NAMED = {
    "BITFUSION": "BG_L2_L4_00_L3_11_L2_11_DVAFS_0",
    "BITBLADE": "BG_L3_L4_00_L3_11_L2_11_DVAFS_0",
    "LOOM": "BG_BS_L4_00_L3_00_L2_11_DVAFS_0",
}
"""Arrays that the benchmark calls by a name, and what they are in its taxonomy."""
PATTERN = re.compile(r"BG_(L2|L3|BS)_L4_(\d\d)_L3_(\d\d)_L2_(\d\d)_DVAFS_([01])")

SYNTHESES = Source(
    "published", "28 nm syntheses of KULeuven-MICAS/PSMA-benchmark (arXiv 2108.04773)"
)
"""Source of `psma28`."""
MODEL = Source("assumed", "parts counted from the taxonomy, prices fitted to psma28")
"""Source of `PsmaDesign.figures`."""


@dataclass(frozen=True)
class PsmaFigures:
    """What an array costs at 28 nm, registers included, DRAM and buffers not."""

    pj_per_mac: Mapping[Precision, float]
    """Energy of a MAC with all units busy, in pJ, by precision."""
    um2_per_mac: float
    """Area of one of the 256 units that multiply 8 by 8 bits, in µm²."""
    clock_ns: float
    source: Source


@dataclass(frozen=True)
class PsmaDesign(PsmaLevels):
    """One array of the taxonomy, in the benchmark's own terms.

    Raises:
        InputError: if a field is none of its values, or the fields together make no array.
    """

    def __post_init__(self) -> None:
        for name, known in (
            ("bg", ("L2", "L3", "BS")),
            ("l4", SHARINGS),
            ("l3", SHARINGS),
            ("l2", SHARINGS),
            ("unrolling", tuple(PRECISIONS)),
        ):
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name} must be one of {listed(known)}, got {getattr(self, name)!r}"
                )
        if self.unrolling == "SWU" and self.bg != "L2":
            raise InputError(f"subwords (SWU) join bit groups in L2, got bg {self.bg}")
        if self.unrolling == "SWU" and self.l2 == "10":
            raise InputError("subwords (SWU) have one axis in L2: l2 is 00 or 11, got 10")
        if self.bg == "L3" and self.l2 == "00":
            raise InputError(
                "bg L3 adds in L2 before it shifts: with l2 00 nothing is added and each of 16 "
                "outputs needs the shifters of bg L2; l2 is 10 or 11"
            )
        if self.bg == "BS" and self.l2 != "11":
            raise InputError(f"bg BS adds all of L2 to one output: l2 is 11, got {self.l2}")

    @classmethod
    def parse(cls, name: str) -> PsmaDesign:
        """Read one of the benchmark's names, as ``BG_L2_L4_00_L3_11_L2_11_DVAFS_0`` or ``LOOM``.

        Raises:
            InputError: if it is none, or names an array that makes no sense.
        """
        found = PATTERN.fullmatch(NAMED.get(name, name))
        if found is None:
            raise InputError(
                f"'{name}' is no precision-scalable array: write {listed(NAMED)} or a name such as "
                "BG_L3_L4_00_L3_11_L2_10_DVAFS_0"
            )
        bg, l4, l3, l2, subwords = found.groups()
        return cls(bg, l4, l3, l2, "SWU" if subwords == "1" else "FU")

    @property
    def name(self) -> str:
        """The benchmark's name of the array."""
        subwords = int(self.unrolling == "SWU")
        plain = f"BG_{self.bg}_L4_{self.l4}_L3_{self.l3}_L2_{self.l2}_DVAFS_{subwords}"
        return next((short for short, long in NAMED.items() if long == plain), plain)

    def figures(self, clock_ns: float, without: str | None = None) -> PsmaFigures:
        """Figures of the model, for arrays that were synthesised, too (`psma28` has theirs).

        Args:
            clock_ns: one of `CLOCKS_NS`.
            without: the name of a synthesised array that the model is not to know.

        Raises:
            InputError: if nothing was synthesised at that clock.
        """
        area, energy = psma_fits(clock_ns, without)
        return PsmaFigures(
            pj_per_mac={
                precision: energy.predict(self, energy_counts(self, precision))
                / self.macs_per_cycle(precision)
                for precision in PRECISIONS[self.unrolling]
            },
            um2_per_mac=area.predict(self, area_counts(self)) / L2_UNITS,
            clock_ns=clock_ns,
            source=MODEL,
        )


def psma28(design: str, unrolling: str, clock_ns: float) -> PsmaFigures:
    """Published figures of one synthesised array, by its name in the benchmark.

    Raises:
        InputError: if the table has no such array at that unrolling and clock.
    """
    found = psma_table(clock_ns).get((design, unrolling))
    if found is None:
        raise InputError(
            f"psma28.csv has no {design} with unrolling {unrolling}; "
            f"PsmaDesign.parse('{design}').figures({clock_ns}) estimates it"
        )
    return found


@cache
def psma_table(clock_ns: float) -> Mapping[tuple[str, str], PsmaFigures]:
    """All published figures at one clock, by name and unrolling.

    Raises:
        InputError: if nothing was synthesised at that clock.
    """
    if clock_ns not in CLOCKS_NS:
        raise InputError(f"arrays were synthesised at {listed(CLOCKS_NS)} ns, got {clock_ns}")
    energies: dict[tuple[str, str], dict[Precision, float]] = {}
    areas: dict[tuple[str, str], float] = {}
    for row in read_table("psma28.csv"):
        if float(row["clk_ns"]) != clock_ns:
            continue
        array = (row["design"], row["unrolling"])
        activation, weight = map(int, row["precision"].split("x"))
        energies.setdefault(array, {})[Precision(weight, activation)] = float(row["pj_per_mac"])
        areas[array] = float(row["area_top_um2"])
    return {
        array: PsmaFigures(pj, areas[array] / L2_UNITS, clock_ns, SYNTHESES)
        for array, pj in energies.items()
    }


@cache
def psma_fits(clock_ns: float, without: str | None = None) -> tuple[PsmaFit, PsmaFit]:
    """Fits to all published arrays: µm² of an array, pJ of its cycle.

    Args:
        clock_ns: one of `CLOCKS_NS`.
        without: the name of an array to leave out.

    Raises:
        InputError: if nothing was synthesised at that clock.
    """
    areas, energies = [], []
    for (name, _), figures in psma_table(clock_ns).items():
        if name == without:
            continue
        design = PsmaDesign.parse(name)
        areas.append((design, area_counts(design), figures.um2_per_mac * L2_UNITS))
        for precision, pj in figures.pj_per_mac.items():
            cycle = pj * design.macs_per_cycle(precision)
            energies.append((design, energy_counts(design, precision), cycle))
    return fit(areas), fit(energies)


@cache
def psma28_between(design: str, clock_ns: float) -> PsmaFigures:
    """Figures of one fully unrolled array at a clock between those it was synthesised for.

    Raises:
        InputError: if the array was not synthesised, or the clock is not between.
    """
    return figures_between(lambda clock: psma28(design, "FU", clock), clock_ns)


def figures_between(figures: Callable[[float], PsmaFigures], clock_ns: float) -> PsmaFigures:
    """Figures at a clock between `CLOCKS_NS`, from those at either: on a straight line through
    logarithms of period and figure, which is an assumption.

    Raises:
        InputError: if the clock is not between.
    """
    first, last = CLOCKS_NS[0], CLOCKS_NS[-1]
    if not first <= clock_ns <= last:
        raise InputError(f"arrays were synthesised from {first} to {last} ns, got {clock_ns}")
    fast, slow = figures(first), figures(last)
    share = log(clock_ns / first) / log(last / first)

    def between(one: float, other: float) -> float:
        return one ** (1 - share) * other**share

    return PsmaFigures(
        pj_per_mac={
            precision: between(pj, slow.pj_per_mac[precision])
            for precision, pj in fast.pj_per_mac.items()
        },
        um2_per_mac=between(fast.um2_per_mac, slow.um2_per_mac),
        clock_ns=clock_ns,
        source=fast.source,
    )


def unit_cycle_pj(figures: PsmaFigures) -> dict[Precision, float]:
    """Energy in pJ of one full cycle of a unit that multiplies 8 by 8 bits once, at 2, 4 and 8 bits
    of either operand.

    Weights of 4 and activations of 8 bits are taken to cost what 8 and 4 do, and 4 by 2 bits, which
    were not synthesised, the geometric mean of 4 by 4 and 2 by 2.
    """
    cycles = {
        precision: pj * 64 / (precision.weight_bits * precision.activation_bits)
        for precision, pj in figures.pj_per_mac.items()
    }
    cycles[Precision(2, 4)] = sqrt(cycles[Precision(4, 4)] * cycles[Precision(2, 2)])
    turned = {Precision(one.activation_bits, one.weight_bits): pj for one, pj in cycles.items()}
    return turned | cycles
