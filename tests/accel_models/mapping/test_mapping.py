"""The compiled search against brute force, and what must hold for any layer."""

import bitfusion_reference as reference
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_models import InfeasibleError, Layer, Precision, load_accelerator
from accel_models.mapping.problem import ACTIONS, Found
from accel_models.mapping.problem_of import Tensors, problem_of
from accel_models.mapping.search import search
from accel_models.validation.published_rows import PRICED_ACTIONS
from accel_models.workloads.workload import Ends

MACHINE = load_accelerator("bitfusion-published")

layers = st.builds(
    reference.ReferenceLayer,
    K=st.sampled_from([1, 2, 3, 5, 7]),
    O=st.integers(1, 20),
    S=st.integers(1, 4),
    IC=st.integers(1, 70),
    OC=st.integers(1, 140),
    B=st.integers(1, 6),
    a=st.integers(1, 9),
    w=st.integers(1, 9),
    im2col=st.booleans(),
)
energies = st.floats(0.001, 20)
machines = st.builds(
    reference.ReferenceMachine,
    N=st.sampled_from([1, 2, 3, 8, 16, 20]),
    M=st.sampled_from([1, 2, 5, 16, 32]),
    pmax=st.sampled_from([4, 8, 16]),
    pmin=st.sampled_from([1, 2, 4]),
    bw=st.sampled_from([1, 7, 64, 192, 4096]),
    wbuf=st.sampled_from([64, 512, 4096, 65536]),
    ibuf=st.sampled_from([64, 512, 4096, 32768]),
    obuf=st.sampled_from([128, 512, 4096, 16384]),
    core_pj=energies,
    wbuf_read_pj=energies,
    wbuf_write_pj=energies,
    ibuf_read_pj=energies,
    ibuf_write_pj=energies,
    obuf_read_pj=energies,
    obuf_write_pj=energies,
    dram_pj=energies,
)


def ours(layer: reference.ReferenceLayer, machine: reference.ReferenceMachine) -> Found:
    configured = MACHINE.configured(
        array__rows=machine.N,
        array__columns=machine.M,
        array__max_bits=machine.pmax,
        array__min_bits=machine.pmin,
        array__widest_bits=machine.pmax,
        dram__bits_per_cycle=machine.bw,
        buffers__weight_bytes=machine.wbuf,
        buffers__input_bytes=machine.ibuf,
        buffers__output_bytes=machine.obuf,
    )
    geometry = Layer(
        "random",
        layer.IC,
        layer.OC,
        kernel=(layer.K, layer.K),
        out_size=(layer.O, layer.O),
        stride=(layer.S, layer.S),
        reads_image=layer.im2col,
    )
    widths = Precision(layer.w, layer.a)
    task = problem_of(geometry, widths, Tensors(Ends(), 32), layer.B, configured, widths=widths)
    return search(task, prices(machine))


def prices(machine: reference.ReferenceMachine) -> tuple[float, ...]:
    stated = (
        machine.core_pj,
        machine.wbuf_read_pj,
        machine.wbuf_write_pj,
        machine.ibuf_read_pj,
        machine.ibuf_write_pj,
        machine.obuf_read_pj,
        machine.obuf_write_pj,
        machine.dram_pj,
        machine.dram_pj,
    )
    by_action = dict(zip(PRICED_ACTIONS, stated, strict=True))
    return tuple(by_action.get(action, 0.0) for action in ACTIONS)


@pytest.mark.slow
@settings(max_examples=150)
@given(layers, machines)
def test_finds_the_optimum_of_brute_force(
    layer: reference.ReferenceLayer, machine: reference.ReferenceMachine
) -> None:
    try:
        expected = reference.search(layer, machine)
    except reference.ReferenceRejects:
        with pytest.raises(InfeasibleError):
            ours(layer, machine)
        return
    found = ours(layer, machine)
    energy = sum(n * pj for n, pj in zip(found.counts.tolist(), prices(machine), strict=True))
    assert found.cycles == expected["cycles"]
    assert found.stall_cycles == expected["mem_wait_cycles"]
    assert energy / 1e3 == pytest.approx(expected["energy_total_nJ"], rel=1e-9)
    counts = dict(zip(ACTIONS, found.counts.tolist(), strict=True))
    for action in PRICED_ACTIONS[1:]:
        count = counts[action]
        short = action.replace("weight_buffer", "wbuf").replace("input_buffer", "ibuf")
        assert count == expected[short.replace("output_buffer", "obuf")], action


def test_mapping_reads_as_a_loop_nest_that_covers_the_layer() -> None:
    found = ours(
        reference.ReferenceLayer(3, 13, 1, 96, 256, 4, 8, 8, False),
        reference.ReferenceMachine(16, 32, 8, 2, 192, 65536, 32768, 16384, *[1.0] * 8),
    )
    assert sorted(found.mapping.order) == sorted(
        ["batch", "out_rows", "out_columns", "in_channels", "out_channels"]
    )
    for size, tile in zip((4, 13, 13, 96, 256), found.mapping.tile, strict=True):
        assert 1 <= tile <= size


@pytest.mark.parametrize(("buffer", "size"), [("weight", 16), ("input", 1), ("output", 64)])
def test_a_buffer_too_small_for_any_tiling_is_named(buffer: str, size: int) -> None:
    machine = MACHINE.configured(**{f"buffers__{buffer}_bytes": size})
    layer = Layer("conv", 16, 32, kernel=(3, 3), out_size=(8, 8))
    task = problem_of(layer, Precision(8, 8), Tensors(Ends(), 32), 1, machine)
    with pytest.raises(InfeasibleError, match=f"bits of the {buffer} buffer"):
        search(task, [1.0] * len(ACTIONS))
