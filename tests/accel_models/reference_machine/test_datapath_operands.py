"""What the datapath is given: layers of a trained network, sums that overflow, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from datapaths import WHOLE, agrees, convolved, operands, products
from quantized_layers import Seen, quickly_trained, seen_layers

from accel_models import InputError, Layer, Precision, Workload, load_accelerator
from accel_models.costs.simulator import LayerSimulator
from accel_models.costs.solving import LayerCost
from accel_models.mapping.problem import LOOPS, Found, Mapping
from accel_models.reference_machine.datapath.datapath import compute
from dfs_hw.networks.workload_of import workload_of

BATCH = 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workload, list[Seen]]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    network = quickly_trained(tmp_path_factory.mktemp("datapath"))
    yield workload_of(network).without_gates(), seen_layers(network, BATCH)
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bitfusion", "stripes", "loom-2b", "unpu"])
def test_layers_of_a_trained_network(name: str, trained: tuple[Workload, list[Seen]]) -> None:
    """Sums equal torch's of the same integers, and times their scale what the network itself saw
    in floating point."""
    workload, layers = trained
    machine = load_accelerator(name)
    costs = LayerSimulator(machine, BATCH, 8)
    assert {seen.widths.weight_bits for seen in layers} == {2, 4, 8}
    assert len(layers) == len(workload.layers)
    for seen in layers:
        cost = costs.cost(workload, seen.layer, seen.widths)
        computed = compute(
            *(seen.layer, machine, cost.precision, cost.mapping, seen.inputs, seen.weights),
            signed_inputs=seen.signed_inputs,
        )
        agrees(
            *(machine, seen.layer, seen.widths, as_found(cost), computed),
            convolved(seen.layer, seen.inputs, seen.weights),
        )
        sums = torch.from_numpy(computed.outputs).float().reshape(seen.output.shape)
        torch.testing.assert_close(sums * seen.scale, seen.output, rtol=1e-5, atol=1e-5)
        assert np.unique(seen.weights).size > 2 and computed.outputs.any()


def as_found(cost: LayerCost) -> Found:
    return Found(cost.cycles, cost.compute_cycles, cost.counts, cost.mapping)


# ---- accumulators


def extreme_layer(channels: int) -> tuple[Layer, Mapping]:
    layer = Layer("extreme", channels, 2)
    return layer, Mapping((1, 1, 1, channels, 2), LOOPS, "output", "channels", WHOLE)


@pytest.mark.parametrize("name", ["bitfusion", "stripes", "loom-1b", "unpu"])
def test_sums_beyond_a_word_take_two_and_wrap_in_one(name: str) -> None:
    machine = load_accelerator(name)
    layer, mapping = extreme_layer(40)
    x = np.full((1, 40, 1, 1), 2**16 - 1)
    w = np.full((2, 40, 1, 1), -(2**15))
    w[1] = 2**15 - 1
    exact = convolved(layer, x, w)
    assert (np.abs(exact) > 2**31).all()
    wide = compute(layer, machine, Precision(16, 16), mapping, x, w)
    assert wide.accumulator_bits == 64
    assert (wide.outputs == exact).all()
    for bits in (32, 20):
        one = compute(layer, machine, Precision(16, 16), mapping, x, w, accumulator_bits=bits)
        assert (one.outputs - exact != 0).all() and not ((one.outputs - exact) % 2**bits).any()
        assert (one.outputs >= -(2 ** (bits - 1))).all() and (one.outputs < 2 ** (bits - 1)).all()


def test_wrapping_on_the_way_does_no_harm() -> None:
    """A sum that fits in the end is right, however far it strayed in between."""
    machine = load_accelerator("bitfusion")
    layer, mapping = extreme_layer(80)
    x = np.full((1, 80, 1, 1), 2**16 - 1)
    w = np.full((2, 80, 1, 1), 2**15 - 1)
    w[:, 40:] = -(2**15 - 1)
    w[1, 79] += 5
    exact = convolved(layer, x, w)
    found = compute(layer, machine, Precision(16, 16), mapping, x, w, accumulator_bits=32)
    assert (found.outputs == exact).all() and exact[0, 1] == 5 * (2**16 - 1)


def test_the_published_machine_never_widens() -> None:
    machine = load_accelerator("bitfusion-published").configured(accumulator_bits=16)
    layer, mapping = extreme_layer(16)
    x, w = operands(layer, Precision(8, 8), 1, (False, True), 0)
    w[:] = 127
    found = compute(layer, machine, Precision(8, 8), mapping, x, w)
    exact = convolved(layer, x, w)
    assert found.accumulator_bits == 16
    assert (found.outputs != exact).any() and not ((found.outputs - exact) % 2**16).any()


def test_sums_of_two_unsigned_operands_have_no_sign() -> None:
    x = np.array([0, 255])
    machine = load_accelerator("bitfusion").configured(accumulator_bits=16)
    found = products(machine, x, x, Precision(8, 8), (False, False))
    assert found.accumulator_bits == 16 and found.outputs[1, 1, 0, 0] == 255**2 > 2**15


# ---- refusals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [[8, 0]]}, "weights of 4 signed bits are -8 to 7, got 8"),
        ({"inputs": [[0], [16]]}, "inputs of 4 unsigned bits are 0 to 15, got 16"),
        ({"inputs": [[0], [-1]]}, "inputs of 4 unsigned bits are 0 to 15, got -1"),
        ({"inputs": [[0.0], [1.0]]}, "inputs are integers, got float64"),
        ({"inputs": [[1]]}, r"inputs are \[batch, 2, rows, columns\], got the shape \[1, 1,"),
        ({"weights": [[1]]}, r"weights have the shape \[1, 2, 1, 1\], got \[1, 1, 1, 1\]"),
        ({"inputs": [[0, 1], [1, 0]]}, "its inputs are maps of 1 x 1, got 1 x 2"),
        ({"bits": 1, "weights": [[0, 1]]}, "weights of 1 signed bits are -1 or 1, got 0"),
        ({"machine": "eyeriss-int8"}, "the datapath computes arrays of the families bit_fusion, "),
        ({"lane_rule": "row-stationary"}, "its array does not fill lanes by row-stationary"),
        ({"accumulator_bits": 0}, "accumulators have 1 to 64 bits, got 0"),
        ({"accumulator_bits": 65}, "accumulators have 1 to 64 bits, got 65"),
        ({"lane_rule": None}, "layer 'two' has no mapping"),
        ({"machine": "unpu", "bits": 1, "weights": [[1, 1]], "signed_weights": False},
         "1-bit weights are signs"),
    ],
)  # fmt: skip
def test_what_is_refused_and_why(changes: dict[str, Any], message: str) -> None:
    given = {"machine": "bitfusion", "bits": 4, "inputs": [[1], [1]], "weights": [[1, 1]]} | changes
    options = {k: given[k] for k in ("accumulator_bits", "signed_weights") if k in given}
    rule = given.get("lane_rule", "channels")
    mapping = rule and Mapping((1, 1, 1, 2, 1), LOOPS, "output", rule, WHOLE)
    inputs = np.array(given["inputs"])[None, :, None, :]
    weights = np.array(given["weights"])[:, :, None, None]
    widths = Precision(given["bits"], given["bits"])
    with pytest.raises(InputError, match=message):
        machine = load_accelerator(given["machine"])
        compute(Layer("two", 2, 1), machine, widths, mapping, inputs, weights, **options)
