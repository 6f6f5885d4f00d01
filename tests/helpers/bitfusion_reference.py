"""The published Bit Fusion cost model, written out as plainly as its equations.

Bit Fusion (Sharma et al., ISCA 2018) is an array of N rows by M columns of Fusion Units that trade
operand precision for parallelism.  Its published simulator (github.com/hsharma35/bitfusion, commit
04ec1c8) prices one layer at a time: it tries every power-of-two tiling with every order of the five
tile loops and keeps the fastest, then the least energy.  This module restates that model, quirks
included, as the brute force that an optimised mapper is tested against.  Nothing here is merged,
pruned or vectorised.

Symbols, as used throughout (sizes in elements unless a name ends in ``bits``):

=========  ======================================================================================
K, O, S    kernel side, output side, stride (maps and kernels are square)
IC, OC, B  input channels, output channels, batch
a, w       bits per activation, bits per weight; outputs and partial sums always have 32 bits
b, o,      the tile of B, of the output side, of IC and of OC; K is never tiled
ic, oc
G          reduction lanes per column: N Fusion Units times the products each makes per cycle
W, A, Q    the three tensors: weights, activations (input), outputs (partial sums)
X          bits of one tensor that cross between DRAM and its buffer over the whole layer
R          bits of the largest block of one tensor that stays resident in its buffer
=========  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

SUM_BITS = 32
LOOPS = ("B", "OW", "OH", "IC", "OC")
ORDERS_INNER_TO_OUTER = tuple(permutations(LOOPS))

# The loops that each tensor's address depends on; any other loop finds the same block again.
WEIGHT_LOOPS = frozenset({"IC", "OC"})
INPUT_LOOPS = frozenset({"B", "OW", "OH", "IC"})
OUTPUT_LOOPS = frozenset({"B", "OW", "OH", "OC"})


class ReferenceRejects(ValueError):
    """The published tool cannot price this layer on this machine; the message says why."""


@dataclass(frozen=True)
class ReferenceLayer:
    """A convolution; a fully connected layer is one with K = O = S = 1."""

    K: int
    """Kernel side."""
    O: int  # noqa: E741 - the symbol of the equations
    """Output side."""
    S: int
    """Stride."""
    IC: int
    """Input channels."""
    OC: int
    """Output channels."""
    B: int
    """Batch."""
    a: int
    """Bits per activation."""
    w: int
    """Bits per weight."""
    im2col: bool
    """Whether the input arrives unrolled, one K*K*IC column per output position."""


@dataclass(frozen=True)
class ReferenceMachine:
    """An array of N x M Fusion Units with its three buffers, DRAM link and energy costs."""

    N: int
    """Rows: Fusion Units that add into one column."""
    M: int
    """Columns: output channels computed side by side."""
    pmax: int
    """Bits of the widest operand a Fusion Unit takes."""
    pmin: int
    """Bits of the narrowest operand that still makes it faster."""
    bw: int
    """DRAM bandwidth in bits per cycle."""
    wbuf: int
    """Weight buffer in bytes."""
    ibuf: int
    """Input buffer in bytes."""
    obuf: int
    """Output buffer in bytes."""
    core_pj: float
    """Energy of the whole array per compute cycle, in pJ."""
    wbuf_read_pj: float
    """Weight buffer read, in pJ per bit; likewise the five below."""
    wbuf_write_pj: float
    ibuf_read_pj: float
    ibuf_write_pj: float
    obuf_read_pj: float
    obuf_write_pj: float
    dram_pj: float
    """DRAM read or write, in pJ per bit."""


@dataclass(frozen=True)
class Tile:
    """One choice of tile sizes, and all that follows from it whatever the loop order."""

    counts: dict[str, int]
    """Iterations of each tile loop (edge tiles count in full)."""
    weight_bits: int
    """W0: one weight tile as stored, in bits; the two below likewise for A0 and Q0."""
    input_bits: int
    output_bits: int
    compute_cycles: int
    """Cycles the array works, over all tiles."""
    wbuf_read_bits: int
    """Bits the array reads from the weight buffer, over all tiles; the input buffer likewise."""
    ibuf_read_bits: int
    obuf_access_bits: int
    """Bits of partial sums the array reads from the output buffer; it writes as many back."""


def search(layer: ReferenceLayer, machine: ReferenceMachine) -> dict[str, float]:
    """Return the counters of the fastest mapping, of equally fast ones the least in energy.

    The keys are cycles, mem_wait_cycles, compute_cycles, energy_total_nJ and, for wbuf, obuf, ibuf
    and dram, ``<memory>_read_bits`` and ``<memory>_write_bits``.  Several mappings often reach the
    optimum; compare counters, not mappings.
    """
    best: dict[str, float] | None = None
    for tile in feasible_tiles(layer, machine):
        for order in ORDERS_INNER_TO_OUTER:
            cost = mapping_cost(tile, order, machine)
            if best is None or rank(cost) < rank(best):
                best = cost
    if best is None:
        raise ReferenceRejects(
            "no tile fits: even the smallest needs more than half of one of the buffers"
        )
    return best


def rank(cost: dict[str, float]) -> tuple[float, float]:
    """What the search minimises: total cycles, then energy."""
    return cost["cycles"], cost["energy_total_nJ"]


# ---- Tiles ---------------------------------------------------------------------------------------


def products_per_unit(layer: ReferenceLayer, machine: ReferenceMachine) -> int:
    """pf, the products one Fusion Unit makes per cycle; operands below pmin gain nothing more."""
    for name, bits in (("activations", layer.a), ("weights", layer.w)):
        if bits > machine.pmax:
            raise ReferenceRejects(
                f"{name} have {bits} bits, but a Fusion Unit takes at most {machine.pmax}"
            )
    per_input = machine.pmax // max(layer.a, machine.pmin)
    per_weight = machine.pmax // max(layer.w, machine.pmin)
    return per_input * per_weight


def feasible_tiles(layer: ReferenceLayer, machine: ReferenceMachine) -> Iterator[Tile]:
    """Yield every power-of-two tile whose three blocks each fit half of their buffer."""
    G = machine.N * products_per_unit(layer, machine)
    smallest_oc = 1 if layer.im2col else machine.M
    sizes = product(
        doublings(1, layer.B),
        doublings(1, layer.O),
        doublings(1, layer.IC),
        doublings(smallest_oc, layer.OC),
    )
    for b, o, ic, oc in sizes:
        tile = make_tile(b, o, ic, oc, G, layer, machine)
        if (
            tile.weight_bits <= half_buffer_bits(machine.wbuf)
            and tile.input_bits <= half_buffer_bits(machine.ibuf)
            and tile.output_bits <= half_buffer_bits(machine.obuf)
        ):
            yield tile


def make_tile(
    b: int, o: int, ic: int, oc: int, G: int, layer: ReferenceLayer, machine: ReferenceMachine
) -> Tile:
    """Work out the facts of one tile.  Storage packs K*K*ic into G lanes, with im2col or not."""
    K, S, a, w = layer.K, layer.S, layer.a, layer.w
    rows = ceil_div(layer.O, o)
    counts = {
        "B": ceil_div(layer.B, b),
        "OW": rows,
        "OH": rows,
        "IC": ceil_div(layer.IC, ic),
        "OC": ceil_div(layer.OC, oc),
    }
    T = counts["B"] * counts["OW"] * counts["OH"] * counts["IC"] * counts["OC"]
    column_blocks = ceil_div(oc, machine.M)
    if layer.im2col:
        lane_steps = ceil_div(K * K * ic, G)
        inputs = o * o * K * K * ic * b
    else:
        lane_steps = K * K * ceil_div(ic, G)
        inputs = (K + (o - 1) * S) ** 2 * ic * b

    wbuf_read, ibuf_read, obuf_access = array_traffic(
        b, o, ic, oc, padded_oc=column_blocks * machine.M, padded_depth=lane_steps * G, layer=layer
    )
    return Tile(
        counts=counts,
        weight_bits=ceil_div(K * K * ic, G) * G * oc * w,
        input_bits=inputs * a,
        output_bits=o * o * column_blocks * machine.M * b * SUM_BITS,
        compute_cycles=T * b * o * o * column_blocks * lane_steps,
        wbuf_read_bits=T * wbuf_read,
        ibuf_read_bits=T * ibuf_read,
        obuf_access_bits=T * obuf_access,
    )


def array_traffic(
    b: int, o: int, ic: int, oc: int, padded_oc: int, padded_depth: int, layer: ReferenceLayer
) -> tuple[int, int, int]:
    """Return the bits that the array takes from wbuf, from ibuf and from obuf for one tile.

    The stationary operand is chosen on the padded loops, the traffic is counted on the true ones.
    ``min`` keeps the first of equals: input, then output, then weight stationary.
    """
    K, a, w = layer.K, layer.a, layer.w
    i, q, s = padded_oc, padded_depth, b * o * o
    choice_cost = {
        "input": q * s * (a + i * (w + SUM_BITS)),
        "output": i * s * (SUM_BITS + q * (a + w)),
        "weight": q * i * (w + s * (a + SUM_BITS)),
    }
    stationary = min(choice_cost, key=choice_cost.__getitem__)

    depth = K * K * ic
    macs = depth * s * oc
    if stationary == "input":
        return macs * w, depth * s * a, macs * SUM_BITS
    if stationary == "output":
        return macs * w, macs * a, s * oc * SUM_BITS
    return depth * oc * w, macs * a, macs * SUM_BITS


# ---- One mapping: a tile and a loop order --------------------------------------------------------


def mapping_cost(
    tile: Tile, inner_to_outer: tuple[str, ...], machine: ReferenceMachine
) -> dict[str, float]:
    """Price one tile under one loop order.  Partial sums are fetched even the first time."""
    X_W, R_W = promote(
        tile.weight_bits, WEIGHT_LOOPS, half_buffer_bits(machine.wbuf), inner_to_outer, tile.counts
    )
    X_A, R_A = promote(
        tile.input_bits, INPUT_LOOPS, half_buffer_bits(machine.ibuf), inner_to_outer, tile.counts
    )
    X_Q, R_Q = promote(
        tile.output_bits, OUTPUT_LOOPS, half_buffer_bits(machine.obuf), inner_to_outer, tile.counts
    )
    dram_read, dram_write = X_W + X_A + X_Q, X_Q
    stall = stall_cycles(dram_read + dram_write, R_W + R_A + R_Q, R_Q, tile, machine)
    cost: dict[str, float] = {
        "cycles": tile.compute_cycles + stall,
        "mem_wait_cycles": stall,
        "compute_cycles": tile.compute_cycles,
        "wbuf_read_bits": tile.wbuf_read_bits,
        "wbuf_write_bits": X_W,
        "obuf_read_bits": tile.obuf_access_bits + X_Q,
        "obuf_write_bits": tile.obuf_access_bits + X_Q,
        "ibuf_read_bits": tile.ibuf_read_bits,
        "ibuf_write_bits": X_A,
        "dram_read_bits": dram_read,
        "dram_write_bits": dram_write,
    }
    cost["energy_total_nJ"] = energy_nj(cost, machine)
    return cost


def promote(
    tile_bits: int,
    dependence: frozenset[str],
    half_buffer: int,
    inner_to_outer: tuple[str, ...],
    counts: dict[str, int],
) -> tuple[int, int]:
    """Return X and R of one tensor, in bits: what is moved, and the largest resident block.

    While the block still fits, a loop that the tensor does not depend on reuses it for nothing and
    one that it depends on makes it grow.  Once it has outgrown half the buffer, every loop further
    out moves it all again.
    """
    moved = resident = tile_bits
    fits = True
    for loop in inner_to_outer:
        if fits and loop not in dependence:
            continue
        moved *= counts[loop]
        fits = fits and moved <= half_buffer
        if fits:
            resident = moved
    return moved, resident


def stall_cycles(
    dram_bits: int, first_bits: int, last_bits: int, tile: Tile, machine: ReferenceMachine
) -> int:
    """Cycles the array waits: the first fetch and last store in full, and what compute can't hide.

    ``first_bits`` is R_W + R_A + R_Q, ``last_bits`` is R_Q.
    """
    latency = ceil_div(first_bits, machine.bw) + ceil_div(last_bits, machine.bw)
    rest = ceil_div(dram_bits - first_bits - last_bits, machine.bw)
    return max(0, rest - tile.compute_cycles) + latency


def energy_nj(cost: dict[str, float], machine: ReferenceMachine) -> float:
    """Energy of the layer in nJ.  The array is charged for compute cycles only, not for stalls."""
    picojoules = (
        cost["compute_cycles"] * machine.core_pj
        + cost["wbuf_read_bits"] * machine.wbuf_read_pj
        + cost["wbuf_write_bits"] * machine.wbuf_write_pj
        + cost["ibuf_read_bits"] * machine.ibuf_read_pj
        + cost["ibuf_write_bits"] * machine.ibuf_write_pj
        + cost["obuf_read_bits"] * machine.obuf_read_pj
        + cost["obuf_write_bits"] * machine.obuf_write_pj
        + (cost["dram_read_bits"] + cost["dram_write_bits"]) * machine.dram_pj
    )
    return picojoules / 1000


# ---- Small helpers -------------------------------------------------------------------------------


def ceil_div(numerator: int, denominator: int) -> int:
    """The quotient rounded up, in exact integers."""
    return -(-numerator // denominator)


def half_buffer_bits(buffer_bytes: int) -> int:
    """Bits that a double-buffered memory offers to one block."""
    return buffer_bytes * 8 // 2


def doublings(first: int, full: int) -> list[int]:
    """The sizes first, 2 first, 4 first, ... below ``full``, then ``full`` itself."""
    sizes = []
    while first < full:
        sizes.append(first)
        first *= 2
    return [*sizes, full]


# ---- Published rows ------------------------------------------------------------------------------


def from_row(row: dict[str, str]) -> tuple[ReferenceLayer, ReferenceMachine]:
    """Read the layer and the machine of one row of the published results (a ``csv.DictReader``)."""
    layer = ReferenceLayer(
        K=int(row["K"]),
        O=int(row["O"]),
        S=int(row["S"]),
        IC=int(row["IC"]),
        OC=int(row["OC"]),
        B=int(row["batch"]),
        a=int(row["iprec"]),
        w=int(row["wprec"]),
        im2col=bool(int(row["im2col"])),
    )
    machine = ReferenceMachine(
        N=int(row["N"]),
        M=int(row["M"]),
        pmax=int(row["pmax"]),
        pmin=int(row["pmin"]),
        bw=int(row["bw_bits_per_cycle"]),
        wbuf=int(row["wbuf_bytes"]),
        ibuf=int(row["ibuf_bytes"]),
        obuf=int(row["obuf_bytes"]),
        core_pj=float(row["e_core_pJ_per_cycle"]),
        wbuf_read_pj=float(row["e_wbuf_rd_pJ_per_bit"]),
        wbuf_write_pj=float(row["e_wbuf_wr_pJ_per_bit"]),
        ibuf_read_pj=float(row["e_ibuf_rd_pJ_per_bit"]),
        ibuf_write_pj=float(row["e_ibuf_wr_pJ_per_bit"]),
        obuf_read_pj=float(row["e_obuf_rd_pJ_per_bit"]),
        obuf_write_pj=float(row["e_obuf_wr_pJ_per_bit"]),
        dram_pj=float(row["e_dram_pJ_per_bit"]),
    )
    return layer, machine
