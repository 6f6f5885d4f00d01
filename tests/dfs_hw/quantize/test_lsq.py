import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from quantizing import commit, grad, normal_numbers

from dfs_hw.quantize.lsq import (
    LearnedStepActivations,
    LearnedStepWeights,
    round_by_learned_step,
)
from dfs_hw.quantize.normal import NormalActivations, NormalWeights
from dfs_hw.quantize.rounding import Levels

WIDTHS = (1, 2, 4, 8, 16)


def test_gradient_of_a_learned_step_is_that_of_the_paper() -> None:
    # Esser et al. 2020, equation 3, at s = 0.5 and levels 0 to 3:
    x = torch.tensor([-0.2, 0.3, 0.7, 9.0], requires_grad=True)
    to_step = [0, 1 - 0.6, 1 - 1.4, 3]  # low; round(x/s) - x/s; the same; high
    ratio = torch.tensor(1.0, requires_grad=True)
    start = torch.tensor(0.5)
    values, step = round_by_learned_step(x, ratio, start, Levels.unsigned(2), features=4)
    weights = torch.tensor([1.0, 10, 100, 1000])
    (weights * values * step).sum().backward()
    assert values.tolist() == [0, 1, 1, 3]
    assert grad(x).tolist() == [0, 10, 100, 0]
    gradient = math.sqrt(1 / (4 * 3)) * sum(w * g for w, g in zip(weights, to_step, strict=True))
    assert grad(ratio).item() == pytest.approx(float(gradient) * start.item())  # chain rule


@given(
    bits=st.integers(1, 8), signed=st.booleans(), step=st.floats(0.01, 10), seed=st.integers(0, 99)
)
def test_gradient_of_a_learned_step_is_that_of_its_straight_through_expression(
    bits: int, signed: bool, step: float, seed: int
) -> None:
    levels = Levels.signed(bits) if signed else Levels.unsigned(bits)
    weights = normal_numbers(50, seed=seed + 100).double()
    x = normal_numbers(50, seed=seed).double().requires_grad_()
    ratio = torch.ones((), dtype=torch.float64, requires_grad=True)
    start = torch.tensor(step, dtype=torch.float64)
    values, scale = round_by_learned_step(x, ratio, start, levels, features=7)
    (weights * values * scale).sum().backward()

    plain_x = x.detach().clone().requires_grad_()
    plain_step = start.clone().requires_grad_()
    clipped = (plain_x / plain_step).clamp(levels.low, levels.high)
    rounded = torch.where(clipped >= 0, 1.0, -1.0) if bits == 1 and signed else clipped.round()
    (weights * (clipped + (rounded - clipped).detach()) * plain_step).sum().backward()
    assert torch.equal(values, rounded)
    assert torch.allclose(grad(x), grad(plain_x))
    wanted = grad(plain_step) / math.sqrt(7 * levels.high) * start
    assert torch.allclose(grad(ratio), wanted, atol=1e-9)


def test_learned_steps_start_as_the_steps_for_normal_numbers() -> None:
    weight, x = normal_numbers(20, 9), normal_numbers(10, 30, seed=1)
    learned, fixed = LearnedStepWeights(WIDTHS, weight), NormalWeights(WIDTHS, weight)
    learned_x, fixed_x = LearnedStepActivations(WIDTHS, True), NormalActivations(WIDTHS, True)
    for index in range(len(WIDTHS)):
        assert learned(weight, index)[1].item() == pytest.approx(fixed(weight, index)[1].item())
        learned_x(x, index), fixed_x(x, index)
    commit(learned_x, 10)
    commit(fixed_x, 10)
    for index in range(len(WIDTHS)):
        assert torch.equal(learned_x.eval()(x, index)[0], fixed_x.eval()(x, index)[0])


def test_only_the_first_batch_seen_and_descent_move_learned_steps() -> None:
    weight = normal_numbers(20, 9)
    weights, activations = LearnedStepWeights((4,), weight), LearnedStepActivations((4,), True)
    activations(weight, 0)
    commit(activations, 20)
    before = activations(weight, 0)[1].item(), weights(weight, 0)[1].item()
    activations(5 * weight, 0)
    commit(activations, 20)
    assert (activations(weight, 0)[1].item(), weights(5 * weight, 0)[1].item()) == before
    with torch.no_grad():
        weights.ratio.mul_(3)
    weights.initialize(5 * weight)
    assert weights(weight, 0)[1].item() == pytest.approx(5 * before[1])


def test_descent_finds_the_step_that_a_saturated_tensor_asks_for() -> None:
    # With three positive levels, inputs of 9 that should become 6 need a step of 2.
    quantizer = LearnedStepActivations((2,), False)
    quantizer(torch.full((4, 5), 1.0), 0)
    commit(quantizer, 4)
    descent = torch.optim.SGD(quantizer.parameters(), lr=0.05)
    for _ in range(50):
        values, step = quantizer(torch.full((4, 5), 9.0), 0)
        descent.zero_grad()
        (values * step - 6).square().mean().backward()
        descent.step()
    assert quantizer.eval()(torch.ones(1, 5), 0)[1].item() == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("pushed", [0.0, -5.0])
def test_a_step_cannot_reach_zero_and_finds_its_way_back(pushed: float) -> None:
    weight = normal_numbers(50)
    quantizer = LearnedStepWeights((2,), weight)
    with torch.no_grad():
        quantizer.ratio.fill_(pushed)
    values, step = quantizer(weight, 0)
    (values * step - weight).square().sum().backward()
    assert step > 0
    assert -math.inf < grad(quantizer.ratio).item() < 0  # descent makes the step larger


@given(cuts=st.lists(st.integers(0, 12), max_size=3).map(sorted))
def test_gradient_of_a_step_does_not_depend_on_the_grouping_of_inputs(cuts: list[int]) -> None:
    x = normal_numbers(12, 6)
    whole = LearnedStepActivations((3,), True)
    whole(x, 0)
    commit(whole, 12)
    grouped = copy.deepcopy(whole)
    for quantizer, groups in ((whole, [x]), (grouped, x.tensor_split(cuts))):
        for group in groups:
            values, step = quantizer(group, 0)
            (values * step).square().sum().backward()
    assert torch.allclose(grad(whole.ratio), grad(grouped.ratio), rtol=1e-4)
