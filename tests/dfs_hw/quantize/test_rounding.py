import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from accel_models.errors import InputError
from dfs_hw.quantize.observer import Observer, means, moving_average
from dfs_hw.quantize.rounding import (
    MAX_EXACT_BITS,
    Levels,
    mean_magnitude,
    normal_step,
    quantize,
    step_of,
    straight_through,
)

NAN = math.nan

floats = st.lists(st.floats(-100, 100, allow_nan=False, width=32), min_size=1, max_size=30).map(
    torch.tensor
)


@pytest.mark.parametrize(
    ("bits", "signed", "levels"),
    [(2, True, (-1, 1)), (4, True, (-7, 7)), (8, True, (-127, 127)), (1, True, (-1, 1)),
     (1, False, (0, 1)), (2, False, (0, 3)), (8, False, (0, 255)), (16, False, (0, 65535))],
)  # fmt: skip
def test_levels_of_common_widths(bits: int, signed: bool, levels: tuple[int, int]) -> None:
    assert (Levels.signed(bits) if signed else Levels.unsigned(bits))[:2] == levels


@pytest.mark.parametrize("bits", [-1, 0, MAX_EXACT_BITS + 1, 32])
def test_widths_that_float32_cannot_hold_are_refused(bits: int) -> None:
    for levels in (Levels.signed, Levels.unsigned):
        with pytest.raises(InputError, match=f"1 to 24 bits, got {bits}$"):
            levels(bits)


def test_rounds_to_the_nearest_level_and_clips() -> None:
    x = torch.tensor([-9.0, -0.3, 0.2, 0.26, 0.76, 1.3, 9.0])
    got = quantize(x, torch.tensor(0.5), Levels.unsigned(2))
    assert got.tolist() == [0, 0, 0, 1, 2, 3, 3]


def test_one_signed_bit_is_the_sign_and_never_zero() -> None:
    x = torch.tensor([0.5, -0.1, 0.0, -1.0])
    assert quantize(x, torch.tensor(0.4), Levels.signed(1)).tolist() == [1, -1, 1, -1]


@given(x=floats, bits=st.integers(2, 8), step=st.floats(1e-3, 10))
def test_quantising_what_is_on_the_grid_changes_nothing(x: Tensor, bits: int, step: float) -> None:
    levels, scale = Levels.signed(bits), torch.tensor(step)
    once = quantize(x, scale, levels)
    assert torch.equal(quantize(once * scale, scale, levels), once)
    assert torch.equal(once, once.round())
    assert once.abs().max() <= levels.high


@given(x=floats, bits=st.integers(2, 8))
def test_error_inside_the_range_is_at_most_half_a_step(x: Tensor, bits: int) -> None:
    levels = Levels.signed(bits)
    step = x.abs().max() / levels.high + 1e-3
    assert (quantize(x, step, levels) * step - x).abs().max() <= step * 0.5001


def test_gradient_passes_inside_the_range_and_stops_outside() -> None:
    x = torch.tensor([-0.2, 0.3, 2.9, 3.1], requires_grad=True)
    quantize(x, torch.tensor(0.5), Levels(0, 6)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 2, 2, 0]


def test_straight_through_keeps_every_bit_of_the_value_and_all_of_the_gradient() -> None:
    x = torch.tensor([0.1, 1e8], requires_grad=True)
    rounded = torch.tensor([3.0, 1.0])
    got = straight_through(rounded, 2 * x)
    assert got.tolist() == [3, 1]
    (got * torch.tensor([5.0, 7.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [10, 14]


def test_the_mean_magnitude_of_nothing_is_zero() -> None:
    assert mean_magnitude(torch.tensor([3.0, -1.0])).item() == 2
    assert mean_magnitude(torch.empty(0, 4)).item() == 0


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
    best = step_of(mean_magnitude(x), levels)

    def error(step: Tensor) -> float:
        return float((quantize(x, step, levels) * step - x).square().mean())

    assert error(best) < min(error(0.85 * best), error(1.15 * best))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_steps_of_wide_operands_balance_rounding_and_clipping(bits: int) -> None:
    # Error of n levels on a unit normal: s^2 / 12 inside, and beyond the last level a
    # 2 ((1 + a^2) Q(a) - a phi(a)), the second moment of the excess over a.
    high = Levels.signed(bits).high
    outermost = np.linspace(3, 7, 4001)
    tails, density = stats.norm.sf(outermost), stats.norm.pdf(outermost)
    clipping = 2 * ((1 + outermost**2) * tails - outermost * density)
    wanted = outermost[np.argmin((outermost / high) ** 2 / 12 + clipping)]
    got = normal_step(Levels.signed(bits)) * high * math.sqrt(2 / math.pi)
    assert got == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize(
    ("old", "batch", "share", "wanted"),
    [
        (1.0, 2.0, 1.0, 1.1),  # a whole batch counts a tenth
        (1.0, 2.0, 0.5, 1.05),  # half of one half of that
        (1.0, NAN, 0.0, 1.0),  # nothing seen, nothing moved
        (NAN, 2.0, 0.01, 2.0),  # the first value is taken as it is
        (NAN, NAN, 0.0, NAN),
    ],
)
def test_averages_move_by_the_share_of_inputs_seen(
    old: float, batch: float, share: float, wanted: float
) -> None:
    got = moving_average(torch.tensor([old]), torch.tensor([batch]), torch.tensor([share]))
    assert got.item() == pytest.approx(wanted, nan_ok=True)


def test_averages_of_several_columns_move_with_the_share_of_their_precision() -> None:
    old, batch = torch.zeros(2, 3), torch.tensor([[1.0, 2, 3], [NAN, NAN, NAN]])
    got = moving_average(old, batch, torch.tensor([1.0, 0.0]), momentum=0.5)
    assert got.tolist() == [[0.5, 1, 1.5], [0, 0, 0]]


def test_an_observer_adds_up_inputs_and_sums_and_saves_neither() -> None:
    observer = Observer(2, sums=2)
    observer.observe(1, 3, torch.tensor([6.0, 9.0]))
    observer.observe(1, 1, torch.tensor([2.0, 3.0]))
    assert observer.pending.tolist() == [[0, 0, 0], [4, 8, 12]]
    assert means(observer.pending)[1].tolist() == [2, 3]
    assert means(observer.pending)[0].isnan().all()
    assert not observer.state_dict()


def test_an_observer_looks_only_while_training_with_gradients() -> None:
    observer = Observer(1, sums=1)
    assert observer.observing
    with torch.no_grad():
        assert not observer.observing
    assert not observer.eval().observing
