"""Energy of moving a bit to or from DRAM, as named presets: published figures differ by 18 times.

Machines can only be compared under the same preset.
"""

from __future__ import annotations

from dataclasses import dataclass

from accel_models.energy.published_tables import read_table
from accel_models.errors import InputError, listed


@dataclass(frozen=True)
class DramPreset:
    """One published figure: pJ per bit moved, and its range where its source gives one."""

    name: str
    pj_per_bit: float
    low: float | None
    high: float | None
    source: str
    status: str
    """``published``, or ``assumed`` where the figure could not be checked."""


def dram_preset(name: str) -> DramPreset:
    """The preset of that name, from ``data/dram_presets.csv``.

    Raises:
        InputError: if there is no such preset.
    """
    rows = {row["name"]: row for row in read_table("dram_presets.csv")}
    if str(name) not in rows:
        raise InputError(f"unknown DRAM preset {name!r}: known are {listed(rows)}")
    row = rows[name]
    return DramPreset(
        name=name,
        pj_per_bit=float(row["pj_per_bit"]),
        low=float(row["low"]) if row["low"] else None,
        high=float(row["high"]) if row["high"] else None,
        source=row["source"],
        status=row["status"],
    )
