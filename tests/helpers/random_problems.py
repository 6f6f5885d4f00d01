"""Random layers on random machines, for the reference model and for the compiled one alike."""

import default_reference as reference
from hypothesis import strategies as st

from accel_models.accelerators.arrays.array import LANE_RULES
from accel_models.mapping.problem import Problem

layers = st.builds(
    reference.ReferenceLayer,
    groups=st.sampled_from([1, 1, 1, 2, 3]),
    batch=st.integers(1, 3),
    out_rows=st.integers(1, 6),
    out_columns=st.integers(1, 6),
    in_channels=st.integers(1, 8),
    out_channels=st.integers(1, 8),
    kernel_rows=st.integers(1, 3),
    kernel_columns=st.integers(1, 3),
    row_stride=st.integers(1, 3),
    column_stride=st.integers(1, 3),
    row_padding=st.integers(0, 1),
    column_padding=st.integers(0, 1),
)
bits = st.integers(1, 8)
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
)
machines = st.builds(
    reference.ReferenceMachine,
    rows=st.integers(1, 4),
    lanes=st.sampled_from([1, 2, 4, 16]),
    columns=st.integers(1, 4),
    windows=st.sampled_from([1, 1, 2, 4]),
    cycles_per_step=st.sampled_from([1, 1, 3, 8]),
    stagger=st.sampled_from([1, 1, 4]),
    ramp=st.sampled_from([0, 5]),
    fill=st.integers(0, 9),
    fold_overhead=st.sampled_from([0, 0, 2]),
    stream_overhead=st.sampled_from([0, 0, 3]),
    operations_per_mac=st.integers(1, 16),
    vector_lanes=st.integers(1, 4),
    lane_rules=st.lists(
        st.sampled_from(("channels", "kernel-row", "window")), min_size=1, max_size=3, unique=True
    ).map(tuple),
    dram_bits_per_cycle=st.sampled_from([1.0, 7.5, 64.0, 204.8]),
    dram_latency_cycles=st.integers(0, 60),
    burst_bits=st.sampled_from([1, 1, 64, 256]),
    weight_half=st.sampled_from([64, 512, 8192]),
    input_half=st.sampled_from([64, 512, 8192]),
    output_half=st.sampled_from([128, 512, 8192]),
    action_pj=st.lists(st.floats(0.01, 20), min_size=12, max_size=12).map(tuple),
    static_pj_per_cycle=st.sampled_from([0.0, 3.0]),
)


def reference_problem(
    layer: reference.ReferenceLayer,
    widths: reference.ReferenceWidths,
    machine: reference.ReferenceMachine,
) -> Problem:
    # One function: every field of a problem, stated once and beside each other.
    def extent(out: int, stride: int, kernel: int, padding: int) -> int:
        return max(1, (out - 1) * stride + kernel - 2 * padding + stride - 1)

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
        row_padding=layer.row_padding,
        column_padding=layer.column_padding,
        in_rows=extent(layer.out_rows, layer.row_stride, layer.kernel_rows, layer.row_padding),
        in_columns=extent(
            layer.out_columns, layer.column_stride, layer.kernel_columns, layer.column_padding
        ),
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
        cycles_per_step=machine.cycles_per_step,
        stagger=machine.stagger,
        ramp=machine.ramp,
        fill=machine.fill,
        fold_overhead=machine.fold_overhead,
        stream_overhead=machine.stream_overhead,
        operations_per_mac=machine.operations_per_mac,
        vector_lanes=machine.vector_lanes,
        lane_rules=sum(1 << LANE_RULES.index(rule) for rule in machine.lane_rules),
        dram_bits_per_cycle=machine.dram_bits_per_cycle,
        dram_latency=machine.dram_latency_cycles,
        burst_bits=machine.burst_bits,
        weight_half=machine.weight_half,
        input_half=machine.input_half,
        output_half=machine.output_half,
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
    )
