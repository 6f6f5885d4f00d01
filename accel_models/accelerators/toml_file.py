"""Machine files: TOML in which every number says where it comes from.

::

    [dram]
    gb_per_s = { value = 12, status = "published", source = "bf_e_conf.ini: 192 bits per cycle" }

A constant that is not known for sure also states its range, ``low = ..., high = ...``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from accel_models.accelerators.accelerator import Accelerator, checked
from accel_models.energy.array import dram_preset
from accel_models.errors import InputError
from accel_models.source import STATUSES, Source

LIBRARY = resources.files("accel_models.accelerators").joinpath("library")
"""The machines that come with the package: one file each, named after the machine."""


def list_accelerators() -> list[str]:
    """Names of the machines in the library."""
    return sorted(file.name[:-5] for file in LIBRARY.iterdir() if file.name.endswith(".toml"))


def load_accelerator(name: str | Path) -> Accelerator:
    """Load a machine of the library by name, or one of your own by the path of its TOML file.

    Raises:
        InputError: if there is no such machine, or its file is wrong: names file, field and value.
    """
    if str(name) in list_accelerators():
        file = LIBRARY.joinpath(f"{name}.toml")
        return read_accelerator(file.read_text(encoding="utf-8"), f"{name}.toml")
    path = Path(name)
    if path.suffix != ".toml":
        known = ", ".join(list_accelerators())
        raise InputError(f"unknown accelerator '{name}': known are {known}, or a path to a .toml")
    try:
        return read_accelerator(path.read_text(encoding="utf-8"), path.name)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} is not a text file: {error}") from error


def read_accelerator(text: str, where: str) -> Accelerator:
    """Parse and check the text of a machine's file; `where` names it in errors.

    Raises:
        InputError: if it is no TOML, or says what no machine can be.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where} is not valid TOML: {error}") from error
    provenance: dict[str, Source] = {}
    plain = _without_sources(data, where, "", provenance)
    _apply_preset(plain, where, provenance)
    machine = checked({**plain, "provenance": provenance}, where)
    for path, source in provenance.items():
        for end in (source.low, source.high):
            if end is not None:
                _check_end(plain, path, end, where)
    return machine


def _check_end(plain: Mapping[str, Any], path: str, end: float, where: str) -> None:
    """Refuse a range that goes where its constant itself may not."""
    *parents, name = path.split(".")
    changed: dict[str, Any] = dict(plain)
    table = changed
    for parent in parents:
        table[parent] = dict(table[parent])
        table = table[parent]
    table[name] = end
    try:
        checked(changed, where)
    except InputError as error:
        raise InputError(f"{error} (an end of its range)") from error


def _apply_preset(plain: dict[str, Any], where: str, provenance: dict[str, Source]) -> None:
    """Fill in the energy of the DRAM preset that the file names."""
    dram = plain.get("dram")
    if not isinstance(dram, dict) or "preset" not in dram:
        return
    if "pj_per_bit" in dram:
        raise InputError(f"{where}: dram.preset and dram.pj_per_bit are both stated: leave one out")
    try:
        preset = dram_preset(dram["preset"])
    except InputError as error:
        raise InputError(f"{where}: dram.preset: {error}") from error
    dram["pj_per_bit"] = preset.pj_per_bit
    provenance["dram.pj_per_bit"] = Source(preset.status, preset.source, preset.low, preset.high)


def _without_sources(
    table: Mapping[str, Any], where: str, prefix: str, provenance: dict[str, Source]
) -> dict[str, Any]:
    """The table with ``{value, status, source}`` entries replaced by their values."""
    plain: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and "value" in value:
            provenance[path] = _source(value, where, path)
            plain[key] = value["value"]
        elif isinstance(value, Mapping):
            plain[key] = _without_sources(value, where, f"{path}.", provenance)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            raise InputError(
                f"{where}: {path} = {value} does not say where it comes from: write "
                f'{{ value = {value}, status = "published", source = "..." }}'
            )
        else:
            plain[key] = value
    return plain


def _source(entry: Mapping[str, Any], where: str, path: str) -> Source:
    unknown = set(entry) - {"value", "status", "source", "low", "high"}
    if unknown:
        raise InputError(f"{where}: {path} has an unknown entry '{min(unknown)}'")
    status, text = entry.get("status"), entry.get("source")
    if status not in STATUSES:
        raise InputError(
            f"{where}: {path}.status must be one of {', '.join(STATUSES)}, got {status!r}"
        )
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: {path}.source must say where the number comes from")
    return Source(status, text, *_range(entry, where, path))


def _range(entry: Mapping[str, Any], where: str, path: str) -> tuple[float | None, float | None]:
    if "low" not in entry and "high" not in entry:
        return None, None
    low, value, high = entry.get("low"), entry["value"], entry.get("high")
    numbers = [n for n in (low, value, high) if isinstance(n, int | float)]
    if len(numbers) < 3 or not numbers[0] <= numbers[1] <= numbers[2]:
        raise InputError(
            f"{where}: {path} needs low <= value <= high, got {low!r}, {value!r}, {high!r}"
        )
    return numbers[0], numbers[2]
