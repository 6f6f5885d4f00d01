"""How a layer is tiled and in which order its loops run: every mapping is tried, the best is kept.

A layer is a nest of five tiled loops (batch, rows, columns of the output, input and output
channels). A mapping is one size per tile and one order of the loops. For every mapping this module
counts bits moved and cycles taken; the search keeps the fastest and, among equals, the one of least
energy. The equations are those of the published Bit Fusion simulator (Sharma et al., ISCA 2018),
each of its oddities being an option of the machine's file.

The inner functions are compiled by numba when a layer is first searched, and cached on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from accel_models.errors import InfeasibleError

LOOPS = ("batch", "out_rows", "out_columns", "in_channels", "out_channels")
BATCH, OUT_ROWS, OUT_COLUMNS, IN_CHANNELS, OUT_CHANNELS = range(5)

ACTIONS = (
    "array_cycles",
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


class Problem(NamedTuple):
    """A layer on a machine, as plain numbers: sizes in elements, buffers and ports in bits."""

    batch: int
    out_rows: int
    out_columns: int
    in_channels: int
    out_channels: int
    kernel_rows: int
    kernel_columns: int
    row_stride: int
    column_stride: int
    weight_bits: int
    activation_bits: int
    accumulator_bits: int
    stored_output_bits: int
    array_rows: int
    array_columns: int
    lanes: int
    """Products that one unit of the array computes and adds per cycle at these widths."""
    dram_bits_per_cycle: int
    weight_half: int
    """Usable half of the double-buffered weight memory, in bits; likewise the next two."""
    input_half: int
    output_half: int
    im2col: bool
    """The whole window is spread over the lanes, and gathered before DRAM."""
    first_reload: int
    """1 if outputs are fetched even before anything was added to them, else 0."""
    pad_outputs: bool
    share_input_reads: bool


class Mapping(NamedTuple):
    """The chosen mapping: tile sizes in `LOOPS` order, and the loops from outer to inner."""

    tile: tuple[int, ...]
    order: tuple[str, ...]
    sram_order: str
    """What stays in the array while a tile is computed: input, output or weight."""


class Found(NamedTuple):
    """The best mapping and what it costs: cycles, stall cycles and `counts` of `ACTIONS`."""

    cycles: int
    stall_cycles: int
    counts: np.ndarray
    mapping: Mapping

    @property
    def compute_cycles(self) -> int:
        return self.cycles - self.stall_cycles


def search(problem: Problem, action_pj: Sequence[float]) -> Found:
    """The mapping of least (cycles, energy) among all power-of-two tiles and all loop orders.

    Args:
        problem: the layer and the machine.
        action_pj: energy in pJ of each of `ACTIONS`.

    Raises:
        InfeasibleError: if not even the smallest tiles fit the buffers.
    """
    best, counts = _kernel()(problem, np.asarray(action_pj, dtype=np.float64), _ORDERS)
    cycles, stall, stationary = int(best[0]), int(best[1]), int(best[2])
    if cycles < 0:
        raise InfeasibleError(_why_nothing_fits(problem))
    tile = tuple(int(size) for size in best[3:8])
    order = tuple(LOOPS[loop] for loop in best[8:13])
    mapping = Mapping(tile, order, ("input", "output", "weight")[stationary])
    return Found(cycles, stall, counts, mapping)


def _why_nothing_fits(p: Problem) -> str:
    """Which buffer cannot hold the smallest tile: one output position of one column block."""
    channels = 1 if p.im2col else min(p.array_columns, p.out_channels)
    window = p.kernel_rows * p.kernel_columns
    reduction = p.lanes * p.array_rows
    weights = -(-window // reduction) * reduction * channels * p.weight_bits
    outputs = p.array_columns * p.accumulator_bits
    for buffer, need, half in (
        ("weight", weights, p.weight_half),
        ("input", window * p.activation_bits, p.input_half),
        ("output", outputs, p.output_half),
    ):
        if need > half:
            return (
                f"no tiling fits: the smallest tile needs {need} bits of the {buffer} buffer, "
                f"half of which holds {half}"
            )
    return "no tiling fits the buffers"


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
    """Compile the search; numba is imported only here, when a layer is first searched."""
    from accel_models import mapping_kernel

    return mapping_kernel.search
