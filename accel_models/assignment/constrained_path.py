"""The path of least loss through a layered graph whose summed cost stays within a limit.

Labels (cost, loss) are extended step by step; at each node only those on the Pareto front are kept
(label setting; Joksch, J. Math. Anal. Appl. 14, 1966). With a limit, labels that cannot lead to
the best path any more are dropped by the Lagrangian bound: for any price of cost, the least of
loss + price x cost to the end is known exactly at every node (Handler and Zang, Networks 10, 1980;
Dumitrescu and Boland, Networks 42, 2003). Neither gives up exactness.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from accel_models.errors import InputError

MAX_LABELS = 1_000_000
"""Labels kept at one step, at most: beyond, memory and patience run out."""
LARGEST_COST = 2**61
"""Cost of a path, at most: sums of two still are 64-bit integers."""
ROUNDING = 1e-12
"""Share by which sums of the same numbers in another order may differ, generously."""
MAX_PRICES = 30


class Edges(NamedTuple):
    """Edges from the nodes before to the nodes after, both numbered from 0, sorted by source.

    The first step has one source, the last one target; every node has an edge that leads on.
    """

    source: np.ndarray
    """Node that each edge leaves, int64 [edge]."""
    target: np.ndarray
    """Node that each edge leads to, int64 [edge]."""
    choice: np.ndarray
    """Name that the edge has in a path, int64 [edge]."""
    cost: np.ndarray
    """Cost of each edge, int64 [edge]."""
    loss: np.ndarray
    """Loss of each edge, float64 [edge]."""


class Paths(NamedTuple):
    """P paths from start to end, the cheapest first; the loss falls from each to the next."""

    choices: np.ndarray
    """Choice at each step of each path, int64 [P, step]."""
    cost: np.ndarray
    """Cost of each path, int64 [P]."""
    loss: np.ndarray
    """Loss of each path, float64 [P], summed from start to end."""


class _ToGo(NamedTuple):
    """Cost and loss of the path from each node to the end that is best at a price of cost."""

    price: float
    cost: list[np.ndarray]
    """Cost from there to the end, int64 [node] for the nodes before each step, and the end."""
    loss: list[np.ndarray]

    @property
    def start(self) -> tuple[int, float]:
        return int(self.cost[0][0]), float(self.loss[0][0])


class _Labels(NamedTuple):
    """Paths from the start, sorted by node, then cost; the best loss of a node comes last."""

    node: np.ndarray
    cost: np.ndarray
    loss: np.ndarray


class _Trail(NamedTuple):
    """Where the labels after a step came from."""

    parent: np.ndarray
    """Number of the label before, int32 [label]."""
    choice: np.ndarray
    """Choice of the last step, int16 [label]."""


def least_cost(steps: Sequence[Edges]) -> Paths:
    """The cheapest path alone; of several, the one of least loss."""
    least = _to_go(steps, float("inf"))
    return _walk(steps, least.start[0], least, None)


def best_paths(steps: Sequence[Edges], limit: int, sure: int) -> Paths:
    """The path of least loss within a limit of cost; of several, the cheapest.

    Where it is uncertain what a limit means, because costs were rounded, also the paths that are
    best if the limit is a little lower.

    Args:
        limit: cost beyond which a path is certainly not good enough.
        sure: cost, at most `limit`, up to which it certainly is.

    Raises:
        InputError: if there are too many partial paths to hold.
    """
    least = _to_go(steps, float("inf"))
    return _walk(steps, limit, least, _bound(steps, least, limit, sure))


def pareto_paths(steps: Sequence[Edges]) -> Paths:
    """Every path that no other beats in cost and loss at once; of equals, one.

    Raises:
        InputError: if there are too many to hold.
    """
    least = _to_go(steps, float("inf"))
    return _walk(steps, LARGEST_COST, least, None)


class _Bound(NamedTuple):
    """Tells which labels may still lead to a path as good as the best one known.

    `prices` hold completions whose values bound the loss to come; a whole path may cost `limit`,
    and counts as known at up to `sure`. `size` is that of the losses, for judging rounding.
    """

    prices: list[_ToGo]
    limit: int
    sure: int
    size: float

    def best(self, at: int, labels: _Labels) -> float:
        """Loss of the best path known that begins with one of the labels before step `at`."""
        best = float("inf")
        for to_go in self.prices:
            known = labels.cost + to_go.cost[at][labels.node] <= self.sure
            losses = (labels.loss + to_go.loss[at][labels.node])[known]
            best = min(best, float(losses.min(initial=best)))
        return best

    def keeps(self, at: int, labels: _Labels, best: float) -> np.ndarray:
        """Which labels before step `at` may lead to a path no worse than `best`, bool [label]."""
        keep = np.ones(len(labels.node), dtype=bool)
        for to_go in self.prices:
            excess = labels.cost + to_go.cost[at][labels.node] - self.limit
            least = labels.loss + to_go.loss[at][labels.node] + to_go.price * excess
            sums = abs(best) + 2 * self.size + 2 * to_go.price * self.limit
            keep &= least <= best + ROUNDING * sums
        return keep


def _bound(steps: Sequence[Edges], least: _ToGo, limit: int, sure: int) -> _Bound:
    """Look for the price at which the best path just meets the limit."""
    dear, cheap = _to_go(steps, 0.0), least
    prices = [dear]
    while dear.start[0] > limit >= cheap.start[0] and len(prices) < MAX_PRICES:
        (dear_cost, dear_loss), (cheap_cost, cheap_loss) = dear.start, cheap.start
        found = _to_go(steps, (cheap_loss - dear_loss) / (dear_cost - cheap_cost))
        prices.append(found)
        if found.start in (dear.start, cheap.start):
            break
        dear, cheap = (found, cheap) if found.start[0] > limit else (dear, found)
    size = float(sum(abs(step.loss.min()) for step in steps))
    return _Bound(prices, limit, sure, size)


def _to_go(steps: Sequence[Edges], price: float) -> _ToGo:
    """Cost and loss from every node to the end, by the path that minimises loss + price x cost.

    At no price it is the cheapest of those of least loss; at an infinite one the other way round.
    """
    cost, loss = [np.zeros(1, dtype=np.int64)], [np.zeros(1)]
    for step in reversed(steps):
        costs, losses = step.cost + cost[-1][step.target], step.loss + loss[-1][step.target]
        keys = (losses, costs) if np.isinf(price) else (costs, losses + price * costs)
        order = np.lexsort((*keys, step.source))
        first = order[np.flatnonzero(np.diff(step.source[order], prepend=-1))]
        cost.append(costs[first])
        loss.append(losses[first])
    return _ToGo(price, cost[::-1], loss[::-1])


def _walk(steps: Sequence[Edges], limit: int, least: _ToGo, bound: _Bound | None) -> Paths:
    """All labels from start to end, and the paths of those that arrive."""
    zero = np.zeros(1, dtype=np.int64)
    labels, trails = _Labels(zero, zero, np.zeros(1)), []
    best = float("inf")
    for at, step in enumerate(steps):
        labels, parent, edge = _extended(labels, step)
        keep = labels.cost + least.cost[at + 1][labels.node] <= limit
        if bound is not None:
            best = min(best, bound.best(at + 1, labels))
            keep &= bound.keeps(at + 1, labels, best)
        kept = np.flatnonzero(keep)
        kept = kept[_undominated(_Labels(*(column[kept] for column in labels)))]
        if len(kept) > MAX_LABELS:
            raise InputError(
                f"{len(kept)} ways through the first {at + 1} of {len(steps)} steps are each best "
                f"within some limit: over {MAX_LABELS} are too many to hold"
            )
        labels = _Labels(*(column[kept] for column in labels))
        trails.append(
            _Trail(parent[kept].astype(np.int32), step.choice[edge[kept]].astype(np.int16))
        )
    return Paths(_traced(trails, len(labels.cost)), labels.cost, labels.loss)


def _extended(labels: _Labels, step: Edges) -> tuple[_Labels, np.ndarray, np.ndarray]:
    """Every label along every edge that leaves its node; with the numbers of both."""
    degree = np.bincount(step.source)
    edges_before = np.cumsum(degree) - degree
    times = degree[labels.node]
    parent = np.repeat(np.arange(len(times)), times)
    turn = np.arange(len(parent)) - np.repeat(np.cumsum(times) - times, times)
    edge = edges_before[labels.node][parent] + turn
    cost, loss = labels.cost[parent] + step.cost[edge], labels.loss[parent] + step.loss[edge]
    return _Labels(step.target[edge], cost, loss), parent, edge


def _undominated(labels: _Labels) -> np.ndarray:
    """Numbers of the labels that none at the same node equals or beats in cost and loss."""
    node, cost, loss = labels
    order = np.lexsort((loss, cost, node))
    ends = np.flatnonzero(np.diff(node[order], append=-1)) + 1
    kept = []
    for begin, end in pairwise([0, *ends.tolist()]):
        members = order[begin:end]
        least_before = np.minimum.accumulate(loss[members])[:-1]
        new = np.append(True, loss[members[1:]] < least_before)
        kept.append(members[new])
    return np.concatenate(kept) if kept else order


def _traced(trails: Sequence[_Trail], paths: int) -> np.ndarray:
    """The choices along each path that arrived, int64 [path, step]."""
    choices = np.zeros((paths, len(trails)), dtype=np.int64)
    label = np.arange(paths)
    for at in range(len(trails) - 1, -1, -1):
        choices[:, at] = trails[at].choice[label]
        label = trails[at].parent[label]
    return choices
