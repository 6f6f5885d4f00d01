"""A machine's data sheet: which widths it tells apart, its peaks, its area, and every constant.

Peaks follow from `arrays.array.Datapath` alone, with nothing waiting: a step multiplies
``rows x columns x positions`` lanes, each with as many products as the widths allow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.pricing import Pricing
from accel_models.costs.simulator import simulate
from accel_models.errors import InfeasibleError, InputError
from accel_models.mapping.problem import Problem
from accel_models.mapping.problem_of import Tensors, macs_per_cycle, problem_of
from accel_models.metrics import Efficiency, efficiency
from accel_models.precision import Precision
from accel_models.workloads.workload import Ends, Layer, Workload

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
    """The half that is being filled or emptied while the array uses the other."""


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
    """Output positions side by side."""
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
                buffer.size_bytes - buffer.size_bytes // 2,
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
    )


@dataclass(frozen=True)
class Performance:
    """A network on one machine at one precision."""

    cycles: int
    latency_s: float
    energy_j: float
    inputs_per_s: float
    inputs_per_s_mm2: float | None
    """Throughput by area; None where the area is not known."""
    efficiency: Efficiency


@dataclass(frozen=True)
class MachineComparison:
    """Machines side by side."""

    sheets: tuple[SpecSheet, ...]
    differences: dict[str, tuple[Any, ...]]
    """Fields that are not the same everywhere: values machine by machine, None where a machine has
    no such field."""
    network: str
    runs: dict[str, tuple[Performance | None, ...]]
    """Runs by precision, machine by machine; None where a machine refuses it."""


def compare_machines(
    machines: Sequence[Accelerator],
    workload: Workload,
    precisions: Iterable[str | int] = (8, 4, 2),
    *,
    batch: int = 1,
) -> MachineComparison:
    """Put machines side by side, and run a network on each.

    Raises:
        InputError: if there are fewer than two, or one twice.
    """
    names = [machine.name for machine in machines]
    if len(machines) < 2:
        raise InputError(f"a comparison takes two machines or more, got {', '.join(names)}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"a comparison takes different machines, got {twice} twice")
    sheets = tuple(spec_sheet(machine) for machine in machines)
    pairs = list(zip(machines, sheets, strict=True))
    return MachineComparison(
        sheets,
        differing_fields(machines),
        workload.name,
        {
            str(bits): tuple(_run(workload, *pair, bits, batch) for pair in pairs)
            for bits in precisions
        },
    )


def differing_fields(machines: Sequence[Accelerator]) -> dict[str, tuple[Any, ...]]:
    """Every field, by dotted path, that figures depend on and whose value is not the same in all
    machines; None stands for a field that a machine does not have."""
    tables = [dict(_flat(machine.key_fields)) for machine in machines]
    paths = dict.fromkeys(path for table in tables for path in table if path != "name")
    rows = {path: tuple(table.get(path) for table in tables) for path in paths}
    differing = [path for path, row in rows.items() if any(value != row[0] for value in row)]
    sections = list(dict.fromkeys(path.split(".")[0] for path in paths))
    return {p: rows[p] for p in sorted(differing, key=lambda p: sections.index(p.split(".")[0]))}


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


def _run(
    workload: Workload, machine: Accelerator, sheet: SpecSheet, bits: str | int, batch: int
) -> Performance | None:
    try:
        run = simulate(workload, machine, bits, batch=batch)
    except InfeasibleError:
        return None
    throughput, area = batch / run.latency_s, sheet.total_area_mm2
    macs = batch * sum(cost.layer.macs for cost in run.layers)
    return Performance(
        run.cycles,
        run.latency_s,
        run.energy_j,
        throughput,
        throughput / area if area else None,
        efficiency(run.energy_j, run.latency_s, macs, batch),
    )


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
