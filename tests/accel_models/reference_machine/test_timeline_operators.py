"""Networks of any operators of the array on the event timeline: its cycles and counts are those of
the closed form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from random_layers import geometries
from random_transposed import transposed_layers
from replay_reference import CHOICE_SETS, MACHINES, random_choices, table_of

from accel_models import InfeasibleError, Layer, Workload, simulate
from accel_models.reference_machine.events.layer_runs import slots
from accel_models.reference_machine.events.timeline import timeline
from accel_models.replay import Policy

PIPELINED = [name for name in MACHINES if name != "published"]


@st.composite
def products(draw: st.DrawFn) -> Layer:
    heads, inside, made = (draw(st.integers(1, most)) for most in (3, 20, 20))
    positions = (draw(st.integers(1, 20)), 1)
    return Layer(
        "p", heads * inside, heads * made, out_size=positions, groups=heads, operator="matmul"
    )


def convolutions(axes: int) -> st.SearchStrategy[Layer]:
    def made(geometry: dict[str, Any], groups: int, inputs: int, outputs: int) -> Layer:
        return Layer("c", groups * inputs, groups * outputs, groups=groups, **geometry)

    channels = st.integers(1, 12)
    return st.builds(
        made, geometries(outputs=4, axes=axes), st.sampled_from([1, 1, 2]), channels, channels
    )


any_layer = (
    products()
    | st.sampled_from([2, 3]).flatmap(convolutions)
    | st.integers(1, 3).flatmap(lambda axes: transposed_layers(axes, largest=3))
)
activations = st.sampled_from(["", "", "relu", "gelu", "silu"])


@st.composite
def networks(draw: st.DrawFn) -> Workload:
    """Layers that feed the next ones, some in units that are decided, products of two of them and
    outputs that something is added to among them."""
    layers: list[Layer] = []
    edges: list[tuple[str, ...]] = []
    for number in range(draw(st.integers(2, 6))):
        # Something always runs, and units do not come back.
        unit = draw(st.sampled_from(["", "", "a", "b"])) if layers else ""
        name, unit = f"l{number}", max(unit, layers[-1].unit if layers else "")
        role = "body" if unit else "fixed"
        layer = replace(
            draw(any_layer), name=name, unit=unit, role=role, activation=draw(activations)
        )
        before = [one.name for one in layers]
        if before:
            edges.append((before[-1], name, "input"))
        if before and layer.operator == "matmul":
            edges.append((draw(st.sampled_from(before)), name, "other"))
        elif len(before) > 1 and draw(st.booleans()):
            edges.append((draw(st.sampled_from(before)), name, "added"))
        layers.append(layer)
    return Workload("any", tuple(layers), tuple(edges))


@pytest.mark.slow
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(
    networks(),
    st.sampled_from(PIPELINED),
    st.sampled_from(CHOICE_SETS),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
def test_with_everything_off_a_timeline_is_a_simulation(
    network: Workload, machine: str, choices: str, batch: int, seed: int
) -> None:
    try:
        table = table_of(network, machine, choices, batch)
    except InfeasibleError:
        assume(False)
        raise
    (chosen,) = random_choices(table, 1, seed)
    units = {u: table.choices[k] for u, k in zip(table.units, chosen, strict=True)}
    always = table.always
    precisions: Any = units or always
    static = simulate(network, table.accelerator, precisions, always=always, batch=batch)
    off = replace(Policy.off(), batching="grouped", batch=batch) if batch > 1 else Policy.off()
    found = timeline(table, np.repeat(chosen[None], batch, axis=0), off, draw=True)
    assert found.cycles == static.cycles
    assert found.counts.tolist() == static.counts.tolist()
    assert found.events[:, slots().END].max() == found.cycles


@pytest.mark.parametrize("name", PIPELINED)
def test_pieces_of_a_transposed_convolution_follow_each_other(name: str) -> None:
    """Phase by phase or in another way: whichever the machine's objective takes."""
    up = Layer(
        "up", 64, 48, (4, 4), stride=(2, 2), padding=1, in_size=(8, 8), operator="transposed_conv"
    )
    network = Workload.chain("two", [up, Layer("after", 48, 8, out_size=(16, 16))])
    table = table_of(network, name, "2,8")
    none = np.zeros(0, dtype=np.uint8)
    found = timeline(table, none, Policy.off())
    static = simulate(network, table.accelerator, table.always)
    assert (found.cycles, found.counts.tolist()) == (static.cycles, static.counts.tolist())
