"""How a layer is tiled and in which order its loops run: every mapping is tried, the best is kept.

A layer is a nest of five tiled loops (batch, rows, columns of the output, input and output
channels). A mapping is one size per tile, one order of the loops, and a rule by which the layer
fills the array's lanes. For every mapping this module counts bits moved and cycles taken; the
search keeps the best by the machine's objective.

The inner functions are compiled by numba when a layer is first searched, and cached on disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np

from accel_models.accelerators.arrays.array import LANE_RULES
from accel_models.compiled import compiled
from accel_models.errors import InfeasibleError
from accel_models.mapping.problem import (
    ACTIONS,
    ENERGY,
    LATENCY,
    LOOPS,
    STATIONARY,
    Found,
    Mapping,
    Priced,
    Problem,
)

_STALL = ACTIONS.index("array_stall_cycles")
_DRAM_READ, _DRAM_WRITE = ACTIONS.index("dram_read_bits"), ACTIONS.index("dram_write_bits")
NO_LIMIT = 2**62
MAX_STEPS = 2**24
"""Steps of one mapping that are walked through; they take 1 GiB of memory."""


def search(
    problem: Problem,
    action_pj: Sequence[float],
    objective: int = LATENCY,
    *,
    cycle_pj: float = 0.0,
    cycle_limit: int = NO_LIMIT,
) -> Found:
    """The best mapping among all tile sizes, loop orders and lane rules.

    Args:
        problem: the layer and the machine.
        action_pj: energy in pJ of each of `ACTIONS`.
        objective: `LATENCY`, `ENERGY` or `EDP`.
        cycle_pj: static energy of a cycle in pJ.
        cycle_limit: mappings that take longer are not considered.

    Raises:
        InfeasibleError: if not even the smallest tiles fit the buffers, or no mapping that fits is
            fast enough.
    """
    rates = [problem.dram_bits_per_cycle]
    (found,) = search_each(problem, rates, action_pj, objective, [cycle_pj], [cycle_limit])
    if found is None:
        raise InfeasibleError(_why_nothing_fits(problem))
    return found


def search_each(
    problem: Problem,
    rates: Sequence[float],
    action_pj: Sequence[float],
    objective: int,
    cycle_pj: Sequence[float],
    cycle_limits: Sequence[int],
) -> list[Found | None]:
    """The best mapping on each of several machines that differ in their bandwidth alone; None where
    there is none.

    Found in one pass, as what is tried, held and moved is the same on all of them.

    Args:
        problem: the layer and the machines, whatever its `dram_bits_per_cycle`.
        rates: bits per cycle of each machine's DRAM.
        action_pj: energy in pJ of each of `ACTIONS`.
        objective: `LATENCY`, `ENERGY` or `EDP`.
        cycle_pj: static energy of a cycle in pJ, of each machine.
        cycle_limits: mappings that take longer are not considered, of each machine.
    """
    goal = kernel("bounds").Goal(
        prices=np.array(action_pj, dtype=np.float64),
        objective=objective,
        rates=np.array(rates, dtype=np.float64),
        cycle_pj=np.array(cycle_pj, dtype=np.float64),
        limits=np.array(cycle_limits, dtype=np.int64),
    )
    best, counts = kernel().search(problem, goal, _ORDERS)
    return [
        _found(numbers, actions) if numbers[0] >= 0 else None
        for numbers, actions in zip(best.tolist(), counts, strict=True)
    ]


def _found(numbers: list[int], actions: np.ndarray) -> Found:
    """What the kernel found, of which `kernel.search.search` says the parts."""
    mapping = Mapping(
        tile=tuple(numbers[4:9]),
        order=tuple(LOOPS[loop] for loop in numbers[9:14]),
        stationary=STATIONARY[numbers[2]],
        lane_rule=LANE_RULES[numbers[3]],
        exchanged_from=(numbers[14], numbers[15], numbers[16]),
    )
    return Found(numbers[0], numbers[1], actions, mapping)


def price(problem: Problem, found: Found) -> Priced:
    """What the mapping that was found takes, every tile and block as large as it is.

    It takes no longer than the search had it, and computes as long. In published fidelity memory
    and array work through their totals, and nothing changes.

    Raises:
        InfeasibleError: if it has too many steps.
    """
    packed = as_packed(problem, found.mapping.packed)
    (priced,) = price_each(packed, [problem.dram_bits_per_cycle], [found])
    if priced is None:
        raise InfeasibleError(_why_too_many_steps(packed, found.mapping))
    return priced


def price_each(
    problem: Problem, rates: Sequence[float], found: Sequence[Found]
) -> list[Priced | None]:
    """What mappings take, `price` of each, on machines that differ in their bandwidth alone.

    Args:
        problem: the layer and the machines, whatever its `dram_bits_per_cycle`.
        rates: bits per cycle of each machine's DRAM.
        found: of each machine, its groups packed as the problem has them.

    Returns:
        None where a mapping has too many steps.
    """
    if problem.fluid or not found:
        return [Priced(one.cycles, one.counts) for one in found]
    steps = kernel("walk")
    mappings = np.array([_numbers(one.mapping) for one in found])
    priced = steps.priced_mappings(
        problem, np.array(rates, dtype=np.float64), mappings, MAX_STEPS
    ).tolist()
    return [
        _priced(problem, one, parts, steps) if parts[steps.CYCLES] >= 0 else None
        for one, parts in zip(found, priced, strict=True)
    ]


def _priced(problem: Problem, found: Found, priced: Sequence[int], steps: Any) -> Priced:
    """The parts of `kernel.walk.price_steps` beside what the search had counted."""
    counts = found.counts.copy()
    counts[_DRAM_READ], counts[_DRAM_WRITE] = priced[steps.READ], priced[steps.WRITTEN]
    counts[_STALL] = priced[steps.CYCLES] - found.compute_cycles
    early = not problem.weights_wait
    return Priced(
        cycles=priced[steps.CYCLES],
        counts=counts,
        head_cycles=priced[steps.HEAD] * early,
        tail_cycles=priced[steps.TAIL],
        first_weight_bits=priced[steps.FIRST_WEIGHTS] * early,
    )


def steps(problem: Problem, mapping: Mapping) -> np.ndarray:
    """A mapping step by step: int64 [step, part], parts as in `mapping.kernel.walk`."""
    problem = as_packed(problem, mapping.packed)
    walked: np.ndarray = kernel("walk").steps_of(problem, *places(mapping))
    return walked


def number_of_steps(packed: Problem, mapping: Mapping) -> int:
    """Steps of a mapping, not walked through, of a problem as `as_packed` has it."""
    p = packed
    sizes = (p.batch, p.out_rows, p.out_columns, p.in_channels, p.out_channels)
    tiles = (-(-size // tile) for size, tile in zip(sizes, mapping.tile, strict=True))
    return p.groups * math.prod(tiles)


def as_packed(problem: Problem, packed: int) -> Problem:
    """The problem of a grouped layer with so many of its groups side by side as one."""
    return problem._replace(
        groups=problem.groups // packed,
        in_channels=problem.in_channels * packed,
        out_channels=problem.out_channels * packed,
    )


def places(mapping: Mapping) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """A mapping as compiled code takes it: lane rule, tile, loops from outer to inner, and where
    blocks are exchanged."""
    numbers = np.array(_numbers(mapping))
    return int(numbers[0]), numbers[1:6], numbers[6:11], numbers[11:]


def _numbers(mapping: Mapping) -> tuple[int, ...]:
    """Lane rule, tile, loops and places of a mapping, as `kernel.walk.priced_mappings` takes
    them."""
    order = (LOOPS.index(loop) for loop in mapping.order)
    return LANE_RULES.index(mapping.lane_rule), *mapping.tile, *order, *mapping.exchanged_from


def pareto(
    problem: Problem, action_pj: Sequence[float], *, cycle_pj: float = 0.0
) -> Iterator[Found]:
    """All mappings that no other beats in both cycles and energy, from frugal to fast.

    Raises:
        InfeasibleError: if not even the smallest tiles fit the buffers.
    """
    fastest = search(problem, action_pj, LATENCY, cycle_pj=cycle_pj)
    limit = NO_LIMIT
    while limit >= fastest.cycles:
        found = search(problem, action_pj, ENERGY, cycle_pj=cycle_pj, cycle_limit=limit)
        yield found
        limit = found.cycles - 1


def compute_cycles(problem: Problem) -> int:
    """Cycles of the array on the whole layer as one tile, under the best lane rule allowed."""
    return int(kernel().untiled_compute(problem))


def _why_too_many_steps(p: Problem, mapping: Mapping) -> str:
    """Sentence about a mapping that is too long to walk through."""
    return (
        f"its best mapping has {number_of_steps(p, mapping):.3g} steps, over {MAX_STEPS:.3g}: the "
        "layer is too large for this array and its buffers"
    )


def _why_nothing_fits(p: Problem) -> str:
    """Which buffer cannot hold the smallest tile: one output position of one column block."""
    reduction = p.array_rows * p.passes[0][0]
    window = p.kernel_rows * p.kernel_columns
    gathers = p.gather_before_dram and p.lane_rules == 1 << LANE_RULES.index("window")
    channels = 1
    if p.square_powers and not gathers:
        channels = min(p.array_columns, p.out_channels)
    lanes = -(-window // reduction) * reduction if p.align_weights else window
    for buffer, need, room, double in (
        ("weight", lanes * channels * p.weight_bits, p.weight_room, p.weights_overlap),
        ("input", window * p.buffered_input_bits, p.input_room, p.inputs_overlap),
        ("output", p.array_columns * p.accumulator_bits, p.output_room, p.outputs_overlap),
    ):
        if need > room:
            return (
                f"no tiling fits: the smallest tile needs {need} bits of the {buffer} buffer, "
                f"{'half of which' if double else 'which'} holds {room}"
            )
    return "no tiling that fits the buffers is fast enough"


def _loop_orders() -> np.ndarray:
    """All orders of any subset of the loops, innermost first: [subset, order, position].

    Loops that run once cannot matter, so only the orders of those that run more often are tried.
    Unused places hold -1.
    """
    table = np.full((32, 120, 5), -1, dtype=np.int64)
    for subset in range(32):
        active = [loop for loop in range(5) if subset >> loop & 1]
        for index, order in enumerate(permutations(active)):
            table[subset, index, : len(order)] = order
    return table


_ORDERS = _loop_orders()


@cache
def kernel(name: str = "search") -> Any:
    """A compiled module of the search; numba is first imported here, as a layer is searched."""
    return compiled(f"accel_models.mapping.kernel.{name}")
