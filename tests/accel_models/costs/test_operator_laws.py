"""What operators of the array may cost at most: the same work written another way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_layers import geometries
from random_transposed import transposed_layers

from accel_models import (
    InfeasibleError,
    Layer,
    Simulation,
    Workload,
    list_accelerators,
    load_accelerator,
    simulate,
)
from accel_models.accelerators.accelerator import Accelerator

MACHINES = [name for name in list_accelerators() if not name.endswith("-published")]
objectives = st.sampled_from(["latency", "energy", "edp"])
widths = st.sampled_from([2, 4, 8])


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
