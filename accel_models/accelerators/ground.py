"""Which machines stand on common ground, and are compared with each other.

The library has two kinds of machine. One called ``NAME-published`` is its paper's: its node, its
memories, its bandwidth, its oddities. Others build on ``common-ground.toml``, and share all that
this file states: process, kind of SRAM, bytes on chip, DRAM and clock. A machine that changes any
of it leaves the ground, whatever it is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.toml_file import (
    ground_tables,
    list_accelerators,
    load_accelerator,
)
from accel_models.energy.dram import dram_device


class OffGround(NamedTuple):
    """A field in which a machine is not as the common ground has it."""

    path: str
    here: Any
    ground: Any


@cache
def ground_fields() -> Mapping[str, Any]:
    """Values by dotted path that machines on common ground share."""
    fields = dict(_flat(ground_tables()))
    constants = dram_device(fields["dram.device"]).constants
    return {f"dram.{name}": value for name, (value, _) in constants.items()} | fields


def off_ground(machine: Accelerator) -> list[OffGround]:
    """Fields in which a machine is not as the common ground has it; none: it stands on it."""
    return [
        OffGround(path, machine.field(path), value)
        for path, value in ground_fields().items()
        if machine.field(path) != value
    ]


def on_ground(machine: Accelerator) -> bool:
    """Whether a machine stands on common ground."""
    return not off_ground(machine)


def ranked() -> list[str]:
    """Names of the library's machines on common ground: those that are compared by default."""
    return [name for name in list_accelerators() if on_ground(load_accelerator(name))]


def ground_sentence(stands: Mapping[str, bool]) -> str:
    """Sentence that says which kind of machine a table shows, by whether each stands on common
    ground."""
    away = [name for name, there in stands.items() if not there]
    if not away:
        return (
            "All on common ground: one process, one kind of SRAM, as many bytes on chip, one DRAM "
            "and clock (common-ground.toml)."
        )
    if len(away) == len(stands):
        return "None on common ground: each has a process, memories and clock of its own."
    return (
        f"Not on common ground: {', '.join(away)}. What they cost beside the others compares "
        "processes, memories and clocks, too."
    )


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if not isinstance(value, Mapping):
            yield f"{prefix}{key}", value
        elif "value" in value:
            yield f"{prefix}{key}", value["value"]
        else:
            yield from _flat(value, f"{prefix}{key}.")
