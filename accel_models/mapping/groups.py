"""Grouped layers: how many groups share the array at a time.

A group of a depthwise layer reads one channel and makes one: by itself it fills one multiplier of
an array. Laid side by side, block-diagonally, g groups are a dense layer of g times the channels
whose weights are zero off the diagonal, which any array can run: it fills more lanes and columns,
and pays for fetching, holding and multiplying by the zeros. With all groups side by side it is the
layer's dense emulation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from accel_models.accelerators.arrays.array import LANE_RULES
from accel_models.errors import InfeasibleError
from accel_models.mapping.problem import EDP, ENERGY, LATENCY, Found, Problem
from accel_models.mapping.problem_of import refuse_uncountable
from accel_models.mapping.search import NO_LIMIT, as_packed, compute_cycles, pareto, price, search


def packings(problem: Problem) -> Iterator[int]:
    """Numbers of groups worth laying side by side: divisors of all groups, from one up to the first
    that fills both lanes and columns of the array, and all of them."""
    if not problem.zero_weights:
        yield 1
        return
    products = problem.array_rows * max(lanes for lanes, count in problem.passes if count)
    for packed in range(1, problem.groups):
        if problem.groups % packed == 0:
            yield packed
            filled = packed * problem.in_channels >= products
            if filled and packed * problem.out_channels >= problem.array_columns:
                break
    yield problem.groups


def search_packings(
    problem: Problem,
    action_pj: Sequence[float],
    objective: int = LATENCY,
    *,
    cycle_pj: float = 0.0,
    cycle_limit: int = NO_LIMIT,
) -> Found:
    """The best mapping over all packings of a layer's groups and each lane rule by itself.

    They are compared by their exact price (`price`), so that a grouped layer never costs more, by
    the objective, than its dense emulation or than one lane rule forced by hand. Under `EDP` it may
    take more of one than the dense emulation for less of the other: of 1,700 random layers at 2, 4
    and 8 bits on all machines 43 do, at most 1.27 times the cycles for 0.73 of the energy.
    Arguments and errors are those of `search`.
    """
    if problem.groups == 1:
        return search(problem, action_pj, objective, cycle_pj=cycle_pj, cycle_limit=cycle_limit)
    options = _Options(action_pj, objective, cycle_pj)
    found = [options.best(problem, packed, cycle_limit) for packed in packings(problem)]
    best = min(filter(None, found), key=lambda one: one.score, default=None)
    if best is None:  # says what does not fit
        return search(problem, action_pj, objective, cycle_pj=cycle_pj, cycle_limit=cycle_limit)
    return best.found


class _Priced(NamedTuple):
    """A mapping found, what it costs exactly, and how that counts: the least score is the best."""

    found: Found
    cycles: int
    energy_pj: float
    score: tuple[float, float]


class _Options(NamedTuple):
    """What is searched for: prices of actions and of a cycle in pJ, and what is to be least."""

    action_pj: Sequence[float]
    objective: int
    cycle_pj: float

    def best(self, problem: Problem, packed: int, limit: int) -> _Priced | None:
        """The best mapping of one packing over the lane rules; None if none fits."""
        task = as_packed(problem, packed)
        found = [
            self._found(task._replace(lane_rules=1 << rule), packed, limit)
            for rule in range(len(LANE_RULES))
            if problem.lane_rules >> rule & 1
        ]
        return min(filter(None, found), key=lambda one: one.score, default=None)

    def _found(self, task: Problem, packed: int, limit: int) -> _Priced | None:
        try:
            refuse_uncountable(task)
            found = search(
                task,
                self.action_pj,
                self.objective,
                cycle_pj=self.cycle_pj,
                cycle_limit=limit,
            )
        except InfeasibleError:
            return None
        exact = price(task, found)
        energy = float(np.dot(self.action_pj, exact.counts) + self.cycle_pj * exact.cycles)
        scores = {
            LATENCY: (exact.cycles, energy),
            ENERGY: (energy, exact.cycles),
            EDP: (exact.cycles * energy, exact.cycles),
        }
        packing = found._replace(mapping=found.mapping._replace(packed=packed))
        return _Priced(packing, exact.cycles, energy, scores[self.objective])


def pareto_packings(
    problem: Problem, action_pj: Sequence[float], *, cycle_pj: float = 0.0
) -> list[Found]:
    """Mappings, over all packings, that no other beats in both cycles and energy, from frugal to
    fast, as `pareto` measures them.

    Raises:
        InfeasibleError: if not even the smallest tiles fit the buffers.
    """
    found: list[tuple[float, Found]] = []
    for packed in packings(problem):
        with suppress(InfeasibleError):
            for one in pareto(as_packed(problem, packed), action_pj, cycle_pj=cycle_pj):
                energy = float(np.dot(action_pj, one.counts) + cycle_pj * one.cycles)
                mapping = one.mapping._replace(packed=packed)
                found.append((energy, one._replace(mapping=mapping)))
    if not found:  # says what does not fit
        return list(pareto(problem, action_pj, cycle_pj=cycle_pj))
    front: list[Found] = []
    for _, one in sorted(found, key=lambda pair: (pair[0], pair[1].cycles)):
        if not front or one.cycles < front[-1].cycles:
            front.append(one)
    return front


def least_compute_cycles(problem: Problem) -> int:
    """Cycles of the array on the whole layer as one tile, under the best packing and lane rule."""
    return min(compute_cycles(as_packed(problem, packed)) for packed in packings(problem))
