"""The datapath on random layers and mappings: its results against torch, its cycles against the
closed form."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from datapaths import WHOLE, agrees, convolved, operands, searched, small_machine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_layers import geometries

from accel_models import InfeasibleError, Layer, Precision, load_accelerator
from accel_models.accelerators.accelerator import Accelerator
from accel_models.mapping.problem import LOOPS, Mapping
from accel_models.reference_machine.datapath.datapath import compute

FAMILIES = ("bitfusion", "bitblade", "stripes", "loom-1b", "loom-2b", "loom-4b", "unpu")


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """Ragged channels and any geometry; grouped, depthwise and linear."""
    groups = draw(st.sampled_from((1, 1, 1, 2, 5)))
    inputs, outputs = (1, 1) if groups == 5 else (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    channels = inputs * groups, outputs * groups
    if draw(st.sampled_from((False, False, True))):
        return Layer("linear", 4 * channels[0], 3 * channels[1], groups=groups)
    return Layer("conv", *channels, groups=groups, **draw(geometries()))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
@given(
    data=st.data(),
    layer=layers(),
    widths=st.builds(Precision, st.integers(1, 16), st.integers(1, 16)),
    batch=st.integers(1, 3),
    signs=st.tuples(st.booleans(), st.booleans()),
    prices=st.lists(st.floats(0.01, 20), min_size=12, max_size=12),
    seed=st.integers(0, 99),
)
@settings(max_examples=50)
def test_random_layers_under_the_mapping_that_the_search_finds(
    name: str,
    data: st.DataObject,
    layer: Layer,
    widths: Precision,
    batch: int,
    signs: tuple[bool, bool],
    prices: list[float],
    seed: int,
) -> None:
    machine = small_machine(name, data.draw)
    if name == "bitfusion":
        temporal = data.draw(st.sampled_from(("passes", "sliced")))
        rules = data.draw(st.sampled_from((("channels", "kernel-row"), ("window",))))
        machine = machine.configured(array__temporal=temporal, mapping__lane_rules=rules)
    if name == "unpu" and widths.weight_bits == 1:
        signs = signs[0], True
    try:
        found = searched(machine, layer, widths, batch, prices)
    except InfeasibleError:
        assume(False)
    x, w = operands(layer, widths, batch, signs, seed)
    computed = compute(
        *(layer, machine, widths, found.mapping, x, w),
        signed_inputs=signs[0],
        signed_weights=signs[1],
    )
    agrees(machine, layer, widths, found, computed, convolved(layer, x, w))


@given(
    data=st.data(),
    layer=layers(),
    widths=st.builds(Precision, st.integers(1, 8), st.integers(1, 8)),
    batch=st.integers(1, 3),
    image=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_whole_tiles_and_dense_groups_of_the_published_machine(
    data: st.DataObject, layer: Layer, widths: Precision, batch: int, image: bool, seed: int
) -> None:
    """Every step of a full tile is issued beyond the edges too; groups are convolved as one."""
    machine = small_machine("bitfusion-published", data.draw)
    rules = ("window",) if image else ("channels",)
    machine = machine.configured(mapping__lane_rules=rules)
    try:
        found = searched(machine, layer, widths, batch, [1.0] * 12)
    except InfeasibleError:
        assume(False)
    x, w = operands(layer, widths, batch, (False, True), seed)
    computed = compute(layer, machine, widths, found.mapping, x, w)
    agrees(machine, layer, widths, found, computed, convolved(layer, x, w))


def steps_of(
    layer: Layer, machine: Accelerator, widths: Precision, batch: int, mapping: Mapping
) -> int:
    """Closed form: a sum over tiles, each at its true size."""
    data = machine.array.datapath(layer, widths)
    (kh, kw), groups = layer.kernel, layer.groups
    whole = (batch, *layer.out_size, layer.in_channels // groups, layer.out_channels // groups)
    cuts = [
        [min(t, size - first) for first in range(0, size, t)]
        for size, t in zip(whole, mapping.tile, strict=True)
    ]
    steps = 0
    for b, oh, ow, ic, oc in product(*cuts):
        for lanes, count in data.passes:
            one = {
                "channels": kh * kw * -(-ic // (data.rows * lanes)),
                "kernel-row": kh * -(-(kw * -(-ic // data.rows)) // lanes),
                "window": -(-kh * kw * ic // (data.rows * lanes)),
            }[mapping.lane_rule]
            steps += b * -(-oh * ow // data.windows) * -(-oc // data.columns) * count * one
    return groups * steps


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bitfusion", "stripes", "loom-2b", "unpu"])
@given(
    data=st.data(),
    layer=layers(),
    widths=st.builds(Precision, st.integers(1, 16), st.integers(1, 16)),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_random_mappings(
    name: str, data: st.DataObject, layer: Layer, widths: Precision, seed: int
) -> None:
    """Tiles of any size in any order, whatever stays in the array."""
    machine, batch = small_machine(name, data.draw), 2
    groups = layer.groups
    sizes = (batch, *layer.out_size, layer.in_channels // groups, layer.out_channels // groups)
    mapping = Mapping(
        tile=tuple(data.draw(st.integers(1, size)) for size in sizes),
        order=data.draw(st.sampled_from(list(permutations(LOOPS)))),
        stationary=data.draw(st.sampled_from(("input", "output", "weight"))),
        lane_rule=data.draw(st.sampled_from(type(machine.array).lane_rules)),
        exchanged_from=WHOLE,
    )
    x, w = operands(layer, widths, batch, (False, True), seed)
    computed = compute(layer, machine, widths, mapping, x, w)
    assert (computed.outputs == convolved(layer, x, w)).all()
    steps = steps_of(layer, machine, widths, batch, mapping)
    how = machine.array.datapath(layer, widths)
    assert computed.steps == steps
    working = -(-steps // how.stagger) * how.cycles_per_step
    assert computed.issue_cycles == working + how.ramp


@pytest.mark.parametrize("name", ["stripes", "loom-1b"])
@pytest.mark.parametrize("widths", [(1, 1), (8, 1), (4, 4), (8, 5), (8, 16)])
@pytest.mark.parametrize("channels", [16, 300])
def test_linear_layers_go_round_the_window_columns(
    name: str, widths: tuple[int, int], channels: int
) -> None:
    machine, layer = load_accelerator(name), Layer("linear", channels, 1000)
    both = Precision(*widths)
    found = searched(machine, layer, both, 2, [1.0] * 12)
    x, w = operands(layer, both, 2, (False, True), 0)
    computed = compute(layer, machine, both, found.mapping, x, w)
    agrees(machine, layer, both, found, computed, convolved(layer, x, w))
    tau = computed.operations // (2 * layer.macs)
    assert computed.issue_cycles < computed.steps * tau or tau == 1


@pytest.mark.parametrize("bits", range(1, 9))
def test_rounds_of_three_window_columns(bits: int) -> None:
    """Steps of as many cycles as there are columns follow each other without a gap; longer ones
    wait for their column, and the last round counts as a full one."""
    machine = load_accelerator("stripes").configured(
        array__rows=2, array__columns=2, array__windows=3
    )
    layer, widths = Layer("linear", 10, 4), Precision(8, bits)
    mapping = Mapping((1, 1, 1, 10, 4), LOOPS, "output", "channels", WHOLE)
    x, w = operands(layer, widths, 1, (False, True), 0)
    computed = compute(layer, machine, widths, mapping, x, w)
    assert computed.steps == 10
    assert computed.issue_cycles == (10 + bits - 1 if bits <= 3 else 4 * bits + 2)


def test_fill_is_what_a_skewed_array_takes_beyond_its_steps() -> None:
    """Inputs move one column further in a cycle, sums one row further, weights stay."""
    rows, columns, steps = 5, 7, 11
    rng = np.random.default_rng(0)
    x, w = rng.integers(0, 256, (steps, rows)), rng.integers(-128, 128, (rows, columns))
    passing, sums = np.zeros((rows, columns), int), np.zeros((rows, columns), int)
    out = np.full((steps, columns), None)
    cycles = 0
    while None in out:
        turns = cycles - np.arange(rows)
        here = (turns >= 0) & (turns < steps)
        entering = np.where(here, x[turns.clip(0, steps - 1), np.arange(rows)], 0)
        passing = np.column_stack([entering, passing[:, :-1]])
        sums = np.vstack([np.zeros((1, columns), int), sums[:-1]]) + passing * w
        for column in range(columns):
            if 0 <= (step := cycles - (rows - 1) - column) < steps:
                out[step, column] = sums[-1, column]
        cycles += 1
    machine = load_accelerator("bitfusion").configured(array__rows=rows, array__columns=columns)
    layer, widths = Layer("positions", rows, columns, out_size=(steps, 1)), Precision(8, 8)
    mapping = Mapping((1, steps, 1, rows, columns), LOOPS, "weight", "channels", WHOLE)
    images, weights = x.T.reshape(1, rows, steps, 1), w.T.reshape(columns, rows, 1, 1)
    computed = compute(layer, machine, widths, mapping, images, weights)
    assert (out == computed.outputs[0, :, :, 0].T).all()
    assert computed.issue_cycles + computed.fill_cycles == cycles
