"""SRAM in a process: a node, a kind of transistors, a temperature and a supply.

``data/sram_cells.csv`` has what CACTI 7 says of each node and kind beside the banks of
`accel_models.energy.sram`: the supply that they run at, and how a bank of 16 KiB with 4-byte words
leaks from 300 to 360 K, in the steps of 10 K that CACTI knows. All banks of one node and kind leak
in the same proportion (every row of a coarser sweep at 330 and 300 K does, to the fourth digit);
nothing but leakage depends on the temperature. Gate leakage does in lop at 45 nm only, where it is
most of the leakage.

CACTI's own tables are uneven. Where they are even, leakage grows by 1.1 to 1.3 times in 10 K for
hp and lop, 1.4 to 1.7 for lstp. At 22 to 32 nm hp hardly leaks more from 300 to 340 K and then
doubles; 22 nm lop and lstp double with every step; lstp at 22 and 28 nm leaks less at 360 than at
350 K; and lop at 90 nm leaks 13 times more at 350 than at 340 K. They are kept as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from math import exp, log

import numpy as np

from accel_models.energy.published_tables import read_table
from accel_models.energy.sram import Cell, SramBank, node_around, sram_bank
from accel_models.energy.technology import Devices, leakage_volt_scale, logic_delay_scale
from accel_models.errors import InputError

TABLED_K = 360
"""Temperature of the banks in `accel_models.energy.sram`."""
_DEVICES: dict[Cell, Devices] = {"hp": "hp", "lop": "hp", "lstp": "lp"}
"""Logic that becomes faster with the voltage as such a bank does; lop has low thresholds."""


@dataclass(frozen=True)
class SramProcess:
    """Where banks are made and how they run.

    Args:
        node_nm: 22 to 90 nm.
        cell: kind of transistors.
        kelvin: temperature, 300 to 360 K.
        volts: supply; None for CACTI's own, `own_volts`.
        leakage_per_volt: share by which leakage current grows a volt
            (`technology.leakage_volt_scale`).
    """

    node_nm: float
    cell: Cell
    kelvin: float
    volts: float | None = None
    leakage_per_volt: float = 0.0

    def bank(
        self,
        size_bytes: int,
        word_bits: int,
        *,
        shared_port: bool = False,
        interpolate: bool = True,
    ) -> SramBank:
        """Figures of one bank, as `sram.sram_bank` has them; gate leakage is in its leakage.

        Energies go with the square of the voltage, which is right for what swings fully and too
        strong for bit lines that do not; leakage as `technology.leakage_volt_scale` has it, gate
        leakage too; access time as the delay of logic at that node. All three are assumptions.

        Raises:
            InputError: if the bank or the process is outside the tables.
        """
        tabled = sram_bank(
            size_bytes,
            word_bits,
            shared_port=shared_port,
            interpolate=interpolate,
            node_nm=self.node_nm,
            cell=self.cell,
        )
        own = own_volts(self.node_nm, self.cell)
        volts = own if self.volts is None else self.volts
        energy, leakage, delay = 1.0, 1.0, 1.0
        if volts != own:
            energy = (volts / own) ** 2
            leakage = leakage_volt_scale(own, volts, self.leakage_per_volt)
            delay = logic_delay_scale(self.node_nm, own, self.node_nm, volts, _DEVICES[self.cell])
        hot, gate_hot = (
            leakage_kelvin_scale(self.node_nm, self.cell, self.kelvin, gate=gate)
            for gate in (False, True)
        )
        return SramBank(
            read_pj_per_bit=tabled.read_pj_per_bit * energy,
            write_pj_per_bit=tabled.write_pj_per_bit * energy,
            leakage_mw=(tabled.leakage_mw * hot + tabled.gate_leakage_mw * gate_hot) * leakage,
            area_mm2=tabled.area_mm2,
            access_ns=tabled.access_ns * delay,
        )


def own_volts(node_nm: float, cell: Cell) -> float:
    """The supply of CACTI's rows, linear in nm between tabled nodes.

    Raises:
        InputError: for a node without rows.
    """
    cells = _cells(cell)
    below, above = node_around(node_nm, cells)
    share = (node_nm - below) / (above - below) if below < above else 0.0
    return (1 - share) * cells[below].volts + share * cells[above].volts


def leakage_kelvin_scale(node_nm: float, cell: Cell, kelvin: float, *, gate: bool = False) -> float:
    """Factor on leakage from 360 K to another temperature; `gate`: on gate leakage.

    Between tabled temperatures the logarithm of leakage is linear in 1 / T, as a current over a
    barrier has it; between tabled nodes leakage is linear in nm. Predicted from both neighbours,
    tabled temperatures are off by 1 % at most where CACTI's tables are even (all cells at 32 nm but
    hp, and at 45 and 65 nm), and by up to twice as much as the steps above where not.

    Raises:
        InputError: outside 300 to 360 K, or for a node without rows.
    """
    cells = _cells(cell)
    below, above = node_around(node_nm, cells)
    share = (node_nm - below) / (above - below) if below < above else 0.0
    now, tabled = (
        (1 - share) * cells[below].leaks(heat, gate) + share * cells[above].leaks(heat, gate)
        for heat in (kelvin, TABLED_K)
    )
    return now / tabled


@dataclass(frozen=True)
class _Cells:
    """One kind of transistors at one node; leakage of one bank in mW, by temperature in K."""

    volts: float
    leakage: dict[int, float] = field(default_factory=dict)
    gate_leakage: dict[int, float] = field(default_factory=dict)

    def leaks(self, kelvin: float, gate: bool) -> float:
        """Leakage of that bank in mW."""
        rows = self.gate_leakage if gate else self.leakage
        if kelvin in rows:
            return rows[int(kelvin)]
        known = sorted(rows)
        if not known[0] <= kelvin <= known[-1]:
            raise InputError(
                f"no SRAM leakage at {kelvin:g} K: the range is {known[0]} to {known[-1]} K"
            )
        inverse = [1 / temperature for temperature in reversed(known)]
        logs = [log(rows[temperature]) for temperature in reversed(known)]
        return exp(float(np.interp(1 / kelvin, inverse, logs)))


@cache
def _cells(cell: Cell) -> dict[float, _Cells]:
    """What is tabled of one kind of transistors, by node."""
    found: dict[float, _Cells] = {}
    for row in read_table("sram_cells.csv"):
        if row["cell"] == cell:
            cells = found.setdefault(float(row["node_nm"]), _Cells(float(row["volts"])))
            cells.leakage[int(row["kelvin"])] = float(row["leak_mW"])
            cells.gate_leakage[int(row["kelvin"])] = float(row["gate_leak_mW"])
    return found
