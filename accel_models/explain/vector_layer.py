"""Why a layer that the array has no part in takes what it takes: what its pass through the vector
unit computes and moves, block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from accel_models.costs.pricing import COMPONENTS, Pricing
from accel_models.costs.simulator import Simulation
from accel_models.costs.solving import LayerCost
from accel_models.explain.roofline import Roofline
from accel_models.mapping import vector_pass
from accel_models.mapping.parts import VECTOR, Schedule, Traffic, schedule_of
from accel_models.mapping.problem import ACTIONS
from accel_models.mapping.vector_pass import VectorTask


@dataclass(frozen=True)
class VectorExplanation:
    """One layer of the vector unit, taken apart. All figures are for the whole batch.

    Args:
        lanes: elements that the unit works on at a time.
        operations: of the unit, in all.
        blocks: pieces that the tensors stream through in, one loading while another is worked on.
        traffic: of the first operand, the others and the outputs; empty of a gate, whose operands
            are on chip.
        on_chip: names of the tensors that stay in the input buffer between layers.
        energy_pj: by component.
    """

    cost: LayerCost
    machine: str
    frequency_hz: float
    batch: int
    lanes: int
    operations: int
    blocks: int
    traffic: tuple[Traffic, ...]
    on_chip: tuple[str, ...]
    schedule: Schedule
    roofline: Roofline
    energy_pj: dict[str, float]

    @property
    def parts(self) -> dict[str, int]:
        """What the cycles are spent on, adding up to all of them."""
        names = {
            "array waiting for the vector unit": "vector unit at work",
            "array waiting for blocks from DRAM": "vector unit waiting for blocks from DRAM",
        }
        kept = (*names, "single buffers changing blocks", "first blocks arriving")
        kept += ("last block leaving", "DRAM latency")
        return {names.get(part, part): self.schedule.parts[part] for part in kept}

    @property
    def distance(self) -> float:
        """How many times the least the layer takes; the least is a cycle, though nothing moves."""
        return self.cost.cycles / max(1, self.roofline.cycles)

    @property
    def operations_per_cycle(self) -> float:
        return self.operations / max(1, self.cost.cycles)


def explain_pass(simulation: Simulation, cost: LayerCost) -> VectorExplanation:
    """Take a layer of the vector unit apart, or one of a gate that runs there."""
    machine, task = simulation.accelerator, cost.vector_pass
    pricing, lanes = Pricing(machine), machine.array.vector_lanes
    operations = int(cost.counts[ACTIONS.index("vector_operations")])
    traffic = tuple(_traffic(task)) if task is not None else ()
    least = sum(tensor.least_bits for tensor in traffic)
    schedule = _schedule(cost, task)
    energy = pricing.energy_pj(cost.counts, cost.cycles).tolist()
    return VectorExplanation(
        cost=cost,
        machine=machine.name,
        frequency_hz=machine.frequency_hz,
        batch=simulation.batch,
        lanes=lanes,
        operations=operations,
        blocks=len(schedule.drains),
        traffic=traffic,
        on_chip=_on_chip(task),
        schedule=schedule,
        roofline=Roofline(
            compute=-(-operations // lanes),
            traffic=math.ceil(least / machine.dram_bits_per_cycle),
            computes=VECTOR,
        ),
        energy_pj=dict(zip(COMPONENTS, energy, strict=True)),
    )


def _traffic(task: VectorTask) -> list[Traffic]:
    """DRAM traffic by tensor, beside that of every element once."""
    blocks = vector_pass.blocks_of(task)
    inputs = 0 if task.input_on_chip else task.inputs * task.input_bits
    others = 0 if task.other_on_chip else task.others * task.other_bits
    outputs = 0 if task.output_on_chip else task.outputs * task.output_bits
    return [
        Traffic("inputs", int(blocks.inputs.sum()), 0, inputs),
        Traffic("others", int(blocks.others.sum()), 0, others),
        Traffic("outputs", 0, int(blocks.outputs.sum()), outputs),
    ]


def _schedule(cost: LayerCost, task: VectorTask | None) -> Schedule:
    if task is not None:
        return schedule_of(task.scheduled, vector_pass.steps(task))
    nothing, cycles = np.zeros(1, dtype=np.int64), np.array([cost.cycles])
    return Schedule(nothing, cycles, memory=nothing, late=nothing, computing=0, load=0, store=0)


def _on_chip(task: VectorTask | None) -> tuple[str, ...]:
    if task is None:
        return ()
    stays = {
        "input": task.input_on_chip,
        "others": task.other_on_chip,
        "output": task.output_on_chip,
    }
    return tuple(name for name, here in stays.items() if here)
