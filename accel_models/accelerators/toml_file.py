"""Machine files: TOML in which every number says where it comes from.

::

    base = "bitfusion"

    [dram]
    gb_per_s = { value = 24, status = "published", source = "data sheet, table 3" }
    latency_ns = 80

A file with a ``base``, the name of a machine of the library or the path of another file relative
to this one, states what differs from it (`base_machine`). A bare number is its author's *own* and
needs no source; the library has none such. A constant that is not known for sure also states its
range, ``low = ..., high = ...``.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from accel_models.accelerators.accelerator import Accelerator, UnknownFamilyError, checked
from accel_models.accelerators.banks import buffers_of
from accel_models.accelerators.base_machine import with_base
from accel_models.accelerators.instead import brought
from accel_models.accelerators.process import check_process
from accel_models.documents import MOST_TOML_BYTES, parse_toml
from accel_models.errors import InfeasibleError, InputError, quoted
from accel_models.files import read_bytes
from accel_models.source import OWN, STATUSES, Source

LIBRARY = resources.files("accel_models.accelerators").joinpath("library")
"""The machines that come with the package: one file each, named after the machine."""
GROUND = "common-ground"
"""File of the library that is no machine: what machines share that are compared with each other."""


class _File(NamedTuple):
    """The text of a machine's file."""

    text: str | bytes
    where: str
    """Name of the file in errors."""
    place: Path | str
    """Path of the file, or the name of a machine of the library."""

    @property
    def folder(self) -> Path:
        """Folder that paths in the file start from."""
        return self.place.parent if isinstance(self.place, Path) else Path()


def list_accelerators() -> list[str]:
    """Names of the machines in the library."""
    return list(_names())


@cache
def _names() -> tuple[str, ...]:
    names = (file.name[:-5] for file in LIBRARY.iterdir() if file.name.endswith(".toml"))
    return tuple(sorted(name for name in names if name != GROUND))


def ground_tables() -> dict[str, Any]:
    """What the common ground states, every number an entry with its source."""
    return _tables(_opened(GROUND, Path()), ())


def load_accelerator(name: str | Path, *, plugin: str = "") -> Accelerator:
    """Load a machine of the library by name, or one of your own by the path of its TOML file.

    Args:
        name: of the machine, or path of its file.
        plugin: that its family is said to be of. It is not loaded, for no file says what code is
            run: an error names it if the family is not known.

    Raises:
        InputError: if there is no such machine, or its file is wrong: names file, field and value.
        InfeasibleError: if its logic or a bank does not reach its clock.
    """
    if str(name) in list_accelerators():
        machine = _of_library(str(name))
        return machine.model_copy(update={"provenance": dict(machine.provenance)})
    if Path(name).suffix != ".toml":
        known = ", ".join(list_accelerators())
        raise InputError(
            f"unknown accelerator '{name}'{_nearest(str(name), list_accelerators())}: known are "
            f"{known}, or a path to a .toml"
        )
    try:
        return _machine(_opened(str(name), Path()))
    except UnknownFamilyError as error:
        raise error.of_plugins([plugin]) from None


@cache
def _of_library(name: str) -> Accelerator:
    """A machine of the library, read once: nothing but its dictionary of sources can change."""
    return _machine(_opened(name, Path()))


def read_accelerator(text: str, where: str) -> Accelerator:
    """Parse and check the text of a machine's file; `where` names it in errors.

    Raises:
        InputError: if it is no TOML, or says what no machine can be.
        InfeasibleError: if the machine's logic or a bank does not reach its clock.
    """
    return _machine(_File(text, where, Path(where)))


def _opened(name: str, folder: Path) -> _File:
    """The file of a machine of the library, or one at a path that starts from a folder."""
    if name in (*list_accelerators(), GROUND):
        text = LIBRARY.joinpath(f"{name}.toml").read_text(encoding="utf-8")
        return _File(text, f"{name}.toml", name)
    path = folder / name
    return _File(read_bytes(path, MOST_TOML_BYTES), path.name, path)


def _machine(file: _File, above: tuple[_File, ...] = ()) -> Accelerator:
    return _checked(_tables(file, above), file.where)


def _tables(file: _File, above: tuple[_File, ...]) -> dict[str, Any]:
    """What a file says and inherits, every number an entry with its source.

    Args:
        above: files that build on this one, the one that was asked for first.
    """
    where = file.where
    data = parse_toml(file.text, where)
    name = data.pop("base", None)
    own = _with_own(data, where)
    if name is None:
        return own
    base = _base(name, file, (*above, file))
    tables = _tables(base, (*above, file))
    if base.place != GROUND:  # what is wrong with a base is not to be sought in this file
        _checked(tables, base.where)
    return with_base(own, tables)


def _base(name: Any, file: _File, above: tuple[_File, ...]) -> _File:
    """The file that another builds on.

    Raises:
        InputError: if there is none, or it builds on that other one.
    """
    said = f"{file.where}: base = {quoted(name)}"
    wanted = f"{GROUND}, a machine of the library such as bitfusion, or the path of another .toml"
    if not isinstance(name, str):
        raise InputError(f"{said} must be {wanted}")
    known = [*list_accelerators(), GROUND]
    if name not in known and not name.endswith(".toml"):
        close = _nearest(name, known)
        raise InputError(f"{said} is no machine{close}: it must be {wanted}")
    try:
        base = _opened(name, file.folder)
    except InputError as error:
        there = sorted(path.name for path in (file.folder / name).parent.glob("*.toml"))
        close = _nearest(Path(name).name, [one for one in there if one != file.where])
        raise InputError(f"{said}: {error}{close}: it must be {wanted}") from error
    places = [_identity(one) for one in above]
    if _identity(base) == places[-1]:
        raise InputError(f"{said} is the file itself: it must be {wanted}")
    if _identity(base) in places:
        circle = above[places.index(_identity(base)) :]
        names = " > ".join(one.where for one in (*circle, base))
        raise InputError(f"{said} goes in a circle, {names}: it must be {wanted}")
    return base


def _identity(file: _File) -> Path | str:
    return file.place.resolve() if isinstance(file.place, Path) else file.place


def _nearest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f" (do you mean {close[0]}?)" if close else ""


def _checked(tables: Mapping[str, Any], where: str) -> Accelerator:
    """The machine that complete tables describe."""
    provenance: dict[str, Source] = {}
    plain = _without_sources(tables, where, "", provenance)
    _apply_preset(plain, where, provenance)
    machine = checked({**plain, "provenance": provenance}, where)
    _check_tables(machine, where)
    for path, source in provenance.items():
        for end in (source.low, source.high):
            if end is not None:
                _check_end(plain, path, end, where)
    return machine


def _check_tables(machine: Accelerator, where: str) -> None:
    """Refuse a process or banks without figures, and a clock that logic or banks do not reach."""
    check_process(machine, where)
    buffers_of(machine, where)


def _check_end(plain: Mapping[str, Any], path: str, end: float, where: str) -> None:
    """Refuse a range that goes where its constant itself may not; where the clock alone is too fast
    there, whoever moves the constant stays at its nominal value."""
    *parents, name = path.split(".")
    changed: dict[str, Any] = dict(plain)
    table = changed
    for parent in parents:
        table[parent] = dict(table[parent])
        table = table[parent]
    table[name] = end
    try:
        _check_tables(checked(changed, where), where)
    except InfeasibleError:
        return
    except InputError as error:
        raise InputError(f"{error} (an end of the range of {path})") from error


def _apply_preset(plain: dict[str, Any], where: str, provenance: dict[str, Source]) -> None:
    """Fill in what the DRAM preset or device says that the file names."""
    dram = plain.get("dram")
    if not isinstance(dram, dict):
        return
    if "preset" in dram and "pj_per_bit" in dram:
        raise InputError(f"{where}: dram.preset and dram.pj_per_bit are both stated: leave one out")
    for kind in ("dram.device", "dram.preset"):
        try:
            found = brought(kind, dram.get(kind.removeprefix("dram.")))
        except InputError as error:
            raise InputError(f"{where}: {kind}: {error}") from error
        for path, (value, source) in found.items():
            if path.removeprefix("dram.") not in dram:
                dram[path.removeprefix("dram.")] = value
                provenance[path] = source


def _with_own(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The table with bare numbers, and entries that say nothing of a source, marked as own."""
    mine = {"status": OWN, "source": f"stated in {where}"}
    marked: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and "value" in value:
            marked[key] = value if {"status", "source"} & value.keys() else {**value, **mine}
        elif isinstance(value, Mapping):
            marked[key] = _with_own(value, where)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            marked[key] = {"value": value, **mine}
        else:
            marked[key] = value
    return marked


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
            f"{where}: {path}.status must be one of {', '.join(STATUSES)}, got {quoted(status)}"
        )
    if text is None and status == OWN:
        text = f"stated in {where}"
    if not isinstance(text, str) or not text.strip():
        raise InputError(
            f"{where}: {path}.source must say where the {status} number comes from, got "
            f"{quoted(text)}: a number of your own needs neither status nor source"
        )
    return Source(status, text, *_range(entry, where, path))


def _range(entry: Mapping[str, Any], where: str, path: str) -> tuple[float | None, float | None]:
    if "low" not in entry and "high" not in entry:
        return None, None
    low, value, high = entry.get("low"), entry["value"], entry.get("high")
    numbers = [n for n in (low, value, high) if isinstance(n, int | float)]
    if len(numbers) < 3 or not numbers[0] <= numbers[1] <= numbers[2]:
        raise InputError(
            f"{where}: {path} needs low <= value <= high, got {quoted(low)}, {quoted(value)}, "
            f"{quoted(high)}"
        )
    return numbers[0], numbers[2]
