"""A machine's data sheet: which widths it tells apart, its peaks, its area, and every constant.

Peaks follow from `arrays.array.Datapath` alone, with nothing waiting: a step multiplies
``rows x columns x positions`` lanes, each with as many products as the widths allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from accel_models.accelerators.accelerator import Accelerator
from accel_models.accelerators.ground import OffGround, off_ground
from accel_models.costs.pricing import Pricing
from accel_models.errors import InfeasibleError
from accel_models.mapping.problem import Problem
from accel_models.mapping.problem_of import Tensors, macs_per_cycle, problem_of
from accel_models.precision import Precision
from accel_models.workloads.workload import Ends, Layer

WIDEST = 16
"""Widths of 1 to so many bits are looked at."""
PEAK_BITS = (16, 8, 4, 2, 1)
"""Widths of both operands at which peaks are stated."""
LONG = Layer("long", 768, 768, (3, 3), (48, 48), padding=(1, 1))
"""A convolution with enough of everything for any array."""


class Widths(NamedTuple):
    """Neighbouring widths, from `low` to `high` bits, that make no difference to each other."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low}" if self.low == self.high else f"{self.low}–{self.high}"


@dataclass(frozen=True)
class DistinctWidths:
    """Which widths of one operand a machine tells apart, at any width of the other."""

    operand: str
    speed: tuple[Widths, ...]
    """Widths told apart by peak throughput."""
    array_energy: tuple[Widths, ...]
    """Widths told apart by energy of a MAC in the fully used array."""
    buffer: tuple[Widths, ...]
    """Widths told apart by bits that the operand takes in its buffer."""
    dram: tuple[Widths, ...]
    """Widths told apart by bits that the operand takes in DRAM, inside a decision unit."""
    refused: tuple[Widths, ...]
    why_refused: str = ""


@dataclass(frozen=True)
class Peak:
    """The fully used array at one width of both operands."""

    macs_per_cycle: float
    macs_per_s: float
    array_pj_per_mac: float
    """Energy of a MAC in the array, with what the machine charges a busy element, and without
    buffers."""

    @property
    def gops(self) -> float:
        """Throughput in 10^9 operations per second: a MAC is a multiplication and an addition."""
        return 2e-9 * self.macs_per_s

    @property
    def array_w(self) -> float:
        """Dynamic power of the array."""
        return self.macs_per_s * self.array_pj_per_mac * 1e-12


class OnChipBuffer(NamedTuple):
    """One on-chip buffer."""

    size_bytes: int
    banks: int
    word_bits: int
    reserved_bytes: int
    """The half that is being filled or emptied while the array uses the other; 0 of a single
    buffer."""


class Constant(NamedTuple):
    """A number of the machine, in the unit its name says or in `unit`."""

    name: str
    value: float
    unit: str
    status: str
    source: str
    low: float | None
    high: float | None


@dataclass(frozen=True)
class SpecSheet:
    """What there is to know about a machine before anything runs on it."""

    name: str
    title: str
    paper: str
    family: str
    rows: int
    columns: int
    positions: int
    """Output positions that the array works on side by side."""
    frequency_hz: float
    node_nm: float
    volts: float
    buffers: dict[str, OnChipBuffer]
    dram_gb_per_s: float
    dram_pj_per_bit: float
    dram_preset: str | None
    dram_device: str | None
    dram_channels: int
    """Channels that the bandwidth takes; 1 where nothing is said of channels."""
    dram_latency_ns: float
    dram_burst_bytes: int
    weights: DistinctWidths
    activations: DistinctWidths
    peaks: dict[int, Peak | None]
    """Peaks by width of both operands; None where the machine refuses it."""
    leakage_w: dict[str, float]
    """Leakage by component, whether or not it is charged."""
    static_power_charged: bool
    background_w: float
    """What DRAM and the interface to it draw whether or not anything moves."""
    peak_power_w: float
    """All units at work, DRAM included."""
    area_mm2: dict[str, float]
    """Area by component; an array of 0 is one whose area is not known, buffers of 0 are inside the
    array's."""
    constants: tuple[Constant, ...]
    charged: dict[str, str | bool]
    """Every option of `sections.Fidelity`."""
    base: str | None
    """The machine that it states its departures from."""
    departures: tuple[tuple[str, str], ...]
    """Pairs (what changes, why), in order."""
    off_ground: tuple[OffGround, ...]
    """Fields in which it is not as the common ground has it; none: it is compared with others."""

    @property
    def shape(self) -> str:
        """Rows x columns, and x output positions where there are several."""
        sizes = (self.rows, self.columns, *([self.positions] if self.positions > 1 else []))
        return " x ".join(map(str, sizes))

    @property
    def on_chip_bytes(self) -> int:
        return sum(buffer.size_bytes for buffer in self.buffers.values())

    @property
    def total_leakage_w(self) -> float:
        return sum(self.leakage_w.values())

    @property
    def total_area_mm2(self) -> float | None:
        """Area of array and buffers; None if the array's is not known, as of one on an FPGA."""
        return sum(self.area_mm2.values()) if self.area_mm2["array"] else None


def spec_sheet(machine: Accelerator) -> SpecSheet:
    """The data sheet of a machine.

    Raises:
        InputError, InfeasibleError: as `Pricing` does, if the machine cannot be built.
    """
    pricing = Pricing(machine)
    tasks, refusals = _tasks(machine)
    departures = machine.departures
    return SpecSheet(
        name=machine.name,
        title=machine.title,
        paper=machine.paper,
        family=machine.array.family,
        rows=machine.array.rows,
        columns=machine.array.columns,
        positions=next(iter(tasks.values())).positions,
        frequency_hz=machine.frequency_hz,
        node_nm=machine.technology.node_nm,
        volts=machine.technology.volts,
        buffers={
            buffer.name: OnChipBuffer(
                buffer.size_bytes,
                buffer.shape.number,
                buffer.shape.word_bits,
                _reserved_bytes(machine, buffer.name, buffer.size_bytes),
            )
            for buffer in pricing.buffers
        },
        dram_gb_per_s=machine.dram_bits_per_cycle * machine.frequency_hz / 8e9,
        dram_pj_per_bit=machine.dram.pj_per_bit,
        dram_preset=machine.dram.preset,
        dram_device=machine.dram.device,
        dram_channels=machine.dram_channels,
        dram_latency_ns=machine.dram.latency_ns,
        dram_burst_bytes=machine.dram.burst_bytes,
        weights=_levels("weights", tasks, refusals, pricing),
        activations=_levels("activations", tasks, refusals, pricing),
        peaks={bits: _peak(tasks.get((bits, bits)), pricing) for bits in PEAK_BITS},
        leakage_w=pricing.leakage_w,
        static_power_charged=machine.fidelity.static_power,
        background_w=pricing.background_power_w,
        peak_power_w=pricing.peak_power_w,
        area_mm2=pricing.area_mm2,
        constants=tuple(_constants(machine, pricing)),
        charged=machine.fidelity.model_dump(),
        base=departures.base if departures else None,
        departures=tuple((step.title, step.why) for step in departures.step) if departures else (),
        off_ground=tuple(off_ground(machine)),
    )


def _reserved_bytes(machine: Accelerator, name: str, size: int) -> int:
    """Bytes of a buffer that wait for the next block."""
    return size - size // 2 if machine.field(f"buffers.{name}_double_buffered") else 0


Pairs = dict[tuple[int, int], Problem]
"""The long convolution at pairs of (weight, activation) bits."""


def _tasks(machine: Accelerator) -> tuple[Pairs, dict[tuple[int, int], str]]:
    """The convolution at every pair of widths, or why the machine refuses it."""
    tasks: Pairs = {}
    refusals = {}
    for weight_bits in range(1, WIDEST + 1):
        for activation_bits in range(1, WIDEST + 1):
            stream = max(machine.storage.stream_bits, activation_bits)
            inside = Tensors(Ends(input_crosses=False, output_crosses=False), stream)
            widths = Precision(weight_bits, activation_bits)
            try:
                task = problem_of(LONG, widths, inside, 1, machine)
                tasks[weight_bits, activation_bits] = task
            except InfeasibleError as error:
                refusals[weight_bits, activation_bits] = str(error)
    if not tasks:
        raise InfeasibleError(f"{machine.name} runs no width: {refusals[1, 1]}")
    return tasks, refusals


def _levels(
    operand: str, tasks: Pairs, refusals: Mapping[tuple[int, int], str], pricing: Pricing
) -> DistinctWidths:
    """Group the widths of one operand by what each property is at all widths of the other."""
    first = operand == "weights"

    def pair(bits: int, other: int) -> tuple[int, int]:
        return (bits, other) if first else (other, bits)

    widths = range(1, WIDEST + 1)
    runs = [bits for bits in widths if any(pair(bits, other) in tasks for other in widths)]

    def levels(value: Callable[[Problem], Any]) -> tuple[Widths, ...]:
        def of(task: Problem | None) -> Any:
            return None if task is None else value(task)

        return _groups({b: [of(tasks.get(pair(b, other))) for other in widths] for b in runs})

    refused = [bits for bits in widths if bits not in runs]
    return DistinctWidths(
        operand,
        speed=levels(macs_per_cycle),
        array_energy=levels(lambda task: _array_pj(task, pricing)),
        buffer=levels(lambda task: task.weight_bits if first else task.activation_bits),
        dram=levels(lambda task: task.stored_weight_bits if first else task.stored_input_bits),
        refused=_groups(dict.fromkeys(refused)),
        why_refused=refusals[pair(refused[0], 1)] if refused else "",
    )


def peak_macs_per_s(machine: Accelerator, bits: int) -> float | None:
    """Multiplications a second of the fully used array, both operands `bits` wide; None where the
    machine refuses them."""
    try:
        inside = Tensors(Ends(input_crosses=False, output_crosses=False), bits)
        task = problem_of(LONG, Precision(bits, bits), inside, 1, machine)
    except InfeasibleError:
        return None
    return float(macs_per_cycle(task)) * machine.frequency_hz


def _groups(values: Mapping[int, Any]) -> tuple[Widths, ...]:
    """Runs of neighbouring widths with equal values."""
    groups = groupby(sorted(values), key=lambda bits: values[bits])
    runs = [list(run) for _, run in groups]
    return tuple(Widths(run[0], run[-1]) for run in runs)


def _array_pj(task: Problem, pricing: Pricing) -> float:
    """Energy of a MAC in the fully used array: its operations, and its share of a cycle."""
    operation, cycle = pricing.action_pj[:2]
    return operation * task.operations_per_mac + cycle / float(macs_per_cycle(task))


def _peak(task: Problem | None, pricing: Pricing) -> Peak | None:
    if task is None:
        return None
    per_cycle = float(macs_per_cycle(task))
    return Peak(per_cycle, per_cycle * pricing.frequency_hz, _array_pj(task, pricing))


def _constants(machine: Accelerator, pricing: Pricing) -> Iterator[Constant]:
    for path, value, source in machine.constants():
        yield Constant(path, value, "", *source)
    for name, value, unit, source in pricing.constants():
        yield Constant(name, value, unit, *source)
