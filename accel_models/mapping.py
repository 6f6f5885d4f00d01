"""How a layer is tiled and in which order its loops run: every mapping is tried, the best is kept.

A layer is a nest of five tiled loops (batch, rows, columns of the output, input and output
channels). A mapping is one size per tile, one order of the loops, and a rule by which the layer
fills the array's lanes. For every mapping this module counts bits moved and cycles taken; the
search keeps the best by the machine's objective.

The inner functions are compiled by numba when a layer is first searched, and cached on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from accel_models.accelerators.arrays.array import LANE_RULES, Passes
from accel_models.compiled import compiled
from accel_models.errors import InfeasibleError

LOOPS = ("batch", "out_rows", "out_columns", "in_channels", "out_channels")
BATCH, OUT_ROWS, OUT_COLUMNS, IN_CHANNELS, OUT_CHANNELS = range(5)

ACTIONS = (
    "array_operations",
    "array_cycles",
    "array_stall_cycles",
    "vector_operations",
    "weight_buffer_read_bits",
    "weight_buffer_write_bits",
    "input_buffer_read_bits",
    "input_buffer_write_bits",
    "output_buffer_read_bits",
    "output_buffer_write_bits",
    "dram_read_bits",
    "dram_write_bits",
)
"""What costs energy, in the order of every `counts` array of this package."""

COMPILED = (
    "mapping.py",
    "mapping_kernel.py",
    "mapping_cost.py",
    "bounds.py",
    "blocks.py",
    "sizing.py",
    "array_side.py",
    "row_stationary.py",
    "steps.py",
    "tiling.py",
)
"""Files of this package that numba compiles, or whose constants it compiles in."""

LATENCY, ENERGY, EDP = range(3)
"""What a search minimises; ties go to energy, cycles and cycles."""
NEVER = 99
"""Loop position from which a tensor that stays on chip would be exchanged."""
NO_LIMIT = 2**62
STATIONARY = ("input", "output", "weight", "kernel rows")


class Problem(NamedTuple):
    """A layer on a machine, as plain numbers: sizes in elements, buffers and widths in bits."""

    groups: int
    batch: int
    out_rows: int
    out_columns: int
    in_channels: int
    """Of one group, as are the output channels."""
    out_channels: int
    kernel_rows: int
    kernel_columns: int
    row_stride: int
    column_stride: int
    row_padding: int
    column_padding: int
    in_rows: int
    in_columns: int

    weight_bits: int
    activation_bits: int
    stored_weight_bits: int
    """As in DRAM; likewise the next two."""
    stored_input_bits: int
    stored_output_bits: int
    residual_bits: int
    """Fetched for each output to be added to it; 0 if nothing is."""
    buffered_input_bits: int
    """As the input buffer holds them; 0 if the input lives on chip already."""
    kept_output_bits: int
    """As outputs stay in the input buffer for a later layer; 0 if they leave. Likewise the next."""
    kept_residual_bits: int
    accumulator_bits: int
    requantise_inputs: bool
    """Inputs change width as they enter their buffer."""

    array_rows: int
    array_columns: int
    passes: Passes
    windows: int
    cycles_per_step: int
    stagger: int
    ramp: int
    fill: int
    fold_overhead: int
    stream_overhead: int
    operations_per_mac: int
    vector_lanes: int
    lane_rules: int
    """Bit set over `LANE_RULES`."""

    dram_bits_per_cycle: float
    dram_latency: int
    """In cycles."""
    burst_bits: int
    weight_half: int
    """Usable half of the double-buffered weight memory, in bits; likewise the next two."""
    input_half: int
    output_half: int

    square_powers: bool
    """Tiles are powers of two with as many rows as columns; otherwise every ceil(D/n)."""
    whole_tiles: bool
    align_weights: bool
    fetch_padding: bool
    share_halos: bool
    """Tiles whose inputs are on chip together share the lines that both their windows touch."""
    gather_before_dram: bool
    first_reload: int
    """1 if outputs are fetched even before anything was added to them, else 0."""
    pad_outputs: bool
    share_input_reads: bool
    published_array_side: bool
    fluid: bool


class Mapping(NamedTuple):
    """The chosen mapping: tile sizes in `LOOPS` order, and the loops from outer to inner."""

    tile: tuple[int, ...]
    order: tuple[str, ...]
    stationary: str
    """What stays in the array while a tile is computed: one of `STATIONARY`."""
    lane_rule: str
    exchanged_from: tuple[int, int, int]
    """Loops inside a block of weights, of inputs and of outputs: blocks are exchanged whenever one
    further out advances. Counted from the innermost among loops that run more than once; `NEVER`
    if a tensor stays as long as the layer runs."""


class Found(NamedTuple):
    """The best mapping and what it costs by the search's measure, which takes all tiles of a
    pipelined schedule for full ones: cycles, and `counts` of `ACTIONS`. `price` is exact."""

    cycles: int
    compute_cycles: int
    counts: np.ndarray
    mapping: Mapping

    @property
    def stall_cycles(self) -> int:
        return self.cycles - self.compute_cycles


class Priced(NamedTuple):
    """What a mapping takes, tile by tile: cycles, and `counts` of `ACTIONS`."""

    cycles: int
    counts: np.ndarray
    head_cycles: int = 0
    """Of `cycles`, those that go if the first block of weights is on chip already."""
    tail_cycles: int = 0
    """Cycles at the end in which DRAM and half of the weight buffer are free."""
    first_weight_bits: int = 0
    """DRAM bits of the first block of weights."""


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
    best, counts = _kernel().search(problem, prices, objective, cycle_limit, _ORDERS)
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
    steps = _compiled("steps")
    priced = steps.priced_mapping(problem, *places(found.mapping)).tolist()
    counts = found.counts.copy()
    counts[ACTIONS.index("dram_read_bits")] = priced[steps.READ]
    counts[ACTIONS.index("dram_write_bits")] = priced[steps.WRITTEN]
    counts[ACTIONS.index("array_stall_cycles")] = priced[steps.CYCLES] - found.compute_cycles
    return Priced(
        priced[steps.CYCLES],
        counts,
        priced[steps.HEAD],
        priced[steps.TAIL],
        priced[steps.FIRST_WEIGHTS],
    )


def steps(problem: Problem, mapping: Mapping) -> np.ndarray:
    """A mapping step by step: int64 [step, part], parts as in `accel_models.steps`."""
    walked: np.ndarray = _compiled("steps").steps_of(problem, *places(mapping))
    return walked


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
    return int(_kernel().untiled_compute(problem))


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
def _kernel() -> Any:
    """The compiled search; numba is imported only here, when a layer is first searched."""
    return _compiled("mapping_kernel")


@cache
def _compiled(name: str) -> Any:
    """One of `COMPILED`; all of them are compiled as one."""
    return compiled(f"accel_models.{name}", COMPILED)
