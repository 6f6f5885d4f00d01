"""Machines side by side: what differs in their files, and what a network costs on each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.energy_split import EnergySplit, energy_split
from accel_models.costs.simulator import Simulation, simulate
from accel_models.errors import InfeasibleError, InputError
from accel_models.explain.data_sheet import SpecSheet, spec_sheet
from accel_models.metrics import Efficiency, efficiency
from accel_models.workloads.workload import Workload


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
    split: EnergySplit
    occupancy: float
    """Share of the array's multipliers that multiply what is asked for, over the cycles that it
    computes."""


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
        energy_split(run.energy_pj),
        _occupancy(run),
    )


def _occupancy(run: Simulation) -> float:
    """Mean over the cycles in which the array computes; 0 if it never does."""
    computing = sum(layer.compute_cycles for layer in run.layers)
    used = sum(layer.occupancy * layer.compute_cycles for layer in run.layers)
    return used / computing if computing else 0.0


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
