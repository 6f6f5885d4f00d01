"""Colonnade: a digital bit-serial compute-in-memory macro of 65 nm (Kim et al., JSSC 2021).

128 x 128 cells hold one weight bit each, multiply it with one input bit, and add down the columns.
A weight of w bits takes w columns and log2(128) = 7 more for the carries of 128 products, so that a
row holds ``floor(128 / (w + 7))`` weights; inputs go in bit by bit, one bit of all of them a clock.

Three facts are fitted to the published figures, ``data/colonnade_silicon.csv``:

* The critical path is a delay for each row between two pipeline registers, one for each column of a
  weight, and a constant. That gives all 80 published throughputs within 2.0 %, and those of any
  number of registers within 2.2 % when fitted without them.
* One bit of all inputs, an *activation*, costs an energy that depends on the supply and, for want
  of full columns, on ``128 / columns in use``: idle columns save nothing, they cost more. That one
  constant for each voltage, fitted to odd widths, gives the energies of the even ones within 2.8 %,
  with inputs of 1 bit and with inputs as wide as the weights.
* Energy does not follow the square of the supply: 0.6 to 0.8 V is a factor of 4. No other supply is
  offered.

The throughputs come from the authors' simulation and the energies from silicon at 100 MHz,
according to CiMLoop's model of the macro: at 16 registers the path from 8 or 9 bits on is longer
than that clock's period, although the silicon ran them.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from accel_models.accelerators.arrays.array import Array, Datapath, LaneRule
from accel_models.accelerators.arrays.operands import refuse_wider
from accel_models.accelerators.arrays.registry import register_family
from accel_models.energy.array import ArrayFigures
from accel_models.energy.published_tables import read_table
from accel_models.errors import InputError, listed
from accel_models.precision import Precision
from accel_models.source import In, Source
from accel_models.workloads.workload import Layer

SIDE = 128
"""Rows, and columns, of the macro that was measured."""
CARRY_COLUMNS = 7
WIDEST_BITS = 16
NODE_NM = 65.0
REGISTERS = (1, 2, 4, 8, 16)
"""Pipeline registers in a column for which throughput is published."""
SUPPLIES = {0.6: "0v6", 0.7: "0v7", 0.8: "0v8"}
"""Voltages whose energy is published, and how the table calls them."""
OPERATIONS_PER_CELL = 100
"""Operations in a cell's share of an activation: fine enough to state any MAC in whole ones."""


class Delays(NamedTuple):
    """What the critical path is made of, in ns."""

    row: float
    """Delay of each row between two pipeline registers."""
    column: float
    """Delay of each column that a weight takes."""
    constant: float


@register_family
class Colonnade(Array):
    """Macros side by side: the rows of each reduce, and each has outputs of its own.

    Weights stay in the cells while the positions of a tile stream past, and are written anew for
    the next ones. `rows` and `columns` are those of one macro.
    """

    lane_rules: ClassVar[tuple[LaneRule, ...]] = ("channels", "window")

    family: Literal["colonnade"]
    macros: Annotated[int, In("macros")] = Field(gt=0)
    """Macros side by side."""
    pipeline_registers: Annotated[int, In("registers")]
    """Registers in each column: more of them shorten the critical path."""
    supply_volts: Annotated[float, In("V")]
    """Supply at which the macro was measured."""
    weight_write_cycles: Annotated[int, In("cycles")] = Field(ge=0)
    """Cycles in which the cells of a macro take new weights and do not compute."""
    macro_mm2: Annotated[float, In("mm²")] = Field(ge=0)
    """Area of one macro; 0 if it is not known."""

    @model_validator(mode="after")
    def _as_published(self) -> Colonnade:
        for field, given, known in (
            ("rows", self.rows, (SIDE,)),
            ("columns", self.columns, (SIDE,)),
            ("node_nm", self.node_nm, (NODE_NM,)),
            ("pipeline_registers", self.pipeline_registers, REGISTERS),
            ("supply_volts", self.supply_volts, tuple(SUPPLIES)),
        ):
            if given not in known:
                raise ValueError(
                    f"array.{field} must be {listed(known)}, as published for the macro, "
                    f"got {given}"
                )
        return self

    def datapath(self, layer: Layer, widths: Precision) -> Datapath:
        refuse_wider(widths, WIDEST_BITS)
        weights = weights_per_row(widths.weight_bits)
        share = widths.activation_bits * _idle_factor(widths.weight_bits) * SIDE / weights
        return Datapath(
            rows=SIDE,
            columns=self.macros * weights,
            cycles_per_step=widths.activation_bits,
            fill=self.pipeline_registers,
            stream_overhead=self.weight_write_cycles,
            operations_per_mac=round(OPERATIONS_PER_CELL * share),
        )

    @property
    def operations_per_cycle(self) -> int:
        return self.macros * SIDE * SIDE * OPERATIONS_PER_CELL

    @property
    def figures_source(self) -> Source:
        return Source("published", "JSSC 2021, Figs. 15 and 16, fitted: colonnade_silicon.csv")

    def figures(self) -> ArrayFigures:
        """Leakage is inside the measured energies, at 100 MHz, and not stated apart from them."""
        return ArrayFigures(
            pj_per_cycle=self.macros * activation_pj(self.supply_volts),
            leakage_mw=0.0,
            area_mm2=self.macros * self.macro_mm2,
        )

    @property
    def vector_lanes(self) -> int:
        """Outputs that the macros can have at most: those of 1-bit weights."""
        return self.macros * weights_per_row(1)

    def fastest_clock_hz(self, widths: Precision) -> float:
        """The clock that the critical path allows, by the throughputs of the published simulation.

        It does not state a supply: below 0.8 V, take this as an upper bound.
        """
        return 1e9 / critical_path_ns(widths.weight_bits, self.pipeline_registers)


def columns_per_weight(weight_bits: int) -> int:
    """Columns that a weight takes with the carries of 128 products.

    Raises:
        InputError: outside 1 to 16 bits.
    """
    if not 1 <= weight_bits <= WIDEST_BITS:
        raise InputError(f"weights have 1 to {WIDEST_BITS} bits, got {weight_bits}")
    return weight_bits + CARRY_COLUMNS


def weights_per_row(weight_bits: int) -> int:
    """Weights beside each other in the 128 columns: outputs that a macro computes at once."""
    return SIDE // columns_per_weight(weight_bits)


def critical_path_ns(weight_bits: int, registers: int, delays: Delays | None = None) -> float:
    """Shortest clock period in ns; `delays` are those fitted to all published throughputs."""
    delays = delays or fit_delays()
    return float(np.dot(delays, _path(weight_bits, registers)))


def throughput_gops(
    weight_bits: int, input_bits: int, registers: int, delays: Delays | None = None
) -> float:
    """Peak 10^9 operations per second at the fastest clock, two to a MAC (Fig. 15).

    ``2 * 128 * floor(128 / (w + 7)) / (input bits * critical path)``: no cycle is lost between
    inputs.
    """
    macs = SIDE * weights_per_row(weight_bits)
    return 2 * macs / (input_bits * critical_path_ns(weight_bits, registers, delays))


def energy_fj_per_mac(weight_bits: int, input_bits: int, volts: float) -> float:
    """Energy of a MAC of the fully used macro in fJ, its SRAM, drivers and control included.

    Fig. 16, at 100 MHz: that of an activation for each bit of the inputs, over the 128 MACs of each
    weight in a row.

    Raises:
        InputError: at a supply for which nothing is published.
    """
    macs = SIDE * weights_per_row(weight_bits)
    return 1e3 * activation_pj(volts) * _idle_factor(weight_bits) * input_bits / macs


@cache
def fit_delays(without_registers: int | None = None) -> Delays:
    """Least squares of the relative error of the critical path over the published throughputs.

    Args:
        without_registers: a number of registers whose throughputs are left out.
    """
    paths, periods = [], []
    for row in read_table("colonnade_silicon.csv"):
        bits = int(row["bits"])
        macs = SIDE * weights_per_row(bits)
        for registers in REGISTERS:
            if registers != without_registers:
                paths.append(_path(bits, registers))
                periods.append(2 * macs / (bits * float(row[f"gops_{registers}reg"])))
    relative = np.array(paths) / np.array(periods)[:, None]
    solution = np.linalg.lstsq(relative, np.ones(len(periods)), rcond=None)[0]
    return Delays(*solution.tolist())


@cache
def activation_pj(volts: float) -> float:
    """Energy in pJ of one input bit of all rows, with all columns in use.

    Least squares of the relative error over the odd widths of both published series: inputs of
    1 bit, and inputs as wide as the weights.

    Raises:
        InputError: at a supply for which nothing is published.
    """
    if volts not in SUPPLIES:
        raise InputError(
            f"the macro's energy is published at {listed(SUPPLIES)} V, not at {volts} V"
        )
    shares = []
    for row in read_table("colonnade_silicon.csv"):
        bits = int(row["bits"])
        if bits % 2:
            per_pj = 1e3 * _idle_factor(bits) / (SIDE * weights_per_row(bits))
            for series, input_bits in (("w", 1), ("iw", bits)):
                fj = float(row[f"{series}_fj_{SUPPLIES[volts]}"])
                shares.append(input_bits * per_pj / fj)
    known = np.array(shares)
    return float(known.sum() / (known @ known))


def _path(weight_bits: int, registers: int) -> tuple[float, float, float]:
    """Rows between registers, columns of a weight, and 1: what `Delays` multiply."""
    return SIDE / registers, columns_per_weight(weight_bits), 1.0


def _idle_factor(weight_bits: int) -> float:
    """How much more an activation costs because weights of this width leave columns over."""
    return SIDE / (weights_per_row(weight_bits) * columns_per_weight(weight_bits))
