"""Whether a machine's process hangs together: there are figures for its nodes, voltages and
temperature, and its logic reaches its clock there."""

from __future__ import annotations

from collections.abc import Callable

from accel_models.accelerators.accelerator import Accelerator
from accel_models.energy.sram_process import leakage_kelvin_scale, own_volts
from accel_models.energy.technology import check_node, check_volts, logic_delay_scale
from accel_models.errors import InfeasibleError, InputError


def check_process(machine: Accelerator, where: str) -> None:
    """Refuse a process without figures, or one whose logic is too slow for the machine's clock.

    Args:
        machine: the machine.
        where: name of its file, or of the machine where its caller changed it, for errors.

    Raises:
        InputError: for a node, a voltage or a temperature outside the tables: names file, field and
            range.
        InfeasibleError: for a clock that the logic does not reach.
    """
    array, technology, energy = machine.array, machine.technology, machine.energy
    node_nm, cell, kelvin = technology.node_nm, technology.sram_cell, technology.sram_kelvin
    _check(where, "array.node_nm", array.node_nm, check_node)
    _check(where, "technology.figures_volts", technology.figures_volts, check_volts)
    _check(where, "technology.node_nm", node_nm, check_node)
    _check(where, "technology.volts", technology.volts, check_volts)
    if energy.vector_node_nm is not None and energy.vector_volts is not None:
        _check(where, "energy.vector_node_nm", energy.vector_node_nm, check_node)
        _check(where, "energy.vector_volts", energy.vector_volts, check_volts)
    if cell is not None and kelvin is not None:
        _check(where, "technology.node_nm", node_nm, lambda nm: own_volts(nm, cell))
        _check(
            where,
            "technology.sram_kelvin",
            kelvin,
            lambda k: leakage_kelvin_scale(node_nm, cell, k),
        )
    if technology.figures_hz is None or technology.devices is None:
        return
    reached = technology.figures_hz / logic_delay_scale(
        array.node_nm, technology.figures_volts, node_nm, technology.volts, technology.devices
    )
    if machine.frequency_hz > reached * (1 + 1e-9):
        raise InfeasibleError(
            f"{where}: frequency_hz, {machine.frequency_hz / 1e6:g} MHz, is too fast: at "
            f"{node_nm:g} nm and {technology.volts:g} V its logic reaches {reached / 1e6:.4g} MHz, "
            f"by technology.figures_hz = {technology.figures_hz / 1e6:g}e6"
        )


def _check(where: str, field: str, value: float, check: Callable[[float], object]) -> None:
    try:
        check(value)
    except InputError as error:
        raise InputError(f"{where}: {field}: {error}") from error


__all__ = ["check_process"]
