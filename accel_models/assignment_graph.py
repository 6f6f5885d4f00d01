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

from accel_models.constrained_path import Paths, Step
from accel_models.cost_table import Metric
from accel_models.static_network import StaticNetwork

_ENERGY_STEPS = 2**60
"""Integer steps into which the energy of the dearest assignment is divided."""


class _Node(NamedTuple):
    tail: int
    """Cycles at the end of what ran last, as far as anything still to run can use them."""
    begun: tuple[tuple[int, int], ...]
    """(unit, choice) of units of which more layers follow later."""
    wide: bool
    """Whether some activation is as wide as the tensors between units are planned for."""


class _Edge(NamedTuple):
    """Numbers of two nodes, the choice between them, cycles it is spared, and what it loses."""

    source: int
    target: int
    choice: int
    spared: int
    loss: float


@dataclass(frozen=True)
class AssignmentGraph:
    """The assignments of a network whose widest activation is the one it is planned for.

    Args:
        losses: float64 [unit, choice].
        allowed: bool [unit, choice]; at least one choice for each unit, no activation wider than
            the network is planned for, and one as wide unless something that always runs is.
    """

    network: StaticNetwork
    losses: np.ndarray
    allowed: np.ndarray
    metric: Metric

    @cached_property
    def resolution(self) -> float:
        """What one step of the integers that cost is counted in amounts to, in J, s or BitOps."""
        if self.metric != "energy":
            frequency = self.network.table.accelerator.frequency_hz
            return 1 / frequency if self.metric == "latency" else 1.0
        dearest = 0.0
        for stretch in self.network.stretches:
            every = np.arange(len(stretch.cycles))
            unspared = self.network.stretch_costs(stretch, every, 0 * every, "energy")
            dearest += float(unspared.max())
        return dearest / _ENERGY_STEPS

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The graph, a step for each stretch; costs in steps of `resolution`."""
        always = self.network.table.always.activation_bits
        nodes = [_Node(tail=0, begun=(), wide=always == self.network.widest)]
        steps = []
        for at in range(len(self.network.stretches)):
            numbers: dict[_Node, int] = {}
            edges = list(self._edges(at, nodes, numbers))
            steps.append(self._step(at, edges))
            nodes = list(numbers)
        return tuple(steps)

    def choices(self, paths: Paths) -> np.ndarray:
        """The assignments along paths, int64 [path, unit]."""
        units = [stretch.unit for stretch in self.network.stretches]
        first = [units.index(unit) for unit in range(len(self.allowed))]
        return paths.choices[:, first]

    def _edges(self, at: int, nodes: list[_Node], numbers: dict[_Node, int]) -> Iterator[_Edge]:
        """The edges of a step; nodes after it are numbered as they come up."""
        stretch, useful = self.network.stretches[at], self._useful_tails[at]
        for source, node in enumerate(nodes):
            begun = dict(node.begun)
            new = stretch.unit >= 0 and stretch.unit not in begun
            for choice in self._options(stretch.unit, begun):
                if stretch.unit in self._units_from[at + 1]:
                    begun[stretch.unit] = choice
                else:
                    begun.pop(stretch.unit, None)
                target = _Node(
                    tail=min(int(stretch.tail[choice]) if stretch.runs[choice] else node.tail, useful),
                    begun=tuple(sorted(begun.items())),
                    wide=node.wide or self._is_widest(stretch.unit, choice),
                )
                if not target.wide and not self._can_widen(at + 1, begun):
                    continue
                spared = min(node.tail, int(stretch.head[choice]))
                loss = float(self.losses[stretch.unit, choice]) if new else 0.0
                number = numbers.setdefault(target, len(numbers))
                yield _Edge(source, number, choice, spared, loss)
