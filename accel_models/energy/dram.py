"""DRAM: the energy of moving a bit as published presets, and devices with channels and background.

Published figures for a bit differ by 18 times: machines can only be compared under the same one. A
preset is that figure alone. A device also says what bandwidth a channel of it has, and what its
standby, refresh and interface draw whether or not anything moves, so that bandwidth is not free.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from accel_models.energy.published_tables import read_table
from accel_models.errors import InputError, listed
from accel_models.source import Source


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


@dataclass(frozen=True)
class DramDevice:
    """Memory of one standard, channel by channel.

    Args:
        name: of the standard, in lower case.
        channel: width and rate of a channel, in words.
        constants: by name, as a machine's [dram] has them: value and source.
    """

    name: str
    channel: str
    constants: dict[str, tuple[float, Source]]


@cache
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
        low=_number(row["low"]),
        high=_number(row["high"]),
        source=row["source"],
        status=row["status"],
    )


@cache
def dram_device(name: str) -> DramDevice:
    """The device of that name, from ``data/dram_devices.csv``.

    Raises:
        InputError: if there is no such device.
    """
    table = read_table("dram_devices.csv")
    rows = [row for row in table if row["name"] == str(name)]
    if not rows:
        known = dict.fromkeys(row["name"] for row in table)
        raise InputError(f"unknown DRAM device {name!r}: known are {listed(known)}")
    constants = {
        row["quantity"]: (
            float(row["value"]),
            Source(row["status"], row["source"], _number(row["low"]), _number(row["high"])),
        )
        for row in rows
    }
    return DramDevice(name, rows[0]["channel"], constants)


def _number(text: str) -> float | None:
    return float(text) if text else None
