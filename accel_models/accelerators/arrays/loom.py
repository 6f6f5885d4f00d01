"""Loom: both operands bit by bit (Sharify et al., DAC 2018).

Widths are those asked for. The paper besides trims activations to what each group of values needs
at run time, which takes the values to model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from accel_models.accelerators.arrays.registry import register_family
from accel_models.accelerators.arrays.stripes import SerialTiles
from accel_models.precision import Precision
from accel_models.source import In


@register_family
class Loom(SerialTiles):
    """Time goes with the product of both widths, activations in pieces of `serial_bits`.

    The paper's abstract has linear layers scale with weights alone. This follows DNNsim, where they
    scale with the product: the same at 16-bit activations, faster below.
    """

    family: Literal["loom"]
    serial_bits: Annotated[int, In("bits")] = Field(gt=0, le=16)
    """Activation bits that a lane takes in one cycle: 1, 2 or 4 in the paper's variants."""

    def lane_cycles(self, widths: Precision) -> int:
        return -(-widths.activation_bits // self.serial_bits) * widths.weight_bits
