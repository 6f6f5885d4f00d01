"""The datapath on operators other than flat convolutions: maps with depth, transposed convolutions
piece by piece, and products of activations, against torch and the closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datapaths import (
    OPERATIONS,
    agrees,
    convolved,
    operands,
    searched,
    small_machine,
    values,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from random_layers import geometries
from random_transposed import assembled, transposed, transposed_layers

from accel_models import InfeasibleError, InputError, Layer, Precision, load_accelerator
from accel_models.accelerators.accelerator import Accelerator
from accel_models.mapping.problem import Found
from accel_models.reference_machine.datapath.datapath import Computed, compute

FAMILIES = ("bitfusion", "bitblade", "stripes", "loom-2b", "unpu")
pairs = st.builds(Precision, st.integers(1, 16), st.integers(1, 16))
prices = st.lists(st.floats(0.01, 20), min_size=12, max_size=12)
linear_planes = st.builds(dict, in_size=st.tuples(st.integers(2, 4), st.just(1), st.just(1)))
seeds = st.integers(0, 2**32 - 1)


def found_for(
    machine: Accelerator, layer: Layer, widths: Precision, batch: int, costs: list[float]
) -> Found:
    try:
        return searched(machine, layer, widths, batch, costs)
    except InfeasibleError:
        assume(False)
        raise


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
@given(
    data=st.data(),
    geometry=geometries(outputs=3, axes=3) | linear_planes,
    widths=pairs,
    batch=st.integers(1, 2),
    costs=prices,
    seed=seeds,
)
@settings(max_examples=80)
def test_maps_with_depth(
    name: str,
    data: st.DataObject,
    geometry: dict[str, object],
    widths: Precision,
    batch: int,
    costs: list[float],
    seed: int,
) -> None:
    machine = small_machine(name, data.draw)
    groups = data.draw(st.sampled_from([1, 1, 2]))
    channels = (groups * data.draw(st.integers(1, 5)), groups * data.draw(st.integers(1, 5)))
    layer = Layer("deep", *channels, groups=groups, **geometry)
    found = found_for(machine, layer, widths, batch, costs)
    x, w = operands(layer, widths, batch, (False, True), seed)
    computed = compute(layer, machine, widths, found.mapping, x, w)
    agrees(machine, layer, widths, found, computed, convolved(layer, x, w))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
@given(
    data=st.data(),
    layer=st.integers(1, 3).flatmap(lambda axes: transposed_layers(axes, largest=3)),
    costs=prices,
    seed=seeds,
)
@settings(max_examples=50)
def test_transposed_convolutions_piece_by_piece(
    name: str, data: st.DataObject, layer: Layer, costs: list[float], seed: int
) -> None:
    """Each way comes to torch's result, every piece takes what its closed form says."""
    machine, widths = small_machine(name, data.draw), Precision(6, 5)
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2**5, (2, layer.in_channels, *layer.in_size))
    made = layer.out_channels // layer.groups
    w = rng.integers(-(2**5), 2**5, (layer.in_channels, made, *layer.kernel))

    def computed(piece: Layer, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        found = found_for(machine, piece, widths, 2, costs)
        one = compute(piece, machine, widths, found.mapping, inputs, weights)
        agrees(machine, piece, widths, found, one, convolved(piece, inputs, weights))
        return one.outputs

    expected = transposed(layer, x, w)
    for way in layer.ways:
        assert (assembled(layer, way, x, w, computed) == expected).all()


def some(rng: np.random.Generator, bits: int, *shape: int) -> np.ndarray:
    low, high = values(bits, signed=True)[[0, -1]]
    return rng.choice([-1, 1], shape) if bits == 1 else rng.integers(low, high + 1, shape)


def multiplied(
    machine: Accelerator, layer: Layer, widths: Precision, costs: list[float],
    x: np.ndarray, w: np.ndarray,
) -> tuple[Found, Computed]:  # fmt: skip
    found = found_for(machine, layer, widths, len(x), costs)
    computed = compute(layer, machine, widths, found.mapping, x, w, signed_inputs=True)
    assert computed.issue_cycles == found.compute_cycles
    assert computed.operations == found.counts[OPERATIONS]
    return found, computed


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
@given(
    data=st.data(),
    heads=st.integers(1, 4),
    shared=st.integers(1, 3),
    batch=st.integers(1, 3),
    sizes=st.tuples(*(st.integers(1, 7),) * 3),
    costs=prices,
    seed=seeds,
)
@settings(max_examples=60)
def test_attention_head_by_head(
    name: str,
    data: st.DataObject,
    heads: int,
    shared: int,
    batch: int,
    sizes: tuple[int, int, int],
    costs: list[float],
    seed: int,
) -> None:
    """Queries times keys, for every input and head; `shared` heads of queries meet one of keys,
    which are its further positions."""
    machine, rng = small_machine(name, data.draw), np.random.default_rng(seed)
    queries, keys, width = sizes
    bits = data.draw(st.sampled_from([2, 4, 5, 8]))
    widths = Precision(bits, bits)
    query = some(rng, bits, batch, heads, shared, queries, width)
    key = some(rng, bits, batch, heads, keys, width)
    every = torch.from_numpy(key).repeat_interleave(shared, dim=1)
    by_head = torch.from_numpy(query.reshape(batch, heads * shared, queries, width))
    expected = (by_head @ every.transpose(2, 3)).numpy()

    laid = data.draw(st.sampled_from([(shared * queries, 1), (shared, queries, 1)]))
    layer = Layer(
        "scores", heads * width, heads * keys, out_size=laid, groups=heads, operator="matmul"
    )
    x = query.reshape(batch, heads, shared * queries, width).swapaxes(2, 3)
    _, computed = multiplied(
        *(machine, layer, widths, costs),
        np.ascontiguousarray(x).reshape(batch, heads * width, *laid),
        key.reshape(batch, heads * keys, width),
    )
    scores = computed.outputs.reshape(batch, heads, keys, shared, queries)
    by_query = scores.transpose(0, 1, 3, 4, 2).reshape(expected.shape)
    assert (by_query == expected).all()


@pytest.mark.parametrize(
    ("x", "w", "said"),
    [
        ((2, 4, 3), (2, 6, 2), r"its input has the shape \[2, 4, 3, 1\], got \[2, 4, 3\]"),
        ((2, 4, 1, 3), (2, 6, 2), r"its input has the shape \[2, 4, 3, 1\], got \[2, 4, 1, 3\]"),
        ((2, 4, 3, 1), (6, 2), r"multiplies by has the shape \[2, 6, 2\], got \[6, 2\]"),
        ((2, 4, 3, 1), (1, 6, 2), r"multiplies by has the shape \[2, 6, 2\], got \[1, 6, 2\]"),
    ],
)
def test_operands_of_another_product_are_refused(
    x: tuple[int, ...], w: tuple[int, ...], said: str
) -> None:
    machine, widths = load_accelerator("bitfusion"), Precision(8, 8)
    layer = Layer("p", 4, 6, out_size=(3, 1), groups=2, operator="matmul")
    found = searched(machine, layer, widths, 2, [1.0] * 12)
    with pytest.raises(InputError, match=said):
        compute(layer, machine, widths, found.mapping, np.zeros(x, int), np.zeros(w, int))
