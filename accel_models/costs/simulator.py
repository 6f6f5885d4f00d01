"""What a network costs on a machine at given precisions: cycles, and energy by component."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.early_loads import STALL, prefetched
from accel_models.costs.given import require_count, require_network_and_machine
from accel_models.costs.layer_frame import layer_frame
from accel_models.costs.pricing import COMPONENTS, Pricing
from accel_models.costs.residency import NOTHING_RESIDENT, Resident, plan_residency
from accel_models.costs.solving import LayerCost, Solved, Task, solve, task_of
from accel_models.costs.uncertainty import CountsAndCycles, Uncertainty, uncertainty_of
from accel_models.errors import InfeasibleError, InputError
from accel_models.mapping.problem import ACTIONS, Problem
from accel_models.mapping.problem_of import Tensors, macs_per_cycle, operands, problem_of
from accel_models.precision import Precision
from accel_models.workloads.layer import MAX_MACS
from accel_models.workloads.widths import Asked, WidthPolicy, WidthRules, asked_of
from accel_models.workloads.workload import Layer, Workload

_VECTOR = ACTIONS.index("vector_operations")
_WEIGHT_READS = ACTIONS.index("weight_buffer_read_bits")
_INPUT_READS = ACTIONS.index("input_buffer_read_bits")


@dataclass(frozen=True)
class Simulation:
    """A network at fixed precisions; all figures are for one batch of `batch` inputs.

    `uncertainty` is the range of its energy, where that was asked for.
    """

    workload: Workload
    accelerator: Accelerator
    batch: int
    layers: tuple[LayerCost, ...]
    uncertainty: Uncertainty | None = None

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

    def to_frame(self) -> Any:
        """Every layer as a row of a pyarrow table, with the columns of `costs.layer_frame`."""
        return layer_frame(self.layers, Pricing(self.accelerator), self.batch)

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
        self._known: dict[Hashable, LayerCost] = {}
        self._found: dict[Task, Solved] = {}

    def alike(self, workload: Workload, layer: Layer) -> Hashable:
        """What a layer's cost depends on beside its precision: equal for layers that cost alike."""
        resident = self.resident.get(layer.name, NOTHING_RESIDENT)
        waiting = tuple(
            tuple((reader.widths, reader.reads_image) for reader in readers)
            for readers in workload.settling[layer.name]
        )
        ends = workload.ends[layer.name]
        return layer.geometry, self.decides_on_vector_unit(layer), ends, resident, waiting

    def problem(self, workload: Workload, layer: Layer, precision: Precision) -> Problem:
        """The layer's mapping problem.

        Raises:
            InfeasibleError: if the array cannot multiply at these widths.
        """
        tensors = self._tensors(workload, layer, precision)
        return problem_of(layer, precision, tensors, self.batch, self.machine)

    def task(self, workload: Workload, layer: Layer, precision: Precision) -> Task:
        """What there is to do for a layer, wherever it runs.

        Raises:
            InfeasibleError: if the machine cannot.
        """
        tensors = self._tensors(workload, layer, precision)
        return task_of(layer, precision, tensors, self.batch, self.machine)

    def _tensors(self, workload: Workload, layer: Layer, precision: Precision) -> Tensors:
        settling = workload.settling[layer.name]
        resident = self.resident.get(layer.name, NOTHING_RESIDENT)
        return Tensors(
            workload.ends[layer.name],
            self.stream_bits,
            input_on_chip=resident.input,
            output_on_chip=resident.output,
            residual_on_chip=resident.residual,
            reserved_bytes=resident.reserved_bytes,
            other_on_chip=resident.other,
            input_bits=self._waits_at(settling.input, precision),
            output_bits=self._waits_at(settling.output, precision),
            other_bits=self._waits_at(settling.other, precision),
        )

    def _waits_at(self, readers: Sequence[Layer], precision: Precision) -> int | None:
        """The width that the widest reader of a tensor asks for, all of them running at `precision`
        but for widths of their own; None if tensors are not packed, or nothing is settled."""
        if not readers or self.machine.storage.activations != "packed":
            return None
        return max(
            self.machine.offered(operands(reader, precision)).activation_bits for reader in readers
        )

    def cost(self, workload: Workload, layer: Layer, precision: Precision) -> LayerCost:
        """Cost of a layer under its best mapping.

        Raises:
            InfeasibleError: naming the layer, the machine and what does not fit.
        """
        precision = self.machine.offered(precision)
        key = (self.alike(workload, layer), precision)
        if key not in self._known:
            if self.decides_on_vector_unit(layer):
                self._known[key] = self._gate(workload, layer, precision)
            else:
                self._known[key] = self._solved(workload, layer, precision)
        return replace(self._known[key], layer=layer)

    def decides_on_vector_unit(self, layer: Layer) -> bool:
        """Whether a layer is part of a gate or an exit that keeps the array out of it."""
        return layer.decides and self.machine.fidelity.gates == "vector-unit"

    def refusal(self, layer: Layer, precision: Precision, reason: Exception) -> InfeasibleError:
        """The error for a layer that cannot run, naming it, the machine and what does not fit."""
        width = self.machine.offered(layer.widths or precision)
        return InfeasibleError(
            f"layer '{layer.name}' at {width} bits on {self.machine.name}: {reason}"
        )

    def _solved(self, workload: Workload, layer: Layer, precision: Precision) -> LayerCost:
        try:
            task = self.task(workload, layer, precision)
            if task not in self._found:
                self._found[task] = solve(task, self.machine, self.pricing)
        except InfeasibleError as error:
            raise self.refusal(layer, precision, error) from error
        priced, pieces, way, vector_pass = self._found[task]
        cost = LayerCost(
            layer=layer,
            precision=self.machine.offered(operands(layer, precision)),
            cycles=priced.cycles,
            compute_cycles=sum(piece.found.compute_cycles for piece in pieces),
            counts=priced.counts,
            mapping=pieces[0].found.mapping if pieces else None,
            head_cycles=priced.head_cycles,
            tail_cycles=priced.tail_cycles,
            first_weight_bits=priced.first_weight_bits,
            asked=precision,
            pieces=pieces,
            way=way,
            vector_pass=vector_pass,
        )
        if not pieces:
            return cost
        peak = float(macs_per_cycle(pieces[0].problem))
        # All phases at once multiply by zeros, and one by one they leave out what is cut off.
        macs = min(self.batch * layer.macs, sum(piece.macs for piece in pieces))
        return replace(cost, occupancy=macs / (peak * cost.compute_cycles))

    def _gate(self, workload: Workload, layer: Layer, precision: Precision) -> LayerCost:
        """A gate's layer on the vector unit, its weights kept on chip: every lane makes outputs
        input by input. Inputs of a linear layer from a feature map are averages, of which the sums
        were added up while the map drained: here they are divided. One that looks at the map itself
        reads from the buffer what it looks at. Every output is activated. Array and DRAM wait.
        """
        lanes = self.machine.array.vector_lanes
        whole = max(layer.in_size) > 1
        averages = layer.in_channels if workload.ends[layer.name].input_crosses and not whole else 0
        passes = -(-layer.outputs // lanes)
        cycles = self.batch * (passes * (layer.macs_per_output + 1) - (-averages // lanes))
        counts = np.zeros(len(ACTIONS), dtype=np.int64)
        counts[STALL] = cycles
        counts[_VECTOR] = self.batch * (layer.macs + layer.outputs + averages)
        counts[_WEIGHT_READS] = self.batch * layer.weights * precision.weight_bits
        counts[_INPUT_READS] = self.batch * layer.macs * precision.activation_bits * whole
        return LayerCost(layer, precision, cycles, 0, counts, None, tail_cycles=cycles)

    def solves_as(
        self, other: LayerSimulator, workload: Workload, runs: Iterable[tuple[Layer, Precision]]
    ) -> bool:
        """Whether another simulator has the same mapping problems to solve, and by the same rule.

        Then the two machines differ at most in what actions cost.
        """
        return self.machine.mapping == other.machine.mapping and all(
            self.task(workload, *run) == other.task(workload, *run)
            for run in runs
            if not self.decides_on_vector_unit(run[0])
        )


def simulate(
    workload: Workload,
    accelerator: Accelerator,
    precision: str | int | Precision | WidthPolicy = "8",
    *,
    always: str | int | Precision | None = None,
    batch: int = 1,
    uncertainty: bool = False,
) -> Simulation:
    """Cost of a network whose precisions are fixed.

    Args:
        workload: the layers.
        accelerator: the machine.
        precision: of every layer; or by name of decision unit or layer, or pattern of `fnmatch` for
            layers (`Workload.with_widths`): of several matches, the last one wins. Names of units
            are choices, and leave widths that a layer has of its own; others settle widths. Units
            alone are skipped; at one that chooses ``exit`` the network ends.
        always: precision of the layers outside decision units to which no name or pattern gives
            one, and of gates; by default the highest one used.
        batch: inputs processed together.
        uncertainty: also state the range of the energy, from the ranges of the machine's constants.

    Raises:
        InfeasibleError: if the machine cannot run a layer at its precision.
        InputError: if workload or machine is none, a precision is malformed, a name or pattern
            matches no layer (names the nearest), a layer gets no precision, or layers of one unit
            get what it cannot choose.
    """
    require_network_and_machine(workload, accelerator)
    require_count("batch", batch)
    largest = max(layer.macs for layer in workload.layers)
    if batch * largest > MAX_MACS:
        raise InputError(
            f"batch {batch} makes a layer of {batch * largest:.3g} MACs, over {MAX_MACS:.0e}"
        )
    given = None if always is None else Precision.parse(always)
    settled, units, rest = _asked(workload, precision, given)
    if settled is not workload.layers:
        workload = replace(workload, layers=settled)
    if not rest.runs:
        raise InputError(f"layers outside decision units always run: they cannot be at {rest}")
    reached = workload.reached_by(units)
    chosen = [
        (layer, runs_at)
        for layer, here in zip(workload.layers, reached, strict=True)
        if here and (runs_at := layer.precision(units.get(layer.unit, rest), rest)) is not None
    ]
    widths = [rest, *units.values()]
    layers = layer_simulator(workload, accelerator, widths, batch)
    run = _run(workload, layers, chosen)
    if not uncertainty:
        return run

    def rerun(machine: Accelerator) -> CountsAndCycles | None:
        changed = layer_simulator(workload, machine, widths, batch)
        if changed.solves_as(layers, workload, chosen):
            return None
        again = _run(workload, changed, chosen)
        return again.counts, again.cycles

    known = uncertainty_of(run.counts, run.cycles, accelerator, rerun)
    return replace(run, uncertainty=known)


def _run(
    workload: Workload, layers: LayerSimulator, chosen: Sequence[tuple[Layer, Precision]]
) -> Simulation:
    """The layers that run, in order, each at its precision."""
    costs = [layers.cost(workload, layer, precision) for layer, precision in chosen]
    if layers.machine.fidelity.prefetch:
        spared = prefetched(workload, costs)
        costs = [cost.sooner(cycles) for cost, cycles in zip(costs, spared, strict=True)]
    return Simulation(workload, layers.machine, layers.batch, tuple(costs))


def layer_simulator(
    workload: Workload,
    machine: Accelerator,
    precisions: Iterable[Precision],
    batch: int,
    alive: int | None = None,
) -> LayerSimulator:
    """A simulator of a network's layers at any of `precisions`.

    Tensors between units are as wide as any of them may ask for, and what stays on chip is decided
    for the widest, so that the cost of a unit does not depend on what others choose. `alive` are
    the inputs whose tensors exist at a time, if they are more than the `batch` that runs together.
    Where every layer has widths of its own, nothing runs at what is asked.
    """
    settled = {layer.widths for layer in workload.layers}
    used = {*precisions, *settled} if None in settled else settled
    widest = max(machine.offered(one).activation_bits for one in used if one is not None)
    stream = max(machine.storage.stream_bits, widest)
    resident = (
        plan_residency(workload, machine, widest, stream, alive or batch)
        if machine.storage.resident
        else {}
    )
    return LayerSimulator(machine, batch, stream, resident)


def bitops(layer: Layer, precision: Precision | None) -> int:
    """The BitOps proxy of one layer for one input: MACs x weight bits x activation bits."""
    if precision is None:
        return 0
    return layer.macs * operands(layer, precision).bitops_per_mac


def _asked(workload: Workload, precision: Any, always: Precision | None) -> Asked:
    if isinstance(precision, MappingType | WidthRules):
        return asked_of(workload.layers, workload.name, precision, always)
    one = Precision.parse(precision)
    return Asked(workload.layers, dict.fromkeys(workload.units, one), always or one)


__all__ = [
    "ACTIONS",
    "COMPONENTS",
    "LayerCost",
    "LayerSimulator",
    "Pricing",
    "Simulation",
    "bitops",
    "simulate",
]
