"""Layers of a network as the event timeline runs them, each distinct one played once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from accel_models.compiled import compiled
from accel_models.costs.cost_table import CostTable
from accel_models.costs.simulator import LayerSimulator, layer_simulator
from accel_models.costs.solving import LayerCost, Piece
from accel_models.mapping.problem import ACTIONS, STATIONARY, Problem
from accel_models.mapping.search import as_packed, number_of_steps, places, steps
from accel_models.mapping.vector_pass import VectorTask
from accel_models.mapping.vector_pass import steps as blocks
from accel_models.precision import Precision
from accel_models.reference_machine.events.tile_limit import check_tiles
from accel_models.workloads.workload import Layer

BUFFERS = [number for number, action in enumerate(ACTIONS) if "buffer" in action]
READ, WRITTEN, STALL = (
    ACTIONS.index(name) for name in ("dram_read_bits", "dram_write_bits", "array_stall_cycles")
)


class LayerRun(NamedTuple):
    """One layer at one precision for some inputs, started with nothing on chip."""

    layer: Layer
    precision: Precision | None
    """Operand widths of the array; None for a pass through the vector unit, which leaves it as it
    is."""
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
            InputError: if it has too many tiles to be played.
        InfeasibleError: if the machine cannot run it.
        """
        table = self.table
        layer = table.workload.layers[row]
        precision = layer.precision(table.choices[choice], table.always)
        if precision is None:
            return None
        simulator = self._simulator(inputs)
        key = (simulator.alike(table.workload, layer), precision, inputs)
        if key not in self._known:
            self._known[key] = self._found(simulator, layer, precision)
        return self._known[key]._replace(layer=layer)

    def _simulator(self, inputs: int) -> LayerSimulator:
        if inputs not in self._simulators:
            table = self.table
            widths = [table.always, *table.choices]
            self._simulators[inputs] = layer_simulator(
                table.workload, table.accelerator, widths, inputs, table.cycles.shape[2]
            )
        return self._simulators[inputs]

    def _found(self, simulator: LayerSimulator, layer: Layer, precision: Precision) -> LayerRun:
        workload = self.table.workload
        cost = simulator.cost(workload, layer, precision)
        if cost.vector_pass is not None:
            task, walked = cost.vector_pass.scheduled, blocks(cost.vector_pass)
            check_tiles(len(walked), f"layer '{layer.name}'")
            return _played(cost, task, walked, cost.counts, simulator.batch)
        if not cost.pieces:
            return _gate(cost, simulator.batch)
        runs = [_mapped(cost, piece, simulator.batch) for piece in cost.pieces]
        return _one_after_the_other(runs, simulator.machine.fidelity.prefetch)


def _mapped(cost: LayerCost, piece: Piece, inputs: int) -> LayerRun:
    """A piece of a layer on the array, which passes through the buffers as its mapping has it."""
    mapping = piece.found.mapping
    problem = as_packed(piece.problem, mapping.packed)
    check_tiles(number_of_steps(problem, mapping), f"layer '{cost.layer.name}'")
    walked = steps(piece.problem, mapping)
    counts = piece.priced.counts.copy()
    if mapping.lane_rule != "row-stationary":
        stays = STATIONARY.index(mapping.stationary)
        bits = buffers().buffer_bits(problem, stays, *places(mapping))
        counts[BUFFERS] = bits[BUFFERS]
    alone = replace(cost, compute_cycles=piece.found.compute_cycles)
    return _played(alone, problem, walked, counts, inputs)


def _one_after_the_other(runs: list[LayerRun], prefetch: bool) -> LayerRun:
    """Pieces of a layer as one run: the first weights of each load while DRAM idles at the end of
    the piece before."""
    if len(runs) == 1:
        return runs[0]
    early = [min(a.idle, b.head) if prefetch else 0 for a, b in pairwise(runs)]
    counts = np.sum([run.counts for run in runs], axis=0)
    counts[STALL] -= sum(early)

    def play(before: int) -> tuple[np.ndarray, int]:
        """Events of all pieces; from where on DRAM may load for what follows."""
        placed: list[np.ndarray] = []
        now = tiles = before_these = free_from = 0
        for run, spared in zip(runs, (before, *early), strict=True):
            events, first = run.play(spared)
            events = events.copy()
            code = slots()
            events[:, [code.START, code.END]] += now
            events[:, code.TILE] += tiles
            placed.append(events)
            before_these, free_from = before_these + len(events), before_these + first
            now, tiles = now + run.cycles - spared, tiles + run.tiles
        return np.concatenate(placed), free_from

    return runs[0]._replace(
        cycles=sum(run.cycles for run in runs) - sum(early),
        idle=runs[-1].idle,
        counts=counts,
        moved={name: sum(run.moved[name] for run in runs) for name in runs[0].moved},
        tiles=sum(run.tiles for run in runs),
        play=play,
    )


def _played(
    cost: LayerCost,
    task: Problem | VectorTask,
    walked: np.ndarray,
    counts: np.ndarray,
    inputs: int,
) -> LayerRun:
    """A layer played step by step. Of its counts, those of DRAM and of waiting are found anew."""
    code, total = slots(), walked.sum(axis=0)
    cycles, idle, _, _ = code.play(task, walked, 0, code.room_for_events(0))
    moved = {
        "weights": total[code.WEIGHTS],
        "inputs": total[code.INPUTS],
        "residual": total[code.RESIDUAL],
        "partial sums": total[code.SUMS] + total[code.RESTORED],
        "outputs": total[code.STORED],
    }
    counts = counts.copy()
    counts[WRITTEN] = total[code.STORED] + total[code.RESTORED]
    counts[READ] = sum(moved.values()) - counts[WRITTEN]
    counts[STALL] = cycles - cost.compute_cycles
    early = isinstance(task, Problem) and not task.weights_wait
    return LayerRun(
        layer=cost.layer,
        precision=cost.precision if cost.layer.on_array else None,
        inputs=inputs,
        cycles=cycles,
        head=first_load(task, walked) if early else 0,
        idle=idle,
        first_weight_bits=int(walked[0, code.WEIGHTS]) if early else 0,
        counts=counts,
        moved={tensor: int(bits) for tensor, bits in moved.items()},
        tiles=len(walked),
        play=lambda early: _events(task, walked, early),
    )


def first_load(task: Problem | VectorTask, walked: np.ndarray) -> int:
    """Cycles by which the first weights delay the first inputs, which come after them."""
    events, _ = _events(task, walked, 0)
    code = slots()
    first = events[(events[:, code.KIND] == code.WEIGHTS_IN) & (events[:, code.TILE] == 0)]
    return int((first[:1, code.END] - first[:1, code.START]).sum())


def _events(task: Problem | VectorTask, walked: np.ndarray, early: int) -> tuple[np.ndarray, int]:
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
