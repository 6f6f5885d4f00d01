"""NE16 and N-EUREKA: blocks of output positions, weights bit by bit (pulp-platform, RTL released).

An engine keeps the sums of `block` x `block` output positions and `columns` output channels. For
each tile of `rows` input channels it loads the block's window of inputs into registers, then reads
weights, one word a bit and output channel: nine taps of a 3x3 kernel, each with all channels of the
tile. A job of one layer takes::

    job_cycles + blocks * sum over tiles of outputs (k of them) of
        tiles of inputs * (cycles_per_read * (window + words) + tile_cycles)
        + k * output_cycles + block_cycles + positions stored

    3x3        window (block + 2)^2, words k * weight bits
    1x1        window block^2, words k: all bits of a weight come in one word
    depthwise  window (block + 2)^2, words weight bits (N-EUREKA) or k * weight bits (NE16), and k
               cycles for the weights' offset; outputs go through `rows` at a time

Other kernels are taken apart into 3x3 and 1x1 ones, as the compilers for these engines do. A
strided layer computes all positions of a block and stores some.

With the constants of PLiNIO's ``ne16_latency.py`` this is that file's formula for NE16, to the
cycle. Those of N-EUREKA are partly fitted: `accel_models.validation.neureka` says on what. The
family uses no more than `accel_models.accelerators.arrays` offers to families from outside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from accel_models.accelerators.arrays.array import Array, Datapath, LaneRule, StatedFigures
from accel_models.accelerators.arrays.operands import refuse_wider
from accel_models.accelerators.arrays.registry import register_family
from accel_models.energy.array import ArrayFigures
from accel_models.precision import Precision
from accel_models.source import In
from accel_models.workloads.operators import MATMUL
from accel_models.workloads.workload import Layer

SIDE = 3
"""Rows, and columns, of the kernel that the engine computes at once."""
BITS = 8
"""Width of activations, and the most that weights have."""

Mode = Literal["3x3", "1x1", "depthwise"]


class Way(NamedTuple):
    """One way to run a layer: parts of the kernel by mode, and jobs that each take all of them."""

    parts: tuple[tuple[Mode, int], ...]
    layer: Layer
    """What one job computes."""
    jobs: int


class EngineSteps(NamedTuple):
    """A job's products as steps, each of the words of one tile of inputs and outputs."""

    lanes: int
    """Inputs that one step sums up, at every tap of the kernel."""
    columns: int
    """Output channels of one step."""
    side_by_side: int
    """Steps that one set of words serves."""
    cycles: int
    """Words of a step, at one a cycle."""
    number: int
    """Sets of words that the whole layer takes in one tile, for one input."""


@register_family
class Neureka(Array):
    """Blocks of output positions side by side, tiles of channels one after the other.

    `rows` are the input channels of a tile, `columns` the output channels whose sums are kept. A
    step is what the words of one tile of inputs and outputs are multiplied with, a word a cycle;
    all else that a job takes is waiting, the same for every input. So a layer in one tile takes its
    job's cycles exactly, and one cut into tiles no fewer. Inputs count as read for every tap of the
    kernel, though they wait in registers.
    """

    lane_rules: ClassVar[tuple[LaneRule, ...]] = ("window",)

    family: Literal["neureka"]
    block: Annotated[int, In("output positions")] = Field(gt=0)
    """Side of the square of positions worked on side by side."""
    cycles_per_read: Annotated[float, In("cycles")] = Field(ge=1, le=64)
    """Cycles between two words read from memory, inputs or weights."""
    tile_cycles: Annotated[float, In("cycles")] = Field(ge=0, le=2**20)
    """Cycles of a tile of inputs beyond its reads."""
    pointwise_tile_cycles: Annotated[float, In("cycles")] = Field(ge=0, le=2**20)
    """Cycles more of a tile of inputs in 1x1 mode."""
    output_cycles: Annotated[float, In("cycles")] = Field(ge=0, le=2**20)
    """Cycles in which the outputs of one channel are normalised and quantised."""
    block_cycles: Annotated[float, In("cycles")] = Field(ge=0, le=2**20)
    """Cycles of a tile of outputs beyond those of its channels and of storing them."""
    stores: Literal["used", "all"]
    """Positions that take a cycle each to store: those up to the last one used, or all."""
    depthwise_words: Literal["all channels", "one channel"]
    """Channels whose weight bits a word holds in depthwise mode."""
    job_overhead: Annotated[float, In("cycles")] = Field(ge=0, le=2**20)
    """Cycles of a job beyond those of its blocks."""
    stated: StatedFigures
    """Figures of a product of 8 bits and one, and of one multiplier of that size."""

    def job_cycles(self, layer: Layer, widths: Precision) -> int:
        """Cycles of the whole layer for one input.

        Raises:
            InfeasibleError: if an operand has more than 8 bits.
        """
        refuse_wider(widths, BITS)
        return math.ceil(self.exact_cycles(layer, widths) - 1e-9)

    def exact_cycles(self, layer: Layer, widths: Precision) -> float:
        """Cycles of `job_cycles`, fractions of one that fitted constants leave included."""
        return self._cycles(self._way(layer), widths.weight_bits)

    def _way(self, layer: Layer) -> Way:
        """How a layer is run: as one dense job unless, with the widest weights, another way takes
        less than half of it, for those move channels in smaller pieces."""
        dense, *others = ways(layer)
        if not others:
            return dense
        quickest = min(others, key=lambda way: self._cycles(way, BITS))
        return quickest if 2 * self._cycles(quickest, BITS) <= self._cycles(dense, BITS) else dense

    def _cycles(self, way: Way, bits: int) -> float:
        """Cycles of all jobs of one way to run a layer."""
        parts = (times * self._part_cycles(way.layer, bits, mode) for mode, times in way.parts)
        return way.jobs * (self.job_overhead + sum(parts))

    def _part_cycles(self, layer: Layer, bits: int, mode: Mode) -> float:
        """Cycles of one 3x3 or 1x1 part of a job's kernel, over all planes of its output."""
        depthwise = mode == "depthwise"
        outputs = self.rows if depthwise else self.columns
        tiles = 1 if depthwise else -(-layer.in_channels // self.rows)
        *planes, rows, columns = layer.out_size
        high = list(self._blocks(rows, layer.stride[-2]))
        wide = list(self._blocks(columns, layer.stride[-1]))
        channels = list(_parts(layer.out_channels, outputs))
        each = sum(
            tiles * self._tile_cycles(k, bits, mode) + k * self.output_cycles + self.block_cycles
            for k in channels
        )
        stored = sum(self._stored(down, across) for down in high for across in wide)
        plane = len(high) * len(wide) * each + len(channels) * stored
        return math.prod(planes) * plane

    def _tile_cycles(self, k: int, bits: int, mode: Mode) -> float:
        """Cycles of one tile of inputs for k output channels of one block."""
        window = self.block**2 if mode == "1x1" else (self.block + SIDE - 1) ** 2
        words = k * bits
        cycles = self.tile_cycles
        if mode == "1x1":
            words = k
            cycles += self.pointwise_tile_cycles
        elif mode == "depthwise":
            words = bits if self.depthwise_words == "all channels" else k * bits
            cycles += k
        return self.cycles_per_read * (window + words) + cycles

    def _stored(self, high: int, wide: int) -> int:
        """Positions that a block of so many used rows and columns stores."""
        return self.block**2 if self.stores == "all" else (high - 1) * self.block + wide

    def _blocks(self, size: int, step: int) -> Iterator[int]:
        """Used positions of each block along one side of the map, dropped ones included."""
        for outputs in _parts(size, 1 + (self.block - 1) // step):
            yield min(self.block, (outputs - 1) * step + 1)

    def steps(self, layer: Layer, widths: Precision) -> EngineSteps:
        """Steps of the layer, without what lies between them: as many tiles as it takes, of equal
        size, so that words for channels that are not there do not count."""
        bits, way = widths.weight_bits, self._way(layer)
        job, depthwise = way.layer, way.parts[0][0] == "depthwise"
        blocks = -(-math.prod(layer.out_size) // self.block**2)
        words = sum(times * (1 if mode == "1x1" else bits) for mode, times in way.parts)
        taps = math.prod(layer.kernel)
        if depthwise and self.depthwise_words == "all channels":
            # Channel by channel: a step of several would count the zeros between them as products.
            number = -(-blocks * layer.groups // self.rows)
            return EngineSteps(taps, 1, self.rows, words, number)
        tiles = -(-job.out_channels // (self.rows if depthwise else self.columns))
        outputs = -(-job.out_channels // tiles)
        inputs = outputs if depthwise else self.rows
        number = way.jobs * blocks * tiles
        number *= 1 if depthwise else -(-job.in_channels // inputs)
        return EngineSteps(taps * inputs, outputs, 1, words * outputs, number)

    def datapath(self, layer: Layer, widths: Precision) -> Datapath:
        job, step = self.job_cycles(layer, widths), self.steps(layer, widths)
        return Datapath(
            rows=step.lanes,
            columns=step.columns,
            windows=self.block**2,
            cycles_per_step=step.cycles,
            stagger=step.side_by_side,
            conversion=job - step.number * step.cycles,
            operations_per_mac=widths.weight_bits,
        )

    def buffered(self, widths: Precision) -> Precision:
        return Precision(widths.weight_bits, BITS)

    @property
    def operations_per_cycle(self) -> int:
        return self.block**2 * SIDE**2 * self.rows

    def figures(self) -> ArrayFigures:
        return self.stated.stated(self.operations_per_cycle, self.operations_per_cycle)


def ways(layer: Layer) -> list[Way]:
    """Ways to run a layer: as one dense job, where that can be, its groups one after the other, or
    channel by channel.

    3x3 parts tile the kernel from one corner; what is left over is computed tap by tap, and so is a
    dilated kernel. Depthwise parts cover it. A map with depth is its planes.
    """
    *planes, high, wide = layer.kernel
    depth, whole = math.prod(planes), set(layer.dilation[-2:]) == {1}
    dense = depth * (high // SIDE) * (wide // SIDE) if whole else 0
    both: list[tuple[Mode, int]] = [("3x3", dense)]
    both.append(("1x1", depth * high * wide - SIDE**2 * dense))
    parts = tuple((mode, times) for mode, times in both if times)
    ins, outs = layer.in_channels, layer.out_channels
    one = replace(layer, groups=1)
    if layer.groups == 1:
        return [Way(parts, one, 1)]
    apart = replace(one, in_channels=ins // layer.groups, out_channels=outs // layer.groups)
    found = [Way(parts, apart, layer.groups)]
    if layer.operator != MATMUL:  # whose second operand was just made, without zeros in it
        found.insert(0, Way(parts, one, 1))
    if whole and layer.groups == ins == outs:
        covering = depth * -(-high // SIDE) * -(-wide // SIDE)
        found.append(Way((("depthwise", covering),), one, 1))
    return found


def _parts(size: int, most: int) -> Iterator[int]:
    """`size` cut into parts of `most`, the last one shorter."""
    for first in range(0, size, most):
        yield min(most, size - first)
