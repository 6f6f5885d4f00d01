"""UNPU: sums of activations looked up by weight bits (Lee et al., JSSC 2019)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from accel_models.accelerators.arrays.array import NO_PASS, Array, Datapath, StatedFigures
from accel_models.accelerators.arrays.operands import is_linear, refuse_wider
from accel_models.accelerators.arrays.registry import register_family
from accel_models.energy.array import ArrayFigures
from accel_models.precision import Precision
from accel_models.source import In
from accel_models.workloads.workload import Layer


@register_family
class Unpu(Array):
    """Tables that hold every sum of a few activations; one bit of their weights selects a sum.

    So time goes with the width of weights; that of activations makes no difference. 1-bit weights
    are signs, by which a table of the same size serves more activations: peak throughput grows by
    16 x 4/3 from 16 bits to 1, as published.

    `rows` counts tables along input channels, `columns` outputs that read each of them, `windows`
    processing elements, each at an output position of its own. Linear layers have one position:
    there they take other outputs instead.
    """

    family: Literal["unpu"]
    windows: Annotated[int, In("output positions")] = Field(gt=0)
    """Output positions worked on side by side."""
    table_inputs: Annotated[int, In("activations")] = Field(gt=0)
    """Activations that a table adds up."""
    binary_table_inputs: Annotated[int, In("activations")] = Field(gt=0)
    """Activations that a table adds up at 1-bit weights."""
    widest_bits: Annotated[int, In("bits")] = Field(gt=0, le=32)
    """Widest operand that the array multiplies."""
    stated: StatedFigures
    """Figures of a share of a look-up (see `_shares`), and of look-ups in a cycle."""

    def datapath(self, layer: Layer, widths: Precision) -> Datapath:
        refuse_wider(widths, self.widest_bits)
        inputs = self.binary_table_inputs if widths.weight_bits == 1 else self.table_inputs
        conv = Datapath(
            rows=self.rows,
            columns=self.columns,
            passes=((inputs, 1), NO_PASS, NO_PASS, NO_PASS),
            windows=self.windows,
            cycles_per_step=widths.weight_bits,
            operations_per_mac=widths.weight_bits * self._shares // inputs,
        )
        if is_linear(layer):
            return conv._replace(columns=self.columns * self.windows, windows=1)
        return conv

    def has_zero_weights(self, widths: Precision) -> bool:
        return widths.weight_bits > 1

    def buffered(self, widths: Precision) -> Precision:
        return Precision(widths.weight_bits, self.widest_bits)

    @property
    def _shares(self) -> int:
        """Operations in a look-up: divides evenly among either number of activations."""
        return self.table_inputs * self.binary_table_inputs

    @property
    def _lookups(self) -> int:
        return self.rows * self.columns * self.windows

    @property
    def operations_per_cycle(self) -> int:
        return self._lookups * self._shares

    def figures(self) -> ArrayFigures:
        return self.stated.stated(self._lookups, self.operations_per_cycle)
