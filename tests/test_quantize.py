import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accel_models.precision import Precision, parse_choices
from dfs_hw.quantize import (
    ActivationQuantizer,
    Levels,
    QuantizedConv2d,
    QuantizedLinear,
    normal_step,
    quantize,
    quantize_weights,
    step_of,
)

floats = st.lists(st.floats(-100, 100, allow_nan=False, width=32), min_size=1, max_size=30).map(
    torch.tensor
)


@pytest.mark.parametrize(
    ("bits", "signed", "levels"),
    [(2, True, (-1, 1)), (4, True, (-7, 7)), (8, True, (-127, 127)), (1, True, (-1, 1)),
     (1, False, (0, 1)), (2, False, (0, 3)), (8, False, (0, 255))],
)  # fmt: skip
def test_levels_of_common_widths(bits: int, signed: bool, levels: tuple[int, int]) -> None:
    assert (Levels.signed(bits) if signed else Levels.unsigned(bits))[:2] == levels


def test_rounds_to_the_nearest_level_and_clips() -> None:
    x = torch.tensor([-9.0, -0.3, 0.2, 0.26, 0.76, 1.3, 9.0])
    got = quantize(x, torch.tensor(0.5), Levels.unsigned(2))
    assert got.tolist() == [0, 0, 0, 1, 2, 3, 3]


@given(x=floats, bits=st.integers(2, 8), step=st.floats(1e-3, 10))
def test_quantising_what_is_on_the_grid_changes_nothing(
    x: torch.Tensor, bits: int, step: float
) -> None:
    levels, scale = Levels.signed(bits), torch.tensor(step)
    once = quantize(x, scale, levels)
    assert torch.equal(quantize(once * scale, scale, levels), once)
    assert torch.equal(once, once.round())
    assert once.abs().max() <= levels.high


@given(x=floats, bits=st.integers(2, 8))
def test_error_inside_the_range_is_at_most_half_a_step(x: torch.Tensor, bits: int) -> None:
    levels = Levels.signed(bits)
    step = x.abs().max() / levels.high + 1e-3
    assert (quantize(x, step, levels) * step - x).abs().max() <= step * 0.5001


def test_gradient_passes_inside_the_range_and_stops_outside() -> None:
    x = torch.tensor([-0.2, 0.3, 2.9, 3.1], requires_grad=True)
    quantize(x, torch.tensor(0.5), Levels(0, 6)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 2, 2, 0]


@pytest.mark.parametrize(
    ("levels", "step"),
    # Step of the best uniform quantiser of a unit normal, for an odd number of levels and for two:
    # Max 1960 (3, 7 and 15 levels are 2, 3 and 4 bits without the lowest).
    [
        (Levels.signed(1), 0.7979),
        (Levels.signed(2), 1.2240),
        (Levels.signed(3), 0.6508),
        (Levels.signed(4), 0.3534),
    ],
)
def test_step_is_the_best_for_normal_numbers(levels: Levels, step: float) -> None:
    mean_magnitude = math.sqrt(2 / math.pi)
    assert normal_step(levels) * mean_magnitude == pytest.approx(step, abs=5e-4)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("signed", [True, False])
def test_no_nearby_step_has_less_error(bits: int, signed: bool) -> None:
    x = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    levels = Levels.signed(bits) if signed else Levels.unsigned(bits)
    x = x if signed else x.relu()
    best = step_of(x.abs().mean(), levels)

    def error(step: torch.Tensor) -> float:
        return float((quantize(x, step, levels) * step - x).square().mean())

    assert error(best) < min(error(0.85 * best), error(1.15 * best))


def test_one_bit_weights_are_signs_times_their_mean_magnitude() -> None:
    weight = torch.tensor([0.5, -0.1, 0.0, -1.0])
    integers, step = quantize_weights(weight, 1)
    assert integers.tolist() == [1, -1, 1, -1]
    assert step.item() == pytest.approx(0.4)


def test_two_bit_weights_have_a_zero_and_one_bit_weights_have_none() -> None:
    weight = torch.tensor([1.0, -1.0, 0.01, -0.01])
    assert quantize_weights(weight, 2)[0].tolist() == [1, -1, 0, 0]
    assert quantize_weights(weight, 1)[0].tolist() == [1, -1, 1, -1]


def test_activation_ranges_are_a_slow_average_of_training_batches() -> None:
    quantizer = ActivationQuantizer((4,), signed=False)
    quantizer(torch.full((5,), 1.0), 0)
    assert quantizer.magnitude.item() == 1.0
    quantizer(torch.full((5,), 2.0), 0)
    assert quantizer.magnitude.item() == pytest.approx(1.1)
    quantizer.eval()(torch.full((5,), 9.0), 0)
    assert quantizer.magnitude.item() == pytest.approx(1.1)


def test_a_width_that_never_ran_gives_nan_and_others_their_own_range() -> None:
    quantizer = ActivationQuantizer((2, 8), signed=False)
    quantizer(torch.ones(3), 1)
    quantizer.eval()
    assert quantizer(torch.ones(3), 0)[0].isnan().all()
    assert quantizer(torch.ones(3), 1)[0].isfinite().all()


@pytest.mark.parametrize("bits", ["2", "4", "8", "4/8"])
def test_convolution_is_integer_arithmetic_scaled_once(bits: str) -> None:
    generator = torch.Generator().manual_seed(1)
    precision = Precision.parse(bits)
    conv = QuantizedConv2d(5, 7, 3, (precision,), stride=2, padding=1)
    x = torch.rand(4, 5, 9, 9, generator=generator)
    conv(x, 0)
    conv.eval()
    x_int, x_step = conv.activations(x, 0)
    w_int, w_step = quantize_weights(conv.weight, precision.weight_bits)
    exact = torch.nn.functional.conv2d(
        x_int.to(torch.int64).double(), w_int.to(torch.int64).double(), stride=2, padding=1
    )
    assert torch.equal(exact, exact.round())
    assert torch.equal(conv(x, 0), exact.float() * (x_step * w_step))


def test_outputs_do_not_depend_on_the_batch_an_input_is_in() -> None:
    generator = torch.Generator().manual_seed(2)
    linear = QuantizedLinear(50, 9, Precision(8, 8), signed=True)
    x = torch.randn(40, 50, generator=generator)
    linear(x)
    linear.eval()
    alone = torch.cat([linear(row) for row in x.split(1)])
    assert torch.equal(linear(x), alone)


def test_eight_bits_come_close_to_floating_point() -> None:
    generator = torch.Generator().manual_seed(3)
    conv = QuantizedConv2d(8, 8, 3, (Precision(8, 8), Precision(2, 2)), padding=1)
    x = torch.rand(2, 8, 6, 6, generator=generator)
    wanted = torch.nn.functional.conv2d(x, conv.weight, padding=1)
    fine, coarse = ((conv(x, index) - wanted).std() / wanted.std() for index in (0, 1))
    assert fine < 0.02 < coarse


def test_full_precision_does_not_quantise() -> None:
    conv = QuantizedConv2d(3, 4, 3, parse_choices("4,full"), padding=1)
    x = torch.randn(2, 3, 8, 8)
    plain = torch.nn.functional.conv2d(x, conv.weight, padding=1)
    assert torch.equal(conv(x, 1), plain)
    assert not torch.allclose(conv(x, 0), plain, atol=1e-3)
