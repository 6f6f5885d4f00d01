"""A machine written as the TOML file that it can be loaded from."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from accel_models.accelerators.accelerator import Accelerator
from accel_models.energy.dram import dram_device, dram_preset
from accel_models.source import Source

_ASSUMED = Source("assumed", "set by the caller")


def machine_toml(machine: Accelerator) -> str:
    """The text of a machine's file: every number with its source.

    What is written loads back as the same machine, but for its departures: those told how another
    machine came about.
    """
    data = machine.model_dump(exclude={"provenance", "departures"})
    dram, preset = data["dram"], machine.dram.preset
    if preset is not None and dram_preset(preset).pj_per_bit == machine.dram.pj_per_bit:
        del dram["pj_per_bit"]  # it comes with the preset
    if machine.dram.device is not None:
        for field, (value, _) in dram_device(machine.dram.device).constants.items():
            if dram[field] == value:
                del dram[field]
    return "\n".join(_table(data, "", machine.provenance)) + "\n"


def _table(
    table: Mapping[str, Any], prefix: str, provenance: Mapping[str, Source]
) -> Iterator[str]:
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    for key, value in table.items():
        if key not in inner and value is not None:
            yield f"{key} = {_entry(value, provenance.get(prefix + key, _ASSUMED))}"
    for key, value in inner.items():
        yield ""
        yield f"[{prefix}{key}]"
        yield from _table(value, f"{prefix}{key}.", provenance)


def _entry(value: Any, source: Source) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _plain(value)
    parts = {"value": value, "status": source.status, "source": source.text}
    if source.low is not None and source.high is not None and source.low <= value <= source.high:
        whole = isinstance(value, int)  # ends of its range then are, too
        parts |= {
            "low": math.ceil(source.low) if whole else source.low,
            "high": math.floor(source.high) if whole else source.high,
        }
    return "{ " + ", ".join(f"{name} = {_plain(part)}" for name, part in parts.items()) + " }"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # a TOML string but for what JSON escapes less
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_plain(part) for part in value) + "]"
    return repr(value)
