"""Fields of a machine that make way for each other, and fields that bring others along.

A DRAM is a preset, a device or an energy of its own; its bandwidth is stated in one of two ways.
Whoever sets one of these takes back the other, in a file that builds on another (`base_machine`),
in a machine that is changed (`Accelerator.configured`), and along a dimension of a space.
"""

from __future__ import annotations

from typing import Any

from accel_models.accelerators.sections import DEVICE_FIELDS, Dram
from accel_models.energy.dram import dram_device, dram_preset
from accel_models.source import Source

INSTEAD = (
    ("dram.pj_per_bit", "dram.preset"),
    ("dram.preset", "dram.pj_per_bit"),
    ("dram.preset", "dram.device"),
    ("dram.device", "dram.preset"),
    *(("dram.device", f"dram.{field}") for field in DEVICE_FIELDS),
    ("dram.gb_per_s", "dram.bits_per_cycle"),
    ("dram.bits_per_cycle", "dram.gb_per_s"),
)
"""Pairs of fields: where the first is set, the second is taken back."""


def expanded(name: str, value: Any) -> dict[str, Any]:
    """All fields that setting one sets, by dotted path: those that it brings along, and None for
    those that make way.

    Raises:
        InputError: for a DRAM preset or device that there is none of; names the known ones.
    """
    if value is None:
        return {name: value}
    if name in ("dram.preset", "dram.device"):
        return _of_dram(name, value)
    return {name: value} | {other: None for one, other in INSTEAD if one == name}


def brought(name: str, value: Any) -> dict[str, tuple[float, Source]]:
    """Values and sources of the constants of a DRAM preset or device, by dotted path; nothing for
    any other field.

    Raises:
        InputError: for a preset or a device that there is none of; names the known ones.
    """
    if value is None:
        return {}
    if name == "dram.preset":
        preset = dram_preset(str(value))
        source = Source(preset.status, preset.source, preset.low, preset.high)
        return {"dram.pj_per_bit": (preset.pj_per_bit, source)}
    if name == "dram.device":
        constants = dram_device(str(value)).constants
        return {f"dram.{field}": constant for field, constant in constants.items()}
    return {}


def _of_dram(name: str, value: Any) -> dict[str, Any]:
    """What a preset or a device sets, and takes back of what the other kind had set."""
    fields: dict[str, Any] = {"dram.preset": None, "dram.device": None, name: value}
    fields |= {f"dram.{field}": Dram.model_fields[field].default for field in DEVICE_FIELDS}
    return fields | {path: amount for path, (amount, _) in brought(name, value).items()}
