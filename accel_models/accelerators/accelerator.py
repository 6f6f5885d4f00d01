"""One machine: its array, buffers, memory port, clock, and what the model charges on it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import Field, SerializeAsAny, ValidationError

from accel_models.accelerators.arrays import FAMILIES
from accel_models.accelerators.arrays.array import Array
from accel_models.accelerators.arrays.registry import family_called, known_families
from accel_models.accelerators.base_machine import NOT_INHERITED
from accel_models.accelerators.instead import brought, expanded
from accel_models.accelerators.sections import (
    Buffers,
    Departures,
    Dram,
    Energy,
    Fidelity,
    MappingOptions,
    Storage,
    Technology,
)
from accel_models.errors import InputError, listed, quoted
from accel_models.precision import MAX_BITS, Precision
from accel_models.source import In, Part, Source


class UnknownFamilyError(InputError):
    """A machine whose arithmetic is of a family that nothing loaded so far defines."""

    def of_plugins(self, plugins: Iterable[str]) -> UnknownFamilyError:
        """This error, naming the plugins that a trace says its machine was of, if any."""
        given = " ".join(f"--plugin {plugin}" for plugin in sorted(plugins) if plugin)
        return UnknownFamilyError(f"{self} (its trace was made with {given})") if given else self


class Accelerator(Part):
    """One machine. Every number has its `Source` in `provenance`, by dotted path."""

    name: str
    """Word that the machine is called by."""
    title: str
    """Line that says what the machine is."""
    paper: str
    """Publication that the machine is described in."""
    frequency_hz: Annotated[float, In("Hz")] = Field(ge=1, le=1e12)
    """Clock of the array, its buffers and the vector unit."""
    accumulator_bits: Annotated[int, In("bits")] = Field(ge=8, le=64)
    """Width of a partial sum's word."""
    widths: Annotated[tuple[int, ...], In("bits")] = Field(default=(), strict=False)
    """Operand widths that its control offers: operands of another run at the next wider one. None
    named: any that the array can do."""
    array: SerializeAsAny[Array]
    buffers: Buffers
    dram: Dram
    storage: Storage
    mapping: MappingOptions
    energy: Energy
    technology: Technology
    fidelity: Fidelity = Fidelity()
    departures: Departures | None = None
    provenance: dict[str, Source] = Field(default_factory=dict, repr=False)
    """Sources of all numbers by dotted path; a file states them with the numbers themselves."""

    def configured(self, **changes: Any) -> Accelerator:
        """A copy with some fields changed, by dotted path with ``__`` for the dot.

        A DRAM preset or device brings its constants along, and fields that say the same thing in
        another way make way, where they are not changed besides (`instead`).

        >>> load_accelerator("bitfusion").configured(array__rows=8, frequency_hz=1e9).array.rows
        8

        Raises:
            InputError: if a field does not exist or a value is out of range.
        """
        data = self.model_dump(exclude={"provenance", "departures"})
        provenance = dict(self.provenance)
        set_by_caller = {path.replace("__", "."): value for path, value in changes.items()}
        values, sources = self._implied(set_by_caller)
        for path, value in (values | set_by_caller).items():
            *parents, field = path.split(".")
            table: Any = data
            for parent in parents:
                table = table.get(parent) if isinstance(table, dict) else None
            if not isinstance(table, dict) or field not in table:
                raise InputError(f"{self.name}: there is no field {path}{meant(path)}")
            table[field] = value
            provenance[path] = sources.get(path, Source("assumed", "set by the caller"))
        kept = {"provenance": provenance, "departures": self.departures}
        return _built(data, self.name).model_copy(update=kept)

    def _implied(self, changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Source]]:
        """Values of all fields that these changes set, and sources of those they bring along."""
        values: dict[str, Any] = {}
        sources: dict[str, Source] = {}
        for path, value in changes.items():
            try:
                values |= expanded(path, value)
                constants = brought(path, value)
            except InputError as error:
                raise InputError(f"{self.name}: {path}: {error}") from error
            sources |= {
                field: source
                for field, (amount, source) in constants.items()
                if changes.get(field, amount) == amount
            }
        return values, sources

    def offered(self, precision: Precision) -> Precision:
        """The widths that operands run at: their own, or the next wider that the machine offers. An
        operand wider than all it offers keeps its width."""
        if not self.widths or not precision.runs:
            return precision
        weights, inputs = (
            min((width for width in self.widths if width >= bits), default=bits)
            for bits in (precision.weight_bits, precision.activation_bits)
        )
        if (weights, inputs) == (precision.weight_bits, precision.activation_bits):
            return precision
        return Precision(weights, inputs)

    def field(self, path: str) -> Any:
        """The value at a dotted path, such as ``dram.pj_per_bit``.

        Raises:
            InputError: if there is no such field.
        """
        value: Any = self
        for part in path.split("."):
            if not isinstance(value, Part) or part not in type(value).model_fields:
                raise InputError(f"{self.name}: there is no field {path}{meant(path)}")
            value = getattr(value, part)
        return value

    def constants(self) -> Iterator[tuple[str, float, Source]]:
        """(dotted path, value, source) of every number in the machine's file."""
        flat = dict(_numbers(self.model_dump(exclude={"provenance", "departures"})))
        for path, source in self.provenance.items():
            if path in flat:
                yield path, flat[path], source

    @property
    def dram_bits_per_cycle(self) -> float:
        """Bandwidth at the array's clock."""
        if self.dram.bits_per_cycle is not None:
            return self.dram.bits_per_cycle
        assert self.dram.gb_per_s is not None  # one of the two is always there
        return self.dram.gb_per_s * 8e9 / self.frequency_hz

    @property
    def dram_gb_per_s(self) -> float:
        """Bandwidth in 10^9 bytes per second."""
        if self.dram.gb_per_s is not None:
            return self.dram.gb_per_s
        return self.dram_bits_per_cycle * self.frequency_hz / 8e9

    @property
    def dram_channels(self) -> int:
        """Channels that the bandwidth takes; 1 where nothing is said of channels."""
        if self.dram.channel_gb_per_s is None:
            return 1
        return math.ceil(self.dram_gb_per_s / self.dram.channel_gb_per_s * (1 - 1e-12))

    @property
    def key_fields(self) -> dict[str, Any]:
        """Everything that figures can depend on, for hashing."""
        return self.model_dump(mode="json", exclude={"provenance", "departures", "title", "paper"})


def checked(data: Mapping[str, Any], where: str) -> Accelerator:
    """Build a machine from plain tables; `where` names it in errors.

    Raises:
        InputError: naming field, value and what would be right.
    """
    machine = _built(data, where)
    _check_departures(machine, where)
    return machine


def _built(data: Mapping[str, Any], where: str) -> Accelerator:
    array = data.get("array")
    if not isinstance(array, Mapping):
        raise InputError(f"{where}: [array] is missing")
    family = array.get("family")
    kind = family_called(family) if isinstance(family, str) else None
    if kind is None:
        raise UnknownFamilyError(
            f"{where}: array.family must be one of {listed(known_families())}, or of a plugin that "
            f"is loaded, got {quoted(family)}"
        )
    prefix = "array."
    try:
        built = kind.model_validate(array)
        prefix = ""
        machine = Accelerator.model_validate({**data, "array": built})
    except ValidationError as error:
        raise InputError(first_sentence(error, where, prefix)) from error
    _check_rules(machine, where)
    return machine


def _check_departures(machine: Accelerator, where: str) -> None:
    for step in machine.departures.step if machine.departures else ():
        for path in step.fields:
            if isinstance(machine.field(path), Part):
                raise InputError(
                    f"{where}: departures.step.fields names the section '{path}': name its fields"
                )


def _check_rules(machine: Accelerator, where: str) -> None:
    array = machine.array
    for bits in machine.widths:
        if not 1 <= bits <= MAX_BITS:
            raise InputError(f"{where}: widths must be 1 to {MAX_BITS} bits, got {bits}")
    for name in ("lane_rules", "image_lane_rules", "grouped_lane_rules"):
        for rule in getattr(machine.mapping, name):
            if rule not in array.lane_rules:
                raise InputError(
                    f"{where}: mapping.{name} holds '{rule}', which arrays of family "
                    f"'{array.family}' cannot follow: use {', '.join(array.lane_rules)}"
                )
    for name in ("weight", "input", "output"):
        double = getattr(machine.buffers, f"{name}_double_buffered")
        if machine.fidelity.schedule == "fluid" and not double:
            raise InputError(
                f"{where}: buffers.{name}_double_buffered = false does not go with "
                "fidelity.schedule = 'fluid', in which memory and array overlap as a whole: use "
                "'pipelined'"
            )
    stated = machine.buffers.model_dump(
        include={"weight_banks", "input_banks", "output_banks", "word_bits"}
    )
    for name, value in stated.items():
        if array.banks() is None and value is None:
            raise InputError(f"{where}: buffers.{name} is missing")
        if array.banks() is not None and value is not None:
            raise InputError(
                f"{where}: buffers.{name} = {value} is not used: an array of family "
                f"'{array.family}' splits its buffers itself, leave it out"
            )


def first_sentence(error: ValidationError, where: str, prefix: str) -> str:
    """What is wrong with a machine's file, in one sentence about the first error found."""
    first = error.errors()[0]
    path = prefix + ".".join(str(part) for part in first["loc"] if part not in _OF_A_UNION)
    if first["type"] == "missing":
        own = ": a file states its own, whatever it builds on" if path in NOT_INHERITED else ""
        return f"{where}: {path} is missing{own}"
    if first["type"] == "extra_forbidden":
        return f"{where}: {path} is not a known field{meant(path)}"
    if first["type"] == "value_error":
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"
    must = first["msg"].replace("Input should be", "must be")
    must = must.replace("a valid tuple", "a list").replace("a valid dictionary", "a table")
    return f"{where}: {path} {must}, got {quoted(first['input'])}"


_OF_A_UNION = frozenset({"str", "int", "float", "constrained-float"})
"""What Pydantic puts into the place of an error to say which of several types it tried."""


def meant(path: str) -> str:
    """The field whose name is closest to the last part of a path, as a question."""
    parts: list[type[Part]] = [Accelerator, *FAMILIES.values()]
    parts += [
        field.annotation
        for field in Accelerator.model_fields.values()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Part)
    ]
    names = {name for part in parts for name in part.model_fields}
    close = get_close_matches(path.split(".")[-1], sorted(names), n=1)
    return f": do you mean {close[0]}?" if close else ""


def _numbers(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}", value
