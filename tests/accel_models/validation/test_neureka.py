"""Engines of 3x3 blocks whose cycles are known from RTL or from a released model."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_models import Layer, Precision, load_accelerator
from accel_models.accelerators.arrays.neureka import Neureka
from accel_models.errors import InfeasibleError
from accel_models.validation import compare_with_neureka
from accel_models.validation.neureka import FITTED, array_cycles, refit, weight_cycles

NE16_LAYER = Layer("conv", 64, 64, (3, 3), out_size=(16, 16), padding=1)
NE16_CYCLES = {8: 90_576, 4: 53_712, 2: 35_280}
"""plinio/cost/ne16_latency.py (eml-eda/plinio at 4f18525) for that layer, by weight bits."""


def engine(name: str) -> Neureka:
    array = load_accelerator(name).array
    assert isinstance(array, Neureka)
    return array


def test_every_job_of_the_rtl_takes_about_as_long_as_a_simulation_says() -> None:
    jobs = compare_with_neureka()
    assert len(jobs) == 14
    assert sum(job.fitted for job in jobs) == 7
    assert max(abs(job.off) for job in jobs) < 0.02
    assert max(abs(job.off) for job in jobs if not job.fitted) < 0.017


def test_the_machine_has_the_constants_that_the_fit_gives() -> None:
    array, fitted = engine("neureka-published"), refit()
    assert set(fitted) == set(FITTED)
    assert array.cycles_per_read == pytest.approx(fitted["cycles_per_read"], abs=5e-4)
    assert array.tile_cycles == pytest.approx(fitted["tile_cycles"], abs=0.05)
    assert array.job_overhead == pytest.approx(fitted["job_overhead"], abs=0.05)


@pytest.mark.parametrize(("bits", "cycles"), NE16_CYCLES.items())
def test_ne16_takes_the_cycles_of_the_released_model(bits: int, cycles: int) -> None:
    machine = load_accelerator("ne16-published")
    assert array_cycles(machine, NE16_LAYER, Precision(bits, 8)) == cycles
    assert engine("ne16-published").job_cycles(NE16_LAYER, Precision(bits, 8)) == cycles


def released_cycles(layer: Layer, bits: int) -> int:
    """The released formula written again from its states: load, weight offset, products, index,
    normalisation with 32-bit scales, storing."""
    depthwise, pointwise = layer.groups > 1, layer.kernel == (1, 1)
    rows, columns = layer.out_size
    body = 16 if depthwise else 32
    inputs = 1 if depthwise else math.ceil(layer.in_channels / 16)

    def one(outputs: int) -> int:
        load = 10 + 9 if pointwise else 6 + 25
        offset = 6 + outputs * depthwise
        products = 6 + (outputs if pointwise else outputs * bits)
        return inputs * (load + offset + products + 2) + 9 + outputs + 3 + 9 + 1

    whole, left = divmod(layer.out_channels, body)
    each = whole * one(body) + (one(left) if left else 0)
    return math.ceil(rows / 3) * math.ceil(columns / 3) * each


@given(
    kind=st.sampled_from(("3x3", "1x1", "depthwise")),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    channels=st.tuples(st.integers(1, 100), st.integers(1, 100)),
    bits=st.integers(2, 8),
)
def test_ne16_is_the_released_formula_on_any_layer(
    kind: str, size: tuple[int, int], channels: tuple[int, int], bits: int
) -> None:
    ins, outs = channels
    if kind == "depthwise":
        ins = outs = outs + 1
    layer = Layer(
        kind,
        ins,
        outs,
        (1, 1) if kind == "1x1" else (3, 3),
        out_size=size,
        groups=ins if kind == "depthwise" else 1,
    )
    expected = released_cycles(layer, bits)
    if kind == "depthwise":  # the model runs a few channels as a dense layer
        dense = replace(layer, groups=1)
        if 2 * released_cycles(layer, 8) > released_cycles(dense, 8):
            expected = released_cycles(dense, bits)
    precision = Precision(bits, 8)
    assert engine("ne16-published").job_cycles(layer, precision) == expected
    assert array_cycles(load_accelerator("ne16-published"), layer, precision) >= expected


@pytest.mark.parametrize("name", ["neureka-published", "ne16-published"])
def test_pointwise_layers_gain_nothing_from_narrow_weights(name: str) -> None:
    pointwise = Layer("pointwise", 64, 96, out_size=(14, 14))
    spatial = replace(NE16_LAYER, name="spatial")
    cycles = {
        layer.name: [
            array_cycles(load_accelerator(name), layer, Precision(b, 8)) for b in (2, 4, 8)
        ]
        for layer in (pointwise, spatial)
    }
    assert len(set(cycles["pointwise"])) == 1
    assert cycles["spatial"] == sorted(set(cycles["spatial"]))


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_weights_go_by_as_in_the_engine_that_both_come_from(bits: int) -> None:
    """RBE: bits x 32 cycles for 32 x 32 channels; N-EUREKA's memory gives a word every 1.45."""
    assert weight_cycles(engine("ne16-published"), bits) == bits * 32
    own = engine("neureka-published")
    assert weight_cycles(own, bits) == pytest.approx(bits * 32 * own.cycles_per_read)


def test_a_large_kernel_is_3x3_and_1x1_parts() -> None:
    array, width = engine("neureka-published"), Precision(8, 8)

    def cycles(kernel: tuple[int, int]) -> float:
        layer = Layer("conv", 32, 32, kernel, out_size=(4, 4))
        return array.exact_cycles(layer, width) - array.job_overhead

    assert cycles((5, 5)) == pytest.approx(cycles((3, 3)) + 16 * cycles((1, 1)))
    assert cycles((6, 3)) == pytest.approx(2 * cycles((3, 3)))
    assert cycles((1, 3)) == pytest.approx(3 * cycles((1, 1)))


def test_a_strided_layer_computes_what_it_drops() -> None:
    array, width = engine("neureka-published"), Precision(8, 8)
    whole = Layer("whole", 32, 32, (3, 3), out_size=(16, 16))
    strided = Layer("strided", 32, 32, (3, 3), out_size=(8, 8), stride=(2, 2))
    ratio = array.job_cycles(strided, width) / array.job_cycles(whole, width)
    assert 0.98 < ratio <= 1


def test_wider_operands_are_refused() -> None:
    with pytest.raises(
        InfeasibleError, match="9-bit activations are wider than the array's 8 bits"
    ):
        engine("neureka-published").job_cycles(NE16_LAYER, Precision(8, 9))
