"""What every family of arrays answers: how it works through a layer, and what it is made of."""

from __future__ import annotations

import math
from abc import abstractmethod
from numbers import Integral
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from accel_models.energy.array import ArrayFigures
from accel_models.errors import InputError, quoted
from accel_models.precision import Precision
from accel_models.source import In, Part, Source
from accel_models.workloads.workload import Layer

LaneRule = Literal["channels", "kernel-row", "window", "row-stationary"]
LANE_RULES: tuple[LaneRule, ...] = ("channels", "kernel-row", "window", "row-stationary")
"""What fills the lanes that reduce one output: input channels of one kernel position; a kernel row
of them, from a shift register; the whole window; or, row-stationary, kernel rows, with output rows
and channels side by side."""

Passes = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]
NO_PASS = (1, 0)
MAY_BE_ZERO = frozenset({"ramp", "fill", "conversion", "block_overhead", "stream_overhead"})
"""Fields of a `Datapath` that an array may have none of."""


class Datapath(NamedTuple):
    """How an array works through a layer at given widths.

    In one step it multiplies ``rows x lanes`` inputs with the weights of ``columns`` outputs, at a
    block of output positions side by side: ``windows`` rectangles of ``window_rows x
    window_columns``. For a tile of b inputs, oh x ow positions each, oc outputs and ic inputs::

        blocks = b * ceil(ceil(oh / window_rows) * ceil(ow / window_columns) / windows)
        folds = ceil(oc / columns) * R(ic)
        steps = blocks * folds

    R by the lane rule (`LANE_RULES`). All tiles of a layer take ``ceil(steps / stagger) *
    cycles_per_step + blocks * ceil(oc / columns) * block_overhead + folds * stream_overhead +
    ramp`` cycles, products summed over the tiles. Row-stationary arrays have a form of their own
    (`accel_models.accelerators.arrays.eyeriss`).
    """

    rows: int
    """Lanes along the reduction, before low precision widens them."""
    columns: int
    passes: Passes = ((1, 1), NO_PASS, NO_PASS, NO_PASS)
    """Passes of one reduction, each (products a row adds per step, how many such passes): wide
    operands take several."""
    windows: int = 1
    """Rectangles of output positions side by side, any that follow each other in the tile."""
    window_rows: int = 1
    """Rows of output positions in a rectangle: 1 and 1 column where any positions will do. Those of
    a map with depth lie one plane after the other."""
    window_columns: int = 1
    cycles_per_step: int = 1
    stagger: int = 1
    """Steps that run side by side, each started a cycle after the one before."""
    ramp: int = 0
    """Cycles a layer takes beyond its steps, staggering included."""
    fill: int = 0
    """Cycles from the last step to the last result, waiting rather than computing."""
    conversion: int = 0
    """Cycles that an input of the layer waits to be brought into the array's format."""
    block_overhead: int = 0
    """Cycles more for each block of positions and of columns of a tile."""
    stream_overhead: int = 0
    """Cycles more for each fold of a tile, in which the array turns to other weights."""
    operations_per_mac: int = 1
    """Smallest pieces of work the array's energy is stated in (bricks, bit products) in a MAC."""

    @property
    def positions(self) -> int:
        """Output positions side by side."""
        return self.windows * self.window_rows * self.window_columns

    def check(self, where: str) -> None:
        """Refuse what no array answers: a family may come from anywhere.

        Args:
            where: whose answer it is, and to what, for errors.

        Raises:
            InputError: for a number that is not whole, or too small; names field and value.
        """
        said = self._asdict()
        for place, (adds, often) in enumerate(said.pop("passes")):
            said[f"passes[{place}][0]"], said[f"passes[{place}][1]"] = adds, often
        for field, value in said.items():
            least = 0 if field in MAY_BE_ZERO or field.endswith("][1]") else 1
            if not isinstance(value, Integral) or value < least:
                raise InputError(
                    f"{where}: {field} must be a whole number of at least {least}, got "
                    f"{quoted(value)}"
                )


class BankShape(NamedTuple):
    """The banks of one buffer: how many, and the width of one access in bits."""

    number: int
    word_bits: int


class Banks(NamedTuple):
    """Split of each buffer into banks."""

    weight: BankShape
    input: BankShape
    output: BankShape


class Array(Part):
    """The multipliers of a machine: what a family of arrays has to say about itself.

    A family derives from this, states ``family: Literal["name"]`` and fields of its own, and is
    registered (`registry.register_family`). It must answer `datapath`, from which cycles follow,
    `operations_per_cycle`, and `figures`, from which energy, leakage and area follow. The other
    answers have defaults. `lane_rules` are those it can follow; a machine's file may allow fewer.
    """

    lane_rules: ClassVar[tuple[LaneRule, ...]] = ("channels",)

    family: str
    """Name of the arithmetic."""
    rows: Annotated[int, In("elements")] = Field(gt=0)
    """Elements along the reduction, whose products one output sums up."""
    columns: Annotated[int, In("elements")] = Field(gt=0)
    """Elements along the output channels."""
    node_nm: Annotated[float, In("nm")] = Field(gt=0)
    """Process that the array's figures are stated for."""
    reconfiguration_cycles: Annotated[int, In("cycles")] = Field(ge=0, le=2**20)
    """Cycles that the array waits when a layer's operands are of other widths than those of the
    layer before. Filling the pipeline is not among them."""

    @abstractmethod
    def datapath(self, layer: Layer, widths: Precision) -> Datapath:
        """How the array computes a layer.

        Raises:
            InfeasibleError: if it cannot multiply operands of these widths.
        """

    def buffered(self, widths: Precision) -> Precision:
        """Widths at which the buffers hold operands, and the array reads them."""
        return widths

    def operation_weight(self, widths: Precision) -> int:
        """Operations that a brick's or a lane's cycle counts for at these widths, where energy of
        a full cycle depends on them; it is in `Datapath.operations_per_mac` already."""
        return 1

    def has_zero_weights(self, widths: Precision) -> bool:
        """Whether a weight can be zero at these widths: not where one bit is a sign."""
        return True

    def fastest_clock_hz(self, widths: Precision) -> float:
        """The highest clock at which the array works at these widths."""
        return math.inf

    @property
    @abstractmethod
    def operations_per_cycle(self) -> int:
        """Operations of `Datapath.operations_per_mac` in a cycle of the fully used array."""

    @abstractmethod
    def figures(self) -> ArrayFigures:
        """Energy of a fully used cycle, leakage and area of the whole array."""

    @property
    def figures_source(self) -> Source | None:
        """Source of `figures`; None if the machine's file states them itself."""
        return None

    @property
    def leakage_source(self) -> Source | None:
        """Source of the leakage among `figures`, where it is not theirs."""
        return self.figures_source

    def banks(self) -> Banks | None:
        """Split of the buffers into banks; None if the machine's file says so itself."""
        return None

    @property
    def vector_lanes(self) -> int:
        """Outputs per cycle that are requantised, added to the residual and pooled."""
        return self.columns


class StatedFigures(Part):
    """Figures that a machine's file states itself, per operation and per element."""

    pj_per_operation: Annotated[float, In("pJ")] = Field(ge=0)
    """Energy of one of the array's operations, with its share of everything around it."""
    leakage_uw_per_unit: Annotated[float, In("µW")] = Field(ge=0)
    """Leakage of one of the array's elements."""
    area_um2_per_unit: Annotated[float, In("µm²")] = Field(ge=0)
    """Area of one of the array's elements; 0 if it is not known."""

    def stated(self, elements: int, operations_per_cycle: int) -> ArrayFigures:
        """The whole array's, from its elements (what one output of one row is computed by)."""
        return ArrayFigures(
            pj_per_cycle=self.pj_per_operation * operations_per_cycle,
            leakage_mw=self.leakage_uw_per_unit * elements * 1e-3,
            area_mm2=self.area_um2_per_unit * elements * 1e-6,
        )
