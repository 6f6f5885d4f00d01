"""One machine: its array, buffers, memory port and clock, read from a TOML file and checked.

A number in a machine's file always says where it comes from::

    [dram]
    bits_per_cycle = { value = 192, status = "published", source = "bf_e_conf.ini" }
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accel_models.errors import InputError

STATUSES = ("measured", "published", "assumed")


class Source(NamedTuple):
    """Where a constant comes from: `status` is one of measured, published or assumed."""

    status: str
    text: str


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Array(Part):
    """A systolic array of composable multipliers."""

    rows: int = Field(gt=0)
    """Units along the reduction: input channels."""
    columns: int = Field(gt=0)
    """Units along the outputs: output channels."""
    max_bits: int = Field(gt=0, le=32)
    """Widest operand a unit multiplies in one cycle."""
    min_bits: int = Field(gt=0, le=32)
    """Narrowest operand that still makes a unit faster."""


class Buffers(Part):
    """On-chip memories in bytes; half of each is usable, the other half being filled."""

    weight_bytes: int = Field(gt=0)
    input_bytes: int = Field(gt=0)
    output_bytes: int = Field(gt=0)


class Dram(Part):
    bits_per_cycle: int = Field(gt=0)
    """Bandwidth, in bits per cycle of the array's clock."""
    pj_per_bit: float = Field(ge=0)


class Fidelity(Part):
    """What the model charges. The first value of each option is the published simulator's."""

    image_layer: Literal["im2col", "direct"]
    """``im2col``: a convolution reading the image spreads its whole window over the lanes, and
    the duplicated pixels come over DRAM. ``direct``: it is treated like any other layer."""
    outputs: Literal["accumulators", "activations"]
    """Width at which finished outputs travel: the accumulator's, or the activations'."""
    partial_sums: Literal["always", "revisited"]
    """Outputs are read back before every use, or only when a tile is visited again."""
    output_padding: bool
    """True: outputs are padded to a multiple of the array's columns even in DRAM."""
    input_reads: Literal["per-mac", "per-row"]
    """Input buffer reads: one for each MAC, or one shared by all columns of a row."""
    static_power: bool
    """True: leakage of array and buffers is charged for the time a network takes."""


class Accelerator(Part):
    """One machine. Every number has its `Source` in `provenance`, by dotted path."""

    name: str
    title: str
    family: Literal["bit_fusion"]
    paper: str
    frequency_hz: float = Field(gt=0)
    accumulator_bits: int = Field(gt=0, le=64)
    array: Array
    buffers: Buffers
    dram: Dram
    fidelity: Fidelity
    provenance: dict[str, Source] = Field(default_factory=dict, repr=False)

    def configured(self, **changes: Any) -> Accelerator:
        """A copy with some fields changed, by dotted path with ``__`` for the dot.

        >>> load_accelerator("bitfusion").configured(array__rows=8, frequency_hz=1e9).array.rows
        8

        Raises:
            InputError: if a field does not exist or a value is out of range.
        """
        data = self.model_dump()
        for path, value in changes.items():
            *parents, field = path.split("__")
            table = data
            for parent in parents:
                table = table.get(parent, {})
            if field not in table:
                raise InputError(f"{self.name}: there is no field {path.replace('__', '.')}")
            table[field] = value
            data["provenance"][".".join([*parents, field])] = Source("assumed", "set by the caller")
        return _checked(data, self.name)

    def constants(self) -> Iterator[tuple[str, float, Source]]:
        """(dotted path, value, source) of every number in the machine's file."""
        flat = dict(_numbers(self.model_dump(exclude={"provenance"})))
        for path, source in self.provenance.items():
            if path in flat:
                yield path, flat[path], source


def list_accelerators() -> list[str]:
    """Names of the machines in the library."""
    library = resources.files("accel_models").joinpath("library")
    return sorted(file.name[:-5] for file in library.iterdir() if file.name.endswith(".toml"))


def load_accelerator(name: str | Path) -> Accelerator:
    """Load a machine of the library by name, or one of your own by the path of its TOML file.

    Raises:
        InputError: if there is no such machine, or its file is wrong: names file, field and value.
    """
    if str(name) in list_accelerators():
        file = resources.files("accel_models").joinpath("library", f"{name}.toml")
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
    """Parse and check the text of a machine's file; `where` names it in errors."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where} is not valid TOML: {error}") from error
    provenance: dict[str, Source] = {}
    plain = _without_sources(data, where, "", provenance)
    return _checked({**plain, "provenance": provenance}, where)


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
    unknown = set(entry) - {"value", "status", "source"}
    if unknown:
        raise InputError(f"{where}: {path} has an unknown entry '{min(unknown)}'")
    status, text = entry.get("status"), entry.get("source")
    if status not in STATUSES:
        raise InputError(
            f"{where}: {path}.status must be one of {', '.join(STATUSES)}, got {status!r}"
        )
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: {path}.source must say where the number comes from")
    return Source(status, text)


def _checked(data: Mapping[str, Any], where: str) -> Accelerator:
    try:
        machine = Accelerator.model_validate(data)
    except ValidationError as error:
        raise InputError(_first_sentence(error, where)) from error
    array = machine.array
    if array.min_bits > array.max_bits:
        raise InputError(
            f"{where}: array.min_bits must be at most array.max_bits = {array.max_bits}, "
            f"got {array.min_bits}"
        )
    return machine


def _first_sentence(error: ValidationError, where: str) -> str:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"{where}: {path} is missing"
    if first["type"] == "extra_forbidden":
        return f"{where}: {path} is not a known field"
    must = first["msg"].replace("Input should be", "must be")
    return f"{where}: {path} {must}, got {first['input']!r}"


def _numbers(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}", value
