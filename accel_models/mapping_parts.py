"""One mapping of a layer, part by part: its loops, what moves when, what waits for what.

The parts are sized by the functions that the search itself uses, so they add up to what it found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from accel_models.arrays.array import LANE_RULES
from accel_models.mapping import (
    ACTIONS,
    LOOPS,
    NEVER,
    OUT_COLUMNS,
    OUT_ROWS,
    Mapping,
    Problem,
    _kernel,
)

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
    """Of a tile, in elements."""
    exchanges: tuple[str, ...]
    """Tensors whose blocks change when this loop advances."""


class Block(NamedTuple):
    """What of a tensor its buffer holds at a time."""

    tensor: str
    tile: int
    """Elements that one step works on."""
    tiles: int
    """In a block, which is exchanged as a whole."""
    bits: int
    """Of the block as the buffer holds it, lines that neighbouring tiles share held once."""
    room_bits: int
    """The half of the buffer that is not being filled meanwhile."""
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
    """Cycles of a layer, step by step. A step computes one tile while blocks are exchanged."""

    rounds: tuple[tuple[int, int], ...]
    """(number of steps, DRAM cycles of the blocks exchanged meanwhile)."""
    computing: int
    """With tiles at the edges true to size."""
    tile: int
    """Of the array on a full tile: every step takes as long."""
    load: int
    """Of the first blocks, before anything is computed."""
    store: int
    """Of the last block, after everything is computed."""
    ramp: int = 0
    drain: int = 0
    """Of the vector unit on the outputs of a tile."""
    latency: int = 0
    fill: int = 0
    """Of the array's pipeline; the next one is for conversion into the array's format."""
    conversion: int = 0
    early: int = 0
    """Of `load`, passed already during the layer before."""

    @property
    def cycles(self) -> int:
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, int]:
        """What the cycles are spent on, adding up to all of them."""
        steps = sum(times for times, _ in self.rounds)
        step = max(self.tile, self.drain)
        waiting = sum(times * max(0, memory - step) for times, memory in self.rounds)
        return {
            "array computing": self.computing,
            "array idle, a tile not being full": steps * self.tile + self.ramp - self.computing,
            "array waiting for the vector unit": steps * (step - self.tile),
            "array waiting for blocks from DRAM": waiting,
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
        step = max(takes[COMPUTE] * self.tile, takes[VECTOR] * self.drain)
        steps = sum(times * max(step, takes[BANDWIDTH] * memory) for times, memory in self.rounds)
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
    mapping: Mapping
    tiling: Any
    """`sizing.Tiling`, and `blocks.Blocks`."""
    blocks: Any
    order: np.ndarray
    """Loops that run more than once, innermost first; unused places hold -1."""
    counts: np.ndarray
    """How many tiles in each of `LOOPS`, then their sizes."""

    @property
    def moved(self) -> np.ndarray:
        """Of `ACTIONS`, those in what moves between DRAM and buffers."""
        return _moved(self.task, self)


def sized(task: Problem, mapping: Mapping) -> Sized:
    """Size up one mapping of a layer, such as the search returned it."""
    tiling_code, sizing, blocks_code = (_compiled(name) for name in ("tiling", "sizing", "blocks"))
    rule = LANE_RULES.index(mapping.lane_rule)
    candidates = tiling_code.tables(task, rule)
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
    kinds = (tiling_code.Span, lines, lines, tiling_code.Ins, tiling_code.Outs)
    chosen = [kind(*row[: len(kind._fields)]) for kind, row in zip(kinds, rows, strict=True)]
    inputs = np.empty((4, 4), dtype=np.int64)
    tiling = sizing.price_tile(task, rule, tiling_code.Tile(*chosen), inputs)
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
    code = _compiled("sizing")
    p, s, k = one.task, one.tiling, one.blocks
    a_tiles = k.a_tiles
    for bit, loop in ((1, OUT_ROWS), (2, OUT_COLUMNS)):
        a_tiles *= int(one.counts[loop]) if k.inside & bit else 1
    a_tile, a_bits = int(s.inputs[0, code.BLOCK]), int(s.inputs[k.inside, code.HELD]) * k.a_tiles
    w_bits, q_bits = s.w_held * k.w_tiles, s.q_held * k.q_tiles
    tensors = {
        "weights": (s.w_tile, k.w_tiles, w_bits, p.weight_half, k.w_trips, k.w_from),
        "inputs": (a_tile, a_tiles, a_bits, p.input_half, k.a_trips, k.a_from),
        "outputs": (s.q_tile, k.q_tiles, q_bits, p.output_half, k.q_trips, k.q_from),
    }
    return tuple(
        Block(tensor, tile, tiles, bits, half, trips, since == NEVER)
        for tensor, (tile, tiles, bits, half, trips, since) in tensors.items()
    )


def traffic(one: Sized) -> Iterator[Traffic]:
    """By tensor: what is left of the layer's traffic if the others take no room in DRAM."""
    p, touched = one.task, _compiled("tiling").touched
    images, filters = p.batch * p.groups, p.groups * p.out_channels
    rows = touched(0, p.out_rows, p.kernel_rows, p.row_stride, p.row_padding, p.in_rows)
    columns = touched(
        0, p.out_columns, p.kernel_columns, p.column_stride, p.column_padding, p.in_columns
    )
    outputs = images * p.out_rows * p.out_columns * p.out_channels
    elements = {
        "stored_weight_bits": filters * p.kernel_rows * p.kernel_columns * p.in_channels,
        "stored_input_bits": images * rows * columns * p.in_channels,
        "stored_output_bits": outputs,
        "residual_bits": outputs,
        "accumulator_bits": 0,
    }
    nothing = _with_widths(p, dict.fromkeys(elements, 0))
    names = ("weights", "inputs", "outputs", "residual", "partial sums")
    for tensor, (width, number) in zip(names, elements.items(), strict=True):
        bits = getattr(p, width)
        moved = _moved(_with_widths(nothing, {width: bits}), one)
        yield Traffic(tensor, int(moved[DRAM_READ]), int(moved[DRAM_WRITE]), int(number * bits))


def schedule(one: Sized, conversion: int) -> Schedule:
    """The cycles of a mapping on its own; `conversion` of them bring the inputs into format."""
    code = _compiled("mapping_cost")
    p, s, k = one.task, one.tiling, one.blocks
    q_block = s.q_tile * k.q_tiles
    loaded = (
        s.w_tile * k.w_tiles * p.stored_weight_bits,
        _compiled("blocks").input_block(s, k) * p.stored_input_bits,
    )
    if p.fluid:
        first = sum(loaded) + q_block * p.accumulator_bits * p.first_reload
        last = q_block * p.stored_output_bits
        between = int(one.moved[DRAM_READ] + one.moved[DRAM_WRITE]) - first - last
        return Schedule(
            rounds=((1, max(0, code.transfer(p, between))),),
            computing=s.compute,
            tile=s.compute,
            load=code.transfer(p, first),
            store=code.transfer(p, last),
        )
    first = sum(code.bursts(p, bits) for bits in loaded)
    return Schedule(
        rounds=tuple(_rounds(one)),
        computing=s.compute,
        tile=s.tile_cycles,
        load=code.transfer(p, first),
        store=code.transfer(p, code.finished_bits(p, q_block)),
        ramp=p.ramp,
        drain=code.drain_cycles(p, one.counts),
        latency=p.dram_latency,
        fill=p.fill - conversion,
        conversion=conversion,
    )


def _rounds(one: Sized) -> Iterator[tuple[int, int]]:
    """The first step, then those at which each loop advances, then those that begin a group."""
    p, s, k = one.task, one.tiling, one.blocks
    exchanges = _compiled("mapping_cost").exchange_cycles(p, s, k)
    since = (k.w_from, k.a_from, k.q_from)
    yield 1, 0
    outside = s.steps * p.groups
    for position, loop in enumerate(one.order[one.order >= 0].tolist()):
        here = outside // int(one.counts[loop])
        pairs = zip(exchanges, since, strict=True)
        yield outside - here, sum(cycles for cycles, first in pairs if first <= position)
        outside = here
    yield p.groups - 1, sum(exchanges)


@cache
def _compiled(name: str) -> Any:
    """A compiled module, first imported where the search does, so that it is the same code."""
    _kernel()
    return import_module(f"accel_models.{name}")


def _moved(task: Problem, one: Sized) -> np.ndarray:
    actions = np.zeros(len(ACTIONS), dtype=np.int64)
    _compiled("mapping_cost").traffic(task, one.tiling, one.blocks, actions)
    return actions


def _with_widths(task: Problem, widths: dict[str, Any]) -> Problem:
    return task._replace(**widths)
