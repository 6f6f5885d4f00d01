"""Random layers on random machines, for the reference model and for the compiled one alike."""

from math import prod

import default_reference as reference
from hypothesis import strategies as st

from accel_models.accelerators.arrays.array import LANE_RULES
from accel_models.mapping.problem import Problem

MOST_ELEMENTS = 600
"""Batch, map and channels together: of 100 layers at random, the quarter that is larger takes 14
times as long to try all mappings of as the others, and any side may still be its longest."""


@st.composite
def layers_of_any_geometry(draw: st.DrawFn) -> reference.ReferenceLayer:
    """Layers whose maps leave lines over or not, unevenly padded, with zeros or not, dilated or
    not. The padding behind the map is what makes up the number of outputs."""
    sides = []
    for _ in range(2):
        kernel, stride, dilation = (draw(st.integers(1, 3)) for _ in range(3))
        before, after, over = (draw(st.integers(0, 2)) for _ in range(3))
        outputs, reach = draw(st.integers(1, 6)), (kernel - 1) * dilation + 1
        covered = (outputs - 1) * stride + reach
        size = max(1, covered - before - after + min(over, stride - 1))
        sides.append((outputs, kernel, stride, dilation, before, size, after))
    rows, columns = sides
    # Reflected padding is less than the map, circular padding no more.
    spare = min(size - max(before, after) for *_, before, size, after in sides)
    modes = [0, 0, 0, 2] + [3] * (spare >= 0) + [1] * (spare > 0)
    return reference.ReferenceLayer(
        groups=draw(st.sampled_from([1, 1, 1, 2, 3])),
        batch=draw(st.integers(1, 3)),
        out_rows=rows[0],
        out_columns=columns[0],
        in_channels=draw(st.integers(1, 8)),
        out_channels=draw(st.integers(1, 8)),
        kernel_rows=rows[1],
        kernel_columns=columns[1],
        row_stride=rows[2],
        column_stride=columns[2],
        row_dilation=rows[3],
        column_dilation=columns[3],
        row_padding=rows[4],
        column_padding=columns[4],
        in_rows=rows[5],
        in_columns=columns[5],
        padding_mode=draw(st.sampled_from(modes)),
    )


layers = layers_of_any_geometry()
bits = st.integers(1, 8)


def quickly_tried(layer: reference.ReferenceLayer) -> bool:
    """Whether brute force tries every tiling and loop order of a layer in a moment."""
    return prod(layer.dimensions) <= MOST_ELEMENTS


widths = st.builds(
    reference.ReferenceWidths,
    weight_bits=bits,
    activation_bits=bits,
    stored_weight_bits=bits,
    stored_input_bits=st.integers(0, 8),
    stored_output_bits=st.integers(0, 8),
    residual_bits=st.sampled_from([0, 0, 8]),
    buffered_input_bits=st.integers(0, 8),
    accumulator_bits=st.sampled_from([32, 64]),
    requantise_inputs=st.booleans(),
    requantise_weights=st.booleans(),
    drain_operations=st.sampled_from([1, 1, 2, 11]),
)
machines = st.builds(
    reference.ReferenceMachine,
    rows=st.integers(1, 4),
    lanes=st.sampled_from([1, 2, 4, 16]),
    columns=st.integers(1, 4),
    windows=st.sampled_from([1, 1, 2, 4]),
    window_rows=st.sampled_from([1, 1, 2, 3]),
    window_columns=st.sampled_from([1, 1, 3, 4]),
    cycles_per_step=st.sampled_from([1, 1, 3, 8]),
    stagger=st.sampled_from([1, 1, 4]),
    ramp=st.sampled_from([0, 5]),
    fill=st.integers(0, 9),
    block_overhead=st.sampled_from([0, 0, 7]),
    stream_overhead=st.sampled_from([0, 0, 3]),
    operations_per_mac=st.integers(1, 16),
    vector_lanes=st.integers(1, 4),
    lane_rules=st.lists(
        st.sampled_from(("channels", "kernel-row", "window")), min_size=1, max_size=3, unique=True
    ).map(tuple),
    dram_bits_per_cycle=st.sampled_from([1.0, 7.5, 64.0, 204.8]),
    dram_latency_cycles=st.integers(0, 60),
    burst_bits=st.sampled_from([1, 1, 64, 256]),
    weight_room=st.sampled_from([64, 512, 8192]),
    input_room=st.sampled_from([64, 512, 8192]),
    output_room=st.sampled_from([128, 512, 8192]),
    action_pj=st.lists(st.floats(0.01, 20), min_size=12, max_size=12).map(tuple),
    static_pj_per_cycle=st.sampled_from([0.0, 3.0]),
    single_buffers=st.frozensets(st.sampled_from("WAQ")),
)


def reference_problem(
    layer: reference.ReferenceLayer,
    widths: reference.ReferenceWidths,
    machine: reference.ReferenceMachine,
) -> Problem:
    # One function: every field of a problem, stated once and beside each other.
    return Problem(
        groups=layer.groups,
        batch=layer.batch,
        out_rows=layer.out_rows,
        out_columns=layer.out_columns,
        in_channels=layer.in_channels,
        out_channels=layer.out_channels,
        kernel_rows=layer.kernel_rows,
        kernel_columns=layer.kernel_columns,
        row_stride=layer.row_stride,
        column_stride=layer.column_stride,
        row_dilation=layer.row_dilation,
        column_dilation=layer.column_dilation,
        row_padding=layer.row_padding,
        column_padding=layer.column_padding,
        in_rows=layer.in_rows,
        in_columns=layer.in_columns,
        padding_mode=layer.padding_mode,
        weight_bits=widths.weight_bits,
        activation_bits=widths.activation_bits,
        stored_weight_bits=widths.stored_weight_bits,
        stored_input_bits=widths.stored_input_bits,
        stored_output_bits=widths.stored_output_bits,
        residual_bits=widths.residual_bits,
        buffered_input_bits=widths.buffered_input_bits,
        kept_output_bits=0,
        kept_residual_bits=0,
        accumulator_bits=widths.accumulator_bits,
        requantise_inputs=widths.requantise_inputs,
        array_rows=machine.rows,
        array_columns=machine.columns,
        passes=((machine.lanes, 1), (1, 0), (1, 0), (1, 0)),
        windows=machine.windows,
        window_rows=machine.window_rows,
        window_columns=machine.window_columns,
        cycles_per_step=machine.cycles_per_step,
        stagger=machine.stagger,
        ramp=machine.ramp,
        fill=machine.fill,
        block_overhead=machine.block_overhead,
        stream_overhead=machine.stream_overhead,
        operations_per_mac=machine.operations_per_mac,
        vector_lanes=machine.vector_lanes,
        lane_rules=sum(1 << LANE_RULES.index(rule) for rule in machine.lane_rules),
        dram_bits_per_cycle=machine.dram_bits_per_cycle,
        dram_latency=machine.dram_latency_cycles,
        burst_bits=machine.burst_bits,
        weight_room=machine.weight_room,
        input_room=machine.input_room,
        output_room=machine.output_room,
        weights_overlap="W" not in machine.single_buffers,
        inputs_overlap="A" not in machine.single_buffers,
        outputs_overlap="Q" not in machine.single_buffers,
        square_powers=False,
        whole_tiles=False,
        align_weights=False,
        fetch_padding=False,
        share_halos=True,
        gather_before_dram=False,
        first_reload=0,
        pad_outputs=False,
        share_input_reads=True,
        published_array_side=False,
        fluid=False,
        requantise_weights=widths.requantise_weights,
        drain_operations=widths.drain_operations,
        **layer.depth,
    )
