"""Carrying logic from one process and supply voltage to another. Logic only.

SRAM does not follow logic and DRAM is another process altogether: take SRAM from CACTI at its own
node, and leave DRAM as it is.

Figures: Stillmaker and Baas, "Scaling equations for the accurate prediction of CMOS device
performance from 180 nm to 7 nm", Integration 58 (2017), as tabled in hwcomponents
(``techscaling.py``); the paper itself was not checked. Its authors' erratum concerns another row,
0.8367 V² - 0.4341 V + 0.1701: below 65 nm the paper has rows for high-performance and for
low-power devices, and the erratum's is that of high performance at 32 nm, according to a second
transcription (nodeScale, UCLA NanoCAD). By that one, the rows used here are of low power at 45 and
32 nm but of high performance from 20 nm on, so that scaling across 32 to 20 nm changes the kind of
device besides: 45 to 20 nm at 0.8 V is 0.22 here, and would be 0.28 within high performance, 0.18
within low power.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from accel_models.energy.published_tables import read_table
from accel_models.errors import InputError

LOWEST_V = 0.6
"""Below its minimum at 0.586 V, the 65 nm polynomial has energy rise as the voltage falls."""
HIGHEST_V = 1.3
"""The highest voltage the authors work an example at."""


class _Node(NamedTuple):
    nm: float
    polynomial: tuple[float, float, float]
    area: float


def logic_energy_scale(from_nm: float, from_v: float, to_nm: float, to_v: float) -> float:
    """Factor on the dynamic energy of logic that moves to another node and voltage.

    Every tabled node has a factor a V² + b V + c; between two nodes the factor at that voltage is
    linear in the node's nanometres. So it falls from node to node and with the voltage over the
    whole accepted range (checked for every tabled node).

    Args:
        from_nm, to_nm: nodes, 130 to 7 nm.
        from_v, to_v: supply voltages, 0.6 to 1.3 V.

    Raises:
        InputError: for a node or a voltage outside these ranges.
    """
    return _energy_factor(to_nm, to_v) / _energy_factor(from_nm, from_v)


def logic_area_scale(from_nm: float, to_nm: float) -> float:
    """Factor on the area of logic that moves to another node, linear in nm between tabled nodes.

    Raises:
        InputError: for a node outside 130 to 7 nm.
    """
    areas = [node.area for node in _nodes()]
    return _at(to_nm, areas) / _at(from_nm, areas)


def _energy_factor(nm: float, volts: float) -> float:
    if not LOWEST_V <= volts <= HIGHEST_V:
        raise InputError(
            f"logic cannot be scaled at {volts} V: the range is {LOWEST_V} to {HIGHEST_V} V"
        )
    return _at(nm, [float(np.polyval(node.polynomial, volts)) for node in _nodes()])


def _at(nm: float, values: list[float]) -> float:
    """Values at the tabled nodes, read at any node between."""
    known = [node.nm for node in _nodes()]
    if not known[0] <= nm <= known[-1]:
        raise InputError(
            f"logic cannot be scaled at {nm} nm: the range is {known[-1]:g} to {known[0]:g} nm"
        )
    return float(np.interp(nm, known, values))


@cache
def _nodes() -> list[_Node]:
    """Tabled nodes, smallest first."""
    rows = (
        _Node(
            float(row["node_nm"]),
            (float(row["a"]), float(row["b"]), float(row["c"])),
            float(row["area_vs_45"]),
        )
        for row in read_table("logic_scaling.csv")
    )
    return sorted(rows)
