"""What a network costs on a machine at given precisions: cycles, and energy by component."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from accel_models.accelerator import Accelerator
from accel_models.boundaries import prefetched
from accel_models.errors import InfeasibleError, InputError
from accel_models.mapping import ACTIONS, EDP, ENERGY, LATENCY, Found, Mapping, pareto, search
from accel_models.precision import Precision, highest
from accel_models.pricing import COMPONENTS, Pricing
from accel_models.problem import Problem, Tensors, operands, problem
from accel_models.residency import NOTHING_RESIDENT, Resident, plan
from accel_models.workload import Layer, Workload

_STALL = ACTIONS.index("array_stall_cycles")


@dataclass(frozen=True)
class LayerCost:
    """One layer at one precision for a whole batch.

    `counts` is int64 [action], in the order of `mapping.ACTIONS`. Of `cycles`, `head_cycles` go if
    the first block of weights is on chip already; in the last `tail_cycles` DRAM and half of the
    weight buffer are free.
    """

    layer: Layer
    precision: Precision
    cycles: int
    compute_cycles: int
    counts: np.ndarray
    mapping: Mapping
    head_cycles: int = 0
    tail_cycles: int = 0

    def sooner(self, cycles: int) -> LayerCost:
        """The same, `cycles` of its waiting having passed before it began."""
        counts = self.counts.copy()
        counts[_STALL] -= cycles
        return replace(self, cycles=self.cycles - cycles, counts=counts)


@dataclass(frozen=True)
class Simulation:
    """A network at fixed precisions; all figures are for one batch of `batch` inputs."""

    workload: Workload
    accelerator: Accelerator
    batch: int
    layers: tuple[LayerCost, ...]

    @property
    def cycles(self) -> int:
        return sum(layer.cycles for layer in self.layers)

    @property
    def latency_s(self) -> float:
        return self.cycles / self.accelerator.frequency_hz

    @cached_property
    def counts(self) -> np.ndarray:
        """Actions of all layers, int64 [action]."""
        return np.stack([layer.counts for layer in self.layers]).sum(axis=0)

    @cached_property
    def energy_pj(self) -> np.ndarray:
        """Energy by component in pJ, float64 [component]."""
        return Pricing(self.accelerator).energy_pj(self.counts, self.cycles)

    @property
    def energy_j(self) -> float:
        return float(self.energy_pj.sum()) * 1e-12

    @property
    def bitops(self) -> int:
        """One-bit multiplications: MACs x weight bits x activation bits."""
        return self.batch * sum(bitops(cost.layer, cost.precision) for cost in self.layers)


class LayerSimulator:
    """Simulates single layers of one machine, each distinct one once.

    Args:
        machine: the machine.
        batch: inputs processed together.
        stream_bits: width of tensors between decision units.
        resident: which tensors stay on chip, by layer.
    """

    def __init__(
        self,
        machine: Accelerator,
        batch: int,
        stream_bits: int,
        resident: MappingType[str, Resident] | None = None,
    ) -> None:
        self.machine, self.batch, self.stream_bits = machine, batch, stream_bits
        self.resident = resident or {}
        self.pricing = Pricing(machine)
        self._known: dict[Any, LayerCost] = {}

    def problem(self, workload: Workload, layer: Layer, precision: Precision) -> Problem:
        """The layer's mapping problem.

        Raises:
            InfeasibleError: if the array cannot multiply at these widths.
        """
        tensors = Tensors(
            workload.ends[layer.name],
            self.stream_bits,
            *self.resident.get(layer.name, NOTHING_RESIDENT),
        )
        return problem(layer, precision, tensors, self.batch, self.machine)

    def cost(self, workload: Workload, layer: Layer, precision: Precision) -> LayerCost:
        """Cost of a layer under its best mapping.

        Raises:
            InfeasibleError: naming the layer, the machine and what does not fit.
        """
        resident = self.resident.get(layer.name, NOTHING_RESIDENT)
        key = (layer.geometry, workload.ends[layer.name], resident, precision)
        if key not in self._known:
            try:
                task = self.problem(workload, layer, precision)
                found = best_mapping(task, self.machine, self.pricing)
            except InfeasibleError as error:
                raise InfeasibleError(
                    f"layer '{layer.name}' at {precision} bits on {self.machine.name}: {error}"
                ) from error
            self._known[key] = _cost(layer, precision, found)
        return replace(self._known[key], layer=layer)


def best_mapping(task: Problem, machine: Accelerator, pricing: Pricing) -> Found:
    """The best mapping by the machine's own objective.

    Raises:
        InfeasibleError: if nothing fits the buffers.
    """
    options, prices = machine.mapping, pricing.action_pj
    static = pricing.static_pj_per_cycle
    if options.objective != "latency-then-energy":
        objective = {"latency": LATENCY, "energy": ENERGY, "edp": EDP}[options.objective]
        return search(task, prices, objective, cycle_pj=static)
    fastest = search(task, prices, LATENCY, cycle_pj=static)
    limit = int(fastest.cycles * (1 + options.tolerance))
    return search(task, prices, ENERGY, cycle_pj=static, cycle_limit=limit)


def simulate(
    workload: Workload,
    accelerator: Accelerator,
    precision: str | int | Precision | MappingType[str, Any] = "8",
    *,
    always: str | int | Precision | None = None,
    batch: int = 1,
) -> Simulation:
    """Cost of a network whose precisions are fixed.

    Args:
        workload: the layers.
        accelerator: the machine.
        precision: of every layer, or one for each decision unit by name.
        always: precision of the layers outside decision units, and of gates; by default the
            highest one used.
        batch: inputs processed together.

    Raises:
        InfeasibleError: if the machine cannot run a layer at its precision.
        InputError: if a precision is malformed, or a unit is missing or unknown.
    """
    if batch < 1:
        raise InputError(f"batch must be at least 1, got {batch}")
    units = _unit_precisions(workload, precision)
    rest = Precision.parse(always) if always is not None else highest(units.values())
    if rest.is_skip:
        raise InputError("layers outside decision units always run: they cannot be skipped")
    layers = layer_simulator(workload, accelerator, [rest, *units.values()], batch)
    costs = []
    for layer in workload.layers:
        chosen = layer.precision(units.get(layer.unit, rest), rest)
        if chosen is not None:
            costs.append(layers.cost(workload, layer, chosen))
    if accelerator.fidelity.prefetch:
        spared = prefetched(workload, costs)
        costs = [cost.sooner(cycles) for cost, cycles in zip(costs, spared, strict=True)]
    return Simulation(workload, accelerator, batch, tuple(costs))


def layer_simulator(
    workload: Workload, machine: Accelerator, precisions: Iterable[Precision], batch: int
) -> LayerSimulator:
    """A simulator of a network's layers at any of `precisions`.

    Tensors between units are as wide as any of them may ask for, and what stays on chip is decided
    for the widest, so that the cost of a unit does not depend on what others choose.
    """
    widest = max(precision.activation_bits for precision in precisions)
    stream = max(machine.storage.stream_bits, widest)
    resident = plan(workload, machine, widest, stream, batch) if machine.storage.resident else {}
    return LayerSimulator(machine, batch, stream, resident)


def bitops(layer: Layer, precision: Precision | None) -> int:
    """The BitOps proxy of one layer for one input: MACs x weight bits x activation bits."""
    if precision is None:
        return 0
    return layer.macs * operands(layer, precision).bitops_per_mac


def _cost(layer: Layer, precision: Precision, found: Found) -> LayerCost:
    return LayerCost(
        layer=layer,
        precision=operands(layer, precision),
        cycles=found.cycles,
        compute_cycles=found.compute_cycles,
        counts=found.counts,
        mapping=found.mapping,
        head_cycles=found.head_cycles,
        tail_cycles=found.tail_cycles,
    )


def _unit_precisions(workload: Workload, precision: Any) -> dict[str, Precision]:
    if not isinstance(precision, MappingType):
        one = Precision.parse(precision)
        return dict.fromkeys((*workload.units, ""), one)
    units = {name: Precision.parse(value) for name, value in precision.items()}
    unknown = set(units) - set(workload.units)
    missing = set(workload.units) - set(units)
    if unknown or missing:
        names = ", ".join(sorted(unknown or missing))
        verb = "are not units of" if unknown else "have no precision in"
        raise InputError(f"{names} {verb} workload '{workload.name}'")
    return units


__all__ = [
    "ACTIONS",
    "COMPONENTS",
    "LayerCost",
    "LayerSimulator",
    "Pricing",
    "Simulation",
    "best_mapping",
    "bitops",
    "pareto",
    "simulate",
]
