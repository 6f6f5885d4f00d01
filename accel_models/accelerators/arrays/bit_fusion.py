"""Bit Fusion: 2-bit bricks that fuse into multipliers (Sharma et al., ISCA 2018)."""

from __future__ import annotations

from itertools import zip_longest
from typing import Annotated, ClassVar, Literal, cast

from pydantic import Field, model_validator

from accel_models.accelerators.arrays.array import (
    NO_PASS,
    Banks,
    BankShape,
    Datapath,
    LaneRule,
    Passes,
)
from accel_models.accelerators.arrays.one_flow import OneFlowArray
from accel_models.accelerators.arrays.registry import register_family
from accel_models.energy.array import SYNTHESIS, ArrayFigures, array_figures
from accel_models.errors import InfeasibleError
from accel_models.precision import Precision
from accel_models.source import In, Source
from accel_models.workloads.workload import Layer


@register_family
class BitFusion(OneFlowArray):
    """A systolic array of Fusion Units: rows along input channels, columns along outputs."""

    lane_rules: ClassVar[tuple[LaneRule, ...]] = ("channels", "kernel-row", "window")

    family: Literal["bit_fusion"]
    max_bits: Annotated[int, In("bits")] = Field(gt=0, le=32)
    """Widest operand a Fusion Unit multiplies in one cycle."""
    min_bits: Annotated[int, In("bits")] = Field(gt=0, le=32)
    """Narrowest operand that still makes a Fusion Unit faster: the width of a brick."""
    widest_bits: Annotated[int, In("bits")] = Field(gt=0, le=32)
    """Widest operand altogether; beyond `max_bits` it takes several passes."""
    temporal: Literal["passes", "sliced"]
    """Passes of a wide operand: all at full width, or each at the width of its own slice."""

    @model_validator(mode="after")
    def _ordered(self) -> BitFusion:
        if self.min_bits > self.max_bits:
            raise ValueError(
                f"array.min_bits must be at most array.max_bits = {self.max_bits}, "
                f"got {self.min_bits}"
            )
        if self.widest_bits < self.max_bits:
            raise ValueError(
                f"array.widest_bits must be at least array.max_bits = {self.max_bits}, "
                f"got {self.widest_bits}"
            )
        if self.synthesis is not None and (self.max_bits, self.min_bits) != (8, 2):
            raise ValueError(
                f"array.max_bits and min_bits must be 8 and 2, as {self.synthesis} was "
                f"synthesised, got {self.max_bits} and {self.min_bits}"
            )
        return self

    def datapath(self, layer: Layer, widths: Precision) -> Datapath:
        passes = self._passes(widths)
        bricks = self.bricks_per_element
        return Datapath(
            rows=self.rows,
            columns=self.columns,
            passes=passes,
            fill=self.rows + self.columns - 2,
            operations_per_mac=self.operation_weight(widths)
            * sum(count * bricks // lanes for lanes, count in passes),
        )

    @property
    def bricks_per_element(self) -> int:
        """Bricks of a Fusion Unit: each multiplies two chunks of `min_bits`."""
        return (self.max_bits // self.min_bits) ** 2

    @property
    def operations_per_cycle(self) -> int:
        return self.rows * self.columns * self.bricks_per_element * self.most_weight

    def figures(self) -> ArrayFigures:
        if self.synthesis is not None:
            return self.synthesised_figures(self.rows * self.columns)
        return array_figures(self.rows, self.columns, self.max_bits, self.min_bits)

    @property
    def figures_source(self) -> Source:
        return SYNTHESIS if self.synthesis is None else self.synthesis_source

    def banks(self) -> Banks:
        """Every element has a weight bank, every row an input bank, every column an output bank."""
        word = self.max_bits**2 // self.min_bits
        return Banks(
            BankShape(self.rows * self.columns, word),
            BankShape(self.rows, word),
            BankShape(self.columns, 32),
        )

    def _passes(self, widths: Precision) -> Passes:
        """Pairs (products per element and cycle, how many passes) over all pairs of operand slices.

        A Fusion Unit of 8 down to 2 bits tells three widths of each operand apart: up to 2 bits
        count four times, up to 4 bits twice, up to 8 bits once.
        """
        weights = self._slices("weights", widths.weight_bits)
        inputs = self._slices("activations", widths.activation_bits)
        pairs = [(v * x, m * n) for v, m in weights for x, n in inputs]
        padded = [pair for pair, _ in zip_longest(pairs, range(4), fillvalue=NO_PASS)]
        return cast(Passes, tuple(padded))

    def _slices(self, operand: str, bits: int) -> list[tuple[int, int]]:
        """Pairs (times the element gets faster, how many such slices) of one operand."""
        if bits > self.widest_bits:
            raise InfeasibleError(
                f"{bits}-bit {operand} are wider than the array's {self.widest_bits} bits"
            )
        whole, rest = divmod(bits, self.max_bits)
        if whole and rest and self.temporal == "passes":
            return [(1, whole + 1)]
        slices = [(1, whole)] if whole else []
        return slices + ([(self.max_bits // max(rest, self.min_bits), 1)] if rest else [])
