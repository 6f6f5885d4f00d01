"""Energy and area of parts, read from published tables. Nothing is extrapolated.

Sources:
    ``data/array_synthesis45.csv``: 45 nm synthesis of fixed and fusible arrays at 500 MHz,
        released with the Bit Fusion simulator (Sharma et al., ISCA 2018).
    ``data/integer_ops45.csv``: single operations at 45 nm and 0.9 V (Horowitz, ISSCC 2014).
    SRAM is in `accel_models.energy.sram` and, beyond the published process, in
    `accel_models.energy.sram_process`; DRAM in `accel_models.energy.dram`; logic of other processes
    in `accel_models.energy.technology`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from accel_models.energy.dram import DramPreset, dram_preset
from accel_models.energy.published_tables import read_table
from accel_models.energy.sram import SramBank, register_file, sram_bank
from accel_models.errors import InputError, listed
from accel_models.source import Source

__all__ = [
    "LEAKAGE_OF_AREA",
    "SYNTHESIS",
    "ArrayFigures",
    "DramPreset",
    "IntegerOp",
    "SramBank",
    "array_figures",
    "dram_preset",
    "integer_op",
    "leakage_of_area_mw",
    "register_file",
    "sram_bank",
]


SYNTHESIS = Source(
    "published",
    "45 nm synthesis released with the Bit Fusion simulator, systolic_array_synth.csv; "
    "4x4 array scaled by elements where larger",
)
"""Source of `array_figures`."""


@dataclass(frozen=True)
class ArrayFigures:
    """A whole multiplier array: dynamic pJ per active cycle, leakage in mW, area in mm²."""

    pj_per_cycle: float
    leakage_mw: float
    area_mm2: float


@dataclass(frozen=True)
class IntegerOp:
    """One integer operation on operands of `bits` bits at 45 nm: pJ, and its area in µm²."""

    op: str
    bits: int
    pj: float
    area_um2: float
    status: str
    """Status of the energy: ``published``, or ``assumed`` where it was recalled and not checked."""
    area_status: str
    source: str


def array_figures(rows: int, columns: int, max_bits: int, min_bits: int) -> ArrayFigures:
    """The synthesised array of that shape or, where there is none, the 4x4 one scaled by elements.

    Raises:
        InputError: if no array with such operand widths was synthesised.
    """
    table = _synthesis_rows()
    row = table.get((rows, columns, max_bits, min_bits))
    scale = 1.0
    if row is None:
        row = table.get((4, 4, max_bits, min_bits))
        scale = rows * columns / 16
    if row is None:
        pairs = sorted({(high, low) for _, _, high, low in table})
        raise InputError(
            f"no synthesis figures for elements of {max_bits} down to {min_bits} bits: "
            f"known pairs are {listed(f'{high}/{low}' for high, low in pairs)}"
        )
    nanowatt_to_pj = 1e3 / float(row["frequency_hz"])
    return ArrayFigures(
        pj_per_cycle=float(row["dynamic_power_nw"]) * nanowatt_to_pj * scale,
        leakage_mw=float(row["leakage_power_nw"]) * 1e-6 * scale,
        area_mm2=float(row["area_um2"]) * 1e-6 * scale,
    )


LEAKAGE_OF_AREA = Source(
    "assumed",
    "34 nW a µm² of the array's area, as the 45 nm synthesis released with Bit Fusion leaks; the "
    "array's own source states no leakage apart",
)
"""Source of `leakage_of_area_mw`."""


def leakage_of_area_mw(area_mm2: float) -> float:
    """Leakage in mW of an array of some area, where nothing but that is known: by
    `LEAKAGE_OF_AREA`."""
    known = array_figures(4, 4, 8, 2)
    return area_mm2 * known.leakage_mw / known.area_mm2


def integer_op(op: str, bits: int) -> IntegerOp:
    """An ``add`` or ``multiply`` of that width, without registers or control around it.

    Raises:
        InputError: if the table has no such operation; none is scaled from another width.
    """
    table = {(row["op"], int(row["bits"])): row for row in read_table("integer_ops45.csv")}
    row = table.get((op, bits))
    if row is None:
        raise InputError(
            f"no figures for a {bits}-bit integer {op}: "
            f"known are {listed(f'{width}-bit {name}' for name, width in table)}"
        )
    return IntegerOp(
        op=op,
        bits=bits,
        pj=float(row["pj"]),
        area_um2=float(row["area_um2"]),
        status=row["status"],
        area_status=row["area_status"],
        source=row["source"],
    )


@cache
def _synthesis_rows() -> dict[tuple[int, int, int, int], dict[str, str]]:
    return {
        (
            int(row["rows"]),
            int(row["cols"]),
            int(row["max_precision_bits"]),
            int(row["min_precision_bits"]),
        ): row
        for row in read_table("array_synthesis45.csv")
    }
