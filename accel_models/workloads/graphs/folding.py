"""What happens to outputs as they leave the array, moved into the layer that makes them.

A scale and shift of channels is part of the weights, a function of the outputs and a residual are
taken in by the vector unit on the way: none of them reads the tensor again. Each needs to be the
only reader of all that the layer makes, and of the layer's decision unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import networkx as nx

from accel_models.workloads.graphs.values import Read, Step
from accel_models.workloads.operators import ACTIVATIONS, BY_ROW, ON_ARRAY
from accel_models.workloads.workload import Part


@dataclass
class Folded:
    """Steps that are left, by number, and what each reads of them."""

    steps: dict[int, Step]
    kept: set[int]
    """Steps whose results leave the model."""
    added: dict[int, int] = field(default_factory=dict)
    """The step whose result a step adds to its outputs."""
    into: dict[int, int] = field(default_factory=dict)
    """Where each step went that was moved into another."""
    before: dict[int, int] = field(default_factory=dict)
    """The step right before which one stands that the model's own program does not have."""

    def now(self, number: int) -> int:
        """The step that stands for one."""
        while number in self.into:
            number = self.into[number]
        return number

    def reads(self, number: int) -> list[Read]:
        """What a step reads, as things stand."""
        found = [one._replace(maker=self.now(one.maker)) for one in self.steps[number].reads]
        if number in self.added:
            found.append(Read("added", self.now(self.added[number]), True))
        return found

    def makers(self, number: int, part: Part) -> tuple[int, ...]:
        """Layers that make an operand of a step; of what comes from a step without a layer, those
        that it reads."""
        found = [
            maker
            for one in self.reads(number)
            if one.part == part
            for maker in self.with_layers(one.maker)
        ]
        return tuple(dict.fromkeys(found))

    def with_layers(self, maker: int) -> list[int]:
        """A step itself, or the layers behind what it reads if it has none."""
        if self.steps[maker].layer is not None:
            return [maker]
        return [found for one in self.reads(maker) for found in self.with_layers(one.maker)]

    def order(self) -> list[int]:
        """Steps behind all that they read, as near to the model's own order as possible."""
        graph = nx.DiGraph()
        graph.add_nodes_from(self.steps)
        graph.add_edges_from(
            (one.maker, number) for number in self.steps for one in self.reads(number)
        )
        return list(nx.lexicographical_topological_sort(graph, self._place))

    def _place(self, number: int) -> tuple[int, bool]:
        return self.before.get(number, number), number not in self.before


def fold(steps: list[Step], kept: Iterable[int]) -> Folded:
    """Steps without those whose results nobody reads, folded."""
    left = _alive(steps, set(kept))
    folded = Folded({number: replace(steps[number]) for number in sorted(left)}, set(kept))
    readers = _Readers(folded)
    for number in sorted(left):
        step = folded.steps[number]
        into = _home(folded, readers, number, step)
        if into is not None:
            readers.moved(number, into)
    return folded


def _alive(steps: list[Step], kept: set[int]) -> set[int]:
    left, waiting = set(kept), list(kept)
    while waiting:
        for one in steps[waiting.pop()].reads:
            if one.maker not in left:
                left.add(one.maker)
                waiting.append(one.maker)
    return left


class _Readers:
    """Who reads each step, kept as steps move."""

    def __init__(self, folded: Folded) -> None:
        self.folded = folded
        self.of: dict[int, set[int]] = {number: set() for number in folded.steps}
        for number, step in folded.steps.items():
            for one in step.reads:
                self.of[one.maker].add(number)

    def only(self, maker: int, reader: int) -> bool:
        """Whether a step is the only reader of another."""
        return self.of[maker] == {reader} and maker not in self.folded.kept

    def moved(self, number: int, into: int) -> None:
        """Note that a step is part of another now."""
        for one in self.folded.steps[number].reads:
            self.of[self.folded.now(one.maker)].discard(number)
        del self.folded.steps[number]
        self.folded.into[number] = into
        self.of[into] |= self.of.pop(number)
        if into in self.folded.added:
            self.of[self.folded.now(self.folded.added[into])].add(into)
        if number in self.folded.kept:
            self.folded.kept.add(into)


def _home(folded: Folded, readers: _Readers, number: int, step: Step) -> int | None:
    """The step that takes this one in, which is changed; None if none can."""
    reads = [one._replace(maker=folded.now(one.maker)) for one in step.reads]
    if step.operator == "sum":
        return _home_of_sum(folded, readers, number, reads)
    if len(reads) != 1 or not reads[0].whole or not readers.only(reads[0].maker, number):
        return None
    into = reads[0].maker
    before = folded.steps[into]
    layer = before.layer
    if layer is None or step.layer is None or layer.outputs != step.layer.outputs:
        return None
    if layer.unit != step.layer.unit:
        return None
    if step.operator == "batch_norm":
        plain = layer.operator in ON_ARRAY and not layer.activation and into not in folded.added
        return into if plain or layer.operator in (*BY_ROW[:2], "batch_norm") else None
    if step.operator not in ACTIVATIONS:
        return None
    if layer.operator in ON_ARRAY and not layer.activation:
        before.layer = replace(layer, activation=step.operator)
        return into
    return into if ACTIVATIONS[step.operator] == 0 else None


def _home_of_sum(folded: Folded, readers: _Readers, number: int, reads: list[Read]) -> int | None:
    """The layer on the array that adds the other tensor of a sum to its outputs."""
    if len(reads) != 2 or not all(one.whole for one in reads):
        return None
    makers, own = [one.maker for one in reads], folded.steps[number].layer
    layers = [folded.steps[maker].layer for maker in makers]
    if makers[0] == makers[1] or any(layer is None for layer in layers):
        return None
    for maker, other in (makers, makers[::-1]):
        layer = folded.steps[maker].layer
        other_layer = folded.steps[other].layer
        assert layer is not None and other_layer is not None
        if layer.operator not in ON_ARRAY or maker in folded.added:
            continue
        if own is None or layer.unit != own.unit:
            continue
        if readers.only(maker, number) and layer.outputs == other_layer.outputs:
            folded.added[maker] = other
            return maker
    return None


__all__ = ["Folded", "fold"]
