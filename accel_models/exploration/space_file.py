"""Space files: TOML that names a base machine and what may change.

::

    base = "bitfusion"                      # or several: their families are searched too; none:
                                            # all machines on common ground
    objectives = ["energy", "p95"]

    [fields.array]
    rows = [8, 16, 32]                      # a set
    columns = { low = 8, high = 64, step = 8 }
    [fields.buffers]
    weight_bytes = { low = 32768, high = 262144, factor = 2 }
    [fields.dram]
    gb_per_s = { low = 4, high = 48, log = true }   # any value between

    [options.technology]                    # fields that change together
    "45 nm" = { "technology.node_nm" = 45, "technology.volts" = 0.9 }
    "28 nm" = { "technology.node_nm" = 28, "technology.volts" = 0.8 }

    [constraints]
    area = 6                                # at most, in mm²

    [[workloads]]
    trace = "a.parquet"                     # or several, of which one is chosen
    weight = 2
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from accel_models.accelerators.accelerator import Accelerator, first_sentence, meant
from accel_models.accelerators.ground import ranked
from accel_models.accelerators.instead import expanded
from accel_models.accelerators.toml_file import load_accelerator
from accel_models.documents import MOST_TOML_BYTES, parse_toml
from accel_models.energy.dram import dram_device, dram_preset
from accel_models.errors import InputError, quoted
from accel_models.exploration.space import (
    BASE,
    POLICY,
    Bound,
    Dimension,
    Space,
    choice,
    has_field,
    is_outside,
)
from accel_models.files import read_bytes
from accel_models.metrics import columns, explored, named
from accel_models.replay import Policy
from accel_models.source import Part

_RANGE = frozenset({"low", "high", "step", "factor", "log"})
VARIED = ("prefetch", "switches", "batching", "batch")
"""Fields of ``policy``, the replay's, that a space can vary."""
_COLUMNS = frozenset({BASE, "number", "infeasible", "kept", "pareto"})
"""Columns of a study's trials beside metrics: names that an option cannot have."""
LARGEST_WHOLE = 2**53
"""Whole number that a field can have, at most: beyond it, not every one is a float."""
MOST_VALUES = 10_000
"""Values of one dimension that is spelled out as steps, at most."""


Share = Annotated[float, Field(ge=0, le=1)]


class WorkloadEntry(Part):
    """One workload: gate traces, or a network at a fixed precision."""

    name: str = ""
    trace: str | list[str] = Field(default_factory=list)
    layers: str = ""
    """A CSV of layers."""
    network: str = ""
    """A network that whoever reads the file can build by name."""
    widths: str = ""
    """A file of widths by layer (`workloads.widths_file`), which hold at every precision."""
    precision: str | int | list[str | int] = Field(default_factory=list)
    """Precision of `layers` or `network`; several are alternatives."""
    accuracy: Share | list[Share] = Field(default_factory=list)
    """Accuracy of a network at each fixed precision, where it is known."""
    weight: float = Field(default=1.0, gt=0)


class SpaceFile(Part):
    """The tables of a space file."""

    name: str = ""
    base: str | list[str] | None = None
    objectives: tuple[str, ...] = Field(default=(), min_length=1, strict=False)
    """What machines are judged by; a search wants some, a mere list of machines none."""
    fields: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)
    constraints: dict[str, Any] = Field(default_factory=dict)
    workloads: tuple[WorkloadEntry, ...] = Field(default=(), strict=False)


def read_space(path: str | Path) -> tuple[Space, tuple[WorkloadEntry, ...]]:
    """Read a space file, and the workloads it names with paths made relative to it.

    Raises:
        InputError: if it cannot be read or used: one sentence naming the file and the entry.
    """
    path = Path(path)
    file = _parsed(parse_toml(read_bytes(path, MOST_TOML_BYTES), path.name), path.name)
    space = _space(file, path.name, path.parent, file.name or path.stem)
    return space, tuple(_anchored(entry, path.parent) for entry in file.workloads)


def parse_space(
    data: Mapping[str, Any], where: str = "space"
) -> tuple[Space, tuple[WorkloadEntry, ...]]:
    """A space from plain tables, laid out as in a file, and the workloads they name.

    Raises:
        InputError: naming the entry.
    """
    file = _parsed(dict(data), where)
    return _space(file, where, Path(), file.name or where), file.workloads


def _parsed(data: dict[str, Any], where: str) -> SpaceFile:
    try:
        return SpaceFile.model_validate(data)
    except ValidationError as error:
        raise InputError(first_sentence(error, where, "")) from error


def _space(file: SpaceFile, where: str, folder: Path, name: str) -> Space:
    names = ranked() if file.base is None else as_list(file.base)
    if not names:
        raise InputError(f"{where}: base names no machine")
    machines = [load_accelerator(_beside(base, folder)) for base in names]
    bases = {machine.name: machine for machine in machines}
    if len(bases) < len(names):
        raise InputError(f"{where}: base names a machine twice")
    dimensions = [choice(BASE, bases)] if len(bases) > 1 else []
    dimensions += [_dimension(path, entry, bases, where) for path, entry in _flat(file.fields, "")]
    dimensions += [_option(*option, bases, where) for option in file.options.items()]
    _check_apart(dimensions, where)
    objectives = _objectives(file.objectives, where)
    bounds = tuple(_bound(*constraint, where) for constraint in file.constraints.items())
    return Space(name, bases, tuple(dimensions), objectives, bounds)


def _flat(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Pairs (dotted path, entry) of everything that varies; tables nest as in a machine's file."""
    for key, entry in table.items():
        if isinstance(entry, Mapping) and not _RANGE & entry.keys():
            yield from _flat(entry, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", entry


def _dimension(path: str, entry: Any, bases: Mapping[str, Accelerator], where: str) -> Dimension:
    kind = _kind_of(path, bases, where)
    if isinstance(entry, Mapping):
        return _range(path, entry, kind, where)
    values = as_list(entry)
    if not values:
        raise InputError(f"{where}: fields.{path} is an empty set")
    made = choice(path, [_value(f"fields.{path}", value, kind, where) for value in values])
    if len(set(made.values)) < len(made.values):
        raise InputError(f"{where}: fields.{path} names a value twice")
    return made


def _kind_of(path: str, bases: Mapping[str, Accelerator], where: str) -> TypeAdapter[Any]:
    """The type of a field, with its limits, as the first base that has it declares it."""
    if path.startswith(POLICY):
        name = path.removeprefix(POLICY)
        if name not in VARIED:
            raise InputError(f"{where}: fields.{path}: what varies is {', '.join(VARIED)}")
        return TypeAdapter(get_type_hints(Policy)[name], config=ConfigDict(strict=True))
    for machine in bases.values():
        if has_field(machine, path):
            *parents, name = path.split(".")
            part = machine.field(".".join(parents)) if parents else machine
            if isinstance(machine.field(path), Part):
                raise InputError(f"{where}: fields.{path} is a section: name its fields")
            info = type(part).model_fields[name]
            kind: Any = info.annotation
            if info.metadata:
                kind = Annotated[(kind, *info.metadata)]
            return TypeAdapter(kind, config=ConfigDict(strict=True))
    raise InputError(f"{where}: fields.{path} is no field of {', '.join(bases)}{meant(path)}")


def _value(name: str, value: Any, kind: TypeAdapter[Any], where: str) -> Any:
    """A value that a field can have.

    Raises:
        InputError: if it cannot.
    """
    if name.endswith(("dram.preset", "dram.device")) and isinstance(value, str):
        known = dram_preset if name.endswith("preset") else dram_device
        try:
            return known(value).name
        except InputError as error:
            raise InputError(f"{where}: {name}: {error}") from error
    if name == "fields.array.family":
        raise InputError(f"{where}: {name}: families are searched by naming several bases")
    try:
        checked = kind.validate_python(value)
    except ValidationError as error:
        must = error.errors()[0]["msg"].replace("Input should be", "must be")
        raise InputError(f"{where}: {name} {must}, got {quoted(value)}") from error
    if isinstance(checked, float) and not math.isfinite(checked):
        raise InputError(f"{where}: {name} must be finite, got {quoted(value)}")
    if isinstance(checked, int) and abs(checked) > LARGEST_WHOLE:
        raise InputError(f"{where}: {name} must be at most 2**53, got {quoted(value)}")
    return checked


def _range(path: str, entry: Mapping[str, Any], kind: TypeAdapter[Any], where: str) -> Dimension:
    name = f"fields.{path}"
    unknown = entry.keys() - _RANGE
    if unknown or not {"low", "high"} <= entry.keys():
        raise InputError(
            f"{where}: {name} is a range of low and high, with step, factor or log, "
            f"got {', '.join(sorted(entry))}"
        )
    low, high = (_value(name, entry[end], kind, where) for end in ("low", "high"))
    if not all(_is_number(end) for end in (low, high)):
        raise InputError(f"{where}: {name} has no order: name a set of values")
    if low >= high:
        raise InputError(f"{where}: {name} is an empty range: low = {low}, high = {high}")
    _check_steps(low, high, entry, f"{where}: {name}")
    if "step" in entry or "factor" in entry:
        values = _spelled_out(low, high, entry, f"{where}: {name}")
        checked = [_value(name, value, kind, where) for value in values]
        return choice(path, checked, entry.get("step", 0))
    log = entry.get("log", False)
    if not isinstance(log, bool) or (log and low <= 0):
        raise InputError(f"{where}: {name}.log must be true or false, and low above 0 if true")
    whole = not isinstance(low, float) and not isinstance(kind.validate_python(low), float)
    return Dimension(path, low=low, high=high, integer=whole, log=log)


def _check_steps(low: Any, high: Any, entry: Mapping[str, Any], name: str) -> None:
    """Refuse steps that lead nowhere, to no whole number, or two ways of taking them."""
    given = [key for key in ("step", "factor", "log") if key in entry]
    if len(given) > 1:
        raise InputError(f"{name} is given {' and '.join(given)}: leave one out")
    if not given or given == ["log"]:
        return
    key, size = given[0], entry[given[0]]
    if not _is_number(size) or size <= (0 if key == "step" else 1):
        raise InputError(
            f"{name} needs a step above 0 or a factor above 1, got {key} = {quoted(size)}"
        )
    if isinstance(low, int) and not isinstance(size, int):
        raise InputError(f"{name}.{key} must be a whole number like what it leads to, got {size}")
    if (low + size if key == "step" else low * size) > high * (1 + 1e-12):
        raise InputError(f"{name}.{key} = {size} leads from {low} to nothing up to {high}")


def _spelled_out(low: Any, high: Any, entry: Mapping[str, Any], name: str) -> list[Any]:
    step, factor = entry.get("step", 0), entry.get("factor", 1)
    values, count = [low], 1
    while len(values) <= MOST_VALUES:
        value = _after(low, count, step) if step > 0 else low * factor**count
        if value > high * (1 + 1e-12):
            return values
        values.append(value)
        count += 1
    raise InputError(
        f"{name} has over {MOST_VALUES} steps: leave the step out, or take a larger one"
    )


def _after(low: float, count: int, step: float) -> float:
    """Value so many steps up, in decimals as they are written: 0.3, not 0.1 + 2 * 0.1."""
    if isinstance(low, int) and isinstance(step, int):
        return low + count * step
    return float(Decimal(str(low)) + count * Decimal(str(step)))


def _option(
    name: str,
    settings: Mapping[str, Mapping[str, Any]],
    bases: Mapping[str, Accelerator],
    where: str,
) -> Dimension:
    """Fields that change together, under a name of their own."""
    if name in _COLUMNS.union(columns()) or is_outside(name):
        raise InputError(f"{where}: options.{name}: '{name}' means something else, call it another")
    changes = []
    for label, table in settings.items():
        change: dict[str, Any] = {}
        for path, value in _flat(table, ""):
            kind, place = _kind_of(path, bases, where), f"options.{name}.{label}.{path}"
            change |= expanded(path, _value(place, value, kind, where))
        changes.append(change)
    if not changes:
        raise InputError(f"{where}: options.{name} is an empty set")
    return Dimension(name, tuple(settings), tuple(changes))


def _check_apart(dimensions: list[Dimension], where: str) -> None:
    """Refuse dimensions of one name or that set one field, and a space in which nothing varies."""
    if not dimensions:
        raise InputError(f"{where}: nothing varies: name fields, options or several bases")
    seen: dict[str, str] = {}
    names = [dimension.name for dimension in dimensions]
    for dimension in dimensions:
        if names.count(dimension.name) > 1:
            raise InputError(f"{where}: two things that vary are called {dimension.name}")
        for path in sorted(dimension.paths):
            if path in seen:
                raise InputError(
                    f"{where}: {path} is set by both {seen[path]} and {dimension.name}: "
                    "leave one out"
                )
            seen[path] = dimension.name


def _objectives(names: tuple[str, ...], where: str) -> tuple[str, ...]:
    for name in names:
        named(name, explored(), where=f"{where}: ", what="objective")
    if len(set(names)) < len(names):
        raise InputError(f"{where}: objectives names one twice")
    return names


def _bound(metric: str, entry: Any, where: str) -> Bound:
    named(metric, explored(), where=f"{where}: ", what="constraint")
    sides = entry if isinstance(entry, Mapping) else {"high": entry}
    values = list(sides.values())
    if not sides or sides.keys() - {"low", "high"} or not all(_is_number(v) for v in values):
        raise InputError(
            f"{where}: constraints.{metric} is a number it may not exceed, or a range of low and "
            f"high, got {quoted(entry)}"
        )
    bound = Bound(metric, **{side: float(value) for side, value in sides.items()})
    if bound.low <= 0 and "low" in sides:
        raise InputError(f"{where}: constraints.{metric}.low must be above 0, got {sides['low']}")
    if not (bound.high > 0 and bound.high >= bound.low):
        raise InputError(f"{where}: contradictory constraint: nothing has {bound}")
    return bound


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _anchored(entry: WorkloadEntry, folder: Path) -> WorkloadEntry:
    """Copy of an entry, its paths relative to the folder of the file that names them."""
    traces = [trace for trace in as_list(entry.trace) if trace]
    layers = str(folder / entry.layers) if entry.layers else ""
    widths = str(folder / entry.widths) if entry.widths else ""
    return entry.model_copy(
        update={
            "trace": [str(folder / trace) for trace in traces],
            "layers": layers,
            "widths": widths,
        }
    )


def as_list(entry: Any) -> list[Any]:
    """One thing or several, as several."""
    return entry if isinstance(entry, list) else [entry]


def _beside(base: str, folder: Path) -> str:
    """A machine's name, or its file's path relative to the space's folder."""
    return str(folder / base) if base.endswith(".toml") else base


__all__ = ["SpaceFile", "WorkloadEntry", "parse_space", "read_space"]
