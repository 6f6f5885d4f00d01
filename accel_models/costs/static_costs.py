"""Costs of many static assignments at once, looked up layer by layer.

What a layer costs in a network at fixed widths depends on its own width, and on the widest of those
that read the tensors it reads and writes, at which these wait. Every such case is simulated once,
when it is first asked for; then an assignment is a few sums of integers, priced at the end, so that
it costs what `simulate` says to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.early_loads import STALL, between_stretches
from accel_models.costs.pricing import ACTIONS, Pricing, Work
from accel_models.costs.simulator import LayerSimulator, bitops, layer_simulator
from accel_models.errors import InputError
from accel_models.metrics import additive, named
from accel_models.precision import Precision
from accel_models.workloads.workload import Layer, Workload

MOST_AT_ONCE = 1 << 14
"""Assignments that are priced at a time: what is held for each is a few numbers."""


@dataclass(frozen=True)
class _Case:
    """What a layer's cost depends on: columns of assignments.

    Args:
        own: the column that decides the layer; -1 if none does.
        others: columns whose widest activation settles how wide a tensor waits, for each of its
            tensors.
    """

    own: int
    others: tuple[tuple[int, ...], ...] = ()


@dataclass
class _Known:
    """Costs of one layer by the number of the case, as far as they were asked for."""

    cases: int
    known: np.ndarray = field(init=False)
    runs: np.ndarray = field(init=False)
    figures: np.ndarray = field(init=False)
    """Cycles, BitOps, head and tail, int64 [case, 4]."""
    counts: np.ndarray = field(init=False)
    """Actions, int64 [case, action]."""

    def __post_init__(self) -> None:
        self.known, self.runs = np.zeros((2, self.cases), dtype=bool)
        self.figures = np.zeros((self.cases, 4), dtype=np.int64)
        self.counts = np.zeros((self.cases, len(ACTIONS)), dtype=np.int64)


class StaticCosts:
    """Costs of a network at fixed widths, without its gates.

    Args:
        workload: the layers.
        machine: the machine.
        choices: what each unit or layer may take.
        always: precision of everything that is not decided.

    Raises:
        InputError: if inputs may leave the network early, which is decided for each.
    """

    def __init__(
        self,
        workload: Workload,
        machine: Accelerator,
        choices: Sequence[Precision],
        always: Precision,
    ) -> None:
        if workload.exits:
            raise InputError(
                f"'{workload.name}' has exits, which no static assignment takes: ask for costs of "
                "its `without_gates`"
            )
        self.workload = workload.without_gates()
        self.machine, self.choices, self.always = machine, tuple(choices), always
        self.by_units = bool(self.workload.units)
        on_array = [layer.name for layer in self.workload.layers if layer.on_array]
        self.decided = self.workload.units or tuple(on_array)
        """Units or, where there are none, layers of the array, in execution order."""
        bits = [machine.offered(one).activation_bits for one in self.choices]
        self.bits = np.array(bits)
        self.ranks = np.unique(self.bits, return_inverse=True)[1]
        """Rank of each choice by its activations' bits."""
        self.cases = [self._case(layer) for layer in self.workload.layers]
        self.known: dict[int, tuple[LayerSimulator, list[_Known]]] = {}
        """A simulator for each widest activation, and what it said."""

    def costs(self, assignments: np.ndarray, metric: str) -> np.ndarray:
        """Cost of each assignment, float64 [N], in the metric's unit.

        Args:
            assignments: int [N, decided], indices of choices.
            metric: name of one that adds up over layers.

        Raises:
            InputError: if an assignment is of another shape or names no choice, or the metric is
                no sum over layers.
            InfeasibleError: if the machine cannot run a layer at its width.
        """
        amount = named(metric, additive())
        given = self._checked(assignments)
        found = np.empty(len(given))
        widest = np.maximum(self.bits[given].max(axis=1, initial=0), self._least())
        for bits in np.unique(widest).tolist():
            rows = np.flatnonzero(widest == bits)
            for start in range(0, len(rows), MOST_AT_ONCE):
                part = rows[start : start + MOST_AT_ONCE]
                found[part] = amount.of(self._work(given[part], bits))
        return found

    def _checked(self, assignments: np.ndarray) -> np.ndarray:
        given = np.asarray(assignments)
        if given.dtype.kind not in "iu" or given.ndim != 2 or given.shape[1] != len(self.decided):
            kind = "units" if self.by_units else "layers of the array"
            raise InputError(
                f"assignments of '{self.workload.name}' are whole numbers [N, "
                f"{len(self.decided)}], a choice for each of its {kind}: got {given.dtype} "
                f"{list(given.shape)}"
            )
        if given.size and not 0 <= int(given.min()) <= int(given.max()) < len(self.choices):
            listed = ", ".join(map(str, self.choices))
            raise InputError(
                f"choices are 0 to {len(self.choices) - 1}, for {listed}: got "
                f"{int(given.min())} to {int(given.max())}"
            )
        return given.astype(np.int64)

    def _least(self) -> int:
        """Bits of what runs whatever is assigned."""
        stated = [layer.widths or self.always for layer in self.workload.layers]
        if not self.by_units:
            at = zip(stated, self.workload.layers, strict=True)
            stated = [one for one, layer in at if not layer.on_array]
        else:
            stated.append(self.always)
        return max((self.machine.offered(one).activation_bits for one in stated), default=0)

    def _case(self, layer: Layer) -> _Case:
        """What decides about a layer. Units are no wider for what others choose."""
        if self.by_units:
            return _Case(self.decided.index(layer.unit) if layer.unit else -1)
        own = self.decided.index(layer.name) if layer.on_array else -1
        makers = self.workload.operands[layer.name]
        read = [
            [reader for name in names for reader in self.workload.readers[name]]
            for names in ((layer.name,), makers.inputs, makers.others)
        ]
        place = {name: number for number, name in enumerate(self.decided)}
        return _Case(
            own,
            tuple(
                tuple(dict.fromkeys(place[name] for name in names if name in place))
                for names in read
            ),
        )

    def _work(self, given: np.ndarray, widest: int) -> Work:
        """What the machine does for each of some assignments, all as wide at the widest."""
        count = len(given)
        cycles, totals = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        counts = np.zeros((count, len(ACTIONS)), dtype=np.int64)
        free = np.zeros(count, dtype=np.int64)
        numbers = [self._numbers(case, given) for case in self.cases]
        simulator, known = self._filled(given, numbers, widest)
        prefetch = simulator.machine.fidelity.prefetch
        for layer, number in zip(known, numbers, strict=True):
            figures = layer.figures[number]
            counts += layer.counts[number]
            cycles += figures[:, 0]
            totals += figures[:, 1]
            if prefetch:
                spared, free = between_stretches(
                    free, layer.runs[number], figures[:, 2], figures[:, 3]
                )
                cycles -= spared
                counts[:, STALL] -= spared
        return Work(Pricing(self.machine), counts, cycles, totals)

    def _numbers(self, case: _Case, given: np.ndarray) -> np.ndarray:
        """Number of the case of a layer in each assignment, int64 [N]."""
        found = given[:, case.own] if case.own >= 0 else np.zeros(len(given), dtype=np.int64)
        size = int(self.ranks.max()) + 1
        for columns in case.others:
            widest = self.ranks[given[:, list(columns)]].max(axis=1, initial=0)
            found = found * size + widest
        return found

    def _filled(
        self, given: np.ndarray, numbers: list[np.ndarray], widest: int
    ) -> tuple[LayerSimulator, list[_Known]]:
        """What is known of each layer, once all cases of some assignments are."""
        if widest not in self.known:
            network, at = self._network(given[0])
            simulator = layer_simulator(network, self.machine, at, batch=1)
            sizes = (int(self.ranks.max()) + 1, len(self.choices))
            known = [_Known(sizes[1] * sizes[0] ** len(case.others)) for case in self.cases]
            self.known[widest] = simulator, known
        simulator, known = self.known[widest]
        missing = {
            int(row)
            for layer, number in zip(known, numbers, strict=True)
            for row in np.unique(np.where(layer.known[number], -1, number), return_index=True)[1]
            if not layer.known[number[row]]
        }
        for row in sorted(missing):
            cases = [int(number[row]) for number in numbers]
            open_ = [at for at, case in enumerate(cases) if not known[at].known[case]]
            if open_:
                self._simulate(given[row], open_, cases, simulator, known)
        return simulator, known

    def _simulate(
        self,
        chosen: np.ndarray,
        places: list[int],
        cases: list[int],
        simulator: LayerSimulator,
        known: list[_Known],
    ) -> None:
        """Simulate the layers at some places of an assignment."""
        network, _ = self._network(chosen)
        for at in places:
            layer, case, into = network.layers[at], cases[at], known[at]
            runs_at: Precision | None = self.always
            if self.by_units and layer.unit:
                choice = self.choices[chosen[self.decided.index(layer.unit)]]
                runs_at = layer.precision(choice, self.always)
            if runs_at is not None:
                cost = simulator.cost(network, layer, runs_at)
                work = bitops(layer, cost.precision)
                into.figures[case] = cost.cycles, work, cost.head_cycles, cost.tail_cycles
                into.counts[case], into.runs[case] = cost.counts, True
            into.known[case] = True

    def _network(self, chosen: np.ndarray) -> tuple[Workload, list[Precision]]:
        """The network at an assignment, and all that may be asked of its layers."""
        choices = [self.choices[one] for one in chosen]
        if self.by_units:
            return self.workload, [self.always, *choices]
        policy = dict(zip(self.decided, choices, strict=True))
        return self.workload.with_widths(policy), [self.always]


__all__ = ["StaticCosts"]
