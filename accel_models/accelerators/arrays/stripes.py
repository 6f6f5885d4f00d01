"""Stripes: activations bit by bit, weights in parallel (Judd et al., MICRO 2016).

Cycles are those of DNNsim, the simulator its authors released, for operands up to its serial
width of 16 bits; what it does beyond, splitting operands over neighbouring elements, is left out.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

from pydantic import Field

from accel_models.accelerators.arrays.array import Array, Datapath, StatedFigures
from accel_models.accelerators.arrays.operands import is_linear, refuse_wider
from accel_models.accelerators.arrays.registry import register_family
from accel_models.energy.array import ArrayFigures
from accel_models.precision import Precision
from accel_models.source import In
from accel_models.workloads.workload import Layer


class SerialTiles(Array):
    """Elements of `rows` serial lanes each: one for every filter and window worked on side by side.

    `rows` go along input channels, `columns` along the filters of all tiles together: dividing
    them among tiles first makes no difference, ceil(ceil(M / R) / T) = ceil(M / (R T)).

    A linear layer has one window. Its steps go to the elements of one window after the other, a
    cycle apart, so that all are busy once a step takes as many cycles as there are windows.
    """

    windows: Annotated[int, In("output positions")] = Field(gt=0)
    """Output positions worked on side by side."""
    widest_bits: Annotated[int, In("bits")] = Field(gt=0, le=32)
    """Widest operand that the array multiplies."""

    @abstractmethod
    def lane_cycles(self, widths: Precision) -> int:
        """Cycles that a lane takes for one product."""

    def datapath(self, layer: Layer, widths: Precision) -> Datapath:
        refuse_wider(widths, self.widest_bits)
        cycles = self.lane_cycles(widths)
        conv = Datapath(
            rows=self.rows,
            columns=self.columns,
            windows=self.windows,
            cycles_per_step=cycles,
            operations_per_mac=cycles * self.operation_weight(widths),
        )
        if not is_linear(layer):
            return conv
        if cycles <= self.windows:
            return conv._replace(windows=1, cycles_per_step=1, ramp=cycles - 1)
        return conv._replace(windows=1, stagger=self.windows, ramp=self.windows - 1)

    @property
    def lanes(self) -> int:
        """Serial lanes of all elements."""
        return self.rows * self.columns * self.windows


@register_family
class Stripes(SerialTiles):
    """Time goes with the width of activations; that of weights makes no difference."""

    family: Literal["stripes"]
    stated: StatedFigures
    """Figures of one lane and one cycle of it."""

    def lane_cycles(self, widths: Precision) -> int:
        return widths.activation_bits

    @property
    def operations_per_cycle(self) -> int:
        return self.lanes

    def figures(self) -> ArrayFigures:
        return self.stated.stated(self.lanes, self.operations_per_cycle)

    def buffered(self, widths: Precision) -> Precision:
        return Precision(self.widest_bits, widths.activation_bits)
