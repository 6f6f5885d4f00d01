"""Random gated networks, and what replaying them costs in plain Python, batch by batch.

The reference follows what is said of the policies (docs/dynamic.md), input by input and layer by
layer; it shares nothing with the package but the cost table.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from accel_models import CostTable, Layer, Workload, cost_table, load_accelerator
from accel_models.mapping.problem import ACTIONS
from accel_models.precision import highest, parse_choices
from accel_models.replay import Policy
from accel_models.trace import GateTrace, TraceHeader

STALL, READ, ENTER = (
    ACTIONS.index(name)
    for name in ("array_stall_cycles", "dram_read_bits", "weight_buffer_write_bits")
)
CHOICE_SETS = ("skip,2,4,8", "2,8", "8,skip,4/8,2", "skip,4", "exit,skip,2,8", "4,exit")
"""Networks without exits are offered the same without ``exit``."""
MACHINES = {
    "bitfusion": load_accelerator("bitfusion"),
    "resident": load_accelerator("bitfusion").configured(storage__resident=True),
    "slow memory": load_accelerator("bitfusion").configured(dram__gb_per_s=1.5, dram__latency_ns=0),
    "gates on the array": load_accelerator("bitfusion").configured(fidelity__gates="array"),
    "bit-serial": load_accelerator("loom-2b"),
    "single buffers": load_accelerator("bitfusion").configured(
        buffers__weight_double_buffered=False, buffers__output_double_buffered=False
    ),
    "published": load_accelerator("bitfusion-published"),
}


OPERATORS: tuple[dict[str, Any], ...] = (
    {"operator": "gelu", "in_size": (8, 8)},
    {"operator": "layer_norm", "in_size": (8, 8)},
    {"operator": "sum", "in_size": (8, 8)},
    {"operator": "max_pool", "kernel": (3, 3), "padding": 1, "in_size": (8, 8)},
    {"operator": "matmul", "groups": 2, "in_size": (64, 1)},
    {"operator": "transposed_conv", "kernel": (3, 3), "stride": (2, 2), "in_size": (4, 4)},
    {"kernel": (2, 3, 1), "padding": (1, 0, 1, 1, 0, 0), "in_size": (2, 8, 4)},
    {"activation": "silu", "in_size": (8, 8)},
)
"""Layers of other kinds than a plain convolution."""


@st.composite
def networks(draw: st.DrawFn, gates: str = "any", operators: bool = False) -> Workload:
    """A stem, two to four units with or without shortcut or exit, perhaps a layer that always runs
    between them or between what decides about a unit and its own layers, a classifier.

    `gates`: ``own`` for each unit, all ``upfront`` in the first one, ``none``, or ``any`` of these.
    `operators`: put some of `OPERATORS` into units and between them.
    """
    kind = draw(st.sampled_from(["own", "own", "upfront", "none"])) if gates == "any" else gates
    width, side = draw(st.sampled_from([8, 24])), 8
    conv = {"kernel": (3, 3), "padding": (1, 1)}
    roles = ("body", "body", "shortcut", "fixed")
    layers = [Layer("stem", 3, width, out_size=(side, side), reads_image=True, **conv)]
    number, exits = draw(st.integers(2, 4)), draw(st.booleans())
    for unit in "abcd"[:number]:
        here = {"unit": unit}
        if kind == "own" or (kind == "upfront" and unit == "a"):
            outputs = 4 if kind == "own" else 4 * number
            layers.append(Layer(f"{unit}.embed", width, 8, role="gate", **here))
            layers.append(Layer(f"{unit}.head", 8, outputs, role="gate", **here))
        if exits and draw(st.booleans()):
            layers.append(Layer(f"{unit}.exit0", 2 * width, 8, role="exit", **here))
            layers.append(Layer(f"{unit}.exit1", 8, 10, role="exit", **here))
        if layers[-1].decides and draw(st.booleans()):
            layers.append(Layer(f"{unit}.ahead", width, width, out_size=(side, side)))
        if draw(st.booleans()):
            layers.append(
                Layer(f"{unit}.side", width, width, out_size=(side, side), role="shortcut", **here)
            )
        for part in range(draw(st.integers(1, 2))):
            layers.append(
                Layer(
                    f"{unit}.conv{part}",
                    width,
                    width,
                    out_size=(side, side),
                    role="body",
                    **here,
                    **conv,
                )
            )
        if operators:
            drawn = draw(st.lists(st.sampled_from(roles), max_size=2))
            for place, role in enumerate(drawn):
                shape, name = draw(st.sampled_from(OPERATORS)), f"{unit}.other{place}"
                where = {} if role == "fixed" else {"role": role, **here}
                layers.append(Layer(name, width, width, **shape, **where))
        if draw(st.booleans()) and unit == "a":
            layers.append(Layer("between", width, width, out_size=(side, side)))
    return Workload.chain("random", [*layers, Layer("classifier", width, 10)])


def three_units() -> Workload:
    """A stem, three units of one layer each, a classifier; 16 channels everywhere."""
    conv = {"kernel": (3, 3), "padding": (1, 1), "out_size": (8, 8)}
    layers = [Layer("stem", 3, 16, reads_image=True, **conv)]
    for unit in "abc":
        layers.append(Layer(f"{unit}.gate", 16, 4, role="gate", unit=unit))
        layers.append(Layer(f"{unit}.conv", 16, 16, role="body", unit=unit, **conv))
    return Workload.chain("three", [*layers, Layer("classifier", 16, 10)])


CONV: dict[str, Any] = {"kernel": (3, 3), "padding": (1, 1), "out_size": (8, 8)}
OWN = Layer("a.conv", 8, 8, role="body", unit="a", **CONV)
FIXED = Layer("fixed", 8, 8, out_size=(8, 8))
PATH = Layer("a.path", 8, 8, role="shortcut", unit="a", out_size=(8, 8))


def may_leave(*layers: Layer) -> Workload:
    """A stem, gate and exit of a unit, such layers as `OWN`, `FIXED` and `PATH`, a classifier."""
    stem = Layer("stem", 3, 8, reads_image=True, **CONV)
    gate = Layer("a.gate", 8, 4, role="gate", unit="a")
    leave = Layer("a.exit", 8, 10, role="exit", unit="a")
    return Workload.chain("may leave", [stem, gate, leave, *layers, Layer("classifier", 8, 10)])


def table_of(workload: Workload, machine: str, choices: str, groups: int = 1) -> CostTable:
    offered = [one for one in parse_choices(choices) if workload.exits or not one.exits]
    return cost_table(workload, MACHINES[machine], offered, max_group=groups, cache=False)


def trace_of(
    table: CostTable, choices: np.ndarray, arrival_s: np.ndarray | None = None
) -> GateTrace:
    header = TraceHeader(
        network=table.workload.name,
        dataset="none",
        workload=table.workload,
        choices=table.choices,
        always=table.always,
        accelerator=table.accelerator.name,
        seed=0,
        version="0",
    )
    numbers = np.arange(len(choices))
    labels, predictions = (numbers % 10).astype(np.int32), (numbers % 7).astype(np.int32)
    return GateTrace(header, numbers, labels, predictions, choices.astype(np.uint8), arrival_s)


def random_choices(table: CostTable, inputs: int, seed: int) -> np.ndarray:
    """Choices of inputs that leave at exits alone, and for good."""
    shape, options = (inputs, len(table.units)), table.choices
    taken = np.random.default_rng(seed).integers(0, len(options), shape).astype(np.uint8)
    for row in taken:
        for number, unit in enumerate(table.units):
            if number and options[row[number - 1]].exits:
                row[number] = row[number - 1]
            elif options[row[number]].exits and unit not in table.workload.exits:
                row[number] = (row[number] + 1) % len(options)
    return taken


class Waiting(NamedTuple):
    """A unit that its gate decides about, by number, and the layers that wait for it: rows of those
    that follow, up to where others cut the unit off."""

    unit: int
    layers: list[int]


class Batch:
    """What a batch takes: cycles, and the exact share of each input in all actions."""

    def __init__(
        self, table: CostTable, policy: Policy, rows: Sequence[Sequence[int]], guess: Sequence[int]
    ) -> None:
        self.table, self.policy, self.rows, self.guess = table, policy, rows, guess
        self.cycles = self.spared = self.switching = 0
        self.wasted = Fraction(0)
        self.counts = [[Fraction(0)] * len(ACTIONS) for _ in rows]
        self.free = 0
        self.widths: tuple[int, int] | None = None
        machine = table.accelerator
        self.early = machine.fidelity.prefetch
        self.on_vector_unit = machine.fidelity.gates == "vector-unit"
        self.pause = machine.array.reconfiguration_cycles if policy.switches else 0
        everyone = list(range(len(rows)))
        self.present = everyone
        layers, begun = list(enumerate(table.workload.layers)), set[str]()
        for unit, stretch in groupby(layers, key=lambda pair: pair[1].unit):
            members = list(stretch)
            gates = [row for row, layer in members if layer.role in ("gate", "exit")]
            others = [row for row, layer in members if layer.role not in ("gate", "exit")]
            # A unit is decided where its own layers begin, whatever always runs before them; what
            # others cut off behind the first of them was decided with it.
            decided = unit in begun and not gates
            if gates and not self.on_vector_unit:
                self.run(gates, 0, self.present)
            elif gates:
                self.decide(gates, self.present)
            if unit:
                number = table.units.index(unit)
                waits = unit in table.workload.deciding_units and not decided
                self.unit(others, number, known=not waits)
                if unit in table.workload.exits and others and not decided:
                    self.leave(number, others)
                begun.update([unit] if others else [])
            elif others:
                self.run(others, 0, self.present)
            if not self.present:
                break

    def charge(self, inputs: Sequence[int], action: int, amount: int) -> None:
        for number in inputs:
            self.counts[number][action] += Fraction(int(amount), len(inputs))

    def take(self, row: int, choice: int, inputs: Sequence[int]) -> None:
        size = len(inputs) - 1
        self.cycles += int(self.table.cycles[row, choice, size])
        for action, amount in enumerate(self.table.counts[row, choice, size]):
            self.charge(inputs, action, amount)

    def wait(self, inputs: Sequence[int], cycles: int) -> None:
        self.cycles += cycles
        self.charge(inputs, STALL, cycles)

    def decide(self, gates: list[int], everyone: list[int]) -> None:
        for row in gates:
            self.take(row, 0, everyone)
            self.free += int(self.table.cycles[row, 0, len(everyone) - 1])

    def leave(self, unit: int, own: list[int]) -> None:
        """Inputs that chose so leave. Nothing that follows could load before that was known."""
        staying = [n for n in self.present if not self.table.choices[self.rows[n][unit]].exits]
        choices = {self.rows[n][unit] for n in staying}
        ran = any(self.table.runs[row, choice] for row in own for choice in choices)
        if not ran and self.policy.prefetch != "oracle":
            self.free = 0
        self.present = staying

    def unit(self, layers: list[int], unit: int, *, known: bool) -> None:
        chosen = Counter(self.rows[n][unit] for n in self.present)
        first = True
        for choice in sorted(chosen):
            inputs = [n for n in self.present if self.rows[n][unit] == choice]
            running = [row for row in layers if self.table.runs[row, choice]]
            if running:
                waits = None if known or not first else Waiting(unit, layers)
                self.run(running, choice, inputs, waits)
                first = False
        if first and not known:
            self.in_vain(layers, unit)

    def run(
        self, running: list[int], choice: int, inputs: list[int], waits: Waiting | None = None
    ) -> None:
        spared = self.spared_at(running[0], choice, len(inputs), waits)
        self.spared += spared
        self.wait(inputs, -spared)
        for row in running:
            widths = self.operands(row, choice)
            if None not in (self.widths, widths) and widths != self.widths:
                self.switching += self.pause
                self.wait(inputs, self.pause)
            self.widths = widths or self.widths
            self.take(row, choice, inputs)
        last = int(self.table.tail[running[-1], choice, len(inputs) - 1])
        self.free = last if self.early else 0

    def spared_at(self, row: int, choice: int, size: int, waits: Waiting | None) -> int:
        head = int(self.table.head[row, choice, size - 1]) if self.early else 0
        right = min(self.free, head)
        if waits is None or self.policy.prefetch == "oracle":
            return right
        if self.policy.prefetch == "none":
            return 0
        unit, layers = waits
        if self.policy.prefetch == "modal":
            if self.guess[unit] == choice:
                return right
            self.waste(self.guessed(layers, unit))
            return 0
        fetched = self.fetched(layers, self.widest, len(self.present))
        if self.table.choices[choice].is_skip:
            self.waste(fetched)
            return 0
        needed = int(self.table.first_weight_bits[row, choice, size - 1])
        self.waste(max(0, fetched - needed))
        useful = min(fetched, needed)
        return min(right, math.ceil(useful / self.table.accelerator.dram_bits_per_cycle))

    def in_vain(self, layers: list[int], unit: int) -> None:
        """Nothing ran of the unit: what was fetched meanwhile was fetched in vain."""
        wasted = 0
        if self.policy.prefetch == "modal":
            wasted = self.guessed(layers, unit)
        elif self.policy.prefetch == "planes":
            wasted = self.fetched(layers, self.widest, len(self.present))
        if wasted:
            self.waste(wasted)
            self.free = 0

    def guessed(self, layers: list[int], unit: int) -> int:
        return self.fetched(layers, self.guess[unit], len(self.present))

    def fetched(self, layers: list[int], choice: int, size: int) -> int:
        running = [row for row in layers if self.table.runs[row, choice]]
        if not running:
            return 0
        machine = self.table.accelerator
        bits = math.floor(self.free * machine.dram_bits_per_cycle)
        burst = 8 * machine.dram.burst_bytes
        if burst:
            bits = math.ceil(bits / burst) * burst
        return min(bits, int(self.table.first_weight_bits[running[0], choice, size - 1]))

    def waste(self, bits: int) -> None:
        self.wasted += bits
        self.charge(self.present, READ, bits)
        self.charge(self.present, ENTER, bits)

    @property
    def widest(self) -> int:
        return self.table.choices.index(highest(self.table.choices))

    def operands(self, row: int, choice: int) -> tuple[int, int] | None:
        """Widths that the array is set to; None where the vector unit alone is at work."""
        layer = self.table.workload.layers[row]
        if layer.operator not in ("conv", "transposed_conv", "matmul"):
            return None
        at = layer.precision(self.table.choices[choice], self.table.always)
        assert at is not None
        if layer.operator == "matmul":  # of two activations
            return at.activation_bits, at.activation_bits
        return at.weight_bits, 8 if layer.reads_image else at.activation_bits


def batches(
    table: CostTable, policy: Policy, choices: np.ndarray, guess: Sequence[int] = ()
) -> list[Batch]:
    """Every batch of a trace in turn."""
    rows = choices.tolist()
    return [
        Batch(table, policy, rows[at : at + policy.batch], guess)
        for at in range(0, len(rows), policy.batch)
    ]
