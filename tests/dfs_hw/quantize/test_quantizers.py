import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from quantizing import commit, grad, normal_numbers
from torch import nn

from accel_models.errors import InputError
from dfs_hw.quantize.normal import NormalActivations, NormalWeights
from dfs_hw.quantize.quantizers import QUANTIZER_FAULTS, QUANTIZERS, family
from dfs_hw.quantize.rounding import Levels

families = pytest.mark.parametrize("name", QUANTIZERS)


@families
def test_more_bits_come_closer_to_the_tensor(name: str) -> None:
    weight, x = normal_numbers(64, 9), normal_numbers(32, 40, seed=1).relu()
    weights = family(name).weights((2, 4, 8), weight)
    activations = family(name).activations((2, 4, 8), False)
    for operand, tensor in ((weights, weight), (activations, x)):
        products = [math.prod(operand(tensor, index)).detach() for index in range(3)]
        errors = [float((product - tensor).square().mean()) for product in products]
        assert errors == sorted(errors, reverse=True)
        assert errors[2] < 0.01 * float(tensor.square().mean()) < errors[0] / 4


@pytest.mark.parametrize("name", ["normal", "lsq", "nested"])
@given(bits=st.integers(1, 16), signed=st.booleans(), seed=st.integers(0, 99))
def test_values_are_integers_within_the_width(
    name: str, bits: int, signed: bool, seed: int
) -> None:
    x = normal_numbers(4, 25, seed=seed) * 10
    weights, _ = family(name).weights((bits,), x)(x, 0)
    x = x if signed else x.relu()
    activations, _ = family(name).activations((bits,), signed)(x, 0)
    levels = Levels.signed(bits) if signed else Levels.unsigned(bits)
    assert torch.equal(activations, activations.round())
    assert levels.low <= activations.min() <= activations.max() <= levels.high
    # Odd integers in half-steps need twice the range for the same bits.
    assert torch.equal(weights, weights.round())
    assert weights.abs().max() <= (2**bits - 1 if name == "nested" else Levels.signed(bits).high)
    assert len(weights.unique()) <= 2**bits


@families
def test_mixed_precision_changes_no_bit(name: str) -> None:
    weight, x = normal_numbers(8, 5), normal_numbers(6, 5, seed=1).to(torch.bfloat16)
    weights, activations = (
        family(name).weights((16,), weight),
        family(name).activations((16,), True),
    )
    for operand, tensor in ((weights, weight), (activations, x)):
        plain_values, plain_scale = operand(tensor.float(), 0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            values, scale = operand(tensor, 0)
        assert values.dtype == scale.dtype == torch.float32
        assert torch.equal(values, plain_values)
        assert torch.equal(scale, plain_scale)


@families
@pytest.mark.parametrize("training", [True, False])
def test_nothing_waits_for_the_device(name: str, training: bool) -> None:
    # A tensor on the meta device has no data: reading a number of it back raises.
    known = family(name, frozenset(QUANTIZER_FAULTS) if name == "minmax" else frozenset())
    with torch.device("meta"):
        x = torch.empty(3, 4, 5, 5, requires_grad=True)
        weight = nn.Parameter(torch.empty(6, 4, 3, 3))
        weights = known.weights((2, 8), weight).train(training)
        activations = known.activations((2, 8), True).train(training)
    x_values, x_scale = activations(x, 1)
    w_values, w_scale = weights(weight, 1)
    out = nn.functional.conv2d(x_values, w_values) * (x_scale * w_scale)
    out.sum().backward()
    weights.initialize(weight)
    commit(activations, 3)
    assert out.shape == (3, 6, 3, 3)
    assert grad(x).shape == x.shape
    assert grad(weight).shape == weight.shape


@families
def test_a_copy_goes_its_own_way_and_a_saved_state_comes_back(name: str) -> None:
    x = normal_numbers(8, 5)
    original = family(name).activations((4,), True)
    original(x, 0)
    commit(original, 8)
    twin, restored = copy.deepcopy(original), family(name).activations((4,), True)
    restored.load_state_dict(original.state_dict())
    original(9 * x, 0)
    commit(original, 8)
    values = [math.prod(q.eval()(9 * x, 0)) for q in (original, twin, restored)]
    assert torch.equal(values[1], values[2])
    assert torch.equal(values[0], values[1]) == (name == "lsq")  # whose start is fixed


@families
def test_an_empty_group_of_inputs_leaves_no_trace(name: str) -> None:
    activations = family(name).activations((2, 4), False)
    x = torch.empty(0, 3, requires_grad=True)
    values, scale = activations(x, 0)
    (values * scale).sum().backward()
    activations(torch.ones(5, 3), 1)
    commit(activations, 5)
    assert all(p.grad is None or p.grad.isfinite().all() for p in activations.parameters())
    assert activations.eval()(torch.ones(1, 3), 1)[0].isfinite().all()


def test_unknown_names_and_faults_are_refused_with_the_list() -> None:
    with pytest.raises(InputError, match=r"'dorefa' is no .*normal, lsq, nested, minmax"):
        family("dorefa")
    with pytest.raises(InputError, match=r"normal has no fault 'inverted-ema'.*knows none"):
        family("normal", frozenset({"inverted-ema"}))
    known = ", ".join(QUANTIZER_FAULTS)
    with pytest.raises(InputError, match=rf"minmax has no fault 'wet-paint'.*knows {known}"):
        family("minmax", frozenset({"wet-paint", "inverted-ema"}))


@pytest.mark.parametrize("name", ["normal", "nested"])
def test_steps_follow_a_slow_average_of_training_steps(name: str) -> None:
    quantizer = family(name).activations((4,), False)
    assert isinstance(quantizer, NormalActivations)
    quantizer(torch.full((5, 1), 1.0), 0)
    assert quantizer.magnitude.isnan()  # a forward pass changes nothing
    commit(quantizer, 5)
    assert quantizer.magnitude.item() == 1.0
    quantizer(torch.full((5, 1), 2.0), 0)
    commit(quantizer, 10)  # half of the step's inputs ran at this width
    assert quantizer.magnitude.item() == pytest.approx(1.05)
    quantizer.eval()(torch.full((5, 1), 9.0), 0)
    commit(quantizer, 5)
    assert quantizer.magnitude.item() == pytest.approx(1.05)


@pytest.mark.slow
@families
@given(cuts=st.lists(st.integers(0, 12), max_size=3).map(sorted), seed=st.integers(0, 99))
def test_the_grouping_of_inputs_does_not_matter(name: str, cuts: list[int], seed: int) -> None:
    x = normal_numbers(12, 3, 2, seed=seed)
    whole, grouped = (family(name).activations((4,), True) for _ in range(2))
    whole(x, 0)
    for group in reversed(x.tensor_split(cuts)):
        grouped(group, 0)
    for quantizer in (whole, grouped):
        commit(quantizer, 12)
    for one, other in zip(whole.buffers(), grouped.buffers(), strict=True):
        assert torch.allclose(one, other)


@families
def test_repeating_a_pass_without_gradients_leaves_no_trace(name: str) -> None:
    quantizer = family(name).activations((4,), True)
    with torch.no_grad():
        quantizer(normal_numbers(4, 3), 0)
    assert not quantizer.pending.any()


@pytest.mark.parametrize("name", ["normal", "lsq", "nested"])
def test_a_width_that_never_ran_gives_nan_and_others_their_own_range(name: str) -> None:
    quantizer = family(name).activations((2, 8), False)
    assert quantizer(torch.ones(3, 1), 0)[0].isfinite().all()  # goes by the tensor at hand
    quantizer.pending.zero_()
    quantizer(torch.ones(3, 1), 1)
    commit(quantizer, 3)
    quantizer.eval()
    assert quantizer(torch.ones(3, 1), 0)[1].isnan()
    assert quantizer(torch.ones(3, 1), 1)[0].isfinite().all()


def test_one_bit_weights_are_signs_times_their_mean_magnitude() -> None:
    weight = torch.tensor([0.5, -0.1, 0.0, -1.0])
    integers, step = NormalWeights((1,), weight)(weight, 0)
    assert integers.tolist() == [1, -1, 1, -1]
    assert step.item() == pytest.approx(0.4)


def test_two_bit_weights_have_a_zero_and_one_bit_weights_have_none() -> None:
    weight = torch.tensor([1.0, -1.0, 0.01, -0.01])
    quantizer = NormalWeights((1, 2), weight)
    assert quantizer(weight, 0)[0].tolist() == [1, -1, 1, -1]
    assert quantizer(weight, 1)[0].tolist() == [1, -1, 0, 0]
