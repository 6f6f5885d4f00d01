"""What there is to do for a layer on a machine, and the least it takes by the machine's objective.

Most layers are one mapping problem. A transposed convolution may be split into phases, computed all
phases at once or over a stretched map (`Layer.ways`): the pieces of each way are problems of their
own, run one after the other, and the best way is taken. What the array has no part in is a pass
through the vector unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress, pairwise, product
from typing import Any, NamedTuple, cast

import numpy as np

from accel_models.accelerators.accelerator import Accelerator
from accel_models.costs.early_loads import STALL
from accel_models.costs.pricing import Pricing
from accel_models.errors import InfeasibleError
from accel_models.mapping.groups import search_packings
from accel_models.mapping.problem import EDP, ENERGY, LATENCY, Found, Mapping, Priced, Problem
from accel_models.mapping.problem_of import Tensors, problem_of
from accel_models.mapping.search import NO_LIMIT, as_packed, price, price_each, search_each
from accel_models.mapping.vector_pass import VectorTask, vector_task
from accel_models.mapping.vector_pass import price as price_pass
from accel_models.precision import Precision
from accel_models.workloads.layer import Layer

OBJECTIVES = {"latency": LATENCY, "energy": ENERGY, "edp": EDP}
"""What one search can minimise, by its name in a machine's file."""


class Ways(NamedTuple):
    """Ways to compute a layer, each as mapping problems that are run one after the other."""

    ways: tuple[tuple[Problem, ...], ...]


Task = Ways | VectorTask


class Piece(NamedTuple):
    """One problem of a layer, the mapping found for it, and what that takes exactly."""

    problem: Problem
    found: Found
    priced: Priced

    @property
    def macs(self) -> int:
        """Multiplications, zeros between groups apart."""
        p = self.problem
        outputs = p.groups * p.batch * p.out_rows * p.out_columns * p.out_channels
        return outputs * p.in_channels * p.kernel_rows * p.kernel_columns


class Solved(NamedTuple):
    """What a layer takes by itself: in all, and piece by piece, or as a pass of the vector unit."""

    priced: Priced
    pieces: tuple[Piece, ...] = ()
    way: int = 0
    """Which of `ways_of` the pieces are of."""
    vector_pass: VectorTask | None = None


@dataclass(frozen=True)
class LayerCost:
    """One layer at one precision for a whole batch.

    `counts` is int64 [action], in the order of `problem.ACTIONS`. Of `cycles`, `head_cycles` go if
    the first block of weights, of `first_weight_bits` in DRAM, is on chip already; at the end, DRAM
    and half of the weight buffer are free for `tail_cycles`. What runs on the vector unit, gates
    there among it, has no mapping.
    """

    layer: Layer
    precision: Precision
    cycles: int
    compute_cycles: int
    counts: np.ndarray
    mapping: Mapping | None
    head_cycles: int = 0
    tail_cycles: int = 0
    first_weight_bits: int = 0
    occupancy: float = 0.0
    """Share of the array's multipliers that multiply what the layer asks for, over the cycles that
    it computes: idle lanes and columns, and zeros between groups, are what is missing to 1."""
    asked: Precision | None = None
    """What the layer was asked to run at, where it computes at widths of its own."""
    pieces: tuple[Piece, ...] = ()
    """What the array is given one after the other: one problem, but for transposed convolutions;
    `mapping` is that of the first."""
    way: int = 0
    """Which of `solving.ways_of` they are of."""
    vector_pass: VectorTask | None = None
    """What streams through the vector unit, of a layer that the array has no part in."""

    def sooner(self, cycles: int) -> LayerCost:
        """Cost of the layer if `cycles` of its waiting had passed before it began."""
        counts = self.counts.copy()
        counts[STALL] -= cycles
        return replace(self, cycles=self.cycles - cycles, counts=counts)


def task_of(
    layer: Layer, precision: Precision, tensors: Tensors, batch: int, machine: Accelerator
) -> Task:
    """What there is to do for a layer whose unit runs at `precision`.

    Raises:
        InfeasibleError: if the machine cannot multiply operands of these widths, or its model has
            no vector unit and the layer needs one.
    """
    if not layer.on_array:
        return vector_task(layer, precision, tensors, batch, machine)
    return Ways(
        tuple(
            tuple(problem_of(piece, precision, tensors, batch, machine) for piece in way)
            for way in ways_of(layer, machine)
        )
    )


def ways_of(layer: Layer, machine: Accelerator) -> tuple[tuple[Layer, ...], ...]:
    """Ways to compute a layer on a machine's array, each as layers that run one after the other."""
    if "row-stationary" not in machine.mapping.lane_rules:
        return layer.ways
    return (*layer.ways, *(laid for way in layer.ways for laid in _in_rows(way)))


def _in_rows(way: tuple[Layer, ...]) -> Iterator[tuple[Layer, ...]]:
    """A way with some of its layers laid in one row, those of a size all or none: where neighbours
    do not matter, all places may lie so, and others fill the array."""
    several = (one for one in way if one.is_pointwise and math.prod(one.out_size[:-1]) > 1)
    sizes = sorted({one.out_size for one in several})
    for laid in product((False, True), repeat=len(sizes)):
        chosen = set(compress(sizes, laid))
        if chosen:
            yield tuple(
                _in_a_row(one) if one.is_pointwise and one.out_size in chosen else one
                for one in way
            )


def _in_a_row(layer: Layer) -> Layer:
    """A pointwise layer on one row; a stride, along a map of one line, takes no part."""
    ones = (1,) * (len(layer.kernel) - 1)
    flat = (*ones, math.prod(layer.out_size))
    return replace(layer, in_size=flat, out_size=flat, stride=(*ones, 1))


def in_memory(task: Task, memory: dict[str, Any]) -> Task:
    """A task with other buffers and another DRAM; see `problem_of.memory`."""
    if isinstance(task, VectorTask):
        return task._replace(**memory)
    return Ways(tuple(tuple(one._replace(**memory) for one in way) for way in task.ways))


class Alike(NamedTuple):
    """Machines that differ in the bandwidth of their DRAM and in static power alone."""

    machines: Sequence[Accelerator]
    pricings: Sequence[Pricing]

    @property
    def rates(self) -> list[float]:
        """DRAM bits per cycle of each."""
        return [float(machine.dram_bits_per_cycle) for machine in self.machines]


def solve(task: Task, machine: Accelerator, pricing: Pricing) -> Solved:
    """The least a task takes, by the machine's own objective.

    Raises:
        InfeasibleError: if nothing fits the buffers.
    """
    (solved,) = solve_each(task, Alike([machine], [pricing]))
    if isinstance(solved, InfeasibleError):
        raise solved
    return solved


def solve_each(task: Task, alike: Alike) -> list[Solved | InfeasibleError]:
    """The least a task takes on each of several machines, or why it cannot run; mappings are
    searched on all of them at once. The task is any machine's."""
    if isinstance(task, VectorTask):
        tasks = [task._replace(dram_bits_per_cycle=rate) for rate in alike.rates]
        return [Solved(price_pass(one), vector_pass=one) for one in tasks]
    # Phases of a stride are mostly alike, in ways too.
    problems = dict.fromkeys(problem for way in task.ways for problem in way)
    pieces = {problem: _pieces(problem, alike) for problem in problems}
    return [
        _best_way(task, {problem: of[place] for problem, of in pieces.items()}, machine, pricing)
        for place, (machine, pricing) in enumerate(zip(*alike, strict=True))
    ]


def _best_way(
    task: Ways,
    pieces: dict[Problem, Piece | InfeasibleError],
    machine: Accelerator,
    pricing: Pricing,
) -> Solved | InfeasibleError:
    """The best of the ways of which no piece fails, or why the last does."""
    found: list[Solved] = []
    error = None
    for number, way in enumerate(task.ways):
        parts = tuple(pieces[problem] for problem in way)
        error = next((part for part in parts if isinstance(part, InfeasibleError)), None)
        if error is None:
            whole = tuple(part for part in parts if isinstance(part, Piece))
            found.append(Solved(_in_all(whole, machine.fidelity.prefetch), whole, number))
    if len(found) > 1:
        return min(found, key=lambda one: _score(one.priced, machine, pricing))
    return found[0] if found else cast(InfeasibleError, error)


def _pieces(problem: Problem, alike: Alike) -> list[Piece | InfeasibleError]:
    """One problem on each machine."""
    tasks = [problem._replace(dram_bits_per_cycle=rate) for rate in alike.rates]
    places = list(zip(tasks, alike.machines, alike.pricings, strict=True))
    found = _found_at_once(problem, alike)
    if found is None:
        return [_piece(*place) for place in places]
    priced = price_each(problem, alike.rates, found)
    return [
        Piece(place[0], best, cost) if cost is not None else _piece(*place)
        for place, best, cost in zip(places, found, priced, strict=True)
    ]


def _found_at_once(problem: Problem, alike: Alike) -> list[Found] | None:
    """The best mapping on each machine, where one search settles it on all of them."""
    objective = OBJECTIVES.get(alike.machines[0].mapping.objective)
    if objective is None or problem.groups > 1 or len(alike.machines) == 1:
        return None
    static = [pricing.static_pj_per_cycle for pricing in alike.pricings]
    prices, limits = alike.pricings[0].weighed_pj, [NO_LIMIT] * len(static)
    found = search_each(problem, alike.rates, prices, objective, static, limits)
    fitting = [one for one in found if one is not None]
    return fitting if len(fitting) == len(found) else None


def _piece(problem: Problem, machine: Accelerator, pricing: Pricing) -> Piece | InfeasibleError:
    """One problem on one machine."""
    try:
        best = best_mapping(problem, machine, pricing)
        return Piece(problem, best, price(problem, best))
    except InfeasibleError as error:
        return error


def _in_all(pieces: Sequence[Piece], prefetch: bool) -> Priced:
    """What pieces take that run one after the other, the first weights of each loading during the
    piece before."""
    first, last = pieces[0].priced, pieces[-1].priced
    if len(pieces) == 1:
        return first
    early = prefetch * sum(
        min(before.priced.tail_cycles, after.priced.head_cycles)
        for before, after in pairwise(pieces)
    )
    counts = np.sum([piece.priced.counts for piece in pieces], axis=0)
    counts[STALL] -= early
    return Priced(
        cycles=sum(piece.priced.cycles for piece in pieces) - early,
        counts=counts,
        head_cycles=first.head_cycles,
        tail_cycles=last.tail_cycles,
        first_weight_bits=first.first_weight_bits,
    )


def _score(priced: Priced, machine: Accelerator, pricing: Pricing) -> tuple[float, float]:
    """What is to be least, and what decides between equals."""
    energy = float(pricing.energy_pj(priced.counts, priced.cycles).sum())
    if machine.mapping.objective == "energy":
        return energy, priced.cycles
    if machine.mapping.objective == "edp":
        return energy * priced.cycles, priced.cycles
    return priced.cycles, energy


def best_mapping(task: Problem, machine: Accelerator, pricing: Pricing) -> Found:
    """The best mapping by the machine's own objective.

    Raises:
        InfeasibleError: if nothing fits the buffers.
    """
    options, prices = machine.mapping, pricing.weighed_pj
    static = pricing.static_pj_per_cycle
    if options.objective != "latency-then-energy":
        objective = OBJECTIVES[options.objective]
        return search_packings(task, prices, objective, cycle_pj=static)
    fastest = search_packings(task, prices, LATENCY, cycle_pj=static)
    cycles = fastest.cycles
    if task.groups > 1:  # whose packings are compared by exact prices, and so is what may be slower
        dense = _dense_emulation(task, machine, pricing)
        fastest = min(dense, fastest, key=lambda one: price(task, one).cycles)
        cycles = price(task, fastest).cycles
    limit = int(cycles * (1 + options.tolerance))
    try:
        return search_packings(task, prices, ENERGY, cycle_pj=static, cycle_limit=limit)
    except InfeasibleError:  # the search takes tiles for full ones, the fastest's among them
        return fastest


def _dense_emulation(task: Problem, machine: Accelerator, pricing: Pricing) -> Found:
    """The best mapping of a grouped layer as if all its channels were connected, by the machine's
    own objective.

    Raises:
        InfeasibleError: if that does not fit the buffers.
    """
    found = best_mapping(as_packed(task, task.groups), machine, pricing)
    return found._replace(mapping=found.mapping._replace(packed=task.groups))
