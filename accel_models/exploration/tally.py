"""A run as a matrix, so that what all its inputs cost on all machines is one product.

One column for what always runs, one for each choice of each unit, one for changes of operand
widths, and one for each pair of layers between which weights may load early: what is spared there
depends on what ran last before it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.early_loads import STALL, is_known_early
from accel_models.costs.pricing import Pricing, Work
from accel_models.costs.simulator import bitops
from accel_models.exploration.batched_tables import BatchedTables
from accel_models.exploration.workloads import NetworkRun
from accel_models.mapping.problem_of import operands
from accel_models.metrics import METRICS, Metric, Percentile, Product, replayed


@dataclass(frozen=True)
class Pair:
    """A layer that is the first of its unit to run, and what ran last before it."""

    layer: int
    choice: int
    last: int
    last_choice: int
    gates: tuple[int, ...]
    """Gates on the vector unit between them, during which DRAM idles too."""


@dataclass(frozen=True)
class Tally:
    """The columns of one run.

    Args:
        matrix: float64 [distinct decision, column]: how often an input pays a column, -1 where it
            is spared one. Products with integers are exact.
        bitops: int64 [column].
        unit_of_layer: int64 [layer], -1 for layers outside units.
        pairs: what the last columns are.
        switches: whether changes of operand widths take time.
    """

    run: NetworkRun
    matrix: np.ndarray
    bitops: np.ndarray
    unit_of_layer: np.ndarray
    pairs: tuple[Pair, ...]
    switches: bool

    @cached_property
    def times(self) -> np.ndarray:
        """How often all inputs together pay each column, int64 [column]."""
        total: np.ndarray = self.run.times @ self.matrix.astype(np.int64)
        return total

    @cached_property
    def together(self) -> np.ndarray:
        """How often they pay two columns at once, float64 [column, column]."""
        both: np.ndarray = (self.matrix * self.run.times[:, None]).T @ self.matrix
        return both

    def columns(
        self, tables: BatchedTables, switching: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What each column takes.

        Args:
            switching: int64 [machine], cycles for which the array waits as widths change.

        Returns:
            Cycles int64 [machine, column] and counts int64 [machine, column, action].
        """
        inside, unit = self.unit_of_layer >= 0, self.unit_of_layer
        machines, _, used, actions = tables.counts.shape
        units = len(self.run.workload.units)
        everything = np.concatenate([tables.cycles[..., None], tables.counts], axis=-1)
        by_unit = np.zeros((units, machines, used, 1 + actions), dtype=np.int64)
        np.add.at(by_unit, unit[inside], everything[:, inside].swapaxes(0, 1))
        by_unit = by_unit.swapaxes(0, 1).reshape(machines, units * used, 1 + actions)
        always = everything[:, ~inside, 0].sum(axis=1, keepdims=True)
        waits = np.zeros((machines, 1 + len(self.pairs), 1 + actions), dtype=np.int64)
        waits[:, 0, 0] = waits[:, 0, 1 + STALL] = switching
        for number, pair in enumerate(self.pairs, start=1):
            free = tables.tail[:, list(pair.gates), 0].sum(axis=1)
            if pair.last >= 0:
                free = free + tables.tail[:, pair.last, pair.last_choice]
            cycles = np.minimum(free, tables.head[:, pair.layer, pair.choice])
            waits[:, number, 0] = waits[:, number, 1 + STALL] = cycles
        columns = np.concatenate([always, by_unit, waits], axis=1)
        return columns[..., 0], columns[..., 1:]

    def costs(
        self, machines: Sequence[Accelerator], prices: Sequence[Pricing], tables: BatchedTables
    ) -> np.ndarray:
        """Metrics that inputs have to run for, `metrics.replayed`: float64 [machine, metric]."""
        switching = [m.array.reconfiguration_cycles if self.switches else 0 for m in machines]
        cycles, counts = self.columns(tables, np.array(switching, dtype=np.int64))
        total_cycles, total_counts = cycles @ self.times, np.einsum("j,mja->ma", self.times, counts)
        total_bitops = self.bitops @ self.times
        # Of all machines in one product, which reads the matrix once and not once for each. Sums of
        # integers are exact, so that no figure depends on which machines come together.
        decided = cycles.astype(np.float64) @ self.matrix.T
        found = np.empty((len(machines), len(replayed())))
        for number, pricing in enumerate(prices):
            each = Work(pricing, counts[number], cycles[number], self.bitops)
            whole = Work(pricing, total_counts[number], total_cycles[number], total_bitops)
            decisions = _Decisions(self.matrix, each, decided[number])
            for place, metric in enumerate(replayed()):
                found[number, place] = self._cost(metric, each, whole, decisions)
        return found

    def _cost(self, metric: Metric, each: Work, whole: Work, decisions: _Decisions) -> float:
        """One metric of one machine, of each column's work, that of all inputs, and that of each
        distinct decision."""
        follows, inputs = metric.follows, self.run.inputs
        if isinstance(follows, Product):
            one, other = (METRICS[name].of(each).astype(float) for name in follows.factors)
            # Not a matrix product, whose rounding depends on how many machines come at once.
            return float(np.einsum("i,ij,j->", one, self.together, other)) / inputs
        if isinstance(follows, Percentile):
            amounts = METRICS[follows.of].of(decisions)
            return float(np.percentile(np.repeat(amounts, self.run.times), follows.rank))
        return float(metric.of(whole)) / inputs


@dataclass(frozen=True)
class _Decisions:
    """What each distinct decision takes, the sums of its columns: exact, as these are integers."""

    matrix: np.ndarray
    each: Work
    cycles: np.ndarray

    @cached_property
    def counts(self) -> np.ndarray:
        return self.matrix @ self.each.counts

    @cached_property
    def bitops(self) -> np.ndarray:
        return self.matrix @ self.each.bitops

    @property
    def energy_j(self) -> np.ndarray:
        return replace(self.each, counts=self.counts, cycles=self.cycles).energy_j

    @property
    def latency_s(self) -> np.ndarray:
        return replace(self.each, cycles=self.cycles).latency_s


def tally_key(run: NetworkRun, machine: Accelerator, switches: bool) -> Hashable:
    """All that a tally depends on."""
    fidelity = machine.fidelity
    return id(run), fidelity.gates, fidelity.prefetch, machine.widths, switches


def tally(run: NetworkRun, machine: Accelerator, switches: bool) -> Tally:
    """The columns of a run on all machines of one `tally_key`."""
    on_vector_unit = machine.fidelity.gates == "vector-unit"
    index = {unit: number for number, unit in enumerate(run.workload.units)}
    unit_of_layer = np.array([index.get(layer.unit, -1) for layer in run.workload.layers])
    position = np.zeros(256, dtype=np.int64)
    position[list(run.used)] = np.arange(len(run.used))
    columns = position[run.rows]
    rows = len(run.rows)
    one_hot = np.zeros((rows, len(index), len(run.used)))
    np.put_along_axis(one_hot, columns[..., None], 1.0, axis=2)
    turns = _turns(run, columns, unit_of_layer, machine)
    parts = [np.ones((rows, 1)), one_hot.reshape(rows, -1), turns[:, None].astype(np.float64)]
    pairs: dict[Pair, np.ndarray] = {}
    if machine.fidelity.prefetch:
        pairs = _pairs(run, columns, unit_of_layer, on_vector_unit)
        parts += [-taken[:, None].astype(np.float64) for taken in pairs.values()]
    matrix = np.concatenate(parts, axis=1)
    work = _bitops(run, machine, unit_of_layer, matrix.shape[1])
    return Tally(run, matrix, work, unit_of_layer, tuple(pairs), switches)


def _bitops(
    run: NetworkRun, machine: Accelerator, unit_of_layer: np.ndarray, columns: int
) -> np.ndarray:
    """BitOps of each column, int64 [column]; none of what only waits."""
    found = np.zeros(columns, dtype=np.int64)
    for layer, unit in zip(run.workload.layers, unit_of_layer.tolist(), strict=True):
        for place, choice in enumerate(run.used if unit >= 0 else run.used[:1]):
            precision = layer.precision(run.choices[choice], run.always)
            column = 1 + unit * len(run.used) + place if unit >= 0 else 0
            found[column] += bitops(layer, precision and machine.offered(precision))
    return found


def _turns(
    run: NetworkRun, columns: np.ndarray, unit_of_layer: np.ndarray, machine: Accelerator
) -> np.ndarray:
    """How often the array changes operand widths from one layer that runs to the next, int64
    [decision]. What runs on the vector unit leaves it alone."""
    numbers: dict[tuple[int, int], int] = {}
    turns, last = (np.full(len(columns), start, dtype=np.int64) for start in (0, -1))
    for layer, unit in zip(run.workload.layers, unit_of_layer.tolist(), strict=True):
        decides = layer.role == "gate" and machine.fidelity.gates == "vector-unit"
        if decides or not layer.on_array:
            continue
        widths = []
        for choice in run.used:
            precision = layer.precision(run.choices[choice], run.always)
            if precision is None:
                widths.append(-1)
                continue
            at = machine.offered(operands(layer, precision))
            pair = (at.weight_bits, at.activation_bits)
            widths.append(numbers.setdefault(pair, len(numbers)))
        here = np.array(widths)[columns[:, unit] if unit >= 0 else np.zeros_like(last)]
        turns += (here >= 0) & (last >= 0) & (here != last)
        last = np.where(here >= 0, here, last)
    return turns


def _pairs(
    run: NetworkRun, columns: np.ndarray, unit_of_layer: np.ndarray, gates_on_vector_unit: bool
) -> dict[Pair, np.ndarray]:
    """Which decisions lead to which pairs, bool [decision] by pair; as `accel_models.replay` has
    it."""
    workload, found = run.workload, {}
    layers = workload.layers
    none = np.full(len(columns), -1, dtype=np.int64)
    last, last_choice, stretch, here = none.copy(), none.copy(), none.copy(), 0
    gates = [
        row for row, layer in enumerate(layers) if gates_on_vector_unit and layer.role == "gate"
    ]
    for row, (layer, unit) in enumerate(zip(layers, unit_of_layer.tolist(), strict=True)):
        here += row > 0 and unit != unit_of_layer[row - 1]
        if row in gates:
            continue
        chosen = columns[:, unit] if unit >= 0 else np.zeros_like(last)
        runs = np.array(
            [layer.precision(run.choices[choice], run.always) is not None for choice in run.used]
        )[chosen]
        if is_known_early(workload, layer):  # what else is fresh waits for its gate
            fresh = runs & (stretch != here)
            state = np.stack([chosen, last, last_choice], axis=1)
            for choice, before, choice_before in np.unique(state[fresh], axis=0).tolist():
                between = tuple(gate for gate in gates if before < gate < row)
                if before >= 0 or between:
                    taken = fresh & (state == (choice, before, choice_before)).all(axis=1)
                    found[Pair(row, choice, before, choice_before, between)] = taken
        last = np.where(runs, row, last)
        last_choice = np.where(runs, chosen, last_choice)
        stretch = np.where(runs, here, stretch)
    return found


__all__ = ["Pair", "Tally", "tally", "tally_key"]
