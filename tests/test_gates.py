"""Decisions from logits, and the gates that give them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

from accel_models.errors import InputError
from accel_models.precision import FULL, Precision
from dfs_hw.gates import (
    ESTIMATORS,
    GATES,
    Gate,
    RecurrentGate,
    decide,
    gumbel_noise,
    make_gate,
    noise_is_on,
)
from dfs_hw.gates.gate import State
from dfs_hw.gates.projection import Projection
from dfs_hw.gates.recurrent import lstm_step
from dfs_hw.quantize.layers import QuantizedLinear
from dfs_hw.quantize.observer import Observer

ALL = torch.ones(3, dtype=torch.bool)
CHANNELS = (3, 3, 5)
"""Of the three units that most gates here decide about."""

RESNET38 = (*(16,) * 6, *(32,) * 6, *(64,) * 5)
"""Channels of what the 17 gated blocks read: the outputs of all blocks but the last."""
RELEASED_CHOICES = 7

Rows = list[list[float]]
rows_of_logits: st.SearchStrategy[Rows] = st.lists(
    st.lists(st.integers(-6, 6).map(lambda i: i / 2), min_size=4, max_size=4),
    min_size=1,
    max_size=6,
)
offers = st.lists(st.booleans(), min_size=4, max_size=4).filter(any)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- Decisions


@given(rows_of_logits, offers, st.sampled_from(ESTIMATORS), st.booleans())
def test_a_decision_is_exactly_one_hot_and_takes_the_first_largest_logit_offered(
    rows: Rows, offered: list[bool], estimator: str, draws: bool
) -> None:
    logits = torch.tensor(rows, requires_grad=True)
    noise = gumbel_noise(logits.shape, generator()) if draws and estimator == "gumbel" else None
    gates = decide(logits, torch.tensor(offered), estimator=estimator, noise=noise)
    scores = (logits if noise is None else logits + noise).tolist()
    for gate, row in zip(gates.tolist(), scores, strict=True):
        best = max(score for score, can in zip(row, offered, strict=True) if can)
        first = next(k for k in range(4) if offered[k] and row[k] == best)
        assert gate == [float(k == first) for k in range(4)]


@given(rows_of_logits, offers, st.sampled_from([0.5, 1.0, 3.0]), st.sampled_from(ESTIMATORS))
def test_the_gradient_is_that_of_the_probabilities_of_what_is_offered(
    rows: Rows, offered: list[bool], temperature: float, estimator: str
) -> None:
    """By hand: d(p . worth)/d(logit k) = p_k (worth_k - p . worth) / temperature."""
    logits = torch.tensor(rows, dtype=torch.double, requires_grad=True)
    worth = torch.tensor([3.0, -5.0, 11.0, 2.0], dtype=torch.double)
    noise = gumbel_noise(logits.shape, generator()).double() if estimator == "gumbel" else None
    gates = decide(
        logits, torch.tensor(offered), estimator=estimator, temperature=temperature, noise=noise
    )
    (gates * worth).sum().backward()
    assert logits.grad is not None
    softness = temperature if estimator == "gumbel" else 1.0
    scores = (logits.detach() if noise is None else logits.detach() + noise) / softness
    for grad, row in zip(logits.grad.tolist(), scores.tolist(), strict=True):
        weights = [math.exp(s) * can for s, can in zip(row, offered, strict=True)]
        p = [weight / sum(weights) for weight in weights]
        mean = sum(a * b for a, b in zip(p, worth.tolist(), strict=True))
        wanted = [a * (b - mean) / softness for a, b in zip(p, worth.tolist(), strict=True)]
        assert grad == pytest.approx(wanted, abs=1e-12)
        assert all(g == 0 for g, can in zip(grad, offered, strict=True) if not can)


def test_units_with_different_offers_can_be_decided_at_once() -> None:
    offered = torch.tensor([[True, True], [False, True]])
    logits = torch.tensor([[2.0, 1.0], [2.0, 1.0]]).expand(5, 2, 2)
    assert (decide(logits, offered).argmax(-1) == torch.tensor([0, 1])).all()


def test_the_released_fault_makes_every_choice_that_ties() -> None:
    logits = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0]], requires_grad=True)
    both = decide(logits, ALL, ties_run_both=True)
    assert both.tolist() == [[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    assert decide(logits, ALL)[0].tolist() == [1.0, 0.0, 0.0]
    worth = torch.tensor([1.0, 2.0, 4.0])
    (faulty,) = torch.autograd.grad((both * worth).sum(), logits)
    (sound,) = torch.autograd.grad((decide(logits, ALL) * worth).sum(), logits)
    assert torch.equal(faulty, sound)
    only = decide(torch.zeros(1, 3), torch.tensor([False, True, True]), ties_run_both=True)
    assert only.tolist() == [[0.0, 1.0, 1.0]]


def test_noise_makes_a_decision_a_draw_from_the_softmax() -> None:
    """The Gumbel-max trick, by a chi-squared test."""
    logits = torch.tensor([1.0, 0.0, -1.0]).expand(20_000, 3)
    noise = gumbel_noise(logits.shape, generator())
    counts = decide(logits, ALL, estimator="gumbel", temperature=0.3, noise=noise).sum(0)
    expected = logits[0].double().softmax(0) * len(logits)
    assert stats.chisquare(counts.double().numpy(), expected.numpy()).pvalue > 0.01


def test_noise_has_the_distribution_of_gumbel_and_repeats_with_its_seed() -> None:
    noise = gumbel_noise((100, 100), generator(1))
    assert noise.dtype == torch.float32
    assert stats.kstest(noise.flatten().double().numpy(), stats.gumbel_r.cdf).pvalue > 0.01
    assert torch.equal(noise, gumbel_noise((100, 100), generator(1)))
    assert not torch.equal(noise, gumbel_noise((100, 100), generator(2)))


@pytest.mark.parametrize("temperature", [0.01, 1.0, 100.0])
def test_without_noise_the_temperature_does_not_change_the_choice(temperature: float) -> None:
    logits = torch.randn(50, 3, generator=generator())
    gates = decide(logits, ALL, estimator="gumbel", temperature=temperature)
    assert torch.equal(gates.argmax(-1), logits.argmax(-1))


def test_noise_is_off_when_it_is_in_the_code_of_dynconv() -> None:
    """There, by default, 350 epochs counted from 0, without noise where epoch > 0.8 * 350."""
    assert [epoch for epoch in range(350) if not noise_is_on(epoch / 350)] == list(range(281, 350))
    assert noise_is_on(0)
    assert not noise_is_on(1)
    with pytest.raises(InputError, match=r"0 to 1, got 1\.5"):
        noise_is_on(1.5)


def test_decisions_that_cannot_be_made_as_asked_are_refused() -> None:
    logits = torch.zeros(2, 3)
    with pytest.raises(InputError, match=r"'reinforce'.*straight-through, gumbel"):
        decide(logits, ALL, estimator="reinforce")
    with pytest.raises(InputError, match=r"above 0, got 0\.0"):
        decide(logits, ALL, estimator="gumbel", temperature=0.0)
    with pytest.raises(InputError, match="takes no noise"):
        decide(logits, ALL, noise=logits)
    with pytest.raises(InputError, match=r"\[2, 3\].*not \[3\]"):
        decide(logits, ALL, estimator="gumbel", noise=torch.zeros(3))


# --- Gates of every family


@pytest.fixture(params=GATES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def features_of(inputs: int, seed: int = 0) -> list[Tensor]:
    """What each of the units of `CHANNELS` reads."""
    drawn = generator(seed)
    return [torch.rand(inputs, width, 4, 4, generator=drawn) * 3 for width in CHANNELS]


def fresh(name: str, precision: Precision = FULL, *, knob: bool = False, seed: int = 0) -> Gate:
    torch.manual_seed(seed)
    return make_gate(name, CHANNELS, 4, precision, knob=knob)


def settled(gate: Gate, price: Tensor | None = None) -> Gate:
    """A gate whose ranges have seen data, with gradients and so with statistics."""
    gate.train()
    logits_of(gate, features_of(16, seed=9), price)
    for module in gate.modules():
        if isinstance(module, Observer):
            module.absorb(module.pending, module.pending[:, 0].clamp_max(1))
    return gate.eval()


def logits_of(gate: Gate, features: list[Tensor], price: Tensor | None = None) -> Tensor:
    """[N, units, K]."""
    state, logits = gate.begin(features[0], price), []
    for unit, x in enumerate(features):
        made, state = gate(unit, x, state)
        logits.append(made)
    return torch.stack(logits, 1)


def split(gate: Gate, features: list[Tensor], size: int, price: Tensor | None = None) -> Tensor:
    """`logits_of`, in batches of `size` inputs."""
    batches = zip(*(x.split(size) for x in features), strict=True)
    prices = [None] * len(features[0]) if price is None else price.split(size)
    parts = (logits_of(gate, list(b), p) for b, p in zip(batches, prices, strict=False))
    return torch.cat(list(parts))


@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize("knob", [False, True])
@torch.no_grad()
def test_logits_of_an_input_do_not_depend_on_the_batch(name: str, bits: int, knob: bool) -> None:
    drawn = generator(3)
    price = torch.rand(16, generator=drawn) if knob else None
    with torch.enable_grad():
        gate = settled(fresh(name, Precision(bits, bits), knob=knob), price)
    for parameter_name, parameter in gate.named_parameters():
        if parameter_name.endswith("price"):
            parameter.copy_(torch.randn(parameter.shape, generator=drawn))
    features = features_of(16)
    whole = logits_of(gate, features, price)
    assert whole.isfinite().all()
    assert len(whole.flatten(1).unique(dim=0)) > 1
    for size in (1, 5):
        assert torch.equal(split(gate, features, size, price), whole)


@pytest.mark.parametrize("hidden", [1, 10, 20, 32])
def test_one_step_of_the_lstm_does_not_depend_on_the_batch(hidden: int) -> None:
    """Not even by the rounding of its functions, whose vector code differs from the scalar one."""
    sums, cell = torch.randn(33, 4 * hidden), torch.randn(33, hidden)
    whole = lstm_step(sums, cell)
    for size in (1, 7):
        parts = zip(sums.split(size), cell.split(size), strict=True)
        hidden_parts, cell_parts = zip(*(lstm_step(*part) for part in parts), strict=True)
        assert torch.equal(torch.cat(hidden_parts), whole[0])
        assert torch.equal(torch.cat(cell_parts), whole[1])


def test_the_layers_that_run_for_a_decision_are_those_listed_in_that_order(name: str) -> None:
    gate, features = fresh(name), features_of(2)
    ran: list[nn.Module] = []
    for module in gate.modules():
        if isinstance(module, QuantizedLinear):
            module.register_forward_hook(lambda layer, *_: ran.append(layer))
    state = gate.begin(features[0])
    for unit, x in enumerate(features):
        _, state = gate(unit, x, state)
        listed = [layer for _, layer in gate.layers(unit)]
        assert len(ran) == len(listed)
        assert all(first is second for first, second in zip(ran, listed, strict=True))
        ran.clear()


def test_the_upfront_gate_computes_everything_for_the_first_unit() -> None:
    gate = fresh("upfront")
    assert [part for part, _ in gate.layers(0)] == ["embed", "head"]
    assert gate.layers(1) == gate.layers(2) == []


@torch.no_grad()
def test_families_differ_in_what_a_decision_looks_at(name: str) -> None:
    """Which features the decision about the third unit depends on."""
    gate, features = fresh(name), features_of(1)
    plain, looks_at = logits_of(gate, features)[:, 2], set()
    for unit in range(3):
        changed = [x * 2 if number == unit else x for number, x in enumerate(features)]
        if not torch.equal(logits_of(gate, changed)[:, 2], plain):
            looks_at.add(unit)
    assert looks_at == {"lstm": {0, 1, 2}, "feedforward": {2}, "upfront": {0}}[name]
    assert (gate.memory is not None) == (name == "lstm")
    assert all(gate.memory in (None, *dict(gate.layers(unit))) for unit in range(3))


@torch.no_grad()
def test_gates_look_at_the_mean_over_the_image_alone(name: str) -> None:
    gate, features = fresh(name).double(), [x.double() for x in features_of(2)]
    means = [x.mean((2, 3), keepdim=True) for x in features]
    assert torch.allclose(logits_of(gate, features), logits_of(gate, means), atol=1e-12)


@pytest.mark.parametrize(("signed", "same"), [(False, True), (True, False)])
@torch.no_grad()
def test_signed_gates_tell_negative_features_from_none(name: str, signed: bool, same: bool) -> None:
    with torch.enable_grad():
        gate = settled(make_gate(name, CHANNELS, 4, Precision(8, 8), signed=signed))
    features = features_of(2)
    none = logits_of(gate, [torch.zeros_like(x) for x in features])
    assert torch.equal(logits_of(gate, [-x for x in features]), none) == same


@torch.no_grad()
def test_feedforward_and_upfront_gates_are_two_layers_around_a_relu() -> None:
    features = features_of(3)
    each, upfront = fresh("feedforward"), fresh("upfront")
    wanted = [two_layers(each, unit, x) for unit, x in enumerate(features)]
    assert torch.allclose(logits_of(each, features), torch.stack(wanted, 1), atol=1e-5)
    at_once = two_layers(upfront, 0, features[0]).view(3, len(CHANNELS), 4)
    assert torch.allclose(logits_of(upfront, features), at_once, atol=1e-5)


def two_layers(gate: Gate, unit: int, features: Tensor) -> Tensor:
    first, second = (layer for _, layer in gate.layers(unit))
    hidden = features.mean((2, 3)) @ first.weight.T + first.bias
    return hidden.clamp_min(0) @ second.weight.T + second.bias


# --- The gate of DFS


def released_modules() -> tuple[nn.ModuleList, nn.LSTM, nn.Linear]:
    """What the released code of DFS makes its gates of, for ResNet-38."""
    embed = nn.ModuleList(nn.Conv2d(width, 10, 1) for width in (*RESNET38, 64))
    return embed, nn.LSTM(10, 10), nn.Linear(10, RELEASED_CHOICES)


def parameters(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


@torch.no_grad()
def test_in_floating_point_the_recurrent_gate_computes_what_the_released_one_does() -> None:
    torch.manual_seed(0)
    embed, lstm, head = (module.double() for module in released_modules())
    gate = RecurrentGate(RESNET38, RELEASED_CHOICES, FULL).double()
    for ours, theirs in zip(gate.embed, embed, strict=False):  # theirs has one more
        copy_into(ours.linear, theirs.weight.flatten(1), theirs.bias)
    copy_into(
        gate.cell,
        torch.cat([lstm.weight_ih_l0, lstm.weight_hh_l0], 1),
        lstm.bias_ih_l0 + lstm.bias_hh_l0,
    )
    copy_into(gate.head, head.weight, head.bias)

    features = [torch.rand(5, width, 8, 8, dtype=torch.double) * 3 for width in RESNET38]
    embedded = [conv(nn.AvgPool2d(8)(x)) for conv, x in zip(embed, features, strict=False)]
    hidden, _ = lstm(torch.stack(embedded).flatten(2))
    wanted = head(hidden).transpose(0, 1)
    assert (wanted.std(0).amax(-1) > 1e-3).all()  # the inputs matter, in every decision
    assert torch.allclose(logits_of(gate, features), wanted, rtol=0, atol=1e-13)


def copy_into(layer: QuantizedLinear, weight: Tensor, bias: Tensor) -> None:
    assert layer.bias is not None
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


def test_parameters_are_those_counted_in_the_release_but_for_what_does_nothing() -> None:
    """Counted by running the release: 957 for LSTM and head, 7,857 for all gates of ResNet-38."""
    embed, lstm, head = released_modules()
    assert (parameters(lstm), parameters(head)) == (880, 77)
    assert parameters(embed, lstm, head) == 7857
    of_the_last_block, second_bias = 64 * 10 + 10, 4 * 10
    gate = RecurrentGate(RESNET38, RELEASED_CHOICES, FULL)
    assert parameters(gate) == 7857 - of_the_last_block - second_bias


def macs(gate: Gate, unit: int) -> int:
    return sum(layer.weight.numel() for _, layer in gate.layers(unit))


def test_a_recurrent_decision_takes_the_multiplications_published_for_dfs() -> None:
    gate = make_gate("lstm", RESNET38, RELEASED_CHOICES, FULL)
    assert {macs(gate, unit) for unit in range(17)} == {1030, 1190, 1510}


def test_a_feedforward_decision_takes_fewer_multiplications_but_the_gate_more_weights() -> None:
    recurrent, feedforward = (
        make_gate(name, (16, 126, 127), 7, FULL) for name in ("lstm", "feedforward")
    )
    assert macs(feedforward, 0) == 16 * (16 + 7)
    assert macs(feedforward, 1) < macs(recurrent, 1)
    assert macs(feedforward, 2) > macs(recurrent, 2)  # C + K = 134
    weights = [parameters(make_gate(name, RESNET38, 7, FULL)) for name in ("lstm", "feedforward")]
    assert weights[0] < weights[1]


def test_sizes_of_the_recurrent_gate_can_be_set() -> None:
    gate = RecurrentGate(CHANNELS, 4, FULL, embedding=6, hidden=5)
    assert [tuple(layer.weight.shape) for _, layer in gate.layers(2)] == [(6, 5), (20, 11), (4, 5)]
    assert logits_of(gate, features_of(2)).shape == (2, 3, 4)


# --- The knob


def projections(gate: Gate) -> list[Projection]:
    return [module for module in gate.modules() if isinstance(module, Projection)]


@torch.no_grad()
def test_a_gate_with_a_knob_starts_as_the_same_gate_without(name: str) -> None:
    plain, knob = fresh(name), fresh(name, knob=True)
    features = features_of(4)
    for price in (0.0, 0.3, 1.0):
        with_price = logits_of(knob, features, torch.full((4,), price))
        assert torch.equal(with_price, logits_of(plain, features))


@torch.no_grad()
def test_a_price_acts_as_a_bias_of_its_first_two_powers(name: str) -> None:
    knob, plain = fresh(name, knob=True).double(), fresh(name).double()
    plain.load_state_dict(
        {key: value for key, value in knob.state_dict().items() if not key.endswith("price")}
    )
    features, price = [x.double() for x in features_of(4)], 0.4
    for priced, fixed in zip(projections(knob), projections(plain), strict=True):
        assert priced.price is not None
        assert fixed.linear.bias is not None
        priced.price.normal_()
        fixed.linear.bias += priced.price[0] * price + priced.price[1] * price**2
    made = logits_of(knob, features, torch.full((4,), price, dtype=torch.double))
    assert torch.allclose(made, logits_of(plain, features), atol=1e-12)


@torch.no_grad()
def test_inputs_of_one_batch_can_have_different_prices(name: str) -> None:
    gate, features = fresh(name, knob=True), features_of(2)
    for projection in projections(gate):
        assert projection.price is not None
        projection.price.fill_(1.0)
    both = logits_of(gate, features, torch.tensor([0.2, 0.9]))
    for index, price in enumerate((0.2, 0.9)):
        alone = logits_of(gate, [x[index : index + 1] for x in features], torch.tensor([price]))
        assert torch.allclose(both[index], alone[0], atol=1e-6)


def test_every_projection_learns_from_the_price_from_the_start(name: str) -> None:
    gate = fresh(name, Precision(8, 8), knob=True)
    price = torch.linspace(0.1, 1, 16)
    gate = settled(gate, price).train()
    logits = logits_of(gate, features_of(16), price)
    (logits * torch.randn(logits.shape, generator=generator())).sum().backward()
    for projection in projections(gate):
        assert projection.price is not None
        assert projection.price.grad is not None
        assert (projection.price.grad.abs().sum(1) > 0).all()


def test_a_price_is_given_exactly_to_gates_with_a_knob(name: str) -> None:
    x = torch.zeros(4, 3, 2, 2)
    with pytest.raises(InputError, match="has no knob"):
        fresh(name).begin(x, torch.zeros(4))
    with pytest.raises(InputError, match="give the price"):
        fresh(name, knob=True).begin(x)
    with pytest.raises(InputError, match=r"each of 4 inputs, not a tensor \[\]"):
        fresh(name, knob=True).begin(x, torch.tensor(0.5))


# --- Starting points, names


@pytest.mark.parametrize("choice", [0, 3])
def test_a_preferred_choice_is_ahead_by_the_margin_where_features_say_nothing(
    name: str, choice: int
) -> None:
    gate = fresh(name)
    gate.prefer(1, 2.0)  # and then think again
    gate.prefer(choice, 3.0)
    for head in gate.heads():
        nn.init.zeros_(head.weight)
    logits = logits_of(gate, features_of(5))
    probabilities = logits.softmax(-1)
    assert (logits.argmax(-1) == choice).all()
    assert torch.allclose(probabilities[..., choice], torch.tensor(math.exp(3) / (math.exp(3) + 3)))
    assert round(probabilities[0, 0, choice].item(), 2) == 0.87


@torch.no_grad()
def test_a_wide_margin_decides_alone_but_never_for_what_is_not_offered(name: str) -> None:
    gate = fresh(name)
    gate.prefer(2, 1e3)
    logits = logits_of(gate, features_of(5))
    assert (logits.argmax(-1) == 2).all()
    offered = torch.tensor([True, True, False, True])
    assert (decide(logits, offered).argmax(-1) != 2).all()


def test_preferences_that_mean_nothing_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="4 choices, counted from 0, has no choice 4"):
        fresh(name).prefer(4, 1.0)
    with pytest.raises(InputError, match="above 0, got -1"):
        fresh(name).prefer(0, -1.0)


def test_gates_are_made_by_name(name: str) -> None:
    assert type(fresh(name)) is GATES[name]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_gate("rnn", CHANNELS, 4, FULL), "'rnn'.*lstm, feedforward, upfront"),
        (lambda: make_gate("lstm", (), 4, FULL), "there are none"),
        (lambda: make_gate("lstm", CHANNELS, 0, FULL), "at least one choice, got 0"),
    ],
)
def test_gates_that_cannot_be_made_are_refused(make: Callable[[], Gate], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_every_tensor_of_a_state_has_its_inputs_first(name: str) -> None:
    """So that a caller can go on with some of the inputs alone."""
    gate, features = fresh(name, knob=True), features_of(6)
    price, chosen = torch.rand(6), torch.tensor([4, 1])
    _, state = gate(0, features[0], gate.begin(features[0], price))
    assert state.price is not None
    some = State(tuple(tensor[chosen] for tensor in state.known), state.price[chosen])
    for_all, _ = gate(1, features[1], state)
    for_some, _ = gate(1, features[1][chosen], some)
    assert torch.allclose(for_some, for_all[chosen], atol=1e-6)
