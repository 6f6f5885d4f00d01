"""What a network without gates costs at any assignment of precisions, from parts looked up once.

Nothing decides at run time here, so every first block of weights may load while the layer before
still computes, across units too: what a unit costs depends on what ran last before it. Cut into
stretches of consecutive layers of one unit, the network costs what its stretches cost, less what
is spared where one follows another. Sums are of integers, priced at the end, so that they are what
`simulate` says to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from accel_models.costs.cost_table import CostTable
from accel_models.costs.early_loads import STALL, between_stretches, prefetched
from accel_models.costs.pricing import ACTIONS, Pricing, Work
from accel_models.costs.simulator import LayerSimulator, layer_simulator
from accel_models.costs.simulator import bitops as layer_bitops
from accel_models.costs.solving import LayerCost
from accel_models.errors import InfeasibleError, InputError
from accel_models.metrics import additive, named
from accel_models.workloads.workload import Layer, Workload


@dataclass(frozen=True)
class Stretch:
    """Consecutive layers of one unit, or of none, at each of its C choices.

    Args:
        unit: index of the unit; -1 for layers outside units, which have one choice.
        feasible: bool [C], whether the machine can run it.
        runs: bool [C], whether any layer runs.
        cycles: int64 [C], first weights loading within the stretch where they can.
        counts: int64 [C, action], actions as in `problem.ACTIONS`.
        bitops: int64 [C].
        head: int64 [C], cycles its first layer is spared by having its first weights on chip.
        tail: int64 [C], cycles at its end in which DRAM and half of the weight buffer are free.
    """

    unit: int
    feasible: np.ndarray
    runs: np.ndarray
    cycles: np.ndarray
    counts: np.ndarray
    bitops: np.ndarray
    head: np.ndarray
    tail: np.ndarray

    def following(
        self, free: np.ndarray | int, choice: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cycles spared, and left free in turn, at some choices [N] if `free` cycles [N] of DRAM
        were left before; both int64 [N]."""
        return between_stretches(free, self.runs[choice], self.head[choice], self.tail[choice])


@dataclass(frozen=True)
class StaticNetwork:
    """The network of a cost table without its gates.

    Args:
        widest: activation bits for which tensors between units, and what stays on chip, are
            planned; it costs what `simulate` says of assignments with no wider activation, and
            one as wide.
        stretches: in execution order.
    """

    table: CostTable
    widest: int
    stretches: tuple[Stretch, ...]

    @cached_property
    def pricing(self) -> Pricing:
        return Pricing(self.table.accelerator)

    def costs(self, choices: np.ndarray, metric: str) -> np.ndarray:
        """Cost of each of N assignments, float64 [N], in the metric's unit.

        Args:
            choices: int64 [N, unit].
        """
        cycles = np.zeros(len(choices), dtype=np.int64)
        counts = np.zeros((len(choices), len(ACTIONS)), dtype=np.int64)
        bitops, tail = np.zeros_like(cycles), np.zeros_like(cycles)
        for stretch in self.stretches:
            chosen = choices[:, stretch.unit] if stretch.unit >= 0 else np.zeros_like(cycles)
            spared, tail = stretch.following(tail, chosen)
            cycles += stretch.cycles[chosen] - spared
            counts += stretch.counts[chosen]
            counts[:, STALL] -= spared
            bitops += stretch.bitops[chosen]
        return self._in_si(cycles, counts, bitops, metric)

    def stretch_costs(
        self, stretch: Stretch, choice: np.ndarray, spared: np.ndarray, metric: str
    ) -> np.ndarray:
        """Cost of one stretch at some choices [N], less cycles [N] that it is spared at each."""
        counts = stretch.counts[choice]
        counts[:, STALL] -= spared
        return self._in_si(stretch.cycles[choice] - spared, counts, stretch.bitops[choice], metric)

    def _in_si(
        self, cycles: np.ndarray, counts: np.ndarray, bitops: np.ndarray, metric: str
    ) -> np.ndarray:
        return (
            named(metric, additive())
            .of(Work(self.pricing, counts, cycles, bitops))
            .astype(np.float64)
        )


def static_network(table: CostTable, widest: int) -> StaticNetwork:
    """The parts of a table's network, its tensors as wide as `widest` asks for.

    The layers are simulated anew: without gates other tensors may stay on chip, and tensors are
    only as wide as what is chosen, not as what could be.

    Raises:
        InputError: if a unit has no layer but a gate.
        InfeasibleError: if a layer that always runs cannot.
    """
    bare = table.workload.without_gates()
    for unit in table.units:
        if unit not in bare.units:
            raise InputError(f"unit '{unit}' of '{bare.name}' has no layers but its gate")
    wide = [table.always, *(c for c in table.choices if c.activation_bits <= widest)]
    simulator = layer_simulator(bare, table.accelerator, wide, batch=1)
    stretches = tuple(
        _stretch(list(layers), table, bare, simulator)
        for _, layers in groupby(bare.layers, key=lambda layer: layer.unit)
    )
    return StaticNetwork(table, widest, stretches)


def _stretch(
    layers: Sequence[Layer], table: CostTable, bare: Workload, simulator: LayerSimulator
) -> Stretch:
    unit = layers[0].unit
    choices = table.choices if unit else (table.always,)
    size = len(choices)
    feasible, runs = np.ones(size, dtype=bool), np.zeros(size, dtype=bool)
    cycles, bitops, head, tail = (np.zeros(size, dtype=np.int64) for _ in range(4))
    counts = np.zeros((size, len(ACTIONS)), dtype=np.int64)
    for column, choice in enumerate(choices):
        chosen = [
            (layer, precision)
            for layer in layers
            if (precision := layer.precision(choice, table.always)) is not None
        ]
        try:
            costs = [simulator.cost(bare, *run) for run in chosen]
        except InfeasibleError:
            if not unit:
                raise
            feasible[column] = False
            continue
        if costs:
            runs[column] = True
            cycles[column], counts[column] = _sum(costs, bare, simulator)
            bitops[column] = sum(layer_bitops(cost.layer, cost.precision) for cost in costs)
        if costs and simulator.machine.fidelity.prefetch:
            head[column], tail[column] = costs[0].head_cycles, costs[-1].tail_cycles
    number = table.units.index(unit) if unit else -1
    return Stretch(number, feasible, runs, cycles, counts, bitops, head, tail)


def _sum(
    costs: Sequence[LayerCost], bare: Workload, simulator: LayerSimulator
) -> tuple[int, np.ndarray]:
    """Cycles and counts of layers that follow each other."""
    if simulator.machine.fidelity.prefetch:
        spared = prefetched(bare, costs)
        costs = [cost.sooner(cycles) for cost, cycles in zip(costs, spared, strict=True)]
    return sum(cost.cycles for cost in costs), np.sum([cost.counts for cost in costs], axis=0)
