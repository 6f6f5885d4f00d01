"""A run as a matrix, so that what all its inputs cost on all machines is one product.

One column for what runs whatever is chosen, in each stage up to which inputs may leave; one for
each choice of each unit, one for changes of operand widths, and one for each pair of layers between
which weights may load early: what is spared there depends on what ran last before it.
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
from accel_models.leaving import exit_index, units_run
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
        column: int64 [layer], of its stage if a layer runs whatever is chosen, else of its unit at
            the first choice, whose choices take columns one after the other.
        stages: how many stages have columns, the first ones.
        pairs: what the last columns are.
        switches: whether changes of operand widths take time.
    """

    run: NetworkRun
    matrix: np.ndarray
    bitops: np.ndarray
    column: np.ndarray
    stages: int
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
        inside, column = self.column >= self.stages, self.column
        machines, _, used, actions = tables.counts.shape
        width = self.stages + len(self.run.workload.units) * used
        everything = np.concatenate([tables.cycles[..., None], tables.counts], axis=-1)
        everything = everything.transpose(1, 2, 0, 3)
        work = np.zeros((width, machines, 1 + actions), dtype=np.int64)
        np.add.at(work, column[~inside], everything[~inside, 0])
        for place in range(used):
            np.add.at(work, column[inside] + place, everything[inside, place])
        waits = np.zeros((machines, 1 + len(self.pairs), 1 + actions), dtype=np.int64)
        waits[:, 0, 0] = waits[:, 0, 1 + STALL] = switching
        for number, pair in enumerate(self.pairs, start=1):
            free = tables.tail[:, list(pair.gates), 0].sum(axis=1)
            if pair.last >= 0:
                free = free + tables.tail[:, pair.last, pair.last_choice]
            cycles = np.minimum(free, tables.head[:, pair.layer, pair.choice])
            waits[:, number, 0] = waits[:, number, 1 + STALL] = cycles
        columns = np.concatenate([work.swapaxes(0, 1), waits], axis=1)
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
    decided = _Decided.by(run)
    rows, used = len(run.rows), len(run.used)
    one_hot = np.zeros((rows, len(run.workload.units), used))
    np.put_along_axis(one_hot, decided.places[..., None], 1.0, axis=2)
    stages = [stage for _, stage in decided.settled if stage >= 0]
    begun = decided.begun[:, : max(stages, default=0) + 1].astype(np.float64)
    turns = _turns(decided, machine)
    parts = [begun, one_hot.reshape(rows, -1), turns[:, None].astype(np.float64)]
    pairs: dict[Pair, np.ndarray] = {}
    if machine.fidelity.prefetch:
        pairs = _pairs(decided, on_vector_unit)
        parts += [-taken[:, None].astype(np.float64) for taken in pairs.values()]
    matrix = np.concatenate(parts, axis=1)
    width = begun.shape[1]
    column = np.array(
        [stage if stage >= 0 else width + unit * used for unit, stage in decided.settled]
    )
    work = _bitops(run, machine, column, width, matrix.shape[1])
    return Tally(run, matrix, work, column, width, tuple(pairs), switches)


@dataclass(frozen=True)
class _Decided:
    """The R distinct decisions of a run, and which layers they reach.

    Args:
        places: int64 [decision, unit], the choice by its place among those used.
        begun: bool [decision, stage], whether an input comes to what runs there.
        settled: for each layer the index of its unit, -1 if it is in none, and its stage if it runs
            whatever is chosen, else -1.
    """

    run: NetworkRun
    places: np.ndarray
    begun: np.ndarray
    settled: tuple[tuple[int, int], ...]

    @classmethod
    def by(cls, run: NetworkRun) -> _Decided:
        workload = run.workload
        position = np.zeros(256, dtype=np.int64)
        position[list(run.used)] = np.arange(len(run.used))
        index = {unit: number for number, unit in enumerate(workload.units)}
        ran = units_run(run.rows, exit_index(run.choices))
        begun = ran[:, None] >= np.arange(len(index) + 1)
        settled = tuple(
            (index.get(layer.unit, -1), last + 1 if not layer.unit or layer.decides else -1)
            for layer, last in zip(workload.layers, workload.left_at, strict=True)
        )
        return cls(run, position[run.rows], begun, settled)

    def chosen(self, row: int) -> np.ndarray:
        """Place of the choice that a layer runs at, int64 [decision]; 0 where it is always one."""
        unit, stage = self.settled[row]
        found: np.ndarray = self.places[:, unit] if stage < 0 else np.zeros_like(self.begun[:, 0])
        return found.astype(np.int64)

    def runs(self, row: int) -> np.ndarray:
        """Whether a layer runs, bool [decision]."""
        layer, (_, stage) = self.run.workload.layers[row], self.settled[row]
        if stage >= 0:
            reached: np.ndarray = self.begun[:, stage]
            return reached
        options = [self.run.choices[choice] for choice in self.run.used]
        would = [layer.precision(option, self.run.always) is not None for option in options]
        return np.array(would)[self.chosen(row)]


def _bitops(
    run: NetworkRun, machine: Accelerator, column: np.ndarray, stages: int, columns: int
) -> np.ndarray:
    """BitOps of each column, int64 [column]; none of what only waits."""
    found = np.zeros(columns, dtype=np.int64)
    for layer, first in zip(run.workload.layers, column.tolist(), strict=True):
        for place, choice in enumerate(run.used if first >= stages else run.used[:1]):
            precision = layer.precision(run.choices[choice], run.always)
            found[first + place] += bitops(layer, precision and machine.offered(precision))
    return found


def _turns(decided: _Decided, machine: Accelerator) -> np.ndarray:
    """How often the array changes operand widths from one layer that runs to the next, int64
    [decision]. What runs on the vector unit leaves it alone."""
    run = decided.run
    numbers: dict[tuple[int, int], int] = {}
    turns, last = (np.full(len(run.rows), start, dtype=np.int64) for start in (0, -1))
    for row, layer in enumerate(run.workload.layers):
        decides = layer.decides and machine.fidelity.gates == "vector-unit"
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
        here = np.where(decided.runs(row), np.array(widths)[decided.chosen(row)], -1)
        turns += (here >= 0) & (last >= 0) & (here != last)
        last = np.where(here >= 0, here, last)
    return turns


def _pairs(decided: _Decided, gates_on_vector_unit: bool) -> dict[Pair, np.ndarray]:
    """Which decisions lead to which pairs, bool [decision] by pair; as `accel_models.replay` has
    it."""
    workload, found = decided.run.workload, dict[Pair, np.ndarray]()
    layers = workload.layers
    none = np.full(len(decided.places), -1, dtype=np.int64)
    last, last_choice, stretch, here = none.copy(), none.copy(), none.copy(), 0
    # Nothing that runs up to here can have left DRAM free for what follows.
    cut = none.copy()
    own_ran = none >= 0
    gates = [row for row, layer in enumerate(layers) if gates_on_vector_unit and layer.decides]
    for row, layer in enumerate(layers):
        beside = layers[max(row - 1, 0)]
        if (layer.unit, layer.decides) != (beside.unit, beside.decides):
            here, own_ran = here + 1, none >= 0
        if row in gates:
            continue
        chosen, runs = decided.chosen(row), decided.runs(row)
        # What else is fresh waits for its gate.
        if is_known_early(workload, layer):
            fresh = runs & (stretch != here)
            state = np.stack([chosen, last, last_choice, cut], axis=1)
            for choice, before, choice_before, since in np.unique(state[fresh], axis=0).tolist():
                between = tuple(gate for gate in gates if max(before, since) < gate < row)
                if before >= 0 or between:
                    taken = fresh & (state == (choice, before, choice_before, since)).all(axis=1)
                    pair = Pair(row, choice, before, choice_before, between)
                    found[pair] = found.get(pair, False) | taken
        last = np.where(runs, row, last)
        last_choice = np.where(runs, chosen, last_choice)
        stretch = np.where(runs, here, stretch)
        if not layer.unit or layer.decides:
            continue
        own_ran = own_ran | runs
        # Where inputs may leave, nothing loads for what follows a skipped unit before they stay.
        ends = row + 1 == len(layers) or layers[row + 1].unit != layer.unit
        if ends and layer.unit in workload.exits and layer.name not in workload.continued:
            last, last_choice = np.where(own_ran, last, -1), np.where(own_ran, last_choice, -1)
            cut = np.where(own_ran, cut, row)
    return found


__all__ = ["Pair", "Tally", "tally", "tally_key"]
