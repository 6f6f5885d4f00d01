"""What a mapping search is asked and what it answers, as plain numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from accel_models.accelerators.arrays.array import Passes

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

LATENCY, ENERGY, EDP = range(3)
"""What a search minimises; ties go to energy, cycles and cycles."""
NEVER = 99
"""Loop position from which a tensor that stays on chip would be exchanged."""
STATIONARY = ("input", "output", "weight", "kernel rows")


class Problem(NamedTuple):
    """A layer on a machine, as plain numbers: sizes in elements, buffers and widths in bits."""

    groups: int
    batch: int
    out_rows: int
    out_columns: int
    in_channels: int
    """Input channels of one group."""
    out_channels: int
    """Output channels of one group."""
    kernel_rows: int
    kernel_columns: int
    row_stride: int
    column_stride: int
    row_dilation: int
    column_dilation: int
    row_padding: int
    """Rows above the map; where windows end says what lies below it. The next one is left of it."""
    column_padding: int
    in_rows: int
    in_columns: int
    padding_mode: int
    """Index into `PADDING_MODES`: what the padding holds."""

    weight_bits: int
    activation_bits: int
    stored_weight_bits: int
    """Bits of a weight in DRAM."""
    stored_input_bits: int
    """Bits of an input in DRAM."""
    stored_output_bits: int
    """Bits of an output in DRAM."""
    residual_bits: int
    """Bits fetched for each output to be added to it; 0 if nothing is."""
    buffered_input_bits: int
    """Bits of an input in the input buffer; 0 if the input lives on chip already."""
    kept_output_bits: int
    """Bits of an output that stays in the input buffer for a later layer; 0 if it leaves."""
    kept_residual_bits: int
    """Bits of a residual that stays in the input buffer for a later layer; 0 if it leaves."""
    accumulator_bits: int
    requantise_inputs: bool
    """Inputs change width as they enter their buffer."""

    array_rows: int
    array_columns: int
    passes: Passes
    windows: int
    """Rectangles of output positions side by side, each of `window_rows` x `window_columns`."""
    window_rows: int
    window_columns: int
    cycles_per_step: int
    stagger: int
    ramp: int
    fill: int
    block_overhead: int
    """Cycles for each block of positions and of columns."""
    stream_overhead: int
    operations_per_mac: int
    vector_lanes: int
    lane_rules: int
    """Bit set over `LANE_RULES`."""

    dram_bits_per_cycle: float
    dram_latency: int
    """Latency in cycles."""
    burst_bits: int
    weight_room: int
    """Bits that a block of weights may take: half of a double buffer, or all of a single one."""
    input_room: int
    """Bits that a block of inputs may take."""
    output_room: int
    """Bits that a block of outputs may take."""

    square_powers: bool
    """Tiles are powers of two with as many rows as columns; otherwise every ceil(D/n)."""
    whole_tiles: bool
    align_weights: bool
    fetch_padding: bool
    share_halos: bool
    """Tiles whose inputs are on chip together share the lines that both their windows touch."""
    gather_before_dram: bool
    first_reload: int
    """Fetches of outputs before anything was added to them, 0 or 1."""
    pad_outputs: bool
    share_input_reads: bool
    published_array_side: bool
    fluid: bool
    weights_overlap: bool = True
    """Blocks of weights load while a tile is computed, into the other half of a double buffer;
    otherwise between this tile and the next. The next two are of inputs and of outputs."""
    inputs_overlap: bool = True
    outputs_overlap: bool = True

    zero_weights: bool = True
    """Weights can be zero, so that groups can lie side by side."""
    weights_wait: bool = False
    """Weights are still being made while the layer before runs: none of them load early."""
    requantise_weights: bool = False
    """Weights, themselves activations, change width as they enter their buffer."""
    drain_operations: int = 1
    """Operations of the vector unit on each output as it leaves the array."""

    planes: int = 1
    """Planes of an output map with depth, its rows and those of the kernel lying one plane after
    the other: `out_rows` and `kernel_rows` are of all planes, `in_rows` of each."""
    kernel_planes: int = 1
    plane_stride: int = 1
    plane_dilation: int = 1
    plane_padding: int = 0
    """Planes before the input's first."""
    in_planes: int = 1

    @property
    def positions(self) -> int:
        """Output positions side by side."""
        return self.windows * self.window_rows * self.window_columns


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
    packed: int = 1
    """Groups of a grouped layer that are laid side by side on the array as one dense layer, weights
    between them zero."""


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
    """Cycles, of `cycles`, that go if the first block of weights is on chip already."""
    tail_cycles: int = 0
    """Cycles at the end in which DRAM and half of the weight buffer are free; none where weights
    have a single buffer."""
    first_weight_bits: int = 0
    """DRAM bits of the first block of weights."""
