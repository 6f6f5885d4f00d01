"""One mapping of a layer, part by part: its loops, what moves when, what waits for what.

The parts are sized by the functions that the mapping is priced with, so they add up to its price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from accel_models.accelerators.arrays.array import LANE_RULES
from accel_models.mapping.problem import (
    ACTIONS,
    LOOPS,
    NEVER,
    OUT_COLUMNS,
    OUT_ROWS,
    Mapping,
    Problem,
)
from accel_models.mapping.search import as_packed, kernel, steps
from accel_models.mapping.vector_pass import VectorTask

DRAM_READ, DRAM_WRITE = ACTIONS.index("dram_read_bits"), ACTIONS.index("dram_write_bits")
COMPUTE, BANDWIDTH, LATENCY, VECTOR, CONVERSION = RESOURCES = (
    "array",
    "DRAM bandwidth",
    "DRAM latency and pipeline fill",
    "vector unit",
    "conversion of inputs",
)
"""What a layer can be waiting for."""


class Loop(NamedTuple):
    """One loop over tiles."""

    name: str
    trips: int
    size: int
    """Size of a tile, in elements."""
    exchanges: tuple[str, ...]
    """Tensors whose blocks change when this loop advances."""


class Block(NamedTuple):
    """What of a tensor its buffer holds at a time."""

    tensor: str
    tile: int
    """Elements that one step works on."""
    tiles: int
    """Tiles in a block, which is exchanged as a whole."""
    bits: int
    """Bits of the block as the buffer holds it, lines that neighbouring tiles share held once."""
    room_bits: int
    """Bits that a block may take; what is kept for resident tensors is not among them."""
    reserved_bits: int
    """The other half of a double buffer, for the block that comes or leaves meanwhile; 0 where the
    buffer is a single one."""
    trips: int
    """How often the whole tensor goes through the buffer."""
    stays: bool
    """Loaded once, for all tiles that need it."""


class Traffic(NamedTuple):
    """What a tensor moves over the DRAM port, and what it would if every element moved once."""

    tensor: str
    read_bits: int
    write_bits: int
    least_bits: int


@dataclass(frozen=True)
class Schedule:
    """Cycles of a layer, step by step. A step computes one tile while blocks are exchanged.

    Args:
        tiles: int64 [step], of the array.
        drains: int64 [step], of the vector unit on the outputs of a tile.
        memory: int64 [step], of DRAM on the blocks exchanged meanwhile.
        late: int64 [step], of DRAM on the blocks that wait for the tile to be done, their buffers
            being single ones.
        computing: of the array in all, steps that run side by side counted together.
        load: of the first blocks, before anything is computed.
        store: of the last block, after everything is computed.
    """

    tiles: np.ndarray
    drains: np.ndarray
    memory: np.ndarray
    late: np.ndarray
    computing: int
    load: int
    store: int
    ramp: int = 0
    latency: int = 0
    fill: int = 0
    """Cycles that fill the array's pipeline."""
    conversion: int = 0
    """Cycles that convert inputs into the array's format."""
    early: int = 0
    """Cycles of `load` that passed already during the layer before."""

    @property
    def cycles(self) -> int:
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, int]:
        """What the cycles are spent on, adding up to all of them."""
        busy = np.maximum(self.tiles, self.drains)
        tiles = int(self.tiles.sum())
        return {
            "array computing": self.computing,
            "array idle, staggered steps starting and ending": tiles + self.ramp - self.computing,
            "array waiting for the vector unit": int(busy.sum()) - tiles,
            "array waiting for blocks from DRAM": int(np.maximum(self.memory - busy, 0).sum()),
            "single buffers changing blocks": int(self.late.sum()),
            "first blocks arriving": self.load,
            "of these, during the layer before": -self.early,
            "last block leaving": self.store,
            "DRAM latency": self.latency,
            "pipeline filling": self.fill,
            "inputs being converted": self.conversion,
        }

    def without(self, resource: str) -> int:
        """Cycles of the same mapping if one of `RESOURCES` took no time."""
        takes = {name: int(name != resource) for name in RESOURCES}
        busy = np.maximum(takes[COMPUTE] * self.tiles, takes[VECTOR] * self.drains)
        steps = int((np.maximum(busy, takes[BANDWIDTH] * self.memory)).sum())
        steps += takes[BANDWIDTH] * int(self.late.sum())
        ends = takes[BANDWIDTH] * (self.load - self.early + self.store)
        waits = takes[LATENCY] * (self.latency + self.fill)
        waits += takes[CONVERSION] * self.conversion
        return steps + ends + waits + takes[COMPUTE] * self.ramp

    @property
    def bottleneck(self) -> str:
        """The resource that saves most if it takes no time."""
        return min(RESOURCES, key=self.without)


class Sized(NamedTuple):
    """A mapping, sized up."""

    task: Problem
    """The problem with its groups packed as the mapping has them."""
    mapping: Mapping
    tiling: Any
    """`tiling.Tiling`, and `blocks.Blocks`."""
    blocks: Any
    order: np.ndarray
    """Loops that run more than once, innermost first; unused places hold -1."""
    counts: np.ndarray
    """How many tiles in each of `LOOPS`, then their sizes."""

    @property
    def steps(self) -> np.ndarray:
        """Figures of every step, int64 [step, part]; see `accel_models.mapping.search.steps`."""
        return steps(self.task, self.mapping._replace(packed=1))


def sized(task: Problem, mapping: Mapping) -> Sized:
    """Size up one mapping of a layer, such as the search returned it."""
    tiling_code, sizing, blocks_code = (kernel(name) for name in ("candidates", "tiling", "blocks"))
    rule = LANE_RULES.index(mapping.lane_rule)
    task = as_packed(task, mapping.packed)
    candidates = tiling_code.all_candidates(task, rule)
    rows = [
        table[np.flatnonzero(table[:, tiling_code.SIZE] == size)[0]].tolist()
        for table, size in zip(candidates[: len(LOOPS)], mapping.tile, strict=True)
    ]
    trips = [row[tiling_code.COUNT] for row in rows]
    counts = np.array([*trips, *mapping.tile], dtype=np.int64)
    inner_first = [LOOPS.index(name) for name in reversed(mapping.order)]
    active = [loop for loop in inner_first if trips[loop] > 1]
    order = np.full(len(LOOPS), -1, dtype=np.int64)
    order[: len(active)] = active
    lines = tiling_code.Lines
    kinds = (tiling_code.DimensionSplit, lines, lines, tiling_code.Ins, tiling_code.Outs)
    chosen = [kind(*row[: len(kind._fields)]) for kind, row in zip(kinds, rows, strict=True)]
    inputs = np.empty((4, 4), dtype=np.int64)
    tiling = sizing.price_tile(task, rule, tiling_code.TileSizes(*chosen), inputs)
    blocks = blocks_code.blocks_until(tiling, order, counts, mapping.exchanged_from)
    return Sized(task, mapping, tiling, blocks, order, counts)


def loops(one: Sized) -> Iterator[Loop]:
    """Loops that run more than once, from outer to inner."""
    k, order = one.blocks, one.order.tolist()
    since = {"weights": k.w_from, "inputs": k.a_from, "outputs": k.q_from}
    for position in range(len(LOOPS) - 1, -1, -1):
        loop = order[position]
        if loop >= 0:
            exchanged = tuple(tensor for tensor, first in since.items() if first <= position)
            size = one.mapping.tile[loop]
            yield Loop(LOOPS[loop], int(one.counts[loop]), size, exchanged)


def blocks(one: Sized) -> tuple[Block, ...]:
    """What the weight, input and output buffers hold."""
    code = kernel("tiling")
    p, s, k = one.task, one.tiling, one.blocks
    a_tiles = k.a_tiles
    for bit, loop in ((1, OUT_ROWS), (2, OUT_COLUMNS)):
        a_tiles *= int(one.counts[loop]) if k.inside & bit else 1
    a_tile, a_bits = int(s.inputs[0, code.BLOCK]), int(s.inputs[k.inside, code.HELD]) * k.a_tiles
    w_bits, q_bits = s.w_held * k.w_tiles, s.q_held * k.q_tiles
    tensors = {
        "weights": (s.w_tile, k.w_tiles, w_bits, p.weight_room, k.w_trips, k.w_from),
        "inputs": (a_tile, a_tiles, a_bits, p.input_room, k.a_trips, k.a_from),
        "outputs": (s.q_tile, k.q_tiles, q_bits, p.output_room, k.q_trips, k.q_from),
    }
    double = (p.weights_overlap, p.inputs_overlap, p.outputs_overlap)
    return tuple(
        Block(tensor, tile, tiles, bits, room, room * halves, trips, since == NEVER)
        for (tensor, (tile, tiles, bits, room, trips, since)), halves in zip(
            tensors.items(), double, strict=True
        )
    )


def traffic(one: Sized) -> Iterator[Traffic]:
    """Traffic by tensor, adding up to what the layer moves."""
    p, windows = one.task, kernel("windows")
    images, filters = p.batch * p.groups, p.groups * p.out_channels
    rows = windows.touched(0, p.out_rows, windows.windows_down(p))
    columns = windows.touched(0, p.out_columns, windows.windows_across(p))
    outputs = images * p.out_rows * p.out_columns * p.out_channels
    least = {
        "weights": filters * p.kernel_rows * p.kernel_columns * p.in_channels
        // one.mapping.packed * p.stored_weight_bits,
        "inputs": images * rows * columns * p.in_channels * p.stored_input_bits,
        "outputs": outputs * p.stored_output_bits,
        "residual": outputs * p.residual_bits,
        "partial sums": 0,
    }  # fmt: skip
    moved = _moved_by_totals(one) if p.fluid else _moved_by_steps(one)
    for tensor, (read, written) in moved.items():
        yield Traffic(tensor, read, written, int(least[tensor]))


def _moved_by_steps(one: Sized) -> dict[str, tuple[int, int]]:
    """DRAM bits read and written of each tensor."""
    code = kernel("walk")
    total = one.steps.sum(axis=0).tolist()
    return {
        "weights": (total[code.WEIGHTS], 0),
        "inputs": (total[code.INPUTS], 0),
        "outputs": (0, total[code.STORED]),
        "residual": (total[code.RESIDUAL], 0),
        "partial sums": (total[code.SUMS], total[code.RESTORED]),
    }


def _moved_by_totals(one: Sized) -> dict[str, tuple[int, int]]:
    """Bits moved by tensor in published fidelity: what is left if the other tensors take no room in
    DRAM."""
    widths = {
        "weights": "stored_weight_bits",
        "inputs": "stored_input_bits",
        "outputs": "stored_output_bits",
        "residual": "residual_bits",
        "partial sums": "accumulator_bits",
    }
    none: dict[str, Any] = dict.fromkeys(widths.values(), 0)
    found = {}
    for tensor, width in widths.items():
        alone = one.task._replace(**none | {width: getattr(one.task, width)})
        moved = _moved(alone, one)
        found[tensor] = (int(moved[DRAM_READ]), int(moved[DRAM_WRITE]))
    return found


def schedule(one: Sized, conversion: int) -> Schedule:
    """The cycles of a mapping on its own; `conversion` of them bring the inputs into format."""
    p = one.task
    if p.fluid:
        return _fluid_schedule(one)
    return schedule_of(p, one.steps, one.tiling.compute, conversion)


def schedule_of(
    p: Problem | VectorTask, steps: np.ndarray, computing: int = 0, conversion: int = 0
) -> Schedule:
    """The cycles of steps one after the other, int64 [step, part], parts as in `kernel.walk`."""
    code, transfer = kernel("walk"), kernel("cost").transfer
    first, last = steps[0], steps[-1]
    exchanged = [code.exchange_cycles(p, p.dram_bits_per_cycle, *pair) for pair in pairwise(steps)]
    memory, late = np.array([*exchanged, (0, 0)], dtype=np.int64).T
    return Schedule(
        tiles=steps[:, code.ARRAY],
        drains=steps[:, code.DRAIN],
        memory=memory,
        late=late,
        computing=computing,
        load=transfer(p, first[code.WEIGHTS] + first[code.INPUTS] + first[code.SUMS]),
        store=transfer(p, code.leaving(last)),
        ramp=p.ramp,
        latency=p.dram_latency,
        fill=p.fill - conversion,
        conversion=conversion,
    )


def _fluid_schedule(one: Sized) -> Schedule:
    """One step, in which memory and array work through their totals."""
    transfer, p, s, k = kernel("cost").transfer, one.task, one.tiling, one.blocks
    q_block = s.q_tile * k.q_tiles
    first = (
        s.w_tile * k.w_tiles * p.stored_weight_bits
        + kernel("blocks").input_block(s, k) * p.stored_input_bits
        + q_block * p.accumulator_bits * p.first_reload
    )
    last = q_block * p.stored_output_bits
    totals = _moved(p, one)
    between = int(totals[DRAM_READ] + totals[DRAM_WRITE]) - first - last
    return Schedule(
        tiles=np.array([s.compute]),
        drains=np.zeros(1, dtype=np.int64),
        memory=np.array([transfer(p, between)]),
        late=np.zeros(1, dtype=np.int64),
        computing=s.compute,
        load=transfer(p, first),
        store=transfer(p, last),
    )


def _moved(task: Problem, one: Sized) -> np.ndarray:
    actions = np.zeros(len(ACTIONS), dtype=np.int64)
    kernel("cost").traffic(task, one.tiling, one.blocks, actions)
    return actions
