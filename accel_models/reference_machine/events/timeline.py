"""One input, or one batch, through a machine, event by event.

The table-based replay adds up costs that were found layer by layer. Here the layers run after each
other on resources that are busy or not: what loads early does so in cycles in which DRAM really
idles, what is fetched in vain takes real transfers, and a gate's decision is waited for.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.cost_table import CostTable, cost_table
from accel_models.costs.pricing import Pricing
from accel_models.errors import InputError
from accel_models.leaving import fault_of_leaving
from accel_models.mapping.problem import ACTIONS
from accel_models.precision import Precision, highest
from accel_models.reference_machine.events.layer_runs import READ, STALL, LayerRun, LayerRuns, slots
from accel_models.reference_machine.events.tile_limit import check_tiles
from accel_models.replay.chain import Link, links
from accel_models.replay.plan import Plan
from accel_models.replay.policy import Policy
from accel_models.workloads.workload import Workload

FILLED = ACTIONS.index("weight_buffer_write_bits")
SPAN = 6
"""Column of `Timeline.events` beyond those of `slots`: number of the span it is of."""


@dataclass(frozen=True)
class LayerSpan:
    """A layer at work, from its first event to its last, in cycles from the beginning.

    Of its time, `spared` cycles had passed before, with its first weights; for `switching` cycles
    before its start the array was set to other widths.
    """

    run: LayerRun
    start: int
    end: int
    spared: int = 0
    switching: int = 0


@dataclass(frozen=True)
class Timeline:
    """What happened, and when.

    Args:
        choices: uint8 [input, unit], of the inputs that ran together.
        spans: the layers, in order.
        counts: int64 [action], as in `problem.ACTIONS`.
        wasted_bits: fetched over DRAM in vain.
        events: int64 [event, column], columns as in `kernel.slots` and then the number of the span
            they are of; times in cycles from the beginning. Empty unless it was drawn.
    """

    table: CostTable
    policy: Policy
    choices: np.ndarray
    spans: tuple[LayerSpan, ...]
    counts: np.ndarray
    wasted_bits: int
    events: np.ndarray

    @property
    def cycles(self) -> int:
        return self.spans[-1].end if self.spans else 0  # nothing runs where all is skipped

    @property
    def latency_s(self) -> float:
        return self.cycles / self.table.accelerator.frequency_hz

    @cached_property
    def energy_pj(self) -> np.ndarray:
        """Energy by component in pJ, float64 [component], of all inputs together."""
        return Pricing(self.table.accelerator).energy_pj(self.counts, self.cycles)

    @property
    def energy_j(self) -> float:
        return float(self.energy_pj.sum()) * 1e-12

    @property
    def tiles(self) -> int:
        return sum(span.run.tiles for span in self.spans)

    @property
    def moved(self) -> dict[str, int]:
        """DRAM bits by tensor."""
        total: Counter[str] = Counter()
        for span in self.spans:
            total.update(span.run.moved)
        return {**total, "fetched in vain": self.wasted_bits}


class _Clock:
    """Where the machine is, and what DRAM has been free for."""

    def __init__(self, table: CostTable, policy: Policy, draw: bool) -> None:
        machine = table.accelerator
        self.table, self.policy, self.draw = table, policy, draw
        self.prefetches = machine.fidelity.prefetch
        self.bits_per_cycle = machine.dram_bits_per_cycle
        self.burst_bits = 8 * machine.dram.burst_bytes
        self.reconfiguration = machine.array.reconfiguration_cycles if policy.switches else 0
        self.now, self.free = 0, 0
        """Cycles so far, and those in which DRAM was idle lately."""
        self.limit: int | None = None
        """Of the latter, those in which it fetched what runs next, if that was not all."""
        self.gaps: list[tuple[int, int]] = []
        """When those were, if that is to be drawn."""
        self.widths: Precision | None = None
        self.spans: list[LayerSpan] = []
        self.counts = np.zeros(len(ACTIONS), dtype=np.int64)
        self.wasted = 0
        self.events: list[np.ndarray] = []

    def run(self, run: LayerRun) -> None:
        """Run a layer next: on the vector unit alone if it has no tiles."""
        if run.tiles == 0:
            if self.draw:
                self._note(run.play(0)[0], self.now)
            self._append(run, self.now, 0, 0)
            self._leave_free(run.idle, 0, keep=True)
            return
        # By events, and not by `costs.early_loads`, on purpose: the tables are held against this.
        spared = min(self.free, run.head)
        if self.limit is not None:
            spared = min(spared, self.limit)
        self._fill_gaps(spared, slots().PREFETCH, 0)
        self.limit, switching = None, 0
        if run.precision is not None and self.widths not in (None, run.precision):
            switching = self.reconfiguration
            code = slots()
            self._mark(code.COMPUTE_ARRAY, code.RECONFIGURE, self.now, self.now + switching, 0)
        free_from = 0
        if self.draw:
            check_tiles(run.tiles + sum(span.run.tiles for span in self.spans), "what is drawn")
            events, free_from = run.play(spared)
            self._note(events, self.now + switching)
        self.widths = run.precision or self.widths
        self._append(run, self.now + switching, spared, switching)
        self._leave_free(run.idle, free_from, keep=False)

    def fetch(self, bits: int) -> int:
        """Bits, of so many, that came while DRAM was free, in whole bursts."""
        came = math.floor(self.free * self.bits_per_cycle)
        if self.burst_bits:
            came = -(-came // self.burst_bits) * self.burst_bits
        return min(came, bits)

    def decide(self, useful: int, fetched: int, executed: bool) -> None:
        """A decision is there, and of the bits that were fetched some are useful."""
        wasted = fetched - useful
        self.wasted += wasted
        self.counts[READ] += wasted
        self.counts[FILLED] += wasted
        self.limit = math.ceil(useful / self.bits_per_cycle) if executed else None
        cycles = math.ceil(fetched / self.bits_per_cycle) - (self.limit or 0)
        kept = self.gaps
        self.gaps = _later(kept, self.limit or 0)  # what is useful came first
        self._fill_gaps(cycles, slots().IN_VAIN, wasted)
        self.gaps = kept
        if not executed and fetched:
            self.hold_back()

    def hold_back(self) -> None:
        """Nothing could load so far: it was not known whether any input would stay."""
        self.free, self.gaps = 0, []

    def timeline(self, choices: np.ndarray) -> Timeline:
        columns = slots().EVENT_COLUMNS + 1
        events = np.concatenate([np.empty((0, columns), dtype=np.int64), *self.events])
        events = events[events[:, slots().KIND] != slots().IDLE]
        order = np.argsort(events[:, slots().START], kind="stable")
        return Timeline(
            table=self.table,
            policy=self.policy,
            choices=choices,
            spans=tuple(self.spans),
            counts=self.counts,
            wasted_bits=self.wasted,
            events=events[order],
        )

    def _append(self, run: LayerRun, start: int, spared: int, switching: int) -> None:
        self.now = start + run.cycles - spared
        self.spans.append(LayerSpan(run, start, self.now, spared, switching))
        self.counts += run.counts
        self.counts[STALL] += switching - spared

    def _leave_free(self, idle: int, free_from: int, keep: bool) -> None:
        """DRAM has been free for some cycles of the last layer; `keep` those before it."""
        if not self.prefetches:
            return
        self.free = idle + (self.free if keep else 0)
        if not self.draw:
            return
        code = slots()
        events = self.events[-1][free_from:]
        idling = events[events[:, code.KIND] == code.IDLE]
        gaps = [(int(event[code.START]), int(event[code.END])) for event in idling]
        self.gaps = (self.gaps if keep else []) + gaps

    def _fill_gaps(self, cycles: int, kind: int, bits: int) -> None:
        """Draw a transfer into the earliest cycles that DRAM had free."""
        for start, end in self.gaps:
            took = min(cycles, end - start)
            self._mark(slots().DRAM_PORT, kind, start, start + took, bits)
            cycles, bits = cycles - took, 0

    def _mark(self, resource: int, kind: int, start: int, end: int, bits: int) -> None:
        if self.draw and end > start:
            row = [resource, kind, start, end, bits, 0, len(self.spans)]
            self.events.append(np.array([row]))

    def _note(self, events: np.ndarray, start: int) -> None:
        code = slots()
        placed = np.column_stack([events, np.full(len(events), len(self.spans))])
        placed[:, [code.START, code.END]] += start
        self.events.append(placed)


def _later(gaps: list[tuple[int, int]], cycles: int) -> list[tuple[int, int]]:
    """What is left of free intervals without so many cycles at their beginning."""
    left = []
    for start, end in gaps:
        taken = min(cycles, end - start)
        cycles -= taken
        if start + taken < end:
            left.append((start + taken, end))
    return left


def timeline(
    table: CostTable, choices: np.ndarray, policy: Policy | None = None, *, draw: bool = False
) -> Timeline:
    """Run inputs that arrive together.

    Args:
        table: the network, the machine and the choice set.
        choices: uint8 [unit] of one input, or [input, unit] of a batch.
        policy: by default `Policy()`; what it says of arrivals does not matter here.
        draw: keep the events.

    Raises:
        InputError: if the choices do not fit the table, the policy does not fit the machine, or a
            layer or what is drawn has too many tiles.
        InfeasibleError: if the machine cannot run a choice.
    """
    return Player(table, policy or Policy()).play(choices, draw=draw)


def static_timeline(
    workload: Workload,
    machine: Accelerator,
    precision: str | int | Precision = "8",
    *,
    draw: bool = False,
) -> Timeline:
    """Run one input of a network whose precision is fixed: what `simulate` prices layer by layer.

    Args:
        workload: the layers.
        machine: the machine.
        precision: of every layer.
        draw: keep the events.

    Raises:
        InputError: if the precision is malformed, or skips layers.
        InfeasibleError: if the machine cannot run a layer at its precision.
    """
    bits = Precision.parse(precision)
    if not bits.runs:
        raise InputError(f"a network of one precision runs: it cannot be at {bits}")
    table = cost_table(workload, machine, [bits])
    return timeline(table, np.zeros(len(table.units), dtype=np.uint8), Policy.off(), draw=draw)


class Player:
    """Plays one input or batch after another; layers that were played before are known.

    Args, beyond those of `timeline`:
        policy: with its guess, where it fetches one.
    """

    def __init__(self, table: CostTable, policy: Policy) -> None:
        self.plan = Plan(table, policy)  # it knows what does not go together
        self.table, self.policy = table, policy
        self.runs = LayerRuns(table)
        self.links: tuple[Link, ...] = links(table)

    def play(self, choices: np.ndarray, *, draw: bool = False) -> Timeline:
        """Play the choices event by event; see `timeline`.

        Raises:
            InputError: if `choices` do not fit the table, or are not among its choices.
            InfeasibleError: if one of them cannot run on the machine.
        """
        given, units = np.atleast_2d(np.asarray(choices)), len(self.table.units)
        largest = self.table.cycles.shape[2]
        if given.ndim != 2 or given.shape[1] != units or not 1 <= len(given) <= largest:
            raise InputError(
                f"choices {list(given.shape)} do not fit {units} units and groups of up to "
                f"{largest} inputs"
            )
        options = len(self.table.choices)
        whole = given.size == 0 or given.dtype.kind in "iu"
        if not whole or given.min(initial=0) < 0 or given.max(initial=0) >= options:
            raise InputError(f"choices are whole numbers from 0 to {options - 1}")
        together = given.astype(np.uint8)
        fault = fault_of_leaving(together, self.table.leaving, self.table.workload)
        if fault:
            raise InputError(fault)
        self.plan.require_feasible(np.unique(together).tolist())
        taken = self.plan.executed(together)
        clock = _Clock(self.table, self.policy, draw)
        for link in self.links:
            self._link(link, taken, clock)
            if link.exits:
                taken = taken[taken[:, link.unit] != self.table.leaving]
            if len(taken) == 0:
                break
        return clock.timeline(together)

    def _link(self, link: Link, choices: np.ndarray, clock: _Clock) -> None:
        """A link's gates for all inputs, then its layers for one group after another."""
        for row in link.gates:
            clock.run(self._run(row, 0, len(choices)))
        groups = self._groups(link, choices)
        running = [(choice, size) for choice, size in groups if self._first(link, choice, size)]
        if not link.known:
            choice, size = running[0] if running else (None, 0)
            self._speculate(link, choice, size, len(choices), clock)
        if link.exits and not running and self.policy.prefetch != "oracle":
            clock.hold_back()
        for choice, size in running:
            for row in link.layers:
                for part in self._parts(row, choice, size):
                    clock.run(part)

    def _groups(self, link: Link, choices: np.ndarray) -> list[tuple[int, int]]:
        """Pairs (choice, number of inputs) in the order of choices."""
        if link.unit < 0:
            return [(0, len(choices))]
        found, sizes = np.unique(choices[:, link.unit], return_counts=True)
        return list(zip(found.tolist(), sizes.tolist(), strict=True))

    def _run(self, row: int, choice: int, inputs: int) -> LayerRun:
        run = self.runs.run(row, choice, inputs)
        assert run is not None  # gates and layers that were asked for before
        return run

    def _parts(self, row: int, choice: int, inputs: int) -> Iterator[LayerRun]:
        """A layer's runs: one, or several where the table found that to be better."""
        first = int(self.table.parts[row, choice, inputs - 1])
        if first:
            yield from self._parts(row, choice, first)
            yield from self._parts(row, choice, inputs - first)
        else:
            run = self.runs.run(row, choice, inputs)
            if run is not None:
                yield run

    def _first(self, link: Link, choice: int, inputs: int) -> LayerRun | None:
        """What runs first when a link's unit takes a choice."""
        parts = (part for row in link.layers for part in self._parts(row, choice, inputs))
        return next(parts, None)

    def _speculate(
        self, link: Link, choice: int | None, size: int, batch: int, clock: _Clock
    ) -> None:
        """What came until the gate has decided; `choice` runs first, None if nothing does."""
        if self.policy.prefetch == "oracle":
            return
        if self.policy.prefetch == "none":
            clock.decide(0, 0, executed=choice is not None)
            return
        guess = highest(self.table.choices)
        number = self.table.choices.index(guess)
        if self.policy.prefetch == "modal":
            assert self.policy.guess is not None  # the plan has seen to it
            number = self.policy.guess[link.unit]
            if number == choice:
                return
        wanted = self._first(link, number, batch)
        fetched = clock.fetch(wanted.first_weight_bits) if wanted else 0
        useful = 0
        if self.policy.prefetch == "planes" and choice is not None:
            first = self._first(link, choice, size)
            if first is not None and self.table.choices[choice].runs:
                useful = min(fetched, first.first_weight_bits)
        clock.decide(useful, fetched, executed=choice is not None)
