"""Any precision-scalable array of one taxonomy, priced by a model fitted to syntheses of its kind.

Taxonomy and syntheses: Ibrahim, Mei and Verhelst, "Survey and Benchmarking of Precision-Scalable
MAC Arrays for Embedded DNN Processing" (arXiv 2108.04773); the model is `accel_models.energy.psma`.
"""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from accel_models.accelerators.arrays.array import NO_PASS, Array, Datapath, LaneRule
from accel_models.accelerators.arrays.operands import refuse_wider
from accel_models.accelerators.arrays.registry import register_family
from accel_models.energy.array import LEAKAGE_OF_AREA, ArrayFigures, leakage_of_area_mw
from accel_models.energy.psma import MODEL, PsmaDesign, PsmaFigures, figures_between, unit_cycle_pj
from accel_models.energy.psma_counts import BRICKS, L2_UNITS, SIDE, bricks
from accel_models.errors import InputError
from accel_models.precision import Precision
from accel_models.source import In, Source
from accel_models.workloads.workload import Layer

STEPS = 1000
"""Operations that a product of 2 by 2 bits is counted in, to tell full cycles apart."""
LEVELS = (2, 4, 8)
"""Widths that arrays of the taxonomy tell apart."""
VECTOR_LANES = 16
"""Outputs requantised in a cycle for each array of 256 units: as many as Bit Fusion on common
ground has for as many multipliers, an assumption."""
REGISTERS = 2
"""Cycles through the registers at an array's inputs and outputs."""

Sharing = Literal["00", "10", "11"]


class Unrolled(NamedTuple):
    """What an array works on in one step: products of an output, outputs of a position, positions;
    and the cycles that a step takes."""

    lanes: int
    outputs: int
    positions: int
    cycles: int


@register_family
class PsmaArray(Array):
    """Arrays of 256 units that multiply 8 by 8 bits: rows of them add to one output, columns make
    others.

    A level's two digits say what 4 x 4 units do along weights and activations: 1 add to one output,
    0 make outputs of their own. So ``11`` adds 16 products, ``10`` makes 4 output channels of 4
    products, and ``00`` 4 channels at 4 positions. Subwords that are not added are taken to be
    output channels.
    """

    lane_rules: ClassVar[tuple[LaneRule, ...]] = ("channels", "kernel-row", "window")

    family: Literal["psma"]
    bg: Literal["L2", "L3", "BS"]
    """Level that shifts and adds groups of 2 bits to products; BS: one after the other, in as many
    cycles."""
    l4: Sharing
    """What the array's 16 units of L3 do."""
    l3: Sharing
    """What the 16 units of L2 in one of L3 do."""
    l2: Sharing
    """What the 16 multipliers of 2 by 2 bits in a unit of L2 do."""
    unrolling: Literal["FU", "SWU"]
    """Whether all multipliers work at every precision (FU), or subwords do (SWU): at 4 bits half of
    them, at 2 a quarter."""
    synthesis_ns: Annotated[float, In("ns")] = Field(ge=1, le=5)
    """Clock period that it is synthesised for, between the two of the syntheses."""

    @model_validator(mode="after")
    def _makes_sense(self) -> PsmaArray:
        try:
            self.design  # noqa: B018
        except InputError as error:
            raise ValueError(f"array.bg, l3, l2 and unrolling: {error}") from error
        return self

    @property
    def design(self) -> PsmaDesign:
        """The array in the taxonomy's own terms."""
        return PsmaDesign(self.bg, self.l4, self.l3, self.l2, self.unrolling)

    def unrolled(self, widths: Precision) -> Unrolled:
        """What one array of 256 units works on in a step."""
        level, design = self._level(widths), self.design
        adding = (self.l4, self.l2 if self.bg == "L3" else self.l3)
        lanes = prod(SIDE ** one.count("1") for one in adding)
        outputs = prod(1 if one == "11" else SIDE for one in adding)
        positions = prod(SIDE if one == "00" else 1 for one in adding)
        if self.bg == "BS":
            return Unrolled(lanes * BRICKS, outputs, positions, bricks(level))
        words = design.words(level)
        beside = 8 // level.activation_bits if design.join == "00" and self.unrolling == "FU" else 1
        return Unrolled(
            lanes * design.products(level) // words,
            outputs * words // beside,
            positions * beside,
            1,
        )

    def datapath(self, layer: Layer, widths: Precision) -> Datapath:
        refuse_wider(widths, LEVELS[-1])
        one = self.unrolled(widths)
        return Datapath(
            rows=self.rows,
            columns=self.columns * one.outputs,
            passes=((one.lanes, 1), NO_PASS, NO_PASS, NO_PASS),
            windows=one.positions,
            cycles_per_step=one.cycles,
            fill=REGISTERS,
            operations_per_mac=self.operation_weight(widths),
        )

    def operation_weight(self, widths: Precision) -> int:
        level, cycles = self._level(widths), self._cycles_pj()
        share = cycles[level] / max(cycles.values())
        return round(STEPS * BRICKS * share / self.design.products(level))

    @property
    def operations_per_cycle(self) -> int:
        return self.rows * self.columns * L2_UNITS * BRICKS * STEPS

    def figures(self) -> ArrayFigures:
        """Figures of the model, and leakage by area (`leakage_of_area_mw`)."""
        units = self.rows * self.columns * L2_UNITS
        area = _figures(self.design, self.synthesis_ns).um2_per_mac * units * 1e-6
        return ArrayFigures(
            pj_per_cycle=max(self._cycles_pj().values()) * units,
            leakage_mw=leakage_of_area_mw(area),
            area_mm2=area,
        )

    @property
    def figures_source(self) -> Source:
        text = f"{MODEL.text}: {self.design.name} at {self.synthesis_ns:g} ns"
        return MODEL._replace(text=text)

    @property
    def leakage_source(self) -> Source:
        return LEAKAGE_OF_AREA

    @property
    def vector_lanes(self) -> int:
        return self.rows * self.columns * VECTOR_LANES

    def _level(self, widths: Precision) -> Precision:
        """The widths that operands run at; subwords are as wide for both."""
        weights, inputs = (
            next(level for level in LEVELS if bits <= level)
            for bits in (widths.weight_bits, widths.activation_bits)
        )
        if self.unrolling == "SWU":
            weights = inputs = max(weights, inputs)
        return Precision(weights, inputs)

    def _cycles_pj(self) -> dict[Precision, float]:
        """Energy in pJ of a unit's full cycle at each level."""
        figures = _figures(self.design, self.synthesis_ns)
        if self.unrolling == "FU":
            return unit_cycle_pj(figures)
        return {
            precision: pj * self.design.products(precision)
            for precision, pj in figures.pj_per_mac.items()
        }


@cache
def _figures(design: PsmaDesign, nanoseconds: float) -> PsmaFigures:
    """Figures of the model between the two clocks, looked up once: every layer asks."""
    return figures_between(design.figures, nanoseconds)
