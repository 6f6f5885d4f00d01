"""Cost tables of one network on many machines at once.

Every distinct layer is mapped as `accel_models.costs.cost_table` has it. Its mapping problem is
worked out once for all machines that differ in memory and prices alone, its mappings are searched
in one pass on all that differ in bandwidth alone, and the figures of layers are put in their places
for all machines together.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.early_loads import pairs_within_units, spare_within_units
from accel_models.costs.pricing import ACTIONS, Pricing
from accel_models.costs.residency import NOTHING_RESIDENT
from accel_models.costs.simulator import LayerSimulator, layer_simulator
from accel_models.costs.solving import Alike, Solved, Task, in_memory, solve_each
from accel_models.errors import DfsHwError, InfeasibleError
from accel_models.exploration.workloads import NetworkRun
from accel_models.mapping.problem import Priced
from accel_models.mapping.problem_of import memory
from accel_models.precision import Precision
from accel_models.workloads.workload import Layer


class BatchedTables(NamedTuple):
    """What `CostTable` holds, for C machines, one input running alone, and used choices only.

    Args:
        cycles: int64 [machine, layer, choice].
        counts: int64 [machine, layer, choice, action].
        head: int64 [machine, layer, choice].
        tail: int64 [machine, layer, choice].
    """

    cycles: np.ndarray
    counts: np.ndarray
    head: np.ndarray
    tail: np.ndarray


@dataclass(frozen=True)
class Kinds:
    """Which layers of a run cost alike, and where, on machines that may differ in the sizes of
    their buffers, their DRAM and their prices.

    Args:
        members: a layer of each kind, and the precision it runs at.
        tasks: the mapping problem of each kind, or what the vector unit has to do, but for its
            memory, and the bytes reserved meanwhile; for gates on the vector unit, which have no
            memory, what they cost.
        place: int64 [layer, used choice], the kind; one beyond the last where nothing runs.
        spares: int64 [3, pair], as `pairs_within_units` has them.
    """

    members: tuple[tuple[Layer, Precision], ...]
    tasks: tuple[tuple[Task, int] | Priced, ...]
    place: np.ndarray
    spares: np.ndarray


class KindCosts(NamedTuple):
    """What each kind of layer costs on a machine: int64 [kind + 1, 3 + action], first cycles, head
    and tail; the last row is of nothing."""

    kinds: Kinds
    costs: np.ndarray


@dataclass
class TableMaker:
    """Makes the tables of one run."""

    run: NetworkRun
    _known: dict[Any, Kinds] = field(default_factory=dict)

    def figures(
        self, machines: Sequence[Accelerator], pricings: Sequence[Pricing]
    ) -> list[KindCosts | DfsHwError]:
        """Cost of each kind of layer on each machine, or why it has none: an `InfeasibleError` if a
        layer cannot run at a choice that occurs, an `InputError` if the machine's tables have no
        figures for one of its parts."""
        made: dict[int, KindCosts | DfsHwError] = {}
        groups: dict[Hashable, tuple[Kinds, list[int]]] = {}
        for number, (machine, pricing) in enumerate(zip(machines, pricings, strict=True)):
            try:
                kinds = self._kinds(machine)
            except DfsHwError as error:
                made[number] = error
            else:
                key = _but_for_bandwidth(kinds, machine, pricing)
                groups.setdefault(key, (kinds, []))[1].append(number)
        for kinds, numbers in groups.values():
            alike = Alike([machines[n] for n in numbers], [pricings[n] for n in numbers])
            made |= dict(zip(numbers, self._on_alike(kinds, alike), strict=True))
        return [made[number] for number in range(len(machines))]

    def _on_alike(self, kinds: Kinds, alike: Alike) -> list[KindCosts | DfsHwError]:
        """Cost of each kind on machines that differ in their bandwidth alone, by one search for
        each kind, or why one of them has none."""
        machines = alike.machines
        figures = np.zeros(
            (len(machines), len(kinds.members) + 1, 3 + len(ACTIONS)), dtype=np.int64
        )
        refused: dict[int, DfsHwError] = {}
        memories: dict[int, dict[str, Any]] = {}
        found: dict[Task, list[Solved | InfeasibleError]] = {}
        for row, ((layer, precision), part) in enumerate(
            zip(kinds.members, kinds.tasks, strict=True)
        ):
            if isinstance(part, Priced):
                figures[:, row] = _in_a_row(part)
                continue
            template, reserved = part
            if reserved not in memories:
                memories[reserved] = memory(machines[0], reserved)
            task = in_memory(template, memories[reserved])
            if task not in found:
                found[task] = solve_each(task, alike)
            for place, solved in enumerate(found[task]):
                if isinstance(solved, Solved):
                    figures[place, row] = _in_a_row(solved.priced)
                elif place not in refused:
                    simulator = self._simulator(machines[place])
                    refused[place] = simulator.refusal(layer, precision, solved)
        return [refused.get(place, KindCosts(kinds, one)) for place, one in enumerate(figures)]

    def tables(self, machines: Sequence[Accelerator], made: Sequence[KindCosts]) -> BatchedTables:
        """The figures of several machines, each layer's in its place."""
        placed = np.stack([one.costs[one.kinds.place] for one in made])
        tables = BatchedTables(placed[..., 0], placed[..., 3:], placed[..., 1], placed[..., 2])
        for number, (machine, one) in enumerate(zip(machines, made, strict=True)):
            if machine.fidelity.prefetch:
                spare_within_units(one.kinds.spares, *(table[number] for table in tables))
        return tables

    def _simulator(self, machine: Accelerator) -> LayerSimulator:
        run = self.run
        return layer_simulator(run.workload, machine, [run.always, *run.choices], 1)

    def _kinds(self, machine: Accelerator) -> Kinds:
        """Kinds on a machine, worked out once for all that differ in memory and prices alone.

        What stays on chip depends on the buffers, so with that every machine is looked at.
        """
        resident = machine.buffers if machine.storage.resident else None
        key = (
            machine.array,
            machine.storage,
            machine.fidelity,
            machine.mapping,
            machine.accumulator_bits,
            machine.widths,
            machine.frequency_hz,
            resident,
        )
        if key not in self._known:
            self._known[key] = self._sorted_out(self._simulator(machine))
        return self._known[key]

    def _sorted_out(self, simulator: LayerSimulator) -> Kinds:
        run, workload = self.run, self.run.workload
        members: dict[Any, tuple[int, Layer, Precision]] = {}
        place = np.zeros((len(workload.layers), len(run.used)), dtype=np.int64)
        for row, layer in enumerate(workload.layers):
            alike = simulator.alike(workload, layer)
            for column, choice in enumerate(run.used):
                precision = layer.precision(run.choices[choice], run.always)
                if precision is None:
                    place[row, column] = -1
                    continue
                member = (len(members), layer, precision)
                key = (alike, precision, simulator.decides_on_vector_unit(layer))
                place[row, column] = members.setdefault(key, member)[0]
        ordered = tuple((layer, precision) for _, layer, precision in members.values())
        tasks = tuple(self._task(simulator, *member) for member in ordered)
        return Kinds(ordered, tasks, place, pairs_within_units(workload, place >= 0))

    def _task(
        self, simulator: LayerSimulator, layer: Layer, precision: Precision
    ) -> tuple[Task, int] | Priced:
        if simulator.decides_on_vector_unit(layer):
            cost = simulator.cost(self.run.workload, layer, precision)
            return Priced(cost.cycles, cost.counts, cost.head_cycles, cost.tail_cycles)
        reserved = simulator.resident.get(layer.name, NOTHING_RESIDENT).reserved_bytes
        try:
            return simulator.task(self.run.workload, layer, precision), reserved
        except InfeasibleError as error:
            raise simulator.refusal(layer, precision, error) from error


def _but_for_bandwidth(kinds: Kinds, machine: Accelerator, pricing: Pricing) -> Hashable:
    """All of a machine that a search depends on, but for how fast its DRAM is and what static power
    it draws."""
    kept = memory(machine, 0)
    del kept["dram_bits_per_cycle"]
    return id(kinds), tuple(kept.values()), pricing.weighed_pj


def _in_a_row(priced: Priced) -> np.ndarray:
    return np.array([priced.cycles, priced.head_cycles, priced.tail_cycles, *priced.counts])


__all__ = ["Kinds", "TableMaker"]
