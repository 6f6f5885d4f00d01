"""DaDianNao: 16-bit multipliers and adder trees (Chen et al., MICRO 2014), the fixed baseline."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from accel_models.accelerators.arrays.array import Array, Datapath, StatedFigures
from accel_models.accelerators.arrays.operands import refuse_wider
from accel_models.accelerators.arrays.registry import register_family
from accel_models.energy.array import SYNTHESIS, ArrayFigures, array_figures
from accel_models.precision import Precision
from accel_models.source import In, Source
from accel_models.workloads.workload import Layer


class FixedMultipliers(Array):
    """Multipliers of one width: narrower operands are read and multiplied as if they had it."""

    widest_bits: Annotated[int, In("bits")] = Field(gt=0, le=32)
    """Width of the multipliers."""
    stated: StatedFigures | None = None
    """Figures of one multiplier and one multiplication. None: those of the synthesis released with
    Bit Fusion."""

    def buffered(self, widths: Precision) -> Precision:
        return Precision(self.widest_bits, self.widest_bits)

    @property
    def operations_per_cycle(self) -> int:
        return self.rows * self.columns

    def figures(self) -> ArrayFigures:
        if self.stated is not None:
            return self.stated.stated(self.operations_per_cycle, self.operations_per_cycle)
        return array_figures(self.rows, self.columns, self.widest_bits, self.widest_bits)

    @property
    def figures_source(self) -> Source | None:
        return SYNTHESIS if self.stated is None else None


@register_family
class DaDianNao(FixedMultipliers):
    """Bit-parallel tiles: `rows` along input channels, `columns` along the filters of all tiles."""

    family: Literal["dadiannao"]

    def datapath(self, layer: Layer, widths: Precision) -> Datapath:
        refuse_wider(widths, self.widest_bits)
        return Datapath(rows=self.rows, columns=self.columns)
