"""Energy and area of parts, read from published tables. Nothing is extrapolated.

Sources:
    ``data/array_synthesis45.csv``: 45 nm synthesis of fixed and fusible arrays at 500 MHz,
        released with the Bit Fusion simulator (Sharma et al., ISCA 2018).
    ``data/sram_cacti45.csv``: SRAM banks at 45 nm from CACTI 7 (itrs-hp, 360 K), a superset of
        the banks that simulator ships.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from accel_models.errors import InputError


@dataclass(frozen=True)
class SramBank:
    """One SRAM bank: energy per bit moved in pJ, leakage in mW, area in mm²."""

    read_pj_per_bit: float
    write_pj_per_bit: float
    leakage_mw: float
    area_mm2: float


@dataclass(frozen=True)
class ArrayFigures:
    """A whole multiplier array: dynamic pJ per active cycle, leakage in mW, area in mm²."""

    pj_per_cycle: float
    leakage_mw: float
    area_mm2: float


def sram_bank(size_bytes: int, word_bits: int, *, shared_port: bool = False) -> SramBank:
    """The CACTI 45 nm figures of one bank with a read and a write port.

    Args:
        size_bytes: capacity of the bank.
        word_bits: width of one access; whole bytes only.
        shared_port: one more port that reads and writes, as output buffers have.

    Raises:
        InputError: if no such bank was generated.
    """
    row = _sram_rows().get((size_bytes, word_bits, shared_port))
    if row is None:
        sizes = sorted(
            size for size, word, port in _sram_rows() if word == word_bits and port == shared_port
        )
        raise InputError(
            f"no CACTI figures for a bank of {size_bytes} bytes with {word_bits}-bit words"
            + (f": known sizes are {_listed(sizes)} bytes" if sizes else ": no bank has such words")
        )
    return SramBank(
        read_pj_per_bit=float(row["read_energy_nJ"]) * 1e3 / word_bits,
        write_pj_per_bit=float(row["write_energy_nJ"]) * 1e3 / word_bits,
        leakage_mw=float(row["leak_mW"]),
        area_mm2=float(row["area_mm2"]),
    )


def array_figures(rows: int, columns: int, max_bits: int, min_bits: int) -> ArrayFigures:
    """The synthesised array of that shape or, where there is none, the 4x4 one scaled by units.

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
            f"no synthesis figures for units of {max_bits} down to {min_bits} bits: "
            f"known pairs are {_listed(f'{high}/{low}' for high, low in pairs)}"
        )
    nanowatt_to_pj = 1e3 / float(row["frequency_hz"])
    return ArrayFigures(
        pj_per_cycle=float(row["dynamic_power_nw"]) * nanowatt_to_pj * scale,
        leakage_mw=float(row["leakage_power_nw"]) * 1e-6 * scale,
        area_mm2=float(row["area_um2"]) * 1e-6 * scale,
    )


@cache
def _sram_rows() -> dict[tuple[int, int, bool], dict[str, str]]:
    return {
        (int(row["size_bytes"]), 8 * int(row["block_bytes"]), row["rw_ports"] == "1"): row
        for row in _read("sram_cacti45.csv")
    }


@cache
def _synthesis_rows() -> dict[tuple[int, int, int, int], dict[str, str]]:
    return {
        (
            int(row["rows"]),
            int(row["cols"]),
            int(row["max_precision_bits"]),
            int(row["min_precision_bits"]),
        ): row
        for row in _read("array_synthesis45.csv")
    }


def _read(name: str) -> Sequence[dict[str, str]]:
    file = resources.files("accel_models").joinpath("data", name)
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))
