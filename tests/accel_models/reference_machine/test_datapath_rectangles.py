"""Arrays that take rectangles of output positions: what is computed, and in how many steps."""

from __future__ import annotations

import pytest
from datapaths import agrees, convolved, operands
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_layers import geometries

from accel_models import InfeasibleError, Layer, Precision, load_accelerator
from accel_models.accelerators.arrays.array import Datapath
from accel_models.accelerators.arrays.stripes import Stripes
from accel_models.mapping.problem import ACTIONS
from accel_models.mapping.problem_of import Tensors, macs_per_cycle, problem_of
from accel_models.mapping.search import compute_cycles, search
from accel_models.reference_machine.datapath.datapath import compute
from accel_models.workloads.workload import Ends


class StripesInRectangles(Stripes):
    """Stripes whose window columns are rectangles of the map, each of so many rows and columns."""

    rectangle: tuple[int, int]

    def datapath(self, layer: Layer, widths: Precision) -> Datapath:
        rows, columns = self.rectangle
        conv = super().datapath(layer, widths)
        return conv._replace(window_rows=rows, window_columns=columns)


@given(
    layer=st.builds(
        lambda ins, outs, geometry: Layer("conv", ins, outs, **geometry),
        st.integers(1, 9),
        st.integers(1, 9),
        geometries(),
    ),
    rectangle=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    windows=st.sampled_from((1, 2, 3)),
    buffers=st.sampled_from((256, 1024, 65536)),
    batch=st.integers(1, 2),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_every_position_is_computed_once_in_as_many_steps_as_there_are_blocks(
    layer: Layer,
    rectangle: tuple[int, int],
    windows: int,
    buffers: int,
    batch: int,
    seed: int,
) -> None:
    machine = load_accelerator("stripes").configured(
        array__rows=2,
        array__columns=3,
        array__windows=windows,
        buffers__input_bytes=buffers,
        buffers__output_bytes=buffers,
    )
    array = StripesInRectangles(**machine.array.model_dump(), rectangle=rectangle)
    machine = machine.model_copy(update={"array": array})
    widths = Precision(4, 3)
    task = problem_of(layer, widths, Tensors(Ends(), 8), batch, machine)
    try:
        found = search(task, [1.0] * len(ACTIONS), 1)
    except InfeasibleError:
        assume(False)
    x, w = operands(layer, widths, batch, (False, True), seed)
    computed = compute(layer, machine, widths, found.mapping, x, w)
    agrees(machine, layer, widths, found, computed, convolved(layer, x, w))


@pytest.mark.parametrize(("bits", "cycles"), [(8, 90_576), (4, 53_712), (2, 35_280)])
def test_blocks_of_ne16_take_what_its_published_model_says(bits: int, cycles: int) -> None:
    """PLiNIO's ``ne16_latency.py``: a block of 3 x 3 positions and 32 outputs takes, for each 16
    inputs, 31 + 6 + 6 + 32 x bits + 2 cycles, and 41 + 13 more."""
    layer = Layer("conv", 64, 64, (3, 3), (16, 16), padding=(1, 1))
    machine = load_accelerator("bitfusion").configured(mapping__lane_rules=("window",))
    task = problem_of(layer, Precision(bits, 8), Tensors(Ends(), 8), 1, machine)._replace(
        array_rows=9 * 16,
        array_columns=32,
        passes=((1, 1), (1, 0), (1, 0), (1, 0)),
        window_rows=3,
        window_columns=3,
        cycles_per_step=31 + 6 + 6 + 32 * bits + 2,
        block_overhead=41 + 13,
    )
    assert compute_cycles(task) == cycles
    assert macs_per_cycle(task) * task.cycles_per_step == 9 * 16 * 32 * 9
