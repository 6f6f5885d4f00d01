"""DaDianNao: 16-bit multipliers and adder trees (Chen et al., MICRO 2014), the fixed baseline."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from accel_models.arrays.array import Array, Datapath
from accel_models.arrays.operands import refuse_wider
from accel_models.energy import ArrayFigures, array_figures
from accel_models.precision import Precision
from accel_models.workload import Layer


class DaDianNao(Array):
    """Bit-parallel tiles: `rows` along input channels, `columns` along the filters of all tiles.

    Every product takes a cycle of one multiplier, however narrow its operands.
    """

    family: Literal["dadiannao"]
    widest_bits: int = Field(gt=0, le=32)
    """Width of the multipliers."""

    def datapath(self, layer: Layer, widths: Precision) -> Datapath:
        refuse_wider(widths, self.widest_bits)
        return Datapath(rows=self.rows, columns=self.columns)

    def buffered(self, widths: Precision) -> Precision:
        return Precision(self.widest_bits, self.widest_bits)

    @property
    def operations_per_cycle(self) -> int:
        return self.rows * self.columns

    def figures(self) -> ArrayFigures:
        return array_figures(self.rows, self.columns, self.widest_bits, self.widest_bits)
