"""The default Bit Fusion cost model, written out as plainly as its equations.

It finds the best mapping of a layer by trying every tiling, loop order and lane rule, and both
stationarities.  The optimised mapper is tested against it: nothing here is merged, pruned or
vectorised, and wherever the model says "sum over the tiles" the tiles are listed and summed.

Symbols, as used throughout (sizes in elements):

B, OH, OW, IC, OC  batch, output rows and columns, input and output channels of one group: the
                   loops over tiles, which have b, oh, ow, ic and oc elements when they are full
G                  groups, each a convolution of its own, run one after the other
KH, KW             kernel rows and columns, never tiled
N, M               rows that add into a column, columns
R                  array steps per output position and block of M columns
W, A, Q            the three tensors: weights, activations (input), outputs (partial sums)
T, E               cycles and energy (pJ) of the layer
"""

# One file: the model's equations in the order in which they build on each other.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from math import ceil, inf, prod

LOOPS = ("B", "OH", "OW", "IC", "OC")
Tile = tuple[int, ...]  # elements of a tile along each of LOOPS

# The loops that each tensor's address depends on; any other loop finds the same block again.
INDEXED_BY = {"W": ("IC", "OC"), "A": ("B", "OH", "OW", "IC"), "Q": ("B", "OH", "OW", "OC")}

MEMORIES = ("weight_buffer", "input_buffer", "output_buffer", "dram")
ACTIONS = (
    *("array_operations", "array_cycles", "array_stall_cycles", "vector_operations"),
    *(f"{memory}_{way}_bits" for memory in MEMORIES for way in ("read", "write")),
)

PADDED_WITH = (
    lambda place, image: place,
    lambda place, image: (image - 1) - abs((image - 1) - abs(place)),
    lambda place, image: min(max(place, 0), image - 1),
    lambda place, image: place % image,
)
"""The line of an image that lies at a place: none in zeros, else reflected, replicated or
circular."""


@dataclass(frozen=True)
class ReferenceLayer:
    """A convolution; the channels are those of one group."""

    groups: int
    batch: int
    out_rows: int
    out_columns: int
    in_channels: int
    out_channels: int
    kernel_rows: int
    kernel_columns: int
    row_stride: int
    column_stride: int
    row_dilation: int
    column_dilation: int
    row_padding: int  # above and, below, left of the map
    column_padding: int
    in_rows: int
    in_columns: int
    padding_mode: int = 0  # what the padding holds: an index into PADDED_WITH

    @property
    def dimensions(self) -> tuple[int, ...]:
        return self.batch, self.out_rows, self.out_columns, self.in_channels, self.out_channels

    @property
    def depth(self) -> dict[str, int]:
        """What is to be said of a map's planes; nothing of a flat one."""
        return {}

    def touched_rows(self, t: int) -> list[int]:
        """Image rows under the windows of each tile of ``t`` output rows."""
        windows = self.kernel_rows, self.row_stride, self.row_dilation, self.row_padding
        return touched_lines(self.out_rows, t, *windows, self.in_rows, self.padding_mode)


@dataclass(frozen=True)
class ReferenceWidths:
    """Bits per element: in the array and its buffers, ``stored`` in DRAM; 0 where none moves."""

    weight_bits: int
    activation_bits: int
    stored_weight_bits: int
    stored_input_bits: int
    stored_output_bits: int
    residual_bits: int  # fetched per output element for the residual addition
    buffered_input_bits: int  # activation_bits, or 0 if the input is on chip already
    accumulator_bits: int  # a partial sum, in the output buffer and in DRAM
    requantise_inputs: bool  # by the vector unit, as they enter the input buffer
    requantise_weights: bool = False  # that are activations; as they enter the weight buffer
    drain_operations: int = 1  # of the vector unit for each output


@dataclass(frozen=True)
class ReferenceMachine:
    """An array with its vector unit, three double buffers, DRAM link and energy costs."""

    rows: int
    lanes: int  # products per row and cycle
    columns: int
    windows: int  # rectangles of output positions side by side
    window_rows: int  # of output positions in a rectangle
    window_columns: int
    cycles_per_step: int
    stagger: int  # array steps that share one slot of cycles_per_step
    ramp: int  # cycles added once to the array's work
    fill: int  # cycles added once to the time of the layer, not to the array's work
    block_overhead: int  # cycles added to every block of positions and columns of a tile
    stream_overhead: int  # cycles added to every step of lanes and column block of a tile
    operations_per_mac: int
    vector_lanes: int
    lane_rules: tuple[str, ...]  # some of 'channels', 'kernel-row' and 'window'
    dram_bits_per_cycle: float
    dram_latency_cycles: int
    burst_bits: int
    weight_room: int  # bits that one block may take of a buffer; likewise the two below
    input_room: int
    output_room: int
    action_pj: tuple[float, ...]  # one for each of ACTIONS
    static_pj_per_cycle: float
    single_buffers: frozenset[str] = frozenset()  # of W, A, Q: exchanged when a tile is done


@dataclass(frozen=True)
class Outcome:
    """What one mapping costs; ``counts`` says how often each of ACTIONS happens."""

    cycles: int
    compute_cycles: int
    counts: tuple[int, ...]
    energy_pj: float
    tile: Tile
    order: tuple[str, ...]  # innermost loop first; loops of one iteration may be left out
    rule: str


def mappings(
    layer: ReferenceLayer, widths: ReferenceWidths, machine: ReferenceMachine
) -> Iterator[Outcome]:
    """Yield the cost of every mapping that fits the buffers."""
    sizes = [{ceil_div(D, n) for n in range(1, D + 1)} for D in layer.dimensions]
    for tile in product(*sizes):
        for rule in machine.lane_rules:
            facts = tile_facts(layer, widths, machine, tile, rule)
            if facts is not None:
                for order in permutations(loop for loop in LOOPS if facts.counts[loop] > 1):
                    yield from prices(facts, order)


def evaluate(
    layer: ReferenceLayer,
    widths: ReferenceWidths,
    machine: ReferenceMachine,
    tile: Tile,
    order: tuple[str, ...],
    rule: str,
) -> list[Outcome]:
    """Price all blocks of one tiling, loop order and lane rule; none if a tile does not fit."""
    facts = tile_facts(layer, widths, machine, tile, rule)
    if facts is None:
        return []
    needed = {loop for loop in LOOPS if facts.counts[loop] > 1}
    if not needed <= set(order) <= set(LOOPS) or len(set(order)) < len(order):
        raise ValueError(f"order must name each of {sorted(needed)} once, not {order}")
    return list(prices(facts, tuple(loop for loop in order if loop in needed)))


def best(
    layer: ReferenceLayer,
    widths: ReferenceWidths,
    machine: ReferenceMachine,
    objective: str,
    cycle_limit: int | None = None,
) -> Outcome | None:
    """Return the mapping least in 'latency', 'energy' or 'edp' that meets the limit, if any."""

    def rank(m: Outcome) -> tuple[float, float]:
        T, E = m.cycles, m.energy_pj
        return {"latency": (T, E), "energy": (E, T), "edp": (E * T, T)}[objective]

    limit = cycle_limit if cycle_limit is not None else inf
    allowed = (m for m in mappings(layer, widths, machine) if m.cycles <= limit)
    return min(allowed, key=rank, default=None)


def pareto(
    layer: ReferenceLayer, widths: ReferenceWidths, machine: ReferenceMachine
) -> list[tuple[int, float]]:
    """The cycles and energies (pJ) that no mapping beats in both, by rising cycles."""
    front: list[tuple[int, float]] = []
    for cycles, energy in sorted((m.cycles, m.energy_pj) for m in mappings(layer, widths, machine)):
        if not front or energy < front[-1][1]:
            front.append((cycles, energy))
    return front


@dataclass(frozen=True)
class TileFacts:
    """All that follows from a tile and a lane rule; the dictionaries of three are by tensor."""

    layer: ReferenceLayer
    widths: ReferenceWidths
    machine: ReferenceMachine
    tile: Tile
    rule: str
    counts: dict[str, int]  # iterations of each loop
    elements: dict[str, int]  # of a full tile, that cross between DRAM and its buffer
    capacity: dict[str, int]  # bits that a full tile takes up in its buffer
    lines: dict[str, tuple[list[int], int]]  # image rows and columns: of each tile, of all at once
    room: dict[str, int]  # bits that a block may take up there
    layer_elements: dict[str, int]  # that cross if every tile of every group does so once
    expanded_inputs: int | None  # that enter the input buffer, windows laid out, if they are
    compute_cycles: int  # of the whole layer
    array_side: dict[str, int]  # bits that the array reads and writes, over the whole layer


def tile_facts(
    layer: ReferenceLayer, widths: ReferenceWidths, machine: ReferenceMachine, tile: Tile, rule: str
) -> TileFacts | None:
    """Work out the facts of a tile under a lane rule; None if a buffer is too small for it."""
    b, oh, ow, ic, oc = tile
    G, (B, OH, OW, IC, OC) = layer.groups, layer.dimensions
    kernel = layer.kernel_rows * layer.kernel_columns
    across = layer.kernel_columns, layer.column_stride, layer.column_dilation, layer.column_padding
    horizontal = *across, layer.in_columns, layer.padding_mode
    rows, columns = layer.touched_rows(oh), touched_lines(OW, ow, *horizontal)
    inputs, layer_inputs = b * ic * max(rows) * max(columns), B * IC * G * sum(rows) * sum(columns)
    # Under the window rule every output position has its own copy of its window on chip.
    expand = rule == "window"
    held_inputs = b * ic * oh * ow * kernel if expand else inputs
    held_outputs = b * oh * ow * ceil_div(oc, machine.columns) * machine.columns
    capacity = {
        "W": kernel * ic * oc * widths.weight_bits,
        "A": held_inputs * widths.buffered_input_bits,
        "Q": held_outputs * widths.accumulator_bits,
    }
    room = {"W": machine.weight_room, "A": machine.input_room, "Q": machine.output_room}
    if any(capacity[X] > room[X] for X in capacity):
        return None
    return TileFacts(
        *(layer, widths, machine, tile, rule),
        counts={n: ceil_div(D, t) for n, D, t in zip(LOOPS, layer.dimensions, tile, strict=True)},
        elements={"W": kernel * ic * oc, "A": inputs, "Q": b * oh * ow * oc},
        capacity=capacity,
        lines={
            "OH": (rows, layer.touched_rows(OH)[0]),
            "OW": (columns, touched_lines(OW, OW, *horizontal)[0]),
        },
        room=room,
        layer_elements={"W": kernel * IC * OC * G, "A": layer_inputs, "Q": B * OH * OW * OC * G},
        expanded_inputs=B * OH * OW * kernel * IC * G if expand else None,
        compute_cycles=compute_cycles(layer, machine, tile, rule),
        array_side=array_side(layer, widths, machine, tile, rule),
    )


def touched_lines(outputs: int, t: int, *windows: int) -> list[int]:
    """Image rows (or columns) under the windows of each tile of ``t`` output rows (or columns).

    A line of zeros around the image is none of it; other padding repeats lines of the image.
    """
    kernel, stride, dilation, padding, image, mode = windows
    touched = []
    for first in range(0, outputs, t):
        tile = range(first, min(first + t, outputs))
        places = {o * stride - padding + k * dilation for o in tile for k in range(kernel)}
        lines = {PADDED_WITH[mode](place, image) for place in places}
        touched.append(len(lines & set(range(image))))
    return touched


def lane_steps(layer: ReferenceLayer, machine: ReferenceMachine, ic: int, rule: str) -> int:
    """R for ``ic`` input channels."""
    KH, KW, N, pf = layer.kernel_rows, layer.kernel_columns, machine.rows, machine.lanes
    return {
        "channels": KH * KW * ceil_div(ic, N * pf),
        "kernel-row": KH * ceil_div(KW * ceil_div(ic, N), pf),
        "window": ceil_div(KH * KW * ic, N * pf),
    }[rule]


def position_blocks(machine: ReferenceMachine, oh: int, ow: int) -> int:
    """Blocks of output positions side by side that take in a tile of one input."""
    rectangles = ceil_div(oh, machine.window_rows) * ceil_div(ow, machine.window_columns)
    return ceil_div(rectangles, machine.windows)


def array_work(
    layer: ReferenceLayer, machine: ReferenceMachine, tile: Tile, rule: str
) -> tuple[int, int]:
    """Steps of the array for one tile of this size, and its cycles beside them."""
    b, oh, ow, ic, oc = tile
    across, R = ceil_div(oc, machine.columns), lane_steps(layer, machine, ic, rule)
    blocks = b * position_blocks(machine, oh, ow) * across
    return blocks * R, blocks * machine.block_overhead + across * R * machine.stream_overhead


def compute_cycles(layer: ReferenceLayer, machine: ReferenceMachine, tile: Tile, rule: str) -> int:
    """Cycles the array works over all groups, each tile at its true size."""
    cuts = [true_sizes(D, t) for D, t in zip(layer.dimensions, tile, strict=True)]
    work = [array_work(layer, machine, sizes, rule) for sizes in product(*cuts)]
    steps, more = (sum(of) * layer.groups for of in zip(*work, strict=True))
    return ceil_div(steps, machine.stagger) * machine.cycles_per_step + more + machine.ramp


def array_side(
    layer: ReferenceLayer, widths: ReferenceWidths, machine: ReferenceMachine, tile: Tile, rule: str
) -> dict[str, int]:
    """Bits between the buffers and the array, output or weight stationary: the less energy."""
    G, (B, OH, OW, IC, OC) = layer.groups, layer.dimensions
    cuts = [true_sizes(D, t) for D, t in zip(layer.dimensions, tile, strict=True)]
    b_cut, oh_cut, ow_cut, ic_cut, oc_cut = cuts
    kernel = layer.kernel_rows * layer.kernel_columns
    weights = kernel * IC * OC * G * widths.weight_bits
    sums = B * OH * OW * OC * G * widths.accumulator_bits
    visits = len(b_cut) * len(oh_cut) * len(ow_cut)
    positions = B * sum(position_blocks(machine, oh, ow) for oh in oh_cut for ow in ow_cut)
    updates = sum(lane_steps(layer, machine, ic, rule) for ic in ic_cut)
    choices = [  # weight buffer read, output buffer read and write; min keeps the first of equals
        (positions * weights, sums * len(ic_cut), sums * len(ic_cut)),  # output stationary
        (visits * weights, sums * updates, sums * updates),  # weight stationary
    ]
    pj = dict(zip(ACTIONS, machine.action_pj, strict=True))
    names = "weight_buffer_read_bits", "output_buffer_read_bits", "output_buffer_write_bits"
    chosen = min(choices, key=lambda c: sum(n * pj[name] for n, name in zip(c, names, strict=True)))
    column_blocks = sum(ceil_div(oc, machine.columns) for oc in oc_cut)
    input_read = B * OH * OW * column_blocks * kernel * IC * G * widths.activation_bits
    return dict(zip(names, chosen, strict=True)) | {"input_buffer_read_bits": input_read}


@dataclass(frozen=True)
class Residency:
    """What of one tensor stays in its buffer."""

    block: int  # elements that are transferred at a time
    trips: int  # times that the whole tensor is transferred
    moves_from: int  # position of the loop at which, and outside which, blocks are transferred
    elements: int  # that cross if every block of every group does so once


def residencies(facts: TileFacts, order: tuple[str, ...], X: str) -> list[Residency]:
    """What of X may stay, from a single tile outwards.

    A block takes in one loop more only if that saves traffic (another loop reuses it for free
    before the next one, or its tiles share image lines) and only if it fits.
    """
    found: list[Residency] = []
    inside: set[str] = set()
    saves = True
    for position, loop in enumerate(order):
        if loop not in INDEXED_BY[X]:
            saves = True
            continue
        if saves:
            found.append(residency(facts, order, X, inside, position))
        if block(facts, X, inside | {loop})[1] > facts.room[X]:
            return found
        before = distinct_elements(facts, X, inside)
        inside = inside | {loop}
        saves = distinct_elements(facts, X, inside) < before
    if saves:
        found.append(residency(facts, order, X, inside, len(order)))
    return found


def residency(
    facts: TileFacts, order: tuple[str, ...], X: str, inside: set[str], moves_from: int
) -> Residency:
    """X's block if it takes in the loops ``inside`` and is exchanged from a position on."""
    # The loop over groups, at position len(order), lies outside all and always brings new blocks.
    outside = order[moves_from:]
    trips = prod(facts.counts[loop] for loop in outside if loop not in INDEXED_BY[X])
    elements = distinct_elements(facts, X, inside)
    return Residency(block(facts, X, inside)[0], trips, moves_from, elements)


def distinct_elements(facts: TileFacts, X: str, inside: set[str]) -> int:
    """Elements that cross if every block of every group does so once."""
    if X != "A":
        return facts.layer_elements[X]
    elements = facts.layer.batch * facts.layer.in_channels * facts.layer.groups
    for loop, (of_tiles, together) in facts.lines.items():
        elements *= together if loop in inside else sum(of_tiles)
    return elements


def block(facts: TileFacts, X: str, inside: set[str]) -> tuple[int, int]:
    """Elements and bits of X's block if all iterations of the loops ``inside`` lie in it.

    Tiles of one map that lie in a block together share the image lines that both touch.
    """
    if X != "A":
        n = prod(facts.counts[loop] for loop in inside & set(INDEXED_BY[X]))
        return facts.elements[X] * n, facts.capacity[X] * n
    layer, (b, oh, ow, ic, _) = facts.layer, facts.tile
    n = b * ic * prod(facts.counts[loop] for loop in inside & {"B", "IC"})
    rows, columns = (
        together if loop in inside else max(of_tiles)
        for loop, (of_tiles, together) in facts.lines.items()
    )
    held = n * rows * columns
    if facts.rule == "window":
        held = n * layer.kernel_rows * layer.kernel_columns
        held *= layer.out_rows if "OH" in inside else oh
        held *= layer.out_columns if "OW" in inside else ow
    return n * rows * columns, held * facts.widths.buffered_input_bits


def block_bits(facts: TileFacts, kept: Residency, bits: int) -> int:
    """What DRAM moves, whole bursts, for a block of elements of so many bits."""
    burst = facts.machine.burst_bits
    return ceil_div(kept.block * bits, burst) * burst


def prices(facts: TileFacts, order: tuple[str, ...]) -> Iterator[Outcome]:
    """Price every choice of blocks under one loop order."""
    for kept in product(*(residencies(facts, order, X) for X in INDEXED_BY)):
        yield price(facts, order, dict(zip(INDEXED_BY, kept, strict=True)))


def price(facts: TileFacts, order: tuple[str, ...], kept: dict[str, Residency]) -> Outcome:
    """Price one mapping that fits."""
    layer, widths, machine = facts.layer, facts.widths, facts.machine
    T = total_cycles(facts, order, kept)
    weights, inputs, outputs = (kept[X].elements for X in "WAQ")
    macs = outputs * layer.in_channels * layer.kernel_rows * layer.kernel_columns
    finishing = outputs * (widths.drain_operations + (widths.residual_bits > 0))
    entering = inputs * kept["A"].trips if widths.requantise_inputs else 0
    entering += weights * kept["W"].trips if widths.requantise_weights else 0
    buffered_inputs = (facts.expanded_inputs or inputs) * kept["A"].trips
    count = facts.array_side | dram_traffic(facts, kept)
    count |= {
        "array_operations": macs * machine.operations_per_mac,
        "array_cycles": facts.compute_cycles,
        "array_stall_cycles": T - facts.compute_cycles,
        "vector_operations": finishing + entering,
        "weight_buffer_write_bits": weights * kept["W"].trips * widths.weight_bits,
        "input_buffer_write_bits": buffered_inputs * widths.buffered_input_bits,
    }
    counts = tuple(count[action] for action in ACTIONS)
    energy = sum(n * pj for n, pj in zip(counts, machine.action_pj, strict=True))
    energy += T * machine.static_pj_per_cycle
    return Outcome(T, facts.compute_cycles, counts, energy, facts.tile, order, facts.rule)


def dram_traffic(facts: TileFacts, kept: dict[str, Residency]) -> dict[str, int]:
    """Bits read from and written to DRAM; a block is whole bursts, an edge block in proportion."""

    def dram(X: str, bits: int) -> int:
        blocks_of = kept[X].block or 1  # 0 if all its windows lie in the padding
        return kept[X].elements * block_bits(facts, kept[X], bits) // blocks_of

    widths = facts.widths
    spills = (kept["Q"].trips - 1) * dram("Q", widths.accumulator_bits)
    weights = dram("W", widths.stored_weight_bits) * kept["W"].trips
    inputs = dram("A", widths.stored_input_bits) * kept["A"].trips
    read = weights + inputs + spills + dram("Q", widths.residual_bits)
    write = dram("Q", widths.stored_output_bits) + spills
    return {"dram_read_bits": read, "dram_write_bits": write}


def total_cycles(facts: TileFacts, order: tuple[str, ...], kept: dict[str, Residency]) -> int:
    """T: transfers, array and vector unit overlap, and the slowest sets the time of each step; what
    has a single buffer is transferred after that."""
    layer, widths, machine = facts.layer, facts.widths, facts.machine
    BW = machine.dram_bits_per_cycle
    weights = block_bits(facts, kept["W"], widths.stored_weight_bits)
    inputs = block_bits(facts, kept["A"], widths.stored_input_bits)
    store = block_bits(facts, kept["Q"], widths.stored_output_bits)
    finish = store + block_bits(facts, kept["Q"], widths.residual_bits)
    partial = block_bits(facts, kept["Q"], widths.accumulator_bits)
    outputs = finish if kept["Q"].trips == 1 else max(finish, partial) + partial
    transfer = {"W": ceil(weights / BW), "A": ceil(inputs / BW), "Q": ceil(outputs / BW)}

    b, oh, ow, _, oc = facts.tile
    steps, more = array_work(layer, machine, facts.tile, facts.rule)
    c = ceil_div(steps, machine.stagger) * machine.cycles_per_step + more
    d = b * oh * ow * ceil_div(oc, machine.vector_lanes) * widths.drain_operations
    T = machine.dram_latency_cycles + ceil((weights + inputs) / BW)
    loop_counts = [*(facts.counts[loop] for loop in order), layer.groups]
    for position, n in enumerate(loop_counts):
        k = (n - 1) * prod(loop_counts[position + 1 :])
        moves = {X for X in kept if kept[X].moves_from <= position}
        m = sum(transfer[X] for X in moves - machine.single_buffers)
        T += k * (max(c, m, d) + sum(transfer[X] for X in moves & machine.single_buffers))
    return T + max(c, d) + machine.ramp + machine.fill + ceil(finish / BW)


def ceil_div(numerator: int, denominator: int) -> int:
    """The quotient rounded up, in exact integers."""
    return -(-numerator // denominator)


def true_sizes(D: int, t: int) -> list[int]:
    """The sizes of the tiles that D is cut into, the last one possibly smaller than ``t``."""
    return [min(t, D - first) for first in range(0, D, t)]
