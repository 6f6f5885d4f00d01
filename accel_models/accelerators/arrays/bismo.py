"""BISMO: products of bit matrices on an FPGA (Umuroglu et al., FPL 2018; TRETS 2019)."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from accel_models.accelerators.arrays.array import Array, Datapath, LaneRule, StatedFigures
from accel_models.accelerators.arrays.operands import refuse_wider
from accel_models.accelerators.arrays.registry import register_family
from accel_models.energy.array import ArrayFigures
from accel_models.precision import Precision
from accel_models.source import In
from accel_models.workloads.operators import MATMUL
from accel_models.workloads.workload import Layer


@register_family
class Bismo(Array):
    """A grid of elements that each AND `rows` bit pairs, count them, and add the count shifted.

    A convolution is a product of matrices: weights, of `columns` output channels at a time, with
    windows laid out as columns, `windows` positions at a time. Every pair of a weight bit and an
    activation bit is one run through the window. Weights lie in DRAM as bit planes; inputs are
    rearranged into them before a layer begins.
    """

    lane_rules: ClassVar[tuple[LaneRule, ...]] = ("window",)

    family: Literal["bismo"]
    windows: Annotated[int, In("output positions")] = Field(gt=0)
    """Output positions worked on side by side."""
    run_overhead: Annotated[int, In("cycles")] = Field(ge=0)
    """Cycles that a run through the window takes beyond its steps."""
    port_bits: Annotated[int, In("bits")] = Field(gt=0)
    """Width of the memory port, at which matrices are rearranged into bit planes."""
    widest_bits: Annotated[int, In("bits")] = Field(gt=0, le=32)
    """Widest operand that the array multiplies."""
    stated: StatedFigures
    """Figures of one product of two bits, and of one bit pair of an element."""

    def datapath(self, layer: Layer, widths: Precision) -> Datapath:
        refuse_wider(widths, self.widest_bits)
        elements = math.prod(layer.in_size) * layer.in_channels
        if layer.operator == MATMUL:  # both operands were just made, as whole numbers
            elements += layer.out_channels * layer.macs_per_output
        return Datapath(
            rows=self.rows,
            columns=self.columns,
            windows=self.windows,
            cycles_per_step=widths.bitops_per_mac,
            block_overhead=self.run_overhead * widths.bitops_per_mac,
            conversion=self.parallel_to_serial_cycles(elements, widths.activation_bits),
            operations_per_mac=widths.bitops_per_mac,
        )

    def parallel_to_serial_cycles(self, elements: int, bits: int) -> int:
        """Cycles to rearrange `elements` of `bits` from whole bytes into bit planes.

        The converter takes as many elements at a time as its port has bits, fills one word for
        each bit while they come in, then hands these words on: it never reads and writes at once
        (``P2SKernel_Fast`` in the released hardware). Memory latency comes on top.
        """
        container = 8 * -(-bits // 8)
        return -(-elements // self.port_bits) * (container + bits)

    @property
    def operations_per_cycle(self) -> int:
        return self.rows * self.columns * self.windows

    def figures(self) -> ArrayFigures:
        return self.stated.stated(self.operations_per_cycle, self.operations_per_cycle)
