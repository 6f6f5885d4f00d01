"""One machine: its array, buffers, memory port, clock, and what the model charges on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, ValidationError, model_validator

from accel_models.accelerators.arrays import FAMILIES
from accel_models.accelerators.arrays.array import Array, LaneRule
from accel_models.errors import InputError
from accel_models.precision import MAX_BITS, Precision
from accel_models.source import Part, Source

Objective = Literal["latency", "energy", "edp", "latency-then-energy"]
MOST = 1e9
"""Largest factor, and largest figure in pJ: far more than sensible, far less than what
overflows."""


class Buffers(Part):
    """On-chip memories in bytes; half of each is usable, the other half being filled.

    Banks are stated only where the array does not split its buffers itself.
    """

    weight_bytes: int = Field(gt=0)
    input_bytes: int = Field(gt=0)
    output_bytes: int = Field(gt=0)
    weight_banks: int | None = Field(default=None, gt=0)
    input_banks: int | None = Field(default=None, gt=0)
    output_banks: int | None = Field(default=None, gt=0)
    word_bits: int | None = Field(default=None, gt=0)
    """Width of one access to a bank."""


class Dram(Part):
    """Memory port, and what a bit, a request and a burst over it cost."""

    preset: str | None = None
    """Name in `accel_models.energy.array.dram_preset` that `pj_per_bit` is taken from."""
    pj_per_bit: float = Field(ge=0, le=MOST)
    gb_per_s: float | None = Field(default=None, ge=1e-6)
    """Bandwidth in 10^9 bytes per second."""
    bits_per_cycle: float | None = Field(default=None, ge=1e-6)
    """Bandwidth tied to the array's clock, as the published simulator has it."""
    latency_ns: float = Field(ge=0, le=1e9)
    """Time from the request to the first bit, paid once a layer."""
    burst_bytes: int = Field(ge=0, le=2**20)
    """Smallest transfer; every block is moved in whole bursts. 0: any number of bits."""

    @model_validator(mode="after")
    def _one_bandwidth(self) -> Dram:
        if (self.gb_per_s is None) == (self.bits_per_cycle is None):
            raise ValueError("dram states its bandwidth once: as gb_per_s or as bits_per_cycle")
        return self


class Storage(Part):
    """How tensors lie in DRAM, and what stays on chip."""

    weights: Literal["full", "planes", "copies"]
    """``full``: one copy at `full_bits`, truncated on arrival. ``planes``: nested bit planes, of
    which only the needed ones travel. ``copies``: one for each width."""
    activations: Literal["packed", "full"]
    """Tensors inside a decision unit: packed at the unit's width, or in words of `stream_bits`."""
    full_bits: int = Field(gt=0, le=32)
    """Width of the one copy that ``weights = "full"`` stores."""
    stream_bits: int = Field(gt=0, le=32)
    """Width between decision units, where the reader's width is not yet known. The accumulator's
    width here means holding sums unrounded until the decision."""
    resident: bool
    """Tensors that fit stay in the input buffer between layers."""


class MappingOptions(Part):
    """Which mappings are tried, and which is best."""

    tiles: Literal["all", "pow2-square"]
    """``all``: every ceil(D/n) in every dimension. ``pow2-square``: powers of two, and as many
    rows as columns."""
    objective: Objective
    tolerance: float = Field(ge=0)
    """Share by which a mapping may be slower than the fastest, for ``latency-then-energy``."""
    lane_rules: tuple[LaneRule, ...] = Field(min_length=1, strict=False)
    image_lane_rules: tuple[LaneRule, ...] = Field(min_length=1, strict=False)
    """Rules for layers that read the image, whose few channels fill no lanes."""
    grouped_lane_rules: tuple[LaneRule, ...] = Field(default=(), strict=False)
    """Rules for grouped layers, whose groups have few channels; by default all that the array can
    follow."""


class Energy(Part):
    """What is charged beside the tables of array, SRAM and DRAM."""

    idle_share: float = Field(ge=0, le=1)
    """Energy of an element that idles, as a share of one that works: its clock and registers."""
    other_share: float = Field(ge=0, le=MOST)
    """Control, clock tree and DRAM background, as a share of all other dynamic energy."""
    vector_pj: float = Field(ge=0, le=MOST)
    """Requantising one output, or adding it to the residual."""
    array_scale: float = Field(ge=0, le=MOST)
    """Factor on the array's energy; 1 leaves it as tabled."""
    sram_scale: float = Field(ge=0, le=MOST)
    """Factor on the buffers' energy; 1 leaves it as tabled."""
    leakage_scale: float = Field(ge=0, le=MOST)
    """Factor on leakage; 1 leaves it as tabled."""


class Technology(Part):
    """Process the machine is built in. Logic is scaled to it; SRAM and DRAM are not."""

    node_nm: float = Field(gt=0)
    volts: float = Field(gt=0)
    figures_volts: float = Field(gt=0)
    """Supply at which the array's figures were taken."""


class Fidelity(Part):
    """What the model charges. The default of each option is the physically sensible one; the
    other is the published Bit Fusion simulator's."""

    edges: Literal["true", "whole-tiles"] = "true"
    """Tiles at the end of a dimension cost what they hold, or as much as full ones."""
    weight_alignment: bool = False
    """Whether weights are padded to whole steps of the array, in the buffer and over DRAM."""
    padding: Literal["clipped", "fetched"] = "clipped"
    """Zero padding and rows no window touches stay where they are, or come over DRAM."""
    halos: Literal["shared", "per-tile"] = "shared"
    """Input lines that the windows of several tiles touch: fetched and held once where these tiles
    are on chip together, or for each tile."""
    image_gather: Literal["on-chip", "before-dram"] = "on-chip"
    """Where windows are laid out for the ``window`` lane rule. ``before-dram``: every pixel travels
    once for each window it is in."""
    outputs: Literal["stored", "accumulators"] = "stored"
    """Width at which outputs travel: as their reader wants them, or the accumulator's."""
    partial_sums: Literal["revisited", "always"] = "revisited"
    """Outputs are fetched when something was added to them before, or before every use."""
    output_padding: bool = False
    """Whether outputs are padded to a multiple of the array's columns even in DRAM."""
    input_reads: Literal["per-row", "per-mac"] = "per-row"
    """Input buffer reads: one shared by all columns of a row, or one for each MAC."""
    array_side: Literal["cheapest", "published"] = "cheapest"
    """What stays in the array: outputs or weights, whichever costs less energy; or one of three
    by the published tool's estimate, its output drain counted apart."""
    core_energy: Literal["by-use", "per-cycle"] = "by-use"
    """Working elements cost full, idle and waiting ones `idle_share`; or every computing cycle
    costs the whole array and waiting nothing."""
    schedule: Literal["pipelined", "fluid"] = "pipelined"
    """Blocks of the next step load while one is computed; or memory and array each work through
    their total, whichever takes longer."""
    sram_figures: Literal["interpolated", "tabled"] = "interpolated"
    """Banks between CACTI rows are interpolated, or refused."""
    groups: Literal["true", "dense"] = "true"
    """Grouped convolutions run group by group, or as if all channels were connected."""
    accumulators: Literal["widened", "fixed"] = "widened"
    """Sums that overflow the accumulator take two words, or are not looked at."""
    gates: Literal["vector-unit", "array"] = "vector-unit"
    """Where gates decide: on the vector unit with weights that stay on chip, or on the array like
    any other layer."""
    prefetch: bool = True
    """A layer's first weights load while DRAM idles at the end of the layer before."""
    residual_add: bool = True
    """The residual addition fetches its second operand."""
    vector_unit: bool = True
    """Requantising and adding are charged."""
    static_power: bool = True
    """Leakage of array and buffers is charged for the time a network takes."""


class Departure(Part):
    """One difference from another machine: what changes, where, and why."""

    title: str
    why: str
    fields: tuple[str, ...] = Field(min_length=1, strict=False)


class Departures(Part):
    """How this machine differs from another, step by step."""

    base: str
    step: tuple[Departure, ...] = Field(min_length=1, strict=False)


class Accelerator(Part):
    """One machine. Every number has its `Source` in `provenance`, by dotted path."""

    name: str
    title: str
    paper: str
    frequency_hz: float = Field(ge=1, le=1e12)
    accumulator_bits: int = Field(ge=8, le=64)
    widths: tuple[int, ...] = Field(default=(), strict=False)
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
                dotted = path.replace("__", ".")
                raise InputError(f"{self.name}: there is no field {dotted}{meant(dotted)}")
            table[field] = value
            data["provenance"][".".join([*parents, field])] = Source("assumed", "set by the caller")
        return checked(data, self.name)

    def offered(self, precision: Precision) -> Precision:
        """The widths that operands run at: their own, or the next wider that the machine offers. An
        operand wider than all it offers keeps its width."""
        if not self.widths or precision.is_skip:
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
    def key_fields(self) -> dict[str, Any]:
        """Everything that figures can depend on, for hashing."""
        return self.model_dump(mode="json", exclude={"provenance", "departures", "title", "paper"})


def checked(data: Mapping[str, Any], where: str) -> Accelerator:
    """Build a machine from plain tables; `where` names it in errors.

    Raises:
        InputError: naming field, value and what would be right.
    """
    array = data.get("array")
    if not isinstance(array, Mapping):
        raise InputError(f"{where}: [array] is missing")
    family = array.get("family")
    if not isinstance(family, str) or family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise InputError(f"{where}: array.family must be one of {known}, got {family!r}")
    prefix = "array."
    try:
        built = FAMILIES[family].model_validate(array)
        prefix = ""
        machine = Accelerator.model_validate({**data, "array": built})
    except ValidationError as error:
        raise InputError(first_sentence(error, where, prefix)) from error
    _check_rules(machine, where)
    _check_departures(machine, where)
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
                    f"{where}: mapping.{name} holds '{rule}', which a {array.family} array cannot "
                    f"follow: use {', '.join(array.lane_rules)}"
                )
    stated = machine.buffers.model_dump(
        include={"weight_banks", "input_banks", "output_banks", "word_bits"}
    )
    for name, value in stated.items():
        if array.banks() is None and value is None:
            raise InputError(f"{where}: buffers.{name} is missing")
        if array.banks() is not None and value is not None:
            raise InputError(
                f"{where}: buffers.{name} = {value} is not used: a {array.family} array splits its "
                "buffers itself"
            )


def first_sentence(error: ValidationError, where: str, prefix: str) -> str:
    """What is wrong with a machine's file, in one sentence about the first error found."""
    first = error.errors()[0]
    path = prefix + ".".join(str(part) for part in first["loc"] if part not in _OF_A_UNION)
    if first["type"] == "missing":
        return f"{where}: {path} is missing"
    if first["type"] == "extra_forbidden":
        return f"{where}: {path} is not a known field{meant(path)}"
    if first["type"] == "value_error":
        return f"{where}: {first['msg'].removeprefix('Value error, ')}"
    must = first["msg"].replace("Input should be", "must be")
    must = must.replace("a valid tuple", "a list").replace("a valid dictionary", "a table")
    return f"{where}: {path} {must}, got {first['input']!r}"


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
