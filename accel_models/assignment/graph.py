"""All static assignments of a network as paths through a layered graph.

One step for each stretch of layers, one edge for each choice. A node holds all that the cost of
later layers depends on, so that the cost of a path is the sum over its edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from accel_models.assignment.constrained_path import Edges, Paths
from accel_models.assignment.static_network import StaticNetwork, Stretch
from accel_models.metrics import Sum, additive, named

_STEPS = 2**60
"""Integers into which the cost of the dearest assignment is divided, where it has no step."""


class _Node(NamedTuple):
    tail: int
    """Cycles at the end of what ran last, as far as anything still to run can use them."""
    begun: tuple[tuple[int, int], ...]
    """Pairs (unit, choice) of the units that more layers follow of."""
    wide: bool
    """Whether some activation is as wide as the tensors between units are planned for."""


class _Edge(NamedTuple):
    """Two nodes, by number; the choice between them, the cycles it is spared, what it loses."""

    source: int
    target: int
    choice: int
    spared: int
    loss: float


class _Place(NamedTuple):
    """A stretch, and what matters of those after it."""

    stretch: Stretch
    options: tuple[int, ...]
    first: bool
    """Whether it is the first of its unit: where the choice is made."""
    last: bool
    """Whether it is the last of its unit."""
    useful_tail: int
    """Cycles at its end that a later stretch can use, at most."""
    widens: bool
    """Whether a later choice may be as wide as the tensors between units are planned for."""


@dataclass(frozen=True)
class AssignmentGraph:
    """The assignments of a network whose widest activation is the one it is planned for.

    Args:
        losses: float64 [unit, choice].
        allowed: bool [unit, choice]: at least one choice for each unit, none with a wider
            activation than planned for, and one as wide unless what always runs is.
    """

    network: StaticNetwork
    losses: np.ndarray
    allowed: np.ndarray
    metric: str

    @cached_property
    def resolution(self) -> float:
        """What 1 of the integers that cost is counted in amounts to, in the metric's unit."""
        if self._sum.step is not None:
            return self._sum.step(self.network.table.accelerator)
        dearest = 0.0
        for stretch in self.network.stretches:
            every = np.arange(len(stretch.cycles))
            alone = self.network.stretch_costs(stretch, every, 0 * every, self.metric)
            dearest += float(alone.max())
        return dearest / _STEPS

    @cached_property
    def _sum(self) -> Sum:
        follows = named(self.metric, additive()).follows
        assert isinstance(follows, Sum)  # what is additive
        return follows

    @cached_property
    def steps(self) -> tuple[Edges, ...]:
        """The graph, one step for each stretch."""
        always = self.network.table.always.activation_bits
        nodes, steps = [_Node(0, (), wide=always == self.network.widest)], []
        for place in self._places():
            numbers: dict[_Node, int] = {}
            edges = list(self._edges(place, nodes, numbers))
            source, target, choice, spared, loss = (
                np.array(column) for column in zip(*edges, strict=True)
            )
            cost = self.network.stretch_costs(place.stretch, choice, spared, self.metric)
            counted = np.rint(cost / self.resolution).astype(np.int64)
            steps.append(Edges(source, target, choice, counted, loss))
            nodes = list(numbers)
        return tuple(steps)

    def choices(self, paths: Paths) -> np.ndarray:
        """The assignments along paths, int64 [path, unit]."""
        units = [stretch.unit for stretch in self.network.stretches]
        return paths.choices[:, [units.index(unit) for unit in range(len(self.allowed))]]

    def _edges(
        self, place: _Place, nodes: list[_Node], numbers: dict[_Node, int]
    ) -> Iterator[_Edge]:
        """The edges of a step; the nodes after it are numbered as they come up."""
        stretch = place.stretch
        unit = stretch.unit
        for source, node in enumerate(nodes):
            begun = dict(node.begun)
            options = place.options if place.first else (begun[unit],)
            boundary = stretch.following(node.tail, np.array(options))
            for choice, spared, tail in zip(
                options, *map(np.ndarray.tolist, boundary), strict=True
            ):
                wide = node.wide or self._is_wide(unit, choice)
                if not wide and not place.widens:
                    continue
                rest = {key: value for key, value in begun.items() if key != unit}
                if not place.last:
                    rest[unit] = choice
                target = _Node(min(tail, place.useful_tail), tuple(sorted(rest.items())), wide)
                yield _Edge(
                    source,
                    numbers.setdefault(target, len(numbers)),
                    choice,
                    spared,
                    float(self.losses[unit, choice]) if place.first and unit >= 0 else 0.0,
                )

    def _places(self) -> list[_Place]:
        stretches, places = self.network.stretches, []
        useful_tail, widens = 0, False
        units = [stretch.unit for stretch in stretches]
        for at in range(len(stretches) - 1, -1, -1):
            stretch, unit = stretches[at], units[at]
            inside = unit >= 0
            options = tuple(np.flatnonzero(self.allowed[unit]).tolist()) if inside else (0,)
            first = not inside or unit not in units[:at]
            last = not inside or unit not in units[at + 1 :]
            places.append(_Place(stretch, options, first, last, useful_tail, widens))
            if self._sum.waits:
                passed_on = 0 if stretch.runs[list(options)].all() else useful_tail
                useful_tail = max(passed_on, int(stretch.head[list(options)].max()))
            widens |= first and any(self._is_wide(unit, choice) for choice in options)
        return places[::-1]

    def _is_wide(self, unit: int, choice: int) -> bool:
        bits = self.network.table.choices[choice].activation_bits
        return unit >= 0 and bits == self.network.widest
