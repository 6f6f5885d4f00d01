"""Systolic arrays of fixed multipliers, such as the TPU's (Jouppi et al., ISCA 2017)."""

from __future__ import annotations

from typing import ClassVar, Literal

from accel_models.accelerators.arrays.array import Datapath, LaneRule
from accel_models.accelerators.arrays.dadiannao import FixedMultipliers
from accel_models.accelerators.arrays.operands import refuse_wider
from accel_models.accelerators.arrays.registry import register_family
from accel_models.precision import Precision
from accel_models.workloads.workload import Layer


@register_family
class Systolic(FixedMultipliers):
    """Operands move one multiplier further every cycle; convolutions are products of matrices.

    ``weight``: every multiplier holds a weight, rows going along the window, and inputs stream
    past. The next weights load meanwhile. Each tile of weights takes as many cycles as there are
    inputs, and rows + columns - 2 to fill and drain.
    ``output``: every multiplier holds an output, rows going along positions. Each tile of outputs
    takes as many cycles as the window has inputs, and 2 rows + columns - 2 to fill, drain and
    shift out (the form of SCALE-Sim).
    """

    lane_rules: ClassVar[tuple[LaneRule, ...]] = ("window",)

    family: Literal["systolic"]
    stationary: Literal["weight", "output"]
    """What the multipliers hold while operands move past."""

    def datapath(self, layer: Layer, widths: Precision) -> Datapath:
        refuse_wider(widths, self.widest_bits)
        crossing = self.rows + self.columns - 2
        if self.stationary == "weight":
            return Datapath(rows=self.rows, columns=self.columns, stream_overhead=crossing)
        return Datapath(
            rows=1, columns=self.columns, windows=self.rows, block_overhead=self.rows + crossing
        )
