"""Layers of a network as the event timeline runs them, each distinct one played once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from accel_models.compiled import compiled
from accel_models.costs.cost_table import CostTable
from accel_models.costs.simulator import LayerCost, LayerSimulator, layer_simulator
from accel_models.mapping.problem import ACTIONS, STATIONARY, Problem
from accel_models.mapping.search import as_packed, places, steps
from accel_models.precision import Precision
from accel_models.workloads.workload import Layer

BUFFERS = [number for number, action in enumerate(ACTIONS) if "buffer" in action]
READ, WRITTEN, STALL = (
    ACTIONS.index(name) for name in ("dram_read_bits", "dram_write_bits", "array_stall_cycles")
)


class LayerRun(NamedTuple):
    """One layer at one precision for some inputs, started with nothing on chip."""

    layer: Layer
    precision: Precision
    inputs: int
    cycles: int
    head: int
    """Cycles of `cycles` that go if the first block of weights is on chip already."""
    idle: int
    """Cycles in which DRAM idles after the last block of weights is there."""
    first_weight_bits: int
    counts: np.ndarray
    """Actions, int64 [action] in the order of `problem.ACTIONS`."""
    moved: dict[str, int]
    """DRAM bits by tensor."""
    tiles: int
    play: Callable[[int], tuple[np.ndarray, int]]
    """The events of the layer if so many cycles of its first weights' transfer have passed before,
    as `slots.play` has them, and the first of those after the last block of weights."""


class LayerRuns:
    """Runs of the layers of a cost table's network, on its machine."""

    def __init__(self, table: CostTable) -> None:
        self.table = table
        self._simulators: dict[int, LayerSimulator] = {}
        self._known: dict[Any, LayerRun] = {}

    def run(self, row: int, choice: int, inputs: int) -> LayerRun | None:
        """The layer of a table's row as its unit takes a choice; None if it does not run.

        Raises:
            InfeasibleError: if the machine cannot run it.
        """
        table = self.table
        layer = table.workload.layers[row]
        precision = layer.precision(table.choices[choice], table.always)
        if precision is None:
            return None
        simulator = self._simulator(inputs)
        key = (simulator.alike(table.workload, layer), layer.role == "gate", precision, inputs)
        if key not in self._known:
            self._known[key] = self._played(simulator, layer, precision)
        return self._known[key]._replace(layer=layer)

    def _simulator(self, inputs: int) -> LayerSimulator:
        if inputs not in self._simulators:
            table = self.table
            widths = [table.always, *table.choices]
            self._simulators[inputs] = layer_simulator(
                table.workload, table.accelerator, widths, inputs, table.cycles.shape[2]
            )
        return self._simulators[inputs]

    def _played(self, simulator: LayerSimulator, layer: Layer, precision: Precision) -> LayerRun:
        workload = self.table.workload
        cost = simulator.cost(workload, layer, precision)
        if cost.mapping is None:
            return _gate(cost, simulator.batch)
        task = simulator.problem(workload, layer, precision)
        walked, code = steps(task, cost.mapping), slots()
        task = as_packed(task, cost.mapping.packed)
        total = walked.sum(axis=0)
        cycles, idle, _, _ = code.play(task, walked, 0, code.room_for_events(0))
        counts = cost.counts.copy()
        if cost.mapping.lane_rule != "row-stationary":
            stays = STATIONARY.index(cost.mapping.stationary)
            bits = buffers().buffer_bits(task, stays, *places(cost.mapping))
            counts[BUFFERS] = bits[BUFFERS]
        moved = {
            "weights": total[code.WEIGHTS],
            "inputs": total[code.INPUTS],
            "residual": total[code.RESIDUAL],
            "partial sums": total[code.SUMS] + total[code.RESTORED],
            "outputs": total[code.STORED],
        }
        counts[WRITTEN] = total[code.STORED] + total[code.RESTORED]
        counts[READ] = sum(moved.values()) - counts[WRITTEN]
        counts[STALL] = cycles - cost.compute_cycles
        return LayerRun(
            layer=layer,
            precision=cost.precision,
            inputs=simulator.batch,
            cycles=cycles,
            head=first_load(task, walked),
            idle=idle,
            first_weight_bits=int(walked[0, code.WEIGHTS]),
            counts=counts,
            moved={tensor: int(bits) for tensor, bits in moved.items()},
            tiles=len(walked),
            play=lambda early: _events(task, walked, early),
        )


def first_load(task: Problem, walked: np.ndarray) -> int:
    """Cycles by which the first weights delay the first inputs, which come after them."""
    events, _ = _events(task, walked, 0)
    code = slots()
    first = events[(events[:, code.KIND] == code.WEIGHTS_IN) & (events[:, code.TILE] == 0)]
    return int((first[:1, code.END] - first[:1, code.START]).sum())


def _events(task: Problem, walked: np.ndarray, early: int) -> tuple[np.ndarray, int]:
    code = slots()
    room = code.room_for_events(len(walked))
    _, _, number, free_from = code.play(task, walked, early, room)
    return room[:number], free_from


def _gate(cost: LayerCost, inputs: int) -> LayerRun:
    """A gate on the vector unit: DRAM idles all the while."""
    code = slots()
    events = np.array(
        [
            [code.GATE, code.DECIDE, 0, cost.cycles, 0, 0],
            [code.DRAM_PORT, code.IDLE, 0, cost.cycles, 0, 0],
        ]
    )
    return LayerRun(
        layer=cost.layer,
        precision=cost.precision,
        inputs=inputs,
        cycles=cost.cycles,
        head=0,
        idle=cost.cycles,
        first_weight_bits=0,
        counts=cost.counts,
        moved={},
        tiles=0,
        play=lambda early: (events, 0),
    )


@cache
def slots() -> Any:
    """The compiled events."""
    return compiled("accel_models.reference_machine.events.kernel.slots")


@cache
def buffers() -> Any:
    """The compiled count of what passes through the buffers."""
    return compiled("accel_models.reference_machine.events.kernel.buffers")
