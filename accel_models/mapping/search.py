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
    prices = np.array([*action_pj, cycle_pj], dtype=np.float64)
    best, counts = kernel().search(problem, prices, objective, cycle_limit, _ORDERS)
    if best[0] < 0:
        raise InfeasibleError(_why_nothing_fits(problem))
    numbers = best.tolist()
    mapping = Mapping(
        tile=tuple(numbers[4:9]),
        order=tuple(LOOPS[loop] for loop in numbers[9:14]),
        stationary=STATIONARY[numbers[2]],
        lane_rule=LANE_RULES[numbers[3]],
        exchanged_from=(numbers[14], numbers[15], numbers[16]),
    )
    return Found(numbers[0], numbers[1], counts, mapping)


def price(problem: Problem, found: Found) -> Priced:
    """What the mapping that was found takes, every tile and block as large as it is.

    It takes no longer than the search had it, and computes as long. In published fidelity memory
    and array work through their totals, and nothing changes.
    """
    if problem.fluid:
        return Priced(found.cycles, found.counts)
    problem = as_packed(problem, found.mapping.packed)
    _refuse_too_many_steps(problem, found.mapping)
    steps = kernel("walk")
    priced = steps.priced_mapping(problem, *places(found.mapping)).tolist()
    counts = found.counts.copy()
    counts[ACTIONS.index("dram_read_bits")] = priced[steps.READ]
    counts[ACTIONS.index("dram_write_bits")] = priced[steps.WRITTEN]
    counts[ACTIONS.index("array_stall_cycles")] = priced[steps.CYCLES] - found.compute_cycles
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
    return (
        LANE_RULES.index(mapping.lane_rule),
        np.array(mapping.tile),
        np.array([LOOPS.index(loop) for loop in mapping.order]),
        np.array(mapping.exchanged_from),
    )


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


def _refuse_too_many_steps(p: Problem, mapping: Mapping) -> None:
    sizes = (p.batch, p.out_rows, p.out_columns, p.in_channels, p.out_channels)
    tiles = (-(-size // tile) for size, tile in zip(sizes, mapping.tile, strict=True))
    if (steps := p.groups * math.prod(tiles)) > MAX_STEPS:
        raise InfeasibleError(
            f"its best mapping has {steps:.3g} steps, over {MAX_STEPS:.3g}: the layer is too large "
            "for this array and its buffers"
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
    for buffer, need, half in (
        ("weight", lanes * channels * p.weight_bits, p.weight_half),
        ("input", window * p.buffered_input_bits, p.input_half),
        ("output", p.array_columns * p.accumulator_bits, p.output_half),
    ):
        if need > half:
            return (
                f"no tiling fits: the smallest tile needs {need} bits of the {buffer} buffer, "
                f"half of which holds {half}"
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
