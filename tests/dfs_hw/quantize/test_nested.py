import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from quantizing import normal_numbers

from dfs_hw.quantize.nested import NestedWeights, normal_fit


@pytest.mark.parametrize(
    ("stored", "at_1", "at_2", "at_3"),
    # 010 -> 01 -> 0, 101 -> 10 -> 1 and so on, as two's complement p; the value is 2 p + 1.
    [
        (2, 1, 3, 5),
        (-3, -1, -3, -5),
        (3, 1, 3, 7),
        (0, 1, 1, 1),
        (-1, -1, -1, -1),
        (-4, -1, -3, -7),
    ],
)
def test_leading_bits_stand_for_the_middle_of_their_cell(
    stored: int, at_1: int, at_2: int, at_3: int
) -> None:
    quantizer = NestedWeights((1, 2, 3), torch.zeros(1))
    decoded = [quantizer.decode(torch.tensor(float(stored)), i).item() for i in range(3)]
    assert decoded == [at_1, at_2, at_3]


@given(
    bits=st.lists(st.integers(1, 16), min_size=1, max_size=5).map(tuple),
    seed=st.integers(0, 99),
)
def test_every_width_is_a_prefix_of_one_stored_integer(bits: tuple[int, ...], seed: int) -> None:
    weight = normal_numbers(40, seed=seed)
    quantizer, widest = NestedWeights(bits, weight), max(bits)
    stored = [int(q) for q in quantizer.stored(weight)]
    memory = [format(q % 2**widest, f"0{widest}b") for q in stored]
    assert [int(word, 2) - 2**widest * (word[0] == "1") for word in memory] == stored
    for index, width in enumerate(bits):
        prefixes = [int(word[:width], 2) - 2**width * (word[0] == "1") for word in memory]
        values, _ = quantizer(weight, index)
        assert values.tolist() == [2 * p + 1 for p in prefixes]


def test_an_integer_machine_adds_one_term_for_all_outputs() -> None:
    weight, x = normal_numbers(7, 20), torch.randint(0, 256, (20,)).float()
    quantizer = NestedWeights((3, 8), weight)
    prefixes = torch.div(quantizer.stored(weight), 2**5, rounding_mode="floor")
    values, _ = quantizer(weight, 0)
    assert torch.equal(values @ x, 2 * (prefixes @ x) + x.sum())


@pytest.mark.parametrize(("bits", "step"), [(2, 0.9957), (3, 0.5860), (4, 0.3352)])
def test_alone_a_width_has_the_best_uniform_grid(bits: int, step: float) -> None:
    # Max 1960: best uniform quantiser of a unit normal, for 4, 8 and 16 levels.
    fit, mean_magnitude = normal_fit((bits,)), math.sqrt(2 / math.pi)
    assert fit.limit * mean_magnitude == pytest.approx(step * 2 ** (bits - 1), rel=1e-3)
    assert 2 * fit.scales[0] * mean_magnitude == pytest.approx(step, rel=1e-3)


def test_together_the_widths_share_a_range_between_their_own() -> None:
    narrow, both, wide = (normal_fit(bits).limit for bits in ((2,), (1, 2, 2, 8), (8,)))
    assert narrow < both < wide
    assert both == pytest.approx(normal_fit((8, 2)).limit)  # one bit and repetitions have no say
    assert normal_fit((1, 2, 8)).scales[0] == pytest.approx(1)  # mean |w|, at any range


def test_gradient_of_nested_weights_stops_at_the_ends_of_the_range() -> None:
    weight = normal_numbers(200)
    weight[:2] = torch.tensor([50.0, -50.0])
    weight.requires_grad_()
    quantizer = NestedWeights((2, 8), weight)
    for index in range(2):
        values, scale = quantizer(weight, index)
        (gradient,) = torch.autograd.grad((values * scale).sum(), weight)
        limit = normal_fit((2, 8)).limit * weight.detach().abs().mean()
        inside = (weight.abs() < limit).float()
        assert inside[:2].sum() == 0
        assert torch.allclose(gradient, inside)
