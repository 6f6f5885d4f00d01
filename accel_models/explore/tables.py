"""Cost tables of one network on many machines at once.

Every distinct layer is mapped as `accel_models.cost_table` has it, once for each machine; what is
left, putting the figures of layers in their places, is done for all machines together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from accel_models.accelerator import Accelerator
from accel_models.boundaries import is_known
from accel_models.errors import DfsHwError
from accel_models.explore.workloads import Run
from accel_models.pricing import ACTIONS
from accel_models.simulator import LayerSimulator, layer_simulator
from accel_models.workload import Layer

STALL = ACTIONS.index("array_stall_cycles")


class Tables(NamedTuple):
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
    """Which layers of a run cost alike, and where.

    Args:
        members: a layer of each kind, and the precision it runs at.
        place: int64 [layer, used choice], the kind; one beyond the last where nothing runs.
        spares: (before, after, choice) of layers of one unit of which the second's first weights
            load while the first computes; int64 [3, pair].
    """

    members: tuple[tuple[Layer, Any], ...]
    place: np.ndarray
    spares: np.ndarray


@dataclass
class TableMaker:
    """Makes the tables of one run."""

    run: Run
    _known: dict[Any, Kinds] = field(default_factory=dict)

    def figures(self, machine: Accelerator) -> tuple[Kinds, np.ndarray]:
        """Cost of each kind of layer on a machine: int64 [kind + 1, 3 + action], first cycles, head
        and tail; the last row is of nothing.

        Raises:
            InfeasibleError: if a layer cannot run at a choice that occurs.
            InputError: if the machine's tables have no figures for one of its parts.
        """
        run = self.run
        simulator = layer_simulator(run.workload, machine, [run.always, *run.choices], 1)
        kinds = self._kinds(simulator)
        figures = np.zeros((len(kinds.members) + 1, 3 + len(ACTIONS)), dtype=np.int64)
        for row, (layer, precision) in enumerate(kinds.members):
            cost = simulator.cost(run.workload, layer, precision)
            figures[row, :3] = cost.cycles, cost.head_cycles, cost.tail_cycles
            figures[row, 3:] = cost.counts
        return kinds, figures

    def tables(
        self, machines: Sequence[Accelerator], made: Sequence[tuple[Kinds, np.ndarray]]
    ) -> Tables:
        """The figures of several machines, each layer's in its place."""
        placed = np.stack([figures[kinds.place] for kinds, figures in made])
        tables = Tables(placed[..., 0], placed[..., 3:], placed[..., 1], placed[..., 2])
        for number, (machine, (kinds, _)) in enumerate(zip(machines, made, strict=True)):
            if machine.fidelity.prefetch:
                before, after, choice = kinds.spares
                spared = np.minimum(
                    tables.tail[number, before, choice], tables.head[number, after, choice]
                )
                tables.cycles[number, after, choice] -= spared
                tables.counts[number, after, choice, STALL] -= spared
        return tables

    def _kinds(self, simulator: LayerSimulator) -> Kinds:
        fidelity = simulator.machine.fidelity
        key = (fidelity.gates, tuple(sorted(simulator.resident.items())))
        if key not in self._known:
            self._known[key] = self._sorted_out(simulator)
        return self._known[key]

    def _sorted_out(self, simulator: LayerSimulator) -> Kinds:
        run, workload = self.run, self.run.workload
        members: dict[Any, tuple[int, Layer, Any]] = {}
        place = np.zeros((len(workload.layers), len(run.used)), dtype=np.int64)
        for row, layer in enumerate(workload.layers):
            alike = simulator.alike(workload, layer)
            for column, choice in enumerate(run.used):
                precision = layer.precision(run.choices[choice], run.always)
                if precision is None:
                    place[row, column] = -1
                    continue
                member = (len(members), layer, precision)
                place[row, column] = members.setdefault((alike, precision), member)[0]
        ordered = tuple((layer, precision) for _, layer, precision in members.values())
        return Kinds(ordered, place, self._spares(place))

    def _spares(self, place: np.ndarray) -> np.ndarray:
        workload, pairs = self.run.workload, []
        for column in range(place.shape[1]):
            before = None
            for row, layer in enumerate(workload.layers):
                if before is not None and workload.layers[before].unit != layer.unit:
                    before = None
                if place[row, column] < 0:
                    continue
                if before is not None and is_known(workload, workload.layers[before], layer):
                    pairs.append((before, row, column))
                before = row
        return np.array(pairs, dtype=np.int64).reshape(-1, 3).T


__all__ = ["STALL", "DfsHwError", "Kinds", "TableMaker", "Tables"]
