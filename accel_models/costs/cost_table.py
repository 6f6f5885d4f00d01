"""What every decision unit costs at every choice: computed once, then only looked up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs import table_cache
from accel_models.costs.early_loads import pairs_within_units, spare_within_units
from accel_models.costs.given import require_count, require_network_and_machine
from accel_models.costs.group_parts import split_groups
from accel_models.costs.pricing import ACTIONS, Pricing, Work
from accel_models.costs.simulator import LayerSimulator, bitops, layer_simulator, simulate
from accel_models.costs.static_costs import StaticCosts
from accel_models.costs.table_cache import Figures, figures_digest, table_key
from accel_models.errors import InfeasibleError, InputError
from accel_models.leaving import NEVER, exit_index
from accel_models.metrics import additive, named
from accel_models.precision import Precision, highest, parse_choices
from accel_models.remade import Remade
from accel_models.workloads.workload import Layer, Workload

LARGEST_GROUP = 1024
"""Inputs: a table takes time that grows with the square of its groups."""


class Stages(NamedTuple):
    """What an input takes stage by stage. It begins stage s if it leaves at none of the first s
    units.

    Args:
        settled: [stage, ...], what runs whatever is chosen, of S = U + 1 stages. What decides about
            a unit comes before the unit, and so in the stage of its number, if not earlier.
        units: [unit, choice, ...], layers of each unit but those that decide; 0 where it leaves.
    """

    settled: np.ndarray
    units: np.ndarray

    def mean(self, shares: np.ndarray, leaving: int) -> np.ndarray:
        """Mean over inputs of which a share [unit, choice] reached a unit and took each choice.

        Args:
            leaving: index of the choice to leave, or `leaving.NEVER`.
        """
        left = shares[:, leaving] if leaving != NEVER else np.zeros(len(shares))
        begun = 1 - np.concatenate([[0.0], np.cumsum(left)])
        settled: np.ndarray = np.tensordot(begun, self.settled, 1)
        return settled + np.tensordot(shares, self.units, 2)


@dataclass(frozen=True)
class CostTable(Remade):
    """Cost of every layer at every choice of its unit, for every group size.

    A group is how many inputs of a batch take the same choice, and so share one run of the layer.
    What stays on chip between layers is decided for the tensors of the largest group, whichever
    part of it runs.
    Layers outside decision units cost the same at every choice.

    Args:
        choices: K options in the order of a trace's choice indices.
        always: precision of everything that runs whatever is chosen.
        cycles: int64 [layer, choice, group], group g at index g - 1. A layer's first weights load
            while the layer before, in the same unit, still computes.
        counts: int64 [layer, choice, group, action], actions as in `problem.ACTIONS`.
        head: int64 [layer, choice, group], cycles that a layer would be spared by its first
            weights being on chip; 0 for gates on the vector unit, whose weights stay there.
        first_weight_bits: int64 [layer, choice, group], DRAM bits of those first weights.
        parts: int64 [layer, choice, group], how many inputs run first where a group runs in two
            parts, one after the other; 0 where it runs at once.
        tail: int64 [layer, choice, group], cycles at its end in which DRAM and half of the weight
            buffer are free: all of a gate's on the vector unit.
        infeasible: why a layer cannot run at a choice, by (layer index, choice index).
    """

    workload: Workload
    accelerator: Accelerator
    choices: tuple[Precision, ...]
    always: Precision
    cycles: np.ndarray
    counts: np.ndarray
    head: np.ndarray
    tail: np.ndarray
    first_weight_bits: np.ndarray
    parts: np.ndarray
    infeasible: Mapping[tuple[int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for figures in (self.cycles, self.counts, self.head, self.tail):
            figures.setflags(write=False)  # what was looked up once holds for good
        self.first_weight_bits.setflags(write=False)
        self.parts.setflags(write=False)

    def __repr__(self) -> str:
        choices = ",".join(map(str, self.choices))
        return f"<CostTable of {self.workload.name} on {self.accelerator.name}: {choices}>"

    @property
    def units(self) -> tuple[str, ...]:
        """Names of the U decision units, in the order of a trace's columns."""
        return self.workload.units

    @cached_property
    def unit_of_layer(self) -> np.ndarray:
        """Index of the unit of each layer, -1 for layers outside units; int64 [layer]."""
        index = {unit: number for number, unit in enumerate(self.units)}
        return np.array([index.get(layer.unit, -1) for layer in self.workload.layers])

    @cached_property
    def bitops(self) -> np.ndarray:
        """BitOps for one input, int64 [layer, choice]."""
        return np.array(
            [
                [bitops(layer, self._runs_at(layer, choice)) for choice in self.choices]
                for layer in self.workload.layers
            ],
            dtype=np.int64,
        )

    def _runs_at(self, layer: Layer, choice: Precision) -> Precision | None:
        precision = layer.precision(choice, self.always)
        return precision and self.accelerator.offered(precision)

    @cached_property
    def leaving(self) -> int:
        """Index of the choice to leave, `leaving.NEVER` if it is not offered."""
        return exit_index(self.choices)

    @cached_property
    def left_at(self) -> np.ndarray:
        """Last unit at which an input may have left before each layer, -1 where every input comes;
        int64 [layer]."""
        return np.array(self.workload.left_at)

    def staged(self, values: np.ndarray) -> Stages:
        """Sums of values [layer, choice, ...] by how far an input has to come for them."""
        units, rest = len(self.units), values.shape[2:]
        found = Stages(
            np.zeros((units + 1, *rest), dtype=values.dtype),
            np.zeros((units, values.shape[1], *rest), dtype=values.dtype),
        )
        for layer, unit, last, its in zip(
            self.workload.layers, self.unit_of_layer, self.left_at, values, strict=True
        ):
            if unit < 0 or layer.decides:
                found.settled[last + 1] += its[0]
            else:
                found.units[unit] += its
        return found

    def stages(self, metric: str) -> Stages:
        """Cost of one input running alone, in stages: in the metric's unit.

        Raises:
            InputError: if the metric is unknown, or is no sum over layers.
            InfeasibleError: if a choice cannot run on the machine.
        """
        self.require_feasible()
        return self.staged(self._layer_costs(metric))

    def costs(self, metric: str) -> tuple[float, np.ndarray]:
        """Cost of one input running alone: of what always runs, and of each unit at each choice.

        Args:
            metric: name of one that adds up over layers, such as ``energy``.

        Returns:
            The part no choice changes, and float64 [unit, choice], in the metric's unit. Of an
            input that leaves, neither is spent behind its exit: `stages` tells that apart.

        Raises:
            InputError: if the metric is unknown, or is no sum over layers.
            InfeasibleError: if a choice cannot run on the machine.
        """
        self.require_feasible()
        values = self._layer_costs(metric)
        return float(values[self.unit_of_layer < 0, 0].sum()), self.per_unit(values)

    def query(self, assignments: np.ndarray, metric: str = "energy") -> np.ndarray:
        """Cost of one input at each of N static assignments, without gates: an oracle for searches.

        Each is what `simulate` says of the network: given its units' choices or, where it has no
        units, of `Workload.with_widths` with a choice for each layer of the array, the vector unit
        at `always`. Every case of a layer and its neighbours is simulated when it is first asked
        for; from then on an assignment takes microseconds.

        Args:
            assignments: int [N, decided], indices into `choices`, in the order of `decided`.
            metric: name of one that adds up over layers: ``energy``, ``latency`` or ``bitops``.

        Returns:
            float64 [N], in J, s or BitOps.

        Raises:
            InputError: if assignments are of another shape or name no choice, the metric is unknown
                or no sum over layers, or the network has exits.
            InfeasibleError: if the machine cannot run a layer at a choice.
        """
        return self._static_costs.costs(assignments, metric)

    @property
    def decided(self) -> tuple[str, ...]:
        """Names of what `query` assigns: the units or, where there are none, all layers of the
        array."""
        return self._static_costs.decided

    @cached_property
    def _static_costs(self) -> StaticCosts:
        return StaticCosts(self.workload, self.accelerator, self.choices, self.always)

    def reference(self, metric: str) -> float:
        """Cost of one input at the highest precision everywhere, in a network without gates.

        Units are those of `costs`.

        Raises:
            InfeasibleError: if a choice cannot run on the machine.
        """
        self.require_feasible()
        top = simulate(
            self.workload.without_gates(),
            self.accelerator,
            highest(self.choices),
            always=self.always,
        )
        return float(named(metric, additive()).of(top))

    def _layer_costs(self, metric: str) -> np.ndarray:
        """Cost of each layer for one input, float64 [layer, choice], in SI units."""
        pricing = Pricing(self.accelerator)
        alone = Work(pricing, self.counts[:, :, 0], self.cycles[:, :, 0], self.bitops)
        return named(metric, additive()).of(alone).astype(np.float64)

    @cached_property
    def runs(self) -> np.ndarray:
        """Whether a layer runs when its unit takes a choice, bool [layer, choice]."""
        return _runs(self.workload, self.choices, self.always)

    def per_unit(self, values: np.ndarray) -> np.ndarray:
        """Sum [layer, ...] over the layers of each unit: [unit, ...]."""
        total = np.zeros((len(self.units), *values.shape[1:]), dtype=values.dtype)
        inside = self.unit_of_layer >= 0
        np.add.at(total, self.unit_of_layer[inside], values[inside])
        return total

    def require_feasible(self, used: Iterable[int] | None = None) -> None:
        """Check that the `used` choices (default all) can run.

        Raises:
            InfeasibleError: if one of them cannot.
        """
        wanted = set(range(len(self.choices)) if used is None else used)
        for (_, choice), reason in sorted(self.infeasible.items()):
            if choice in wanted:
                raise InfeasibleError(reason)

    @cached_property
    def key(self) -> str:
        """Hash of everything the figures depend on, the model's own source included."""
        groups = self.cycles.shape[2]
        return table_key(self.workload, self.accelerator, self.choices, self.always, groups)

    @cached_property
    def digest(self) -> str:
        """Hash of what it says: the same for equal figures of equal machines, whatever version of
        the package worked them out, unlike `key`."""
        parts = (self.cycles, self.counts, self.head, self.tail, self.first_weight_bits, self.parts)
        figures = Figures(*parts, dict(self.infeasible))
        options = (*self.choices, self.always)
        return figures_digest(self.workload, Pricing(self.accelerator), options, figures)


def cost_table(
    workload: Workload,
    accelerator: Accelerator,
    choices: str | Iterable[str | int | Precision] = "skip,2,4,8",
    *,
    always: str | int | Precision | None = None,
    max_group: int = 1,
    cache: bool = True,
) -> CostTable:
    """Simulate every distinct layer at every choice and group size.

    Args:
        workload: the layers, some of them in decision units.
        accelerator: the machine.
        choices: the choice set, in the order that traces number it.
        always: precision of what always runs; by default the highest choice.
        max_group: largest number of inputs that share a run. Where running a group in two parts is
            cheaper than at once, it is charged so.
        cache: look for the table on disk first, and keep it there (`costs.table_cache`).

    Raises:
        InputError: if workload or machine is none, the choice set is malformed, or groups are too
            large.
        InfeasibleError: if a layer that always runs cannot. Choices that cannot run are kept in
            `CostTable.infeasible`, and refused when they are asked for.
    """
    require_network_and_machine(workload, accelerator)
    options = parse_choices(choices)
    rest = highest(options) if always is None else Precision.parse(always)
    if not rest.runs:
        raise InputError(f"what always runs cannot be at {rest}")
    if exit_index(options) != NEVER and not workload.exits:
        raise InputError(
            f"the choice set offers exit, but no unit of '{workload.name}' has one to leave at"
        )
    require_count("a group, and so a batch,", max_group, LARGEST_GROUP)
    cache = cache and table_cache.covers(accelerator)
    key = table_key(workload, accelerator, options, rest, max_group) if cache else ""
    shape = (len(workload.layers), len(options), max_group)
    kept = table_cache.load(key, shape) if cache else None
    if kept is not None:
        return CostTable(workload, accelerator, options, rest, *kept)
    figures = _figures(workload, accelerator, options, rest, max_group)
    if cache and table_cache.covers(accelerator):
        table_cache.save(key, figures)
    return CostTable(workload, accelerator, options, rest, *figures)


def _figures(
    workload: Workload,
    machine: Accelerator,
    options: Sequence[Precision],
    always: Precision,
    max_group: int,
) -> Figures:
    """All that a table holds: layers by themselves, groups in parts, then what loads early."""
    figures = _simulated(workload, machine, options, always, max_group)
    split_groups(figures, machine)
    if machine.fidelity.prefetch:
        pairs = pairs_within_units(workload, _runs(workload, options, always))
        spare_within_units(pairs, *figures[:4])
    return figures


def _runs(workload: Workload, options: Sequence[Precision], always: Precision) -> np.ndarray:
    """Whether a layer runs at each of K choices, bool [layer, choice]."""
    return np.array(
        [
            [layer.precision(choice, always) is not None for choice in options]
            for layer in workload.layers
        ]
    )


def _simulated(
    workload: Workload,
    machine: Accelerator,
    options: Sequence[Precision],
    always: Precision,
    max_group: int,
) -> Figures:
    """Figures of every layer by itself."""
    simulators = [
        layer_simulator(workload, machine, [always, *options], group, max_group)
        for group in range(1, max_group + 1)
    ]
    shape = (len(workload.layers), len(options), max_group)
    cycles, head, tail, first = (np.zeros(shape, dtype=np.int64) for _ in range(4))
    counts = np.zeros((*shape, len(ACTIONS)), dtype=np.int64)
    infeasible: dict[tuple[int, int], str] = {}
    known: dict[Any, tuple[np.ndarray, ...]] = {}
    for row, layer in enumerate(workload.layers):
        alike = tuple(simulator.alike(workload, layer) for simulator in simulators)
        for column, choice in enumerate(options):
            precision = layer.precision(choice, always)
            if precision is None:
                continue
            at, same = (row, column), (alike, precision)
            try:
                if same not in known:
                    known[same] = _groups(workload, layer, precision, simulators)
                cycles[at], counts[at], head[at], tail[at], first[at] = known[same]
            except InfeasibleError as error:
                if layer.role == "fixed" or layer.decides:
                    raise
                infeasible[at] = str(error)
    return Figures(cycles, counts, head, tail, first, np.zeros_like(first), infeasible)


def _groups(
    workload: Workload, layer: Layer, precision: Precision, simulators: Sequence[LayerSimulator]
) -> tuple[np.ndarray, ...]:
    """Cycles, counts, head, tail and first bits of weights for every group size: int64 [group], of
    counts [group, action]."""
    costs = [simulator.cost(workload, layer, precision) for simulator in simulators]
    return (
        np.array([cost.cycles for cost in costs]),
        np.array([cost.counts for cost in costs]),
        np.array([cost.head_cycles for cost in costs]),
        np.array([cost.tail_cycles for cost in costs]),
        np.array([cost.first_weight_bits for cost in costs]),
    )
