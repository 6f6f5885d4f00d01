"""The network as a replay walks it: links of a chain, and what each takes at every choice.

A link is what decides about a unit, its gate and its exit, and the layers that follow it, or layers
that always run. Within a link everything is known before it begins to run, so its costs are the
table's; what it takes besides depends on what ran before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from accel_models.costs.cost_table import CostTable
from accel_models.costs.early_loads import is_known
from accel_models.costs.pricing import Pricing
from accel_models.mapping.problem_of import operands
from accel_models.replay.rules import NOTHING_RAN, Chain
from accel_models.workloads.workload import Layer


@dataclass(frozen=True)
class Link:
    """Consecutive layers of one unit, or of none.

    Args:
        unit: index of the unit; -1 for what always runs.
        gates: rows of the table that run first, on the vector unit, for all inputs of a batch.
        layers: the rows that follow, at the unit's choice.
        known: whether the widths of `layers` are settled before the gates.
        exits: whether an input may leave between the gates and `layers`.
    """

    unit: int
    gates: tuple[int, ...]
    layers: tuple[int, ...]
    known: bool
    exits: bool = False


def links(table: CostTable) -> tuple[Link, ...]:
    """The links of a table's network, in execution order."""
    workload, vector = table.workload, table.accelerator.fidelity.gates == "vector-unit"
    found: list[Link] = []
    for unit, stretch in groupby(range(len(workload.layers)), key=table.unit_of_layer.__getitem__):
        for gates, layers in _pieces(list(stretch), workload.layers):
            if gates and not vector:  # on the array, and known like all that always runs
                found.append(Link(-1, (), gates, True))
                gates = ()
            known, exits = True, False
            if layers:
                before, first = (workload.layers[row] for row in (max(layers[0] - 1, 0), layers[0]))
                known = layers[0] == 0 or is_known(workload, before, first)
                exits = first.unit in workload.exits and first.name not in workload.continued
            if gates or layers:
                found.append(Link(int(unit), gates, layers, known, exits))
    return tuple(found)


def _pieces(
    stretch: list[int], layers: Sequence[Layer]
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Rows of what decides, and of the layers after them."""
    gates: list[int] = []
    others: list[int] = []
    for row in stretch:
        gate = layers[row].decides
        if gate and others:
            yield tuple(gates), tuple(others)
            gates, others = [], []
        (gates if gate else others).append(row)
    yield tuple(gates), tuple(others)


def chain_of(table: CostTable) -> Chain:
    """The costs of all links."""
    parts, widths, early = links(table), layer_widths(table), table.accelerator.fidelity.prefetch
    turns = turns_within(parts, widths)
    groups, options = table.cycles.shape[2], len(table.choices)
    gates = [list(link.gates) for link in parts]
    rows = [list(link.layers) for link in parts]
    gate_counts = np.array([table.counts[here, 0].sum(axis=0) for here in gates])
    counts = np.array([table.counts[here].sum(axis=0) for here in rows])
    prices = np.asarray(Pricing(table.accelerator).action_pj)
    runs = np.array([table.runs[here].any(axis=0) for here in rows])
    ends = np.full((2, *runs.shape), NOTHING_RAN)
    head, bits, tail = (np.zeros((*runs.shape, groups), dtype=np.int64) for _ in range(3))
    for number, choice in zip(*np.nonzero(runs), strict=True):
        ran = [row for row in rows[number] if table.runs[row, choice]]
        on_array = [row for row in ran if widths[row, choice] != NOTHING_RAN]
        if on_array:
            ends[:, number, choice] = widths[on_array[0], choice], widths[on_array[-1], choice]
        bits[number, choice] = table.first_weight_bits[ran[0], choice]
        if early:
            head[number, choice] = table.head[ran[0], choice]
            tail[number, choice] = table.tail[ran[-1], choice]
    return Chain(
        unit=np.array([link.unit for link in parts]),
        known=np.array([link.known for link in parts]),
        choices=np.array([options if link.unit >= 0 else 1 for link in parts]),
        gate_cycles=np.array([table.cycles[here, 0].sum(axis=0) for here in gates]),
        gate_counts=gate_counts,
        gate_pj=gate_counts @ prices,
        pj=counts @ prices,
        runs=runs,
        cycles=np.array([table.cycles[here].sum(axis=0) for here in rows]),
        counts=counts,
        head=head,
        bits=bits,
        tail=tail,
        first=ends[0],
        last=ends[1],
        turns=np.array([turns[here].sum(axis=0) for here in rows]),
        exits=np.array([link.exits for link in parts]),
    )


def layer_widths(table: CostTable) -> np.ndarray:
    """A number for the operand widths of each layer, equal where they are, int64 [layer, choice];
    `NOTHING_RAN` where the layer does not run on the array."""
    numbers: dict[tuple[int, int], int] = {}
    found = np.full(table.runs.shape, NOTHING_RAN)
    for row, column in zip(*np.nonzero(table.runs), strict=True):
        layer = table.workload.layers[row]
        if not layer.on_array:
            continue
        precision = layer.precision(table.choices[column], table.always)
        assert precision is not None  # it runs
        at = table.accelerator.offered(operands(layer, precision))
        widths = (at.weight_bits, at.activation_bits)
        found[row, column] = numbers.setdefault(widths, len(numbers))
    return found


def turns_within(parts: Iterable[Link], widths: np.ndarray) -> np.ndarray:
    """Whether a layer's operands are of other widths than those of the layer that ran before it in
    the same link, bool [layer, choice]."""
    turns = np.zeros(widths.shape, dtype=bool)
    for link in parts:
        for choice in range(widths.shape[1]):
            ran = [row for row in link.layers if widths[row, choice] != NOTHING_RAN]
            for before, after in pairwise(ran):
                turns[after, choice] = widths[before, choice] != widths[after, choice]
    return turns
