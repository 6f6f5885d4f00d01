"""A chosen mapping tile by tile: every block is the set of elements that its tiles really use."""

from __future__ import annotations

from itertools import pairwise, product
from math import ceil

import default_reference as reference
import pytest
from depth_reference import deep_layers
from hypothesis import given, settings
from hypothesis import strategies as st
from random_problems import layers, machines, reference_problem, widths

from accel_models import InfeasibleError
from accel_models.mapping.problem import ACTIONS, EDP, LOOPS, NEVER, Found, Mapping, Problem
from accel_models.mapping.search import as_packed, number_of_steps, price, search, steps

READ, WRITTEN = ACTIONS.index("dram_read_bits"), ACTIONS.index("dram_write_bits")
STALL = ACTIONS.index("array_stall_cycles")
INDEXED_BY = {
    "weights": ("in_channels", "out_channels"),
    "inputs": ("batch", "out_rows", "out_columns", "in_channels"),
    "outputs": ("batch", "out_rows", "out_columns", "out_channels"),
}

Span = dict[str, range]


def tiles_in_order(p: Problem, found: Found) -> list[tuple[int, Span, dict[str, int]]]:
    """Every tile as (group, elements of each loop, number of the tile in each loop)."""
    sizes = (p.batch, p.out_rows, p.out_columns, p.in_channels, p.out_channels)
    tile, total = (dict(zip(LOOPS, of, strict=True)) for of in (found.mapping.tile, sizes))
    counts = {loop: ceil(total[loop] / tile[loop]) for loop in LOOPS}
    visits = []
    for group in range(p.groups):
        for numbers in product(*(range(counts[loop]) for loop in found.mapping.order)):
            at = dict(zip(found.mapping.order, numbers, strict=True))
            spans = {
                loop: range(at[loop] * tile[loop], min(total[loop], (at[loop] + 1) * tile[loop]))
                for loop in LOOPS
            }
            visits.append((group, spans, at))
    return visits


def elements(p: Problem, tensor: str, group: int, spans: Span) -> set[tuple[int, ...]]:
    """Elements of a tensor that a tile uses; of inputs, those inside the map."""
    if tensor == "weights":
        taps = product(range(p.kernel_rows), range(p.kernel_columns))
        return {
            (group, *tap, i, o)
            for tap in taps
            for i in spans["in_channels"]
            for o in spans["out_channels"]
        }
    if tensor == "outputs":
        loops = INDEXED_BY["outputs"]
        return {(group, *at) for at in product(*(spans[loop] for loop in loops))}
    down = rows_under(p, spans["out_rows"])
    columns = (p.kernel_columns, p.column_stride, p.column_dilation)
    across = lines(spans["out_columns"], columns, p.column_padding, p.in_columns, p.padding_mode)
    return {(group, *at) for at in product(spans["batch"], down, across, spans["in_channels"])}


def rows_under(p: Problem, outputs: range) -> set[tuple[int, int]]:
    """Rows of the input under windows, each with its plane."""
    found, rows, taps = set(), p.out_rows // p.planes, p.kernel_rows // p.kernel_planes
    for output in outputs:
        plane, row = divmod(output, rows)
        windows = (p.kernel_planes, p.plane_stride, p.plane_dilation)
        of_planes = lines(
            range(plane, plane + 1), windows, p.plane_padding, p.in_planes, p.padding_mode
        )
        windows = (taps, p.row_stride, p.row_dilation)
        of_rows = lines(range(row, row + 1), windows, p.row_padding, p.in_rows, p.padding_mode)
        found |= set(product(of_planes, of_rows))
    return found


def lines(
    outputs: range, windows: tuple[int, int, int], padding: int, size: int, mode: int
) -> set[int]:
    kernel, stride, dilation = windows
    places = {out * stride - padding + tap * dilation for out in outputs for tap in range(kernel)}
    found = {reference.PADDED_WITH[mode](place, size) for place in places}
    return {line for line in found if 0 <= line < size}


def blocks(p: Problem, found: Found, tensor: str) -> list[tuple[object, int]]:
    """For every tile, which block of a tensor holds what it uses, and how many elements it has."""
    counts = {
        loop: ceil(size / tile)
        for loop, size, tile in zip(
            LOOPS,
            (p.batch, p.out_rows, p.out_columns, p.in_channels, p.out_channels),
            found.mapping.tile,
            strict=True,
        )
    }
    running = [loop for loop in reversed(found.mapping.order) if counts[loop] > 1]
    stop = found.mapping.exchanged_from[list(INDEXED_BY).index(tensor)]
    outer = running[stop:]
    visits = tiles_in_order(p, found)
    names = [(group, *(at[loop] for loop in outer)) for group, _, at in visits]
    held: dict[object, set[tuple[int, ...]]] = {}
    for name, (group, spans, _) in zip(names, visits, strict=True):
        held.setdefault(name, set()).update(elements(p, tensor, group, spans))
    return [(name, len(held[name])) for name in names]


def bursts(p: Problem, bits: int) -> int:
    return ceil(bits / p.burst_bits) * p.burst_bits if p.burst_bits else bits


def walked(p: Problem, found: Found) -> list[dict[str, int]]:
    """What each tile brings and takes away, by comparing its blocks with those of its
    neighbours."""
    visits = tiles_in_order(p, found)
    weights, inputs, outputs = (blocks(p, found, tensor) for tensor in INDEXED_BY)
    key = [frozenset(elements(p, "outputs", group, spans)) for group, spans, _ in visits]
    rows = []
    for step in range(len(visits)):
        row = dict.fromkeys(("weights", "inputs", "sums", "stored", "restored", "residual"), 0)
        first = step == 0
        if first or weights[step][0] != weights[step - 1][0]:
            row["weights"] = bursts(p, weights[step][1] * p.stored_weight_bits)
        if first or inputs[step][0] != inputs[step - 1][0]:
            row["inputs"] = bursts(p, inputs[step][1] * p.stored_input_bits)
        before, after = key[:step], key[step + 1 :]
        sums = bursts(p, outputs[step][1] * p.accumulator_bits)
        if (first or outputs[step][0] != outputs[step - 1][0]) and key[step] in before:
            row["sums"] = sums
        if step == len(visits) - 1 or outputs[step][0] != outputs[step + 1][0]:
            if key[step] in after:
                row["restored"] = sums
            else:
                row["stored"] = bursts(p, outputs[step][1] * p.stored_output_bits)
                row["residual"] = bursts(p, outputs[step][1] * p.residual_bits)
        rows.append(row)
    return rows


def array_cycles(p: Problem, spans: Span, rule: str) -> int:
    window, rows = p.kernel_rows * p.kernel_columns, p.array_rows
    channels = len(spans["in_channels"])
    lanes = p.passes[0][0]
    reduction = {
        "channels": window * ceil(channels / (rows * lanes)),
        "kernel-row": p.kernel_rows * ceil(p.kernel_columns * ceil(channels / rows) / lanes),
        "window": ceil(window * channels / (rows * lanes)),
    }[rule]
    columns = ceil(len(spans["out_channels"]) / p.array_columns)
    across = ceil(len(spans["out_columns"]) / p.window_columns)
    places = ceil(ceil(len(spans["out_rows"]) / p.window_rows) * across / p.windows)
    blocks = len(spans["batch"]) * places * columns
    working = ceil(blocks * reduction / p.stagger) * p.cycles_per_step
    return working + blocks * p.block_overhead + columns * reduction * p.stream_overhead


@pytest.mark.slow
@settings(max_examples=250)
@given(layers | deep_layers(), widths, machines, st.booleans())
def test_steps_move_the_elements_that_their_tiles_use(
    layer: reference.ReferenceLayer,
    sizes: reference.ReferenceWidths,
    machine: reference.ReferenceMachine,
    frugal: bool,
) -> None:
    p = reference_problem(layer, sizes, machine)
    try:
        found = search(p, machine.action_pj, EDP if frugal else 0)
    except InfeasibleError:
        return
    expected, visits = walked(p, found), tiles_in_order(p, found)
    rows = steps(p, found.mapping).tolist()
    assert len(rows) == number_of_steps(as_packed(p, found.mapping.packed), found.mapping)
    names = ("weights", "inputs", "sums", "stored", "restored", "residual")
    assert [dict(zip(names, row[2:], strict=True)) for row in rows] == expected
    rule = found.mapping.lane_rule
    assert [row[0] for row in rows] == [array_cycles(p, spans, rule) for _, spans, _ in visits]

    priced = price(p, found)
    read = sum(row["weights"] + row["inputs"] + row["sums"] + row["residual"] for row in expected)
    assert priced.counts[READ] == read
    assert priced.counts[WRITTEN] == sum(row["stored"] + row["restored"] for row in expected)
    assert priced.first_weight_bits == expected[0]["weights"]
    assert priced.cycles == slot_by_slot(p, rows)
    assert priced.cycles <= found.cycles
    assert priced.counts[STALL] == priced.cycles - found.compute_cycles >= 0
    assert 0 <= priced.head_cycles <= priced.cycles
    if p.stagger == 1:
        assert sum(row[0] for row in rows) + p.ramp == found.compute_cycles


def slot_by_slot(p: Problem, rows: list[list[int]]) -> int:
    """The recurrence: latency, first load, the slowest of array, vector unit and DRAM in every
    slot, and then what has a single buffer, pipeline fill, last store."""

    def moving(*bits: int) -> int:
        return sum(ceil(some / p.dram_bits_per_cycle) for some in bits)

    cycles = p.dram_latency + moving(rows[0][2] + rows[0][3] + rows[0][4])
    for here, after in pairwise(rows):
        moved = (after[2], after[3], here[5] + here[6] + here[7] + after[4])
        overlap = (p.weights_overlap, p.inputs_overlap, p.outputs_overlap)
        memory = moving(*(bits for bits, beside in zip(moved, overlap, strict=True) if beside))
        cycles += max(here[0], here[1], memory) + moving(*moved) - memory
    last = rows[-1]
    return cycles + max(last[:2]) + p.ramp + p.fill + moving(last[5] + last[6] + last[7])


def test_edges_cost_what_they_hold() -> None:
    """A map of 13 rows in tiles of 7 under a kernel of 3: the second tile has 6 rows."""
    layer = reference.ReferenceLayer(1, 1, 13, 1, 1, 1, 3, 1, 1, 1, 1, 1, 0, 0, 15, 1)
    sizes = reference.ReferenceWidths(8, 8, 8, 8, 8, 0, 8, 32, False)
    machine = reference.ReferenceMachine(
        *(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, ("channels",), 8.0, 0, 1),
        *(1 << 20, 1 << 20, 1 << 20, (1.0,) * 12, 0.0),
    )
    mapping = Mapping((1, 7, 1, 1, 1), LOOPS, "output", "channels", (NEVER, 0, 0))
    array, drain, weights, inputs, *_, stored, _, _ = steps(
        reference_problem(layer, sizes, machine), mapping
    ).T.tolist()
    assert (array, drain) == ([7 * 3, 6 * 3], [7, 6])
    assert (weights, inputs, stored) == ([24, 0], [9 * 8, 8 * 8], [7 * 8, 6 * 8])
