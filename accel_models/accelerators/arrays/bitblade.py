"""BitBlade: Bit Fusion's bricks, grouped by how far their products shift (Ryu et al., DAC 2019)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from accel_models.accelerators.arrays.array import LaneRule
from accel_models.accelerators.arrays.bit_fusion import BitFusion
from accel_models.accelerators.arrays.registry import register_family
from accel_models.energy.array import LEAKAGE_OF_AREA, SYNTHESIS, ArrayFigures
from accel_models.source import In, Source


@register_family
class BitBlade(BitFusion):
    """A column sums the bricks of all its rows that shift equally, then shifts each sum once.

    That takes one shifter for each group where Bit Fusion has some in every element. Products are
    as many as Bit Fusion's, all of a column in one sum: lanes reduce over the whole window.
    """

    lane_rules: ClassVar[tuple[LaneRule, ...]] = ("window",)

    # A Literal of its own, which typing takes for a field changed under its base.
    family: Literal["bitblade"]  # type: ignore[assignment]
    energy_ratio: Annotated[float | None, In("factor")] = Field(default=None, gt=0)
    """Energy of a cycle over that of Bit Fusion's elements, bricks being as many; not stated beside
    `synthesis`."""
    area_ratio: Annotated[float | None, In("factor")] = Field(default=None, gt=0)
    """Area over that of Bit Fusion's elements, bricks being as many; leakage is taken to go with
    it."""

    @model_validator(mode="after")
    def _figures_said_once(self) -> BitBlade:
        for name in ("energy_ratio", "area_ratio"):
            if (getattr(self, name) is None) == (self.synthesis is None):
                raise ValueError(f"array.synthesis or array.{name} must be stated, and not both")
        return self

    @property
    def figures_source(self) -> Source:
        if self.synthesis is not None:
            return self.synthesis_source
        return SYNTHESIS._replace(text=f"{SYNTHESIS.text}; times energy_ratio and area_ratio")

    @property
    def leakage_source(self) -> Source:
        if self.synthesis is not None:
            return LEAKAGE_OF_AREA
        return Source("assumed", f"{SYNTHESIS.text}; leakage times area_ratio")

    def figures(self) -> ArrayFigures:
        fused = super().figures()
        if self.energy_ratio is None or self.area_ratio is None:
            return fused
        return ArrayFigures(
            pj_per_cycle=fused.pj_per_cycle * self.energy_ratio,
            leakage_mw=fused.leakage_mw * self.area_ratio,
            area_mm2=fused.area_mm2 * self.area_ratio,
        )
