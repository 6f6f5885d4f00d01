"""What operators of the array may cost at most: the same work written another way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_layers import geometries
from random_transposed import transposed_layers

from accel_models import (
    InfeasibleError,
    Layer,
    Precision,
    Simulation,
    Workload,
    list_accelerators,
    load_accelerator,
    simulate,
)
from accel_models.accelerators.accelerator import Accelerator
from accel_models.mapping.problem import ACTIONS

MACHINES = [name for name in list_accelerators() if not name.endswith("-published")]
objectives = st.sampled_from(["latency", "energy", "edp"])
widths = st.sampled_from([2, 4, 8])
channels = st.tuples(st.sampled_from([1, 3, 16, 40]), st.sampled_from([1, 3, 16, 40]))


def small(draw: st.DrawFn, name: str) -> Accelerator:
    """A machine, or one so small that layers need many tiles."""
    machine = load_accelerator(name).configured(mapping__objective=draw(objectives))
    if name != "bitfusion" or draw(st.booleans()):
        return machine
    return machine.configured(
        array__rows=4,
        array__columns=4,
        buffers__weight_bytes=2048,
        buffers__input_bytes=1024,
        buffers__output_bytes=1024,
    )


def run(machine: Accelerator, bits: int, *layers: Layer, batch: int = 1) -> Simulation | None:
    """Layers by themselves, one after the other; None if the machine cannot."""
    try:
        return simulate(Workload("layers", layers), machine, bits, batch=batch)
    except InfeasibleError:
        return None


def score(machine: Accelerator, one: Simulation) -> float:
    objective = machine.mapping.objective
    product = one.cycles * one.energy_j
    return {"latency": one.cycles, "energy": one.energy_j, "edp": product}[objective]


def stretched(layer: Layer) -> Layer:
    """A plain convolution in place of a transposed one: over its map with zeros between the
    elements, which are data like these. Of padding, a map has what its windows lack; what they do
    not reach at its ends is left out."""
    axes: dict[str, list[int]] = {"in_size": [], "padding": []}
    for axis in range(len(layer.kernel)):
        reach = (layer.kernel[axis] - 1) * layer.dilation[axis] + 1
        first = layer.padding[2 * axis] - (reach - 1)
        last = layer.padding[2 * axis] + layer.out_size[axis] - 1
        end = (layer.in_size[axis] - 1) * layer.stride[axis]
        low, high = max(first, 0), min(last, end)
        axes["in_size"].append(max(1, high - low + 1))
        axes["padding"] += [low - first, last - max(high, low)]
    return replace(
        layer,
        name="stretched",
        operator="conv",
        stride=(1,) * len(layer.kernel),
        **{name: tuple(sizes) for name, sizes in axes.items()},
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=25)
@given(data=st.data(), axes=st.integers(1, 3), bits=widths, batch=st.sampled_from([1, 1, 3]))
def test_transposed_convolutions_cost_no_more_than_with_zeros_between_inputs(
    name: str, data: st.DataObject, axes: int, bits: int, batch: int
) -> None:
    """Nor than computed phase by phase, nor than all phases at once."""
    machine = small(data.draw, name)
    layer = data.draw(transposed_layers(axes, largest=7 if axes < 3 else 3))
    more = data.draw(st.sampled_from([1, 1, 8, 64]))
    layer = replace(
        layer, in_channels=layer.in_channels * more, out_channels=layer.out_channels * more
    )
    own = run(machine, bits, layer, batch=batch)
    others = [run(machine, bits, *way, batch=batch) for way in layer.ways]
    for other in (run(machine, bits, stretched(layer), batch=batch), *others):
        if other is not None:
            assert own is not None
            assert score(machine, own) <= score(machine, other) * (1 + 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=15)
@given(
    data=st.data(),
    geometry=geometries(outputs=8),
    planes=st.integers(1, 5),
    channels=channels,
    bits=widths,
)
def test_windows_of_one_plane_cost_what_planes_do_as_a_batch(
    name: str,
    data: st.DataObject,
    geometry: dict[str, Any],
    planes: int,
    channels: tuple[int, int],
    bits: int,
) -> None:
    machine = small(data.draw, name)
    flat = Layer("flat", *channels, **geometry)
    deep = Layer("deep", *channels, **with_planes(geometry, planes))
    of_batch, own = run(machine, bits, flat, batch=planes), run(machine, bits, deep)
    assert (own is None) == (of_batch is None)
    if own is None or of_batch is None:
        return
    if deep.is_pointwise and "row-stationary" in machine.mapping.lane_rules:
        # Places of all planes may lie in one row there; those of several inputs do not.
        assert score(machine, own) <= score(machine, of_batch) * (1 + 1e-9)
        return
    assert own.cycles == of_batch.cycles
    assert own.counts.tolist() == of_batch.counts.tolist()


def with_planes(geometry: dict[str, Any], planes: int) -> dict[str, Any]:
    """The same on so many planes, each by itself."""
    more = {"kernel": 1, "stride": 1, "dilation": 1, "in_size": planes}
    deep = {name: (value, *geometry[name]) for name, value in more.items()}
    return {**geometry, **deep, "padding": (0, 0, *geometry["padding"])}


@pytest.mark.slow
@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=10)
@given(
    data=st.data(),
    geometry=geometries(outputs=8) | geometries(kernels=1, outputs=1),
    channels=channels,
    bits=widths,
)
def test_axes_of_one_element_cost_nothing(
    name: str,
    data: st.DataObject,
    geometry: dict[str, Any],
    channels: tuple[int, int],
    bits: int,
) -> None:
    """A map of one plane is a flat one, and a window of one element has no dilation."""
    machine, groups = small(data.draw, name), data.draw(st.sampled_from([1, 1, 2]))
    flat = Layer("flat", *(groups * count for count in channels), groups=groups, **geometry)
    deep = replace(flat, **with_planes(geometry, 1), out_size=(1, *flat.out_size))
    pointwise = {**geometry, "kernel": (1, 1), "padding": 0}
    dilated, plain = (
        replace(flat, **{**pointwise, "dilation": dilation, "out_size": ()})
        for dilation in (geometry["dilation"], (1, 1))
    )
    for one, other in ((flat, deep), (dilated, plain)):
        first, second = run(machine, bits, one), run(machine, bits, other)
        assert (first is None) == (second is None)
        if first is not None and second is not None:
            assert first.cycles == second.cycles
            assert first.counts.tolist() == second.counts.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", MACHINES)
@settings(max_examples=15)
@given(
    data=st.data(),
    batch=st.integers(1, 5),
    heads=st.integers(1, 4),
    sizes=st.tuples(*(st.integers(1, 70),) * 3),
    bits=widths,
)
def test_products_of_a_batch_cost_what_as_many_more_heads_do(
    name: str,
    data: st.DataObject,
    batch: int,
    heads: int,
    sizes: tuple[int, int, int],
    bits: int,
) -> None:
    """Inputs have nothing in common: neither operand is a weight."""
    machine, (positions, inside, made) = small(data.draw, name), sizes

    def product(heads: int) -> Layer:
        channels = (heads * inside, heads * made)
        return Layer("p", *channels, out_size=(positions, 1), groups=heads, operator="matmul")

    def converted(heads: int) -> int:
        """Cycles to bring an input's operands into the array's format, in whole words."""
        return machine.array.datapath(product(heads), Precision(bits, bits)).conversion

    first = run(machine, bits, product(heads), batch=batch)
    second = run(machine, bits, product(heads * batch))
    assert (first is None) == (second is None)
    if first is not None and second is not None:
        more = batch * converted(heads) - converted(heads * batch)
        assert first.cycles - second.cycles == more >= 0
        stalls = more * (np.arange(len(ACTIONS)) == ACTIONS.index("array_stall_cycles"))
        assert (first.counts - second.counts == stalls).all()


@pytest.mark.parametrize("stride", [(1, 2), (3, 2)])
def test_a_stride_along_a_single_line_takes_no_part(stride: tuple[int, int]) -> None:
    """A row-stationary array lays places that have nothing in common in one row."""
    machine = load_accelerator("eyeriss-int8")
    strided = Layer("strided", 8, 8, in_size=(1, 1) if stride[0] > 1 else (5, 1), stride=stride)
    own, plain = run(machine, 8, strided), run(machine, 8, replace(strided, stride=(1, 1)))
    assert own is not None
    assert plain is not None
    assert (own.cycles, own.counts.tolist()) == (plain.cycles, plain.counts.tolist())
