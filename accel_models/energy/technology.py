"""Carrying logic from one process and supply voltage to another. Logic only.

SRAM does not follow logic and has its own rows (`accel_models.energy.sram_process`); DRAM is
another process altogether (`accel_models.energy.dram`).

Figures: Stillmaker and Baas, "Scaling equations for the accurate prediction of CMOS device
performance from 180 nm to 7 nm", Integration 58 (2017), ``data/logic_scaling.csv``: as tabled in
nodeScale (UCLA NanoCAD), and where hwcomponents (``techscaling.py``) tables an energy too, the
same there; the paper itself was not checked. Its authors' erratum works an example with
0.8367 V² - 0.4341 V + 0.1701, which is the row of high-performance devices at 32 nm.

Below 65 nm the paper has rows for high-performance and for low-power devices. hwcomponents mixes
them: low power at 45 and 32 nm, high performance from 20 nm on, so that scaling across 32 to 20 nm
changes the kind of device besides: 45 to 20 nm at 0.8 V is 0.22 there, 0.28 within high
performance, 0.18 within low power. ``devices = None`` is that mixture, as machines of published
figures have it.
"""

from __future__ import annotations

from functools import cache, lru_cache
from math import exp
from typing import Literal, NamedTuple

import numpy as np

from accel_models.energy.published_tables import read_table
from accel_models.errors import InputError

Devices = Literal["hp", "lp"]
"""Transistors: high performance or low power."""

LOWEST_V = 0.6
"""Below its minimum at 0.586 V, the 65 nm polynomial has energy rise as the voltage falls."""
HIGHEST_V = 1.3
"""The highest voltage the authors work an example at."""
_SMALLEST_LOW_POWER_NM = 32
"""Down to here ``devices = None`` takes low-power rows, below it high-performance ones."""


class _Node(NamedTuple):
    nm: float
    energy: tuple[float, float, float]
    """Factor on energy, a polynomial in volts, highest power first."""
    delay: tuple[float, float, float, float]
    area: float


def logic_energy_scale(
    from_nm: float, from_v: float, to_nm: float, to_v: float, devices: Devices | None = None
) -> float:
    """Factor on the dynamic energy of logic that moves to another node and voltage.

    Every tabled node has a factor a V² + b V + c; between two nodes the factor at that voltage is
    linear in the node's nanometres. So it falls with the voltage over the whole accepted range, and
    from node to node where the kind of device stays what it is or is the mixture.

    Args:
        from_nm, to_nm: nodes, 130 to 7 nm.
        from_v, to_v: supply voltages, 0.6 to 1.3 V.
        devices: kind of transistors below 65 nm; None for the mixture above.

    Raises:
        InputError: for a node or a voltage outside these ranges.
    """
    return _energy(to_nm, to_v, devices) / _energy(from_nm, from_v, devices)


def logic_delay_scale(
    from_nm: float, from_v: float, to_nm: float, to_v: float, devices: Devices
) -> float:
    """Factor on the delay of logic that moves to another node and voltage; a clock moves by its
    inverse.

    Every tabled node has a cubic in the voltage; between two nodes, linear in the nanometres. Some
    cubics rise again towards high voltages (high performance at 45 nm from 0.95 V, at 32 nm from
    0.85 V, at 20 and 16 nm from 0.96 V): from there on the delay stays where it was. Delay need not
    fall from node to node: rows of low power at 45 nm are slower than those at 65 nm, which know
    one kind of device only, and high performance at 32 nm and 0.8 to 0.9 V is faster than at 20.

    Args:
        from_nm, to_nm: nodes, 130 to 7 nm.
        from_v, to_v: supply voltages, 0.6 to 1.3 V.
        devices: kind of transistors below 65 nm. The mixture of `logic_energy_scale` will not do:
            its step from 32 to 20 nm would be one of devices, by a factor of six.

    Raises:
        InputError: for a node or a voltage outside these ranges.
    """
    return _delay(to_nm, to_v, devices) / _delay(from_nm, from_v, devices)


def logic_area_scale(from_nm: float, to_nm: float) -> float:
    """Factor on the area of logic that moves to another node, linear in nm between tabled nodes.

    Raises:
        InputError: for a node outside 130 to 7 nm.
    """
    areas = [node.area for node in _nodes(None)]
    return _at(to_nm, areas) / _at(from_nm, areas)


def leakage_volt_scale(from_v: float, to_v: float, per_volt: float) -> float:
    """Factor on leakage power that moves to another voltage at the same node and temperature.

    V exp(k V): the voltage itself, and the current, which drain-induced barrier lowering raises by
    k a volt. An assumption: 0.1 V of threshold a volt and 0.1 V a decade of current make k = 2.3,
    and 0 to 0.2 V make 0 to 4.6.

    Args:
        from_v, to_v: supply voltages.
        per_volt: k, in 1/V.
    """
    return to_v / from_v * exp(per_volt * (to_v - from_v))


@lru_cache(maxsize=1024)
def _energy(nm: float, volts: float, devices: Devices | None) -> float:
    check_volts(volts)
    return _at(nm, [float(np.polyval(node.energy, volts)) for node in _nodes(devices)])


@lru_cache(maxsize=1024)
def _delay(nm: float, volts: float, devices: Devices) -> float:
    check_volts(volts)
    nodes = _nodes(devices)
    return _at(nm, [float(np.polyval(node.delay, min(volts, _lowest(node)))) for node in nodes])


@cache
def _lowest(node: _Node) -> float:
    """The voltage from which on a node's delay rises; the highest of all where it never does."""
    slope = np.polyder(np.array(node.delay))
    rises = [
        float(root.real)
        for root in np.roots(slope)
        if abs(root.imag) < 1e-12 and np.polyval(np.polyder(slope), root.real) > 0
    ]
    return min([volts for volts in rises if volts > LOWEST_V], default=HIGHEST_V)


def check_volts(volts: float) -> None:
    """Refuse a supply voltage that logic cannot be scaled to.

    Raises:
        InputError: outside 0.6 to 1.3 V.
    """
    if not LOWEST_V <= volts <= HIGHEST_V:
        raise InputError(
            f"logic cannot be scaled at {volts} V: the range is {LOWEST_V} to {HIGHEST_V} V"
        )


def check_node(nm: float) -> None:
    """Refuse a node that logic cannot be scaled to.

    Raises:
        InputError: outside 130 to 7 nm.
    """
    first, last = _nodes(None)[0].nm, _nodes(None)[-1].nm
    if not first <= nm <= last:
        raise InputError(
            f"logic cannot be scaled at {nm:g} nm: the range is {last:g} to {first:g} nm"
        )


def _at(nm: float, values: list[float]) -> float:
    """Values at the tabled nodes, read at any node between."""
    check_node(nm)
    return float(np.interp(nm, [node.nm for node in _nodes(None)], values))


@cache
def _nodes(devices: Devices | None) -> list[_Node]:
    """Tabled nodes of one kind of device, smallest first."""
    nodes = []
    for row in read_table("logic_scaling.csv"):
        nm = float(row["node_nm"])
        wanted = devices or ("lp" if nm >= _SMALLEST_LOW_POWER_NM else "hp")
        if row["devices"] in ("", wanted):
            a, b, c = (float(row[name]) for name in ("a", "b", "c"))
            d3, d2, d1, d0 = (float(row[f"delay_{power}"]) for power in (3, 2, 1, 0))
            nodes.append(_Node(nm, (a, b, c), (d3, d2, d1, d0), float(row["area_vs_45"])))
    return sorted(nodes)
