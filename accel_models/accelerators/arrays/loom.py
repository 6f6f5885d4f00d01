"""Loom: both operands bit by bit (Sharify et al., DAC 2018).

Widths are those asked for. The paper besides trims activations to what each group of values needs
at run time, which takes the values to model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from accel_models.accelerators.arrays.array import StatedFigures
from accel_models.accelerators.arrays.one_flow import LEVELS, OneFlowArray
from accel_models.accelerators.arrays.registry import register_family
from accel_models.accelerators.arrays.stripes import SerialTiles
from accel_models.energy.array import ArrayFigures
from accel_models.precision import Precision
from accel_models.source import In, Source


@register_family
class Loom(SerialTiles, OneFlowArray):
    """Time goes with the product of both widths, activations in pieces of `serial_bits`.

    The paper's abstract has linear layers scale with weights alone. This follows DNNsim, where they
    scale with the product: the same at 16-bit activations, faster below.
    """

    family: Literal["loom"]
    stated: StatedFigures | None = None
    """Figures of one lane and one cycle of it; not stated beside `synthesis`."""
    serial_bits: Annotated[int, In("bits")] = Field(gt=0, le=16)
    """Activation bits that a lane takes in one cycle: 1, 2 or 4 in the paper's variants."""

    @model_validator(mode="after")
    def _figures_said_once(self) -> Loom:
        if (self.stated is None) == (self.synthesis is None):
            raise ValueError("array.synthesis or [array.stated] must be there, and not both")
        return self

    def lane_cycles(self, widths: Precision) -> int:
        return -(-widths.activation_bits // self.serial_bits) * widths.weight_bits

    def filling(self, widths: Precision) -> Precision:
        """Widths that fill what operands take a cycle of: activations narrower than a lane leave
        the rest of it idle."""
        return Precision(widths.weight_bits, max(widths.activation_bits, self.serial_bits))

    @property
    def operations_per_cycle(self) -> int:
        return self.lanes * self.most_weight

    def figures(self) -> ArrayFigures:
        if self.stated is None:
            widest = Precision(LEVELS[-1], LEVELS[-1])
            return self.synthesised_figures(self.lanes // self.lane_cycles(widest))
        return self.stated.stated(self.lanes, self.operations_per_cycle)

    @property
    def figures_source(self) -> Source | None:
        return None if self.synthesis is None else self.synthesis_source
