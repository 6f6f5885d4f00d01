"""Why a layer takes what it takes: its mapping part by part, and how far it is from the least."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.pricing import COMPONENTS, Pricing
from accel_models.costs.simulator import Simulation
from accel_models.costs.solving import LayerCost, ways_of
from accel_models.errors import InputError
from accel_models.explain.roofline import Roofline
from accel_models.explain.vector_layer import VectorExplanation, explain_pass
from accel_models.mapping import parts as mapping_parts
from accel_models.mapping.groups import least_compute_cycles, pareto_packings
from accel_models.mapping.parts import Block, Loop, Schedule, Sized, Traffic
from accel_models.mapping.problem import Mapping, Problem
from accel_models.mapping.problem_of import macs_per_cycle
from accel_models.workloads.layer import Layer

NAMES_SHOWN = 4
"""Layers that the error for an unknown one lists."""


@dataclass(frozen=True)
class Explanation:
    """One layer of a simulation, taken apart. All figures are for the whole batch."""

    cost: LayerCost
    computed: Layer
    """What the array is given: the layer, or a plain convolution in place of a transposed one."""
    mapping: Mapping
    machine: str
    frequency_hz: float
    batch: int
    groups: int
    """Groups run one after the other; loops, tiles and blocks are those of each."""
    loops: tuple[Loop, ...]
    """Loops that run more than once, from outer to inner."""
    blocks: tuple[Block, ...]
    traffic: tuple[Traffic, ...]
    on_chip: tuple[str, ...]
    """Names, of input, output and residual, of the tensors that stay on chip between layers."""
    schedule: Schedule
    roofline: Roofline
    peak_macs_per_cycle: float
    energy_pj: dict[str, float]
    """Energy by component."""

    @property
    def parts(self) -> dict[str, int]:
        """What the cycles are spent on, adding up to all of them."""
        return self.schedule.parts

    @property
    def distance(self) -> float:
        """How many times the least the layer takes, counting what passed before its turn."""
        return (self.cost.cycles + self.schedule.early) / self.roofline.cycles

    @property
    def macs_per_cycle(self) -> float:
        return self.cost.layer.macs * self.batch / self.cost.cycles


class Point(NamedTuple):
    """A mapping that no other beats in both cycles and energy."""

    cycles: int
    energy_pj: float
    mapping: Mapping
    loops: tuple[Loop, ...]
    """Loops that run more than once, from outer to inner."""
    blocks: tuple[Block, ...]
    chosen: bool


def explain(simulation: Simulation, layer_name: str) -> Explanation | VectorExplanation:
    """Take one layer of a simulation apart, or a piece of it such as ``up[3]``.

    Raises:
        InputError: if no layer that ran is called so, or it ran in several pieces.
    """
    cost = _find(simulation, layer_name)
    return _explained(simulation, cost) if cost.pieces else explain_pass(simulation, cost)


def _explained(simulation: Simulation, cost: LayerCost) -> Explanation:
    """A layer on the array, in one piece."""
    (piece,), computed = cost.pieces, _way(cost, simulation.accelerator)[0]
    task, mapping = piece.problem, piece.found.mapping
    one = mapping_parts.sized(task, mapping)
    traffic = tuple(mapping_parts.traffic(one))
    least = sum(tensor.least_bits for tensor in traffic)
    energy = Pricing(simulation.accelerator).energy_pj(cost.counts, cost.cycles)
    return Explanation(
        cost=cost,
        computed=computed,
        mapping=mapping,
        machine=simulation.accelerator.name,
        frequency_hz=simulation.accelerator.frequency_hz,
        batch=simulation.batch,
        groups=task.groups // mapping.packed,
        loops=tuple(mapping_parts.loops(one)),
        blocks=mapping_parts.blocks(one),
        traffic=traffic,
        on_chip=_on_chip(task),
        schedule=_schedule(simulation, cost, computed, one),
        roofline=Roofline(
            # A row-stationary array may suit tiles better than the whole layer at once.
            compute=min(least_compute_cycles(task), cost.compute_cycles),
            traffic=math.ceil(least / task.dram_bits_per_cycle),
        ),
        peak_macs_per_cycle=float(macs_per_cycle(task)),
        energy_pj=dict(zip(COMPONENTS, energy.tolist(), strict=True)),
    )


def pareto_set(simulation: Simulation, layer_name: str) -> tuple[Point, ...]:
    """All mappings of a layer worth having, from frugal to fast, nothing passing before its turn.

    They are measured as the search does, which takes all tiles for full ones: no cheaper than
    they are.

    Raises:
        InputError: if no layer that ran is called so.
    """
    cost = _find(simulation, layer_name)
    if not cost.pieces:
        raise InputError(f"'{layer_name}' runs on the vector unit, where nothing is mapped")
    task, pricing = cost.pieces[0].problem, Pricing(simulation.accelerator)
    points = []
    for found in pareto_packings(task, pricing.weighed_pj, cycle_pj=pricing.static_pj_per_cycle):
        one = mapping_parts.sized(task, found.mapping)
        points.append(
            Point(
                cycles=found.cycles,
                energy_pj=float(pricing.energy_pj(found.counts, found.cycles).sum()),
                mapping=found.mapping,
                loops=tuple(mapping_parts.loops(one)),
                blocks=mapping_parts.blocks(one),
                chosen=found.mapping == cost.mapping,
            )
        )
    return tuple(points)


def pieces_of(simulation: Simulation, layer_name: str) -> tuple[str, ...]:
    """Names that `explain` takes a layer apart by: those of its pieces, where it ran in several, or
    its own."""
    for cost in simulation.layers:
        if cost.layer.name == layer_name and len(cost.pieces) > 1:
            return tuple(f"{layer_name}[{number}]" for number in range(len(cost.pieces)))
    return (layer_name,)


def _find(simulation: Simulation, layer_name: str) -> LayerCost:
    """A layer that ran, or one of its pieces by the layer's name and its number, as ``up[3]``."""
    known = {cost.layer.name: cost for cost in simulation.layers}
    if layer_name in known and len(known[layer_name].pieces) > 1:
        last = len(known[layer_name].pieces) - 1
        raise InputError(
            f"'{layer_name}' runs in pieces, one after the other: ask for one of "
            f"'{layer_name}[0]' to '{layer_name}[{last}]'"
        )
    if layer_name in known:
        return known[layer_name]
    whole, _, number = layer_name.removesuffix("]").partition("[")
    if whole in known and number.isdecimal() and int(number) < len(known[whole].pieces):
        return _cost_of(known[whole], int(number), simulation.accelerator)
    names = list(known)
    some = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
    raise InputError(
        f"no layer of '{simulation.workload.name}' is called '{layer_name}': it has {some}"
    )


def _cost_of(cost: LayerCost, number: int, machine: Accelerator) -> LayerCost:
    """One piece of a layer as a layer by itself, nothing passing before its turn."""
    piece, part = cost.pieces[number], _way(cost, machine)[number]
    peak = float(macs_per_cycle(piece.problem)) * piece.found.compute_cycles
    return replace(
        cost,
        layer=replace(part, name=f"{cost.layer.name}[{number}]"),
        cycles=piece.priced.cycles,
        compute_cycles=piece.found.compute_cycles,
        counts=piece.priced.counts,
        mapping=piece.found.mapping,
        occupancy=piece.macs / peak,
        pieces=(piece,),
        way=0,
    )


def _way(cost: LayerCost, machine: Accelerator) -> tuple[Layer, ...]:
    """The layers that a layer was computed as."""
    return ways_of(cost.layer, machine)[cost.way]


def _on_chip(task: Problem) -> tuple[str, ...]:
    """Tensors that stay in the input buffer between layers."""
    stays = {
        "input": not task.buffered_input_bits,
        "output": task.kept_output_bits > 0,
        "residual": task.kept_residual_bits > 0,
    }
    return tuple(name for name, here in stays.items() if here)


def _schedule(simulation: Simulation, cost: LayerCost, computed: Layer, one: Sized) -> Schedule:
    """The layer's schedule, if what was sized up is what was simulated."""
    datapath = simulation.accelerator.array.datapath(computed, cost.precision)
    alone = mapping_parts.schedule(one, one.task.fill - datapath.fill)
    return replace(alone, early=alone.cycles - cost.cycles)
