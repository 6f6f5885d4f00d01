import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from accel_models.precision import Precision, parse_choices
from dfs_hw.quantize import Dial, PrecisionNorm, QuantizedConv2d, QuantizedLinear, family


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def commit(module: nn.Module, inputs: int) -> None:
    """What a network does after a training step."""
    for observer in module.modules():
        if hasattr(observer, "absorb"):
            observer.absorb(observer.pending, observer.pending[:, 0] / inputs)
            observer.pending.zero_()


def ready(layer: nn.Module, x: Tensor) -> nn.Module:
    """In evaluation, after one training step at its only precision."""
    layer.train()(x)
    commit(layer, len(x))
    return layer.eval()


@pytest.mark.parametrize("bits", ["2", "4", "8", "4/8"])
@pytest.mark.parametrize("signed", [False, True])
def test_convolution_is_integer_arithmetic_scaled_once(bits: str, signed: bool) -> None:
    precision = Precision.parse(bits)
    conv = QuantizedConv2d(
        nn.Conv2d(6, 9, 3, stride=2, padding=1, groups=3, bias=False), (precision,), signed=signed
    )
    x = random(4, 6, 9, 9) if signed else random(4, 6, 9, 9).relu()
    ready(conv, x)
    x_int, x_step = conv.activations(x, 0)
    w_int, w_step = conv.weights(conv.weight, 0)
    exact = nn.functional.conv2d(
        x_int.to(torch.int64).double(), w_int.double(), stride=2, padding=1, groups=3
    )
    assert torch.equal(x_int, x_int.round())
    assert bool((x_int < 0).any()) == signed
    assert torch.equal(exact, exact.round())
    assert torch.equal(conv(x), exact.float() * (x_step * w_step))


def test_a_bias_is_added_in_floating_point_after_the_scaling() -> None:
    plain = nn.Conv2d(2, 3, 1)
    conv = QuantizedConv2d(plain, parse_choices("2"))
    x = torch.rand(5, 2, 4, 4)
    ready(conv, x)
    with_bias = conv(x)
    conv.bias = None
    assert plain.bias is not None
    assert torch.equal(with_bias, conv(x) + plain.bias[:, None, None])


def test_outputs_do_not_depend_on_the_batch_an_input_is_in() -> None:
    linear = QuantizedLinear(50, 9, Precision(8, 8), signed=True)
    conv = QuantizedConv2d(nn.Conv2d(20, 30, 3), parse_choices("8"))
    for layer, x in ((linear, random(40, 50)), (conv, random(13, 20, 7, 7).relu())):
        ready(layer, x)
        assert torch.equal(layer(x), torch.cat([layer(row) for row in x.split(1)]))


@torch.no_grad()
def test_eight_bits_come_close_to_floating_point() -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 8, 3, padding=1)
    dial = Dial()
    conv = QuantizedConv2d(plain, parse_choices("8,2"), dial)
    x = torch.rand(2, 8, 6, 6)
    errors = []
    for dial.index in (0, 1):
        errors.append(float((conv(x) - plain(x)).std() / plain(x).std()))
    assert errors[0] < 0.02 < errors[1]


def test_full_precision_does_not_quantise() -> None:
    dial = Dial(1)
    plain = nn.Conv2d(3, 4, 3, padding=1)
    conv = QuantizedConv2d(plain, parse_choices("4,full"), dial, reads_image=True)
    x = random(2, 3, 8, 8)
    assert torch.equal(conv(x), plain(x))
    linear = nn.Linear(5, 2)
    row = random(3, 5)
    converted = QuantizedLinear.converted(
        linear, parse_choices("4,full"), dial, family("normal"), signed=True
    )
    assert torch.equal(converted(row), linear(row))
    dial.index = 0
    assert not torch.allclose(conv(x), plain(x), atol=1e-3)
    assert not torch.allclose(converted(row), linear(row), atol=1e-3)


def test_the_image_has_eight_bits_and_a_sign_at_every_precision_of_the_weights() -> None:
    dial = Dial()
    conv = QuantizedConv2d(nn.Conv2d(3, 4, 3), parse_choices("2,4"), dial, reads_image=True)
    x = random(2, 3, 8, 8)
    for dial.index in (0, 1):
        conv(x)
    commit(conv, len(x))
    pixels = [conv.eval().activations(x, index)[0] for index in (0, 1)]
    assert torch.equal(*pixels)
    assert 8 < pixels[0].max() <= 127
    assert -127 <= pixels[0].min() < -8


def test_a_layer_has_the_gradient_of_one_that_computes_on_rounded_numbers() -> None:
    plain = nn.Conv2d(4, 5, 3, padding=1)
    conv = QuantizedConv2d(plain, parse_choices("4"))
    x = torch.rand(3, 4, 6, 6)
    upstream = random(3, 5, 6, 6)
    ready(conv, x)
    found = []
    for rounded_first in (False, True):
        conv.zero_grad()
        leaf = x.clone().requires_grad_()
        if rounded_first:
            (xs, x_step), (ws, w_step) = conv.activations(leaf, 0), conv.weights(conv.weight, 0)
            out = nn.functional.conv2d(xs * x_step, ws * w_step, conv.bias, padding=1)
        else:
            out = conv(leaf)
        (out * upstream).sum().backward()
        found.append((leaf.grad, conv.weight.grad, conv.bias.grad))
    for scaled_once, wanted in zip(*found, strict=True):
        assert torch.allclose(scaled_once, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "sides"),
    [
        ({"padding": "same", "kernel_size": (3, 5)}, (1, 1, 2, 2)),
        ({"padding": "same", "kernel_size": 1}, (0, 0, 0, 0)),
        ({"padding": "valid", "kernel_size": 3}, (0, 0, 0, 0)),
        ({"padding": (0, 2), "kernel_size": 3}, (0, 0, 2, 2)),
        ({"padding": "same", "kernel_size": (2, 3)}, (0, 1, 1, 1)),
        ({"padding": "same", "kernel_size": (4, 2), "dilation": (1, 3)}, (1, 2, 1, 2)),
        ({"padding": 2, "kernel_size": 3, "dilation": 2, "stride": 2}, (2, 2, 2, 2)),
        ({"padding": 1, "padding_mode": "reflect", "kernel_size": 3}, (1, 1, 1, 1)),
        ({"padding": (2, 1), "padding_mode": "replicate", "kernel_size": 3}, (2, 2, 1, 1)),
        ({"padding": "same", "padding_mode": "circular", "kernel_size": 2}, (0, 1, 0, 1)),
    ],
)
@pytest.mark.parametrize("precision", ["full", "4"])
def test_any_geometry_is_that_of_the_layer_it_replaces(
    options: dict[str, object], sides: tuple[int, int, int, int], precision: str
) -> None:
    plain = nn.Conv2d(2, 3, bias=False, **options)
    conv = QuantizedConv2d(plain, parse_choices(precision), signed=True)
    assert conv.sides == sides
    x = random(1, 2, 9, 8)
    out, scale = ready(conv, x)(x), 1
    if precision != "full":
        (x, x_step), (weight, w_step) = conv.activations(x, 0), conv.weights(conv.weight, 0)
        plain.weight, scale = nn.Parameter(weight), x_step * w_step
    assert torch.allclose(out, plain(x) * scale, rtol=1e-6)


def test_converted_layers_answer_for_their_geometry_like_the_ones_they_replace() -> None:
    plain = nn.Conv2d(4, 6, (3, 1), stride=(2, 1), padding=(1, 0), groups=2)
    conv = QuantizedConv2d(plain, parse_choices("4"))
    for name in ("in_channels", "out_channels", "kernel_size", "stride", "dilation", "groups"):
        assert getattr(conv, name) == getattr(plain, name)


norms = st.builds(
    nn.BatchNorm2d,
    st.just(3),
    momentum=st.sampled_from([0.1, 0.997]),
    eps=st.sampled_from([1e-5, 1e-2]),
    affine=st.booleans(),
)


@given(norm=norms, steps=st.integers(1, 3), seed=st.integers(0, 2**16))
def test_norms_by_batch_are_those_of_pytorch(norm: nn.BatchNorm2d, steps: int, seed: int) -> None:
    if norm.affine:
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias)
    ours = PrecisionNorm(norm, 2, Dial(1))
    for step in range(steps):
        gradients = []
        inputs = random(4, 3, 5, 5, seed=seed + step) * 3 + 2
        upstream = random(4, 3, 5, 5, seed=seed + step + 1)
        for module in (norm, ours):
            module.zero_grad()
            x = inputs.clone().requires_grad_()
            out = module(x)
            (out * upstream).sum().backward()
            gradients.append((out.detach(), x.grad))
        for wanted, got in zip(*gradients, strict=True):
            assert torch.allclose(got, wanted, rtol=1e-4, atol=1e-5)
        if norm.affine:
            assert torch.allclose(ours.weight.grad[1], norm.weight.grad, rtol=1e-4, atol=1e-4)
            assert torch.allclose(ours.bias.grad[1], norm.bias.grad, rtol=1e-4, atol=1e-4)
        commit(ours, 4)
    assert torch.allclose(ours.mean[1], norm.running_mean, rtol=1e-4, atol=1e-5)
    assert torch.allclose(ours.variance[1], norm.running_var, rtol=1e-4)
    assert torch.equal(ours.mean[0], torch.zeros(3))
    x = random(2, 3, 4, 4)
    assert torch.allclose(ours.eval()(x), norm.eval()(x), rtol=1e-4, atol=1e-5)


def test_norms_by_running_statistics_compute_as_in_evaluation_and_still_look() -> None:
    norm = nn.BatchNorm2d(3)
    ours = PrecisionNorm(norm, 1)
    ours.by_batch = False
    norm.running_mean.copy_(torch.tensor([1.0, -2, 0]))
    ours.mean[0] = norm.running_mean
    x = random(6, 3, 5, 5) * 2 + 1
    norm.eval()
    assert torch.equal(ours(x), norm(x))
    assert torch.equal(torch.cat([ours(part) for part in x.split(4)]), norm(x))
    commit(ours, 12)  # the batch went through twice, and so 12 inputs did
    norm.train()(x)
    assert torch.allclose(ours.mean[0], norm.running_mean, rtol=1e-5, atol=1e-6)
    # Twice the pixels hardly change the variance: of n equal to of 2n, but for n - 1.
    n = x.shape[0] * 25
    biased = norm.running_var.sub(0.9).div(0.1) * (n - 1) / n
    assert torch.allclose(ours.variance[0], 0.9 + 0.1 * biased * 2 * n / (2 * n - 1), rtol=1e-5)


def test_statistics_of_a_precision_move_with_the_share_of_inputs_it_saw() -> None:
    dial = Dial()
    norm = PrecisionNorm(nn.BatchNorm2d(1), 3, dial)
    norm.by_batch = False
    for dial.index, inputs in ((0, 1), (1, 3)):
        norm(torch.full((inputs, 1, 2, 2), 10.0))
    commit(norm, 4)
    assert norm.mean[:, 0].tolist() == pytest.approx([0.1 * 10 / 4, 0.1 * 10 * 3 / 4, 0])


def test_one_norm_for_all_precisions_takes_their_batches_in_turn() -> None:
    """As in the released code of DFS, where every branch runs on every input."""
    dial, plain = Dial(), nn.BatchNorm2d(2)
    shared = PrecisionNorm(plain, 3, dial, shared=True)
    batches = [random(5, 2, 4, 4, seed=seed) + seed for seed in range(3)]
    for dial.index in (2, 0, 1):  # in whatever order they ran
        shared(batches[dial.index])
    commit(shared, 5)
    for x in batches:
        plain(x)
    assert torch.allclose(shared.mean[0], plain.running_mean, rtol=1e-5, atol=1e-6)
    assert torch.allclose(shared.variance[0], plain.running_var, rtol=1e-5)
    assert shared.weight.shape == (1, 2)


def test_precisions_inherit_statistics_scale_and_shift() -> None:
    norm = PrecisionNorm(nn.BatchNorm2d(2), 3)
    with torch.no_grad():
        for tensor in (norm.mean, norm.variance, norm.weight, norm.bias):
            tensor.copy_(torch.arange(6.0).view(3, 2))
    norm.inherit(1)
    for tensor in (norm.mean, norm.variance, norm.weight, norm.bias):
        assert tensor.tolist() == [[2, 3]] * 3


def test_variances_survive_a_mean_far_from_zero() -> None:
    norm = PrecisionNorm(nn.BatchNorm2d(1), 1)
    for norm.by_batch in (True, False):
        norm.momentum = 1.0
        norm(random(20, 1, 30, 30) + 30)
        commit(norm, 20)
        assert float(norm.variance) == pytest.approx(1, rel=0.05)
